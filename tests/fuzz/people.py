"""Those who talk to a node without sockets: people on their lines, who log in in every way, and another server.

What they hear is looked at by a strict parser: whole stanzas, for them, from those who may be heard just then.
"""

import base64
import hmac
import re
from types import SimpleNamespace

from node.base.element import STREAMS
from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid, parse
from node.base.stanza import CLIENT, SERVER, Stanza
from node.hub.accounts import Attempts
from node.ports.client import ClientPort
from node.ports.client.session import Client
from node.stream.events import Refused
from node.stream.framing import SERVER_LIMIT, Framing
from tests.conftest import HEADER, HOST, settle
from tests.fuzz import second
from tests.ports.talker import BIND, OPEN, SASL, STARTTLS, plain

THINGS = ("hub", "porch")
CABIN = "cabin.example"
PASSWORD = "not the one of the recordings"
SERVER_HEADER = HEADER.replace(CLIENT, SERVER)
END = "</stream:stream>"
AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770"
WORDS = {
    "previd": "<enabled [^>]*id='([^']*)'",
    "token": "<token [^>]*token='([^']*)'",
    "session": "sessionid='([^']*)'",
    **dict.fromkeys(("one", "two", "three", "hers", "old", "new"), "<(?:stanza-id|result) [^>]*id='([^']*)'"),
    "id": "<iq [^>]*type='set' [^>]*id='([^']*)'",
}


class Pipe:
    """The connection of a session, without a socket: what is written stays here, and TLS is there at once."""

    alpn = certificate_der = None
    unsent = 0

    def __init__(self, sock, turn, owner, *, limit=0, peer_address):
        self.owner, self.loop, self.peer_address = owner, turn.loop, peer_address
        self.tls: object | None = None
        self.out: list[bytes] = []
        self.ended = False

    def write(self, data: bytes) -> None:
        if data and not self.ended:
            self.out.append(data)

    def close(self, reason: str = "") -> None:
        if not self.ended:
            self.ended = True
            self.loop.call_soon(lambda: self.owner.closed(reason))

    abort = close

    def start_tls(self, context, server_side=True, server_hostname=None, established=None) -> None:
        self.tls = self
        self.loop.call_soon(established)

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Line:
    """Somebody's line to the node. `jid` is whose session it is once he has logged in."""

    def __init__(self, port: ClientPort, stale: set[str], who: str):
        self.port = port
        self.hub = port.hub
        self.stale = stale
        self.who = who
        self.jid: Jid | None = None
        self.pipe: Pipe | None = None
        self.amid = False  # in a stanza whose end is still to come
        self.said = b""  # the last piece, with all words filled in
        self.acks = 0  # stanzas heard since it began to count
        self.words = {"h": "0", **dict.fromkeys(WORDS, "x")}  # for those in braces, what was heard last

    @property
    def out(self) -> list[bytes]:
        return self.pipe.out if self.pipe else []

    @property
    def ended(self) -> bool:
        return self.pipe is None or self.pipe.ended

    @property
    def got_in(self) -> bool:
        return self.pipe is not None and hasattr(self.pipe.owner, "jid")

    def connects(self) -> None:
        # Everybody from elsewhere: wrong passwords of one must not make another wait.
        listener = SimpleNamespace(admitted=lambda peer: None)
        self.pipe = Client(self.port, None, (f"192.0.2.{len(self.who)}", 5222), listener, False).connection

    def knocks(self) -> Jid:
        """A new line, as far as the login. The account is there, and has the right password."""
        self.cuts()
        self.port.attempts = Attempts()
        accounts, jid = self.hub.accounts, parse(self.who)
        run = self.hub.loop.run_until_complete
        if not accounts.exists(jid.local):
            run(accounts.create(jid.local, PASSWORD))
        elif jid.local in self.stale:
            run(accounts.set_password(jid.local, PASSWORD))
        self.stale.discard(jid.local)
        self.connects()
        for said in (OPEN, STARTTLS, OPEN):
            self.says(said.encode())
        return jid

    def logs_in(self, instead: bytes = b"") -> None:
        """By SASL, then a resource, or `instead` of it what may make one superfluous."""
        jid = self.knocks()
        for said in (f"<auth {SASL} mechanism='PLAIN'>{plain(jid.local, PASSWORD)}</auth>", OPEN):
            self.says(said.encode())
        if instead:
            self.says(instead)
        self.settles_down(jid)

    resumes = logs_in

    def modern(self, inline: bytes, mechanism: str = "PLAIN", initial: str = "") -> None:
        """By SASL2, with what is asked for in the login itself."""
        jid = self.knocks()
        initial = initial or plain(jid.local, PASSWORD)
        self.says(
            f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{initial}"
            f"</initial-response><user-agent id='{AGENT}'/>".encode()
            + inline
            + b"</authenticate>"
        )
        self.settles_down(jid)

    def token(self, inline: bytes) -> None:
        """By SASL2 with the token that was heard of last."""
        local = parse(self.who).local
        proof = hmac.digest(self.words["token"].encode(), b"Initiator", "sha256")
        initial = base64.b64encode(local.encode() + b"\0" + proof).decode()
        self.modern(b"<fast xmlns='urn:xmpp:fast:0'/>" + inline, "HT-SHA-256-NONE", initial)

    def settles_down(self, jid: Jid) -> None:
        """Becomes a session if the login has not made it one, in the plainest way if it has failed."""
        if not self.ended and not self.got_in:
            self.says(BIND.format(f"<resource>{jid.resource}</resource>").encode())
        if self.ended or not self.got_in:
            self.logs_in()
            return
        self.jid = self.pipe.owner.jid
        assert self.jid.bare == jid.bare, f"{jid} became {self.jid}"
        self.amid = False
        self.says(b"<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")

    def says(self, data: bytes) -> None:
        for word, heard in self.words.items():
            data = data.replace(b"{%b}" % word.encode(), heard.encode())
        self.said = data
        if b"iq:register" in data and self.jid is not None:
            self.stale.add(self.jid.local)
        if self.ended:
            self.connects()
        self.pipe.owner.received(data)
        self.amid = self.amid or elements(data) is None
        settle(self.hub)

    def cuts(self, _: bytes = b"") -> None:
        """The line is down, and there is another one when it is needed."""
        if self.pipe is not None:
            self.pipe.close("cut")
            self.pipe = None
        settle(self.hub)

    def leaves(self) -> None:
        if not self.ended:
            self.says(END.encode())
        settle(self.hub)

    def look(self, before: tuple["Pipe | None", int], speaker: "Line | Link") -> list[second.Tree]:
        """What has been heard since then: whole stanzas, and from those who may be heard now."""
        pipe, count = before
        text = b"".join(self.out[count if self.pipe is pipe else 0 :]).decode().removesuffix(END)
        text = re.sub(r"<[?]xml version='1.0'[?]><stream:stream [^>]*>", "", text)
        self.learns(text)
        root = second.tree(f"<s xmlns='{CLIENT}' xmlns:stream='{STREAMS}'>{text}</s>")
        assert not root[2] and not any(tail for _, tail in root[3]), "text between stanzas"
        for (tag, attrs, _, children), _ in root[3]:
            if not tag.startswith(f"{{{CLIENT}}}"):
                assert tag.startswith(("{urn:", f"{{{STREAMS}}}")), tag
                self.acks = 0 if "enabled" in repr((tag, children)) else self.acks
                continue
            self.acks += 1
            assert tag.partition("}")[2] in ("message", "presence", "iq"), tag
            assert self.jid is not None
            if "to" in attrs:
                assert parse(attrs["to"]).bare == self.jid.bare, f"{self.jid} hears what is for {attrs['to']}"
            delayed = any(child[0] == "{urn:xmpp:delay}delay" for child, _ in children)
            if "from" in attrs and self is not speaker and not tag.endswith("presence") and not delayed:
                self.may_hear(parse(attrs["from"]), speaker)
        self.words["h"] = str(self.acks)
        return [tree for tree, _ in root[3]]

    def learns(self, text: str) -> None:
        for word, known in WORDS.items():
            for found in re.findall(known, text):
                self.words[word] = found

    def may_hear(self, sender: Jid, speaker: "Line | Link") -> None:
        assert self.jid is not None
        if sender.domain == CABIN:
            assert isinstance(speaker, Link)
        elif sender.local and sender.local not in THINGS and sender.bare != self.jid.bare:
            assert speaker.jid is not None and sender in (speaker.jid, speaker.jid.bare), f"{sender} has said nothing"


class Link:
    """Another server, which may speak for its own people only (ports/link/incoming)."""

    jid: Jid | None = None

    def __init__(self, hub):
        self.hub = hub
        self.framing: Framing | None = None
        hub.remote = self.send

    def says(self, data: bytes) -> None:
        if self.framing is None:
            self.framing = Framing(SERVER_LIMIT)
            self.framing.feed(SERVER_HEADER.encode())
        for event in self.framing.feed(data):
            stanza = event.stanza if isinstance(event, Refused) else event
            if isinstance(event, StreamError):
                self.framing = None
            elif isinstance(stanza, Stanza) and stanza.sender and stanza.sender.domain == CABIN:
                if isinstance(event, Refused):
                    stanza.to = stanza.to or self.hub.host
                if stanza.to is None or stanza.to.domain != HOST:
                    continue
                if isinstance(event, Refused):
                    self.hub.refuse(stanza, event.error)
                else:
                    self.hub.route(stanza, self)
        settle(self.hub)

    def send(self, stanza: Stanza, origin: object) -> None:
        second.tree(f"<s xmlns='{SERVER}' xmlns:stream='{STREAMS}'>{stanza.to_bytes(SERVER).decode()}</s>")
        assert stanza.sender is not None and stanza.sender.domain == HOST
        if stanza.name == "iq" and stanza.type in ("get", "set"):
            self.hub.refuse(stanza, StanzaError("remote-server-not-found"))


def elements(data: bytes) -> list[second.Tree] | None:
    """The elements that these bytes are; None when they are something else."""
    try:
        root = second.tree(f"{HEADER}{data.decode()}{END}")
    except ValueError:
        return None
    return [tree for tree, _ in root[3]]
