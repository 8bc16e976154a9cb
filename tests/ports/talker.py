"""A client as bytes: what it says on a real line, and what it waits to hear."""

import asyncio
import base64
import re
import ssl

DEADLINE = 5  # seconds that it waits for anything
STREAM = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
OPEN = STREAM + " to='hub.local' version='1.0'>"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{}</bind></iq>"


class HungUp(AssertionError):
    """The other side has ended the connection, and not said what was waited for."""


class Talker:
    """Somebody at the other end of the line, who speaks bytes."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.heard = ""

    def says(self, text):
        self.writer.write(text.encode() if isinstance(text, str) else text)

    async def hears(self, pattern):
        """Waits for the text, and takes everything up to its end."""
        async with asyncio.timeout(DEADLINE):
            while not (found := re.search(pattern, self.heard)):
                data = await self.reader.read(65536)
                if not data:
                    raise HungUp(f"heard {self.heard!r} instead of {pattern!r}")
                self.heard += data.decode()
        before, self.heard = self.heard[: found.end()], self.heard[found.end() :]
        return before

    async def is_hung_up_on(self):
        """Waits for the end; everything that was said until then."""
        async with asyncio.timeout(DEADLINE):
            try:
                while data := await self.reader.read(65536):
                    self.heard += data.decode()
            except (ConnectionError, ssl.SSLError):
                pass
        self.writer.close()
        return self.heard

    async def opens(self):
        self.says(OPEN)
        return await self.hears("</stream:features>")

    async def starts_tls(self):
        self.says(STARTTLS)
        await self.hears("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await self.writer.start_tls(trusting())

    async def logs_in(self, user="ann", password="secret"):
        await self.opens()
        await self.starts_tls()
        await self.opens()
        self.says(f"<auth {SASL} mechanism='PLAIN'>{plain(user, password)}</auth>")
        await self.hears("<success")
        return await self.opens()

    async def binds(self, resource="phone"):
        self.says(BIND.format(f"<resource>{resource}</resource>" if resource else ""))
        return await self.hears("</iq>")


def plain(user, password, authzid=""):
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


def trusting(alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


async def in_tls(connect):
    ann = await connect()
    await ann.opens()
    await ann.starts_tls()
    await ann.opens()
    return ann


async def in_session(connect, user="ann"):
    ann = await connect()
    await ann.logs_in(user)
    await ann.binds()
    return ann
