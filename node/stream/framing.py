"""Where the bytes of a stream become stanzas (RFC 6120 §11): checked, cut out, not built.

expat reads every byte. For each element below the stream's root this file learns where it begins and ends and
what its children are called; the bytes between are kept as they came. What an XML door of XMPP must refuse is
refused here, for every door: declarations of document types, comments, processing instructions, other
encodings, and whatever is larger, deeper or wider than the limits below.

A boundary between two stanzas is clean when the depth is 1, expat stands at the end of what it was fed, and only
white space follows the last stanza (so an open CDATA section, which the first two do not see, is no boundary).
At a clean boundary the parser is given back: an idle stream holds none (an expat parser is 10 KiB, and 131 KiB
for good after one large stanza). The next bytes get one that has been shown the same header and stands at a clean
boundary too; it may have served another stream, of which a boundary leaves nothing behind but names.
"""

import re
from functools import lru_cache
from xml.parsers import expat

from node.base.element import SEPARATOR, STREAMS, escape_attribute, read
from node.base.errors import StanzaError, StreamError
from node.base.jid import JidError, parse
from node.base.stanza import ANYWHERE, CLIENT, NEVER, SAME_NAMESPACE, SERVER, Stanza
from node.stream.events import LANG, Closing, Event, Opening, Refused
from node.stream.faults import as_stream_error, fault_of, restricted, too_big

BEFORE_LOGIN_LIMIT = 10_000  # bytes of an element; RFC 6120 §13.12 forbids less, a stranger needs no more
CLIENT_LIMIT = 256 * 1024  # bytes; an avatar or a large form fits, and a Pi can hold a hundred at a time
SERVER_LIMIT = 512 * 1024  # other servers forward what their clients may send, in wrappers
TOKEN_LIMIT = 8192  # bytes of one tag: expat reads an incomplete one again for every piece (quadratic)
HOLD_LIMIT = 4096  # bytes without a '>' that wait for more: they can complete no tag
DEPTH_LIMIT = 64  # and the code that walks trees may recurse
ELEMENTS_LIMIT = 2000  # 256 KiB of <a/> would be 12 MiB of objects
ATTRIBUTES_LIMIT = 64
NAMESPACES_LIMIT = 64  # declarations in one stanza
NAME_LIMIT = 1024  # characters of a name with its namespace
RENEW_LIMIT = 256 * 1024  # bytes after which a parser is replaced: what it has grown to and the names it has seen
# stay in it, and its byte index is 32 bits wide on small machines
SPARE_LIMIT = 4  # parsers kept for the next in need, one for each header; nearly all clients have the same one

_STREAM_ROOT = f"{STREAMS}{SEPARATOR}stream"
# RFC 3986 §2. ElementTree gives up at a '}' in a namespace, lxml at a '>': a stanza would end their users' streams.
_is_uri = re.compile(r"[!#-;=?-\[\]_a-z~]+\Z").match
# A tag that expat has already accepted; possessive, so that 8 KiB of white space in it cost nothing.
_TAG = re.compile(rb"<([^\s>/\"']++)(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")

_CONTENT = (CLIENT, SERVER)


class Framing:
    """`feed` it what arrived; it gives what that amounts to. No socket, no clock.

    `limit` is the size in bytes that one element may have; the port raises it after a login. `strict` is for a time
    in which nothing but elements may come, no white space to keep the line open either (XEP-0388 §2.4).
    """

    __slots__ = ("_declared", "_header", "_ns", "_prefixes", "_reader", "_scope", "limit", "strict")

    def __init__(self, limit: int = BEFORE_LOGIN_LIMIT):
        self.limit = limit
        self.strict = False
        self._header = b""
        self._scope = b""
        self._ns = ""
        self._declared: dict[str, str] = {}  # prefixes of the header, with their namespaces
        self._prefixes: tuple[bytes, ...] = ()  # that the header declared, besides `stream`, as `db:`
        self._reader: _Reader | None = None

    def feed(self, data: bytes) -> list[Event]:
        """What these bytes complete, in order. A StreamError is the last of its list and of the stream."""
        reader = self._reader
        if reader is None:
            if self._header and data.isspace():  # a keep-alive
                return [StreamError("policy-violation", "white space in a login")] if self.strict else []
            reader = self._reader = _lend(self)
        try:
            done = clean = reader.read(data)
        except (StreamError, expat.ExpatError) as error:
            reader.events.append(error if isinstance(error, StreamError) else as_stream_error(error, reader.buffer))
            done, clean = True, False
        events = reader.events
        reader.events = []
        if done:
            self._reader = None
            reader.end(clean)
        return events

    @property
    def unfinished(self) -> bool:
        """Whether the beginning of something has come, and not its end."""
        return self._reader is not None

    def close(self) -> None:
        """Forgets what is unfinished, at once: a parser and its handlers hold each other."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.end(False)

    def opened(self, name: bytes, attrs: dict[str, str], prefixes: dict[str, str]) -> Opening:
        """The reader has seen the header; what it declared holds for all that follows."""
        self._header, self._scope, self._prefixes, self._declared = _kept(name, tuple(sorted(prefixes.items())))
        self._ns = self._declared.get("", "")
        return Opening(attrs, self._ns)


@lru_cache(maxsize=16)  # nearly all clients declare the same: kept once, it is 0.5 KiB less for each session
def _kept(name: bytes, declared: tuple[tuple[str, str], ...]) -> tuple[bytes, bytes, tuple[bytes, ...], dict[str, str]]:
    """What a stream keeps of its header."""
    written = _declarations(dict(declared))
    own = tuple(f"{prefix}:".encode() for prefix, uri in declared if prefix and (prefix, uri) != ("stream", STREAMS))
    return b"<%b%b>" % (name, written), b"<s%b>" % written, own, dict(declared)


def _declarations(prefixes: dict[str, str]) -> bytes:
    return b"".join(
        f" xmlns{':' if prefix else ''}{prefix}='{escape_attribute(uri)}'".encode()
        for prefix, uri in sorted(prefixes.items())
    )


_spares: dict[bytes, "_Reader"] = {}  # by header. To make one and show it the header takes 4 us


def _lend(framing: Framing) -> "_Reader":
    reader = _spares.pop(framing._header, None)
    if reader is None:
        return _Reader(framing)
    reader.framing = framing
    return reader


class _Reader:
    """The parser lent to a stream while it is in the middle of something."""

    __slots__ = (
        "base",
        "buffer",
        "crossing",
        "depth",
        "elements",
        "end_of_last",
        "events",
        "fed",
        "framing",
        "held",
        "kinds",
        "namespaces",
        "odd",
        "own_prefixes",
        "parser",
        "prefixes",
        "root_attrs",
        "root_name",
        "root_start",
        "tag_end",
    )

    def __init__(self, framing: Framing):
        self.framing = framing
        self.events: list[Event] = []
        self.buffer: bytes | bytearray = b""  # from the end of the last stanza on
        self.held = 0  # bytes at the buffer's end that expat has not been fed
        self.prefixes: dict[str, str] = {}
        self.start_parser()

    def start_parser(self) -> None:
        header = self.framing._header
        self.parser = parser = expat.ParserCreate("utf-8", SEPARATOR)
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # With it, expat 2.6 and later hold back complete stanzas that came in two pieces.
            parser.SetReparseDeferralEnabled(False)
        self.depth = 0
        self.fed = len(header)
        self.base = len(header)  # the index, as expat counts, of the buffer's first byte
        self.end_of_last = len(header)
        self.elements = self.namespaces = 0
        self.own_prefixes: dict[str, str] | None = None
        self.crossing = True
        self.odd = False  # a namespace in this stanza is no URI
        if header:
            parser.Parse(header)
            self.depth = 1
        else:
            parser.XmlDeclHandler = self.declaration
        parser.StartElementHandler = self.element_starts
        parser.EndElementHandler = self.element_ends
        parser.StartNamespaceDeclHandler = self.namespace_starts
        parser.StartDoctypeDeclHandler = parser.CommentHandler = parser.ProcessingInstructionHandler = restricted

    def end(self, clean: bool) -> None:
        """Gives the parser back, if it stands at a clean boundary and is not worn out."""
        if not clean or self.fed > RENEW_LIMIT or self.depth != 1:
            del self.parser  # breaks the circle between it and its handlers, so that both are freed now
            return
        self.base = self.end_of_last = self.fed
        self.buffer = b""
        if len(_spares) >= SPARE_LIMIT:
            _spares.clear()
        _spares[self.framing._header] = self

    def read(self, data: bytes) -> bool:
        """Feeds expat; True when the stream stands at a clean boundary."""
        buffer = self.buffer
        if buffer:
            if type(buffer) is bytes:
                self.buffer = buffer = bytearray(buffer)
            buffer += data
            self.held += len(data)
            if b">" not in data and self.held < HOLD_LIMIT:
                self.hold_size(len(buffer))
                return False
            data = bytes(memoryview(buffer)[-self.held :])
            if self.fed - len(buffer) > RENEW_LIMIT and self.framing._header:
                self.start_parser()
                data = bytes(buffer)
        else:
            self.buffer = data
        self.held = 0
        self.fed += len(data)
        self.parser.Parse(data)
        return self.settle()

    def settle(self) -> bool:
        """After each piece: is this a boundary, and if not, does what is unfinished keep to the limits?"""
        position = self.parser.CurrentByteIndex
        if self.depth == 0 and self.end_of_last == 0 and not self.framing._header:
            self.hold_size(len(self.buffer))  # the header is not complete
            return False
        if self.depth <= 1:
            rest = bytes(memoryview(self.buffer)[self.end_of_last - self.base :])
            text = rest.lstrip(b" \t\r\n")
            if text and self.depth == 0:
                raise StreamError("bad-format", "something follows the end of the stream")
            if not text and position == self.fed:
                return True
            if text and not text.startswith(b"<"):
                raise StreamError("bad-format", "text between stanzas")
            if text.startswith(b"<![") or position == self.fed:
                raise StreamError("restricted-xml", "a CDATA section between stanzas")
        if self.end_of_last > self.base:
            self.buffer = self.buffer[self.end_of_last - self.base :]
            self.base = self.end_of_last
        if self.fed - position > TOKEN_LIMIT:
            raise StreamError("policy-violation", f"a tag of more than {TOKEN_LIMIT} bytes")
        self.hold_size(len(self.buffer))
        return False

    def hold_size(self, size: int) -> None:
        if size > self.framing.limit:
            raise too_big(self.framing.limit)

    def hold_gap(self, start: int) -> None:
        gap = bytes(memoryview(self.buffer)[self.end_of_last - self.base : start - self.base])
        if gap.strip(b" \t\r\n"):
            raise StreamError("bad-format", "text between stanzas")

    # What expat tells, in the order in which it tells it

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0" or standalone == 0:
            raise StreamError("restricted-xml", "only XML 1.0, and only standalone")
        if encoding is not None and encoding.lower() != "utf-8":
            raise StreamError("unsupported-encoding", "only UTF-8")

    def namespace_starts(self, prefix: str | None, uri: str | None) -> None:
        self.namespaces += 1
        if self.namespaces > NAMESPACES_LIMIT:
            raise StreamError("policy-violation", f"more than {NAMESPACES_LIMIT} namespaces in a stanza")
        if uri and not _is_uri(uri):
            if self.depth == 0:
                raise StreamError("invalid-namespace", "a namespace that is no URI")
            self.odd = True
        if self.depth == 0:
            self.prefixes[prefix or ""] = uri or ""
        elif self.depth == 1:
            if prefix is not None or uri != self.framing._ns:
                self.own_prefixes = self.own_prefixes or {}
                self.own_prefixes[prefix or ""] = uri or ""
        elif uri in _CONTENT:
            self.crossing = False

    def element_starts(self, name: str, attrs: dict[str, str]) -> None:
        depth = self.depth
        self.depth = depth + 1
        self.elements += 1
        if depth >= 2:
            if depth == 2:
                self.kinds.append(name)
            if depth > DEPTH_LIMIT:
                raise StreamError("policy-violation", f"deeper than {DEPTH_LIMIT} elements")
            if self.elements > ELEMENTS_LIMIT:
                raise StreamError("policy-violation", f"more than {ELEMENTS_LIMIT} elements in a stanza")
        elif depth == 1:
            if name == _STREAM_ROOT:
                raise StreamError("bad-format", "a stream inside the stream")
            self.root_start = start = self.parser.CurrentByteIndex
            if start != self.end_of_last:
                self.hold_gap(start)
            tag = _TAG.match(self.buffer, start - self.base)
            assert tag is not None  # expat has just read it
            self.tag_end = tag.end() + self.base
            self.root_name = name
            self.root_attrs = attrs
            self.kinds: list[str] = []
        else:
            self.stream_starts(name, attrs)
        if len(attrs) > ATTRIBUTES_LIMIT or len(name) > NAME_LIMIT:
            raise StreamError("policy-violation", "too many attributes, or too long a name")

    def stream_starts(self, name: str, attrs: dict[str, str]) -> None:
        tag = _TAG.search(self.buffer, self.parser.CurrentByteIndex)
        if tag is None or b"\0" in tag[0]:  # UTF-16, which expat knows by its first bytes, whatever it was told
            raise StreamError("unsupported-encoding", "only UTF-8")
        if name != _STREAM_ROOT:
            local = name.rpartition(SEPARATOR)[2]
            raise StreamError("invalid-namespace" if local == "stream" else "bad-format", "not a stream of XMPP")
        if self.prefixes.get("") not in (CLIENT, SERVER):
            raise StreamError("invalid-namespace", "the content namespace is not of XMPP")
        self.end_of_last = tag.end()
        self.elements = self.namespaces = 0
        self.events.append(self.framing.opened(tag[1], attrs, self.prefixes))

    def element_ends(self, _name: str) -> None:
        depth = self.depth = self.depth - 1
        if depth > 1:
            return
        if depth == 0:
            self.hold_gap(self.parser.CurrentByteIndex)
            self.events.append(Closing())
            self.end_of_last = self.fed
            return
        base, buffer, tag_end = self.base, self.buffer, self.tag_end
        if buffer[tag_end - base - 2] == 0x2F:  # <presence/>
            inner_end = end = tag_end
        else:
            inner_end = self.parser.CurrentByteIndex
            end = buffer.index(b">", inner_end - base) + 1 + base
        if end - self.root_start > self.framing.limit:
            raise too_big(self.framing.limit)
        self.end_of_last = end
        ns, _, local = self.root_name.rpartition(SEPARATOR)
        if ns == self.framing._ns and local in ("message", "presence", "iq"):
            inner = bytes(memoryview(buffer)[tag_end - base : inner_end - base])
            self.events.append(self.stanza(local, inner))
        elif ns in (CLIENT, SERVER, ""):
            raise StreamError("unsupported-stanza-type" if ns == self.framing._ns else "invalid-namespace")
        else:
            whole = bytes(memoryview(buffer)[self.root_start - base : end - base])
            self.events.append(read(self.framing._scope + whole + b"</s>").elements[0])
        self.elements = self.namespaces = 0
        self.own_prefixes = None
        self.crossing = True
        self.odd = False

    def stanza(self, name: str, inner: bytes) -> Stanza | Refused:
        framing = self.framing
        scope = framing._scope
        if self.own_prefixes:
            scope = b"<s%b>" % _declarations({**framing._declared, **self.own_prefixes})
        portable = NEVER
        if self.own_prefixes is None and not any(prefix in inner for prefix in framing._prefixes):
            portable = ANYWHERE if self.crossing else SAME_NAMESPACE
        kinds = self.kinds
        if framing._ns == SERVER:
            kinds = [_client_kind(kind) for kind in kinds]
        stanza = Stanza.received(name, tuple(kinds), inner, framing._ns, scope, portable)
        attrs = self.root_attrs
        stanza.type = attrs.get("type")
        stanza.id = attrs.get("id")
        stanza.lang = attrs.get(LANG)
        sender = attrs.get("from")
        if sender is not None:
            try:
                stanza.sender = parse(sender)
            except JidError as error:
                raise StreamError("invalid-from", str(error)) from None
        to = attrs.get("to")
        if to is not None:
            try:
                stanza.to = parse(to)
            except JidError as error:
                return Refused(stanza, StanzaError("jid-malformed", str(error)))
        fault = StanzaError("bad-request", "a namespace that is no URI") if self.odd else fault_of(stanza)
        return Refused(stanza, fault) if fault else stanza


def _client_kind(kind: str) -> str:
    ns, separator, name = kind.rpartition(SEPARATOR)
    return f"{CLIENT}{separator}{name}" if ns == SERVER else kind
