"""A client of today, as bytes: SASL2, Bind 2 and FAST, with SCRAM and channel binding."""

import base64
import hashlib
import hmac
import secrets
import xml.etree.ElementTree as ET

from node.net.tls import end_point
from tests.ports.talker import STREAM, Talker

NS = "urn:xmpp:sasl:2"
SASL1 = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:xmpp:bind:0"
FAST = "urn:xmpp:fast:0"
SM = "urn:xmpp:sm:3"
STREAMS = "http://etherx.jabber.org/streams"
PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770"  # of the XEP's examples
LAPTOP = "01234567-89ab-4def-8123-456789abcdef"
ANSWER = r"</success>|</failure>|<challenge [^>]*>[^<]*</challenge>"


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def read(text):
    """The elements that stand one behind the other in a stream."""
    return list(ET.fromstring(f"<s xmlns='jabber:client' xmlns:stream='{STREAMS}'>{text}</s>"))


class Modern(Talker):
    """`agent` is the id of its program, None for one without."""

    agent = PHONE
    user = "ann"
    features = None

    async def opens(self, sender=None):
        """Sends its header; the features, as an element."""
        claims = f" from='{sender}'" if sender else ""
        self.says(f"{STREAM} to='hub.local'{claims} version='1.0'>")
        heard = await self.hears("</stream:features>")
        self.features = read(heard[heard.index("<stream:features>") :])[0]
        return self.features

    def authenticates(self, mechanism, initial=None, *more, behind=""):
        agent = f"<user-agent id='{self.agent}'><software>AwesomeXMPP</software></user-agent>" if self.agent else ""
        first = "" if initial is None else f"<initial-response>{b64(initial)}</initial-response>"
        self.says(
            f"<authenticate xmlns='{NS}' mechanism='{mechanism}'>{first}{agent}{''.join(more)}</authenticate>{behind}"
        )

    async def is_answered(self):
        """<success/>, <failure/> or <challenge/>, as an element."""
        return read(await self.hears(ANSWER))[0]

    async def logs_in_by_password(self, *more, password="secret", mechanism="PLAIN"):
        """The answer to a login with all that is asked for beside."""
        if mechanism == "PLAIN":
            self.authenticates("PLAIN", f"\0{self.user}\0{password}", *more)
            return await self.is_answered()
        return await self.scram(mechanism, password, *more)

    async def scram(self, mechanism, password, *more):
        await self.scram_begins(mechanism, *more)
        self.scram_ends(mechanism, password)
        return await self.is_answered()

    async def scram_begins(self, mechanism="SCRAM-SHA-256", *more, ns=NS):
        """Says who it is, and is challenged."""
        plus = mechanism.endswith("-PLUS")
        self.header = "p=tls-server-end-point,," if plus else "n,,"
        self.binding = self.header.encode() + (self.end_point if plus else b"")
        self.first = f"n={self.user},r={secrets.token_hex(8)}"
        if ns == NS:
            self.authenticates(mechanism, self.header + self.first, *more)
        else:
            self.says(f"<auth xmlns='{ns}' mechanism='{mechanism}'>{b64(self.header + self.first)}</auth>")
        self.challenge = base64.b64decode((await self.is_answered()).text).decode()

    def scram_ends(self, mechanism="SCRAM-SHA-256", password="secret", ns=NS):
        """Sends the proof; `signature` is what the server proves itself by."""
        family = "sha1" if "SHA-1" in mechanism else "sha256"
        values = dict(part.split("=", 1) for part in self.challenge.split(","))
        salted = hashlib.pbkdf2_hmac(family, password.encode(), base64.b64decode(values["s"]), int(values["i"]))
        key = hmac.digest(salted, b"Client Key", family)
        last = f"c={b64(self.binding)},r={values['r']}"
        signed = f"{self.first},{self.challenge},{last}".encode()
        signature = hmac.digest(hashlib.new(family, key).digest(), signed, family)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self.says(f"<response xmlns='{ns}'>{b64(f'{last},p={b64(proof)}')}</response>")
        self.signature = "v=" + b64(hmac.digest(hmac.digest(salted, b"Server Key", family), signed, family))

    @property
    def end_point(self):
        return end_point(self.writer.get_extra_info("ssl_object").getpeercert(True))

    async def logs_in_by_token(self, token, *more, **how):
        self.shows(token, *more, **how)
        return await self.is_answered()

    def shows(self, token, *more, mechanism="HT-SHA-256-NONE", fast="", behind=""):
        channel = self.end_point if mechanism == "HT-SHA-256-ENDP" else b""
        proof = hmac.digest(token.encode(), b"Initiator" + channel, "sha256")
        self.expects = b64(hmac.digest(token.encode(), b"Responder" + channel, "sha256"))
        first = self.user.encode() + b"\0" + proof
        self.authenticates(mechanism, first, f"<fast xmlns='{FAST}'{fast}/>", *more, behind=behind)

    async def pings(self):
        """Says something that only a session may say, and hears the answer; all that came before it."""
        self.says("<iq type='get' id='ping' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        return await self.hears("id='ping'/>")


def wants_token(mechanism="HT-SHA-256-NONE"):
    return f"<request-token xmlns='{FAST}' mechanism='{mechanism}'/>"


def wants_resource(tag="AwesomeXMPP", *more):
    return f"<bind xmlns='{BIND}'>{f'<tag>{tag}</tag>' if tag else ''}{''.join(more)}</bind>"


def child(element, name, ns):
    return element.find(f"{{{ns}}}{name}")


def says_who(success):
    assert success.tag == f"{{{NS}}}success", ET.tostring(success)
    return child(success, "authorization-identifier", NS).text


def condition(failure):
    assert failure.tag == f"{{{NS}}}failure", ET.tostring(failure)
    ns, _, name = failure[0].tag.rpartition("}")
    assert ns == "{" + SASL1
    return name
