"""XEP-0157: Contact Addresses for XMPP Services: whom to write to about this server."""

from dataclasses import dataclass, field, fields

from node.base import form
from node.base.jid import JidError, parse

NEEDS = ("disco",)

NS = "http://jabber.org/network/serverinfo"


@dataclass
class Options:
    """Lists of addresses, each a URI: "mailto:ann@home.example", "xmpp:ann@home.example", "https://home.example/".

    What is named here is told to everybody who asks, so nothing is until somebody says so (§5).
    """

    abuse: list[str] = field(default_factory=list)
    admin: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    sales: list[str] = field(default_factory=list)
    security: list[str] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    support: list[str] = field(default_factory=list)

    def __post_init__(self):
        for name, uris in self.named():
            for uri in uris:
                check(name, uri)

    def named(self) -> list[tuple[str, list[str]]]:
        """What for, and the addresses."""
        return [(each.name, getattr(self, each.name)) for each in fields(self)]


def setup(hub, options):
    contact = Contact(hub)
    contact.reload(options)
    hub.provide("contact", contact)


class Contact:
    def __init__(self, hub):
        self.hub = hub

    def reload(self, options: Options) -> None:
        """Tells these addresses from now on."""
        told = [
            form.field(f"{name}-addresses", *dict.fromkeys(uris), type="list-multi")
            for name, uris in options.named()
            if uris
        ]
        form_type = form.field("FORM_TYPE", NS, type="hidden")
        self.hub.need("disco").extend(NS, form.form(form_type, *told, type="result") if told else None)


def check(name: str, uri: str) -> None:
    """Raises ValueError, in words, for what is no address that a client can open."""
    scheme, _, rest = uri.partition(":")
    if not uri.isprintable() or " " in uri:
        raise ValueError(f"{name}: {uri!r} has a space or a control character in it")
    if scheme == "mailto":
        local, _, domain = rest.partition("?")[0].rpartition("@")
        complete = bool(local and domain)
    elif scheme == "xmpp":
        try:
            complete = bool(parse(rest.partition("?")[0]))
        except JidError as error:
            raise ValueError(f"{name}: {uri!r} is no address: {error}") from None
    elif scheme == "https":
        complete = rest.startswith("//") and bool(rest[2:].partition("/")[0])
    else:
        raise ValueError(f"{name}: {uri!r} begins with none of mailto:, xmpp: and https:")
    if not complete:
        raise ValueError(f"{name}: {uri!r} is not a whole address")
