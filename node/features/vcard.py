"""XEP-0054: vcard-temp."""

from node.base.element import read, write
from node.base.errors import StanzaError
from node.base.stanza import CLIENT, PLAIN_SCOPES
from node.hub.store import StoreError

NEEDS = ("strangers",)

NS = "vcard-temp"

LIMIT = 131_072  # bytes; phones put a picture of up to 100 KB in, and it has to fit a stanza of 256 KiB

SCHEMA = "CREATE TABLE vcards (localpart TEXT PRIMARY KEY, xml BLOB NOT NULL)"


def setup(hub, options):
    cards = Cards(hub)
    hub.advertise(NS)
    hub.advertise(NS, at="account")
    hub.on_iq("get", "vCard", NS, cards.own, at="self")
    hub.on_iq("set", "vCard", NS, cards.change, at="self")
    hub.on_iq("get", "vCard", NS, cards.show, at="account")
    for at in ("account", "missing"):  # one answer: it does not tell who has an account
        hub.on_iq("set", "vCard", NS, refuse, at=at)
    hub.on("removed", cards.forget)


class Cards:
    """Everybody's vCard, on disk only: it is seldom asked for, and a picture is large."""

    def __init__(self, hub):
        self.database = hub.store.accounts
        self.database.schema("vcard", SCHEMA)
        self.strangers = hub.need("strangers")

    def own(self, iq, origin):
        return self.answer(iq, "item-not-found")

    def show(self, iq, origin):
        """Anybody may see it (§5), a stranger so often. Who has none gives the answer of a missing account (§3.3), and
        so does who is asked too often: nobody is to learn from it that he is there."""
        if not self.strangers.may_ask(iq):
            raise StanzaError("service-unavailable")
        return self.answer(iq, "service-unavailable")

    def answer(self, iq, otherwise):
        rows = self.database.read("SELECT xml FROM vcards WHERE localpart = ?", (iq.to.local,))
        if not rows:
            raise StanzaError(otherwise)
        return iq.reply(read(PLAIN_SCOPES[CLIENT] + rows[0][0] + b"</s>").elements[0])

    async def change(self, iq, origin):
        """§3.2: always the whole card; the answer follows when it is on disk."""
        xml = write(iq.payload, CLIENT).encode()
        if len(xml) > LIMIT:
            raise StanzaError("resource-constraint", f"A vCard has at most {LIMIT} bytes here", type="modify")
        try:
            self.database.write("INSERT OR REPLACE INTO vcards VALUES (?, ?)", (iq.to.local, xml))
            await self.database.committed()
        except StoreError as error:
            raise StanzaError("resource-constraint", f"This could not be kept: {error}") from error
        return iq.reply()

    def forget(self, account):
        self.database.write("DELETE FROM vcards WHERE localpart = ?", (account.local,))


def refuse(iq, origin):
    raise StanzaError("forbidden", "Somebody else's vCard")
