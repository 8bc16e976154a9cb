"""Somebody with slixmpp."""

import asyncio
import ssl

from lines import known, obeys, tells
from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

PLUGINS = ("xep_0030", "xep_0059", "xep_0191", "xep_0198", "xep_0199", "xep_0203", "xep_0280", "xep_0297", "xep_0313")
PLUGINS += ("xep_0333", "xep_0359", "xep_0424", "xep_0444")
# Messages around messages, of which slixmpp tells once more in its own way.
WRAPPERS = ("{urn:xmpp:carbons:2}sent", "{urn:xmpp:carbons:2}received", "{urn:xmpp:mam:2}result")


def seen(message) -> dict:
    """What a message says, in the words of the tests."""
    xml = message.xml
    reactions = xml.findall("{urn:xmpp:reactions:0}reactions/{urn:xmpp:reactions:0}reaction")

    def id_in(name):
        found = xml.find(name)
        return None if found is None else found.get("id")

    entries = {
        "from": str(message["from"]) or None,
        "to": str(message["to"]) or None,
        "type": message["type"],
        "id": message["id"] or None,
        "body": message["body"] or None,
        "late": xml.find("{urn:xmpp:delay}delay") is not None or None,
        "archived": id_in("{urn:xmpp:sid:0}stanza-id"),
        "retracts": id_in("{urn:xmpp:message-retract:1}retract"),
        "taken_back": xml.find("{urn:xmpp:message-retract:1}retracted") is not None or None,
        "read": id_in("{urn:xmpp:chat-markers:0}displayed"),
        "reacts_to": id_in("{urn:xmpp:reactions:0}reactions"),
        "reactions": [reaction.text for reaction in reactions] or None,
    }
    return known(entries)


class Client:
    async def begins(self, jid, password, host, port, direct=False):
        self.place = host, port
        self.xmpp = xmpp = ClientXMPP(jid, password)
        self.plugin = xmpp.plugin
        xmpp.ssl_context.check_hostname = False
        xmpp.ssl_context.verify_mode = ssl.CERT_NONE
        xmpp.enable_direct_tls = direct
        xmpp.enable_starttls = not direct
        for plugin in PLUGINS:
            xmpp.register_plugin(plugin)
        # Its event "message" is for those with a body only.
        xmpp.register_handler(Callback("every message", StanzaPath("message"), self.comes))
        xmpp.add_event_handler("carbon_sent", lambda carbon: self.comes(carbon["carbon_sent"], "sent"))
        xmpp.add_event_handler("carbon_received", lambda carbon: self.comes(carbon["carbon_received"], "received"))
        for kind in ("available", "unavailable", "error"):
            xmpp.add_event_handler(f"presence_{kind}", self.is_present)
        self.lost = asyncio.Event()
        xmpp.add_event_handler("disconnected", lambda reason: self.lost.set())
        await self.comes_in()
        xmpp.send_presence()
        return {"jid": xmpp.boundjid.full}

    def comes(self, message, carbon=None):
        if not any(message.xml.find(name) is not None for name in WRAPPERS):
            tells(news="message", carbon=carbon, **seen(message))

    def is_present(self, presence):
        tells(news="presence", **{"from": str(presence["from"]), "type": presence["type"]})

    async def comes_in(self) -> bool:
        """Whether the session was resumed."""
        begun = asyncio.get_running_loop().create_future()
        for event in ("session_start", "session_resumed", "failed_all_auth"):
            self.xmpp.add_event_handler(event, lambda _, event=event: begun.done() or begun.set_result(event))
        self.lost.clear()
        self.xmpp.connect(*self.place)
        outcome = await begun
        if outcome == "failed_all_auth":
            raise ConnectionError("not-authorized")
        return outcome == "session_resumed"

    async def cuts_the_line(self):
        self.xmpp.transport.abort()
        await self.lost.wait()

    async def loses_the_line(self):
        await self.lost.wait()

    async def returns(self):
        return {"resumed": await self.comes_in()}

    async def pings(self):
        await self.plugin["xep_0199"].send_ping(self.xmpp.boundjid.domain)

    async def wants_carbons(self):
        await self.plugin["xep_0280"].enable()

    async def says(self, to, text, id=None):
        message = self.xmpp.make_message(to, text, mtype="chat")
        message["id"] = id or self.xmpp.new_id()
        message.send()
        return {"id": message["id"]}

    async def says_all(self, to, texts):
        for text in texts:
            self.xmpp.send_message(to, text, mtype="chat")

    async def retracts(self, to, id):
        return {"id": self.plugin["xep_0424"].send_retraction(to, id)["id"]}

    async def reacts(self, to, id, reactions):
        message = self.xmpp.make_message(to, mtype="chat")
        self.plugin["xep_0444"].set_reactions(message, id, reactions)
        message.send()

    async def has_read(self, to, id):
        self.plugin["xep_0333"].send_marker(to, id, "displayed", mtype="chat")

    async def blocks(self, jid):
        await self.plugin["xep_0191"].block(jid)

    async def unblocks(self, jid):
        await self.plugin["xep_0191"].unblock(jid)

    async def whom_blocks(self):
        return {"jids": sorted(map(str, await self.plugin["xep_0191"].get_blocked_jids()))}

    async def reads_back(self, most):
        read = []
        async for message in self.plugin["xep_0313"].iterate(reverse=True, rsm={"max": most}):
            result = message["mam_result"]
            read.append(seen(result["forwarded"]["stanza"]) | {"archived": result["id"]})
        return {"read": read}

    async def leaves(self):
        await self.xmpp.disconnect()


if __name__ == "__main__":
    asyncio.run(obeys(Client()))
