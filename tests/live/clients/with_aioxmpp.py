"""Somebody with aioxmpp."""

import asyncio
from datetime import timedelta

import aioxmpp
import aioxmpp.connector
import aioxmpp.misc
import aioxmpp.rsm.xso
from aioxmpp import xso
from aioxmpp.stream import StanzaState
from lines import known, obeys, tells

ARCHIVE = "urn:xmpp:mam:2"
REACTIONS = "urn:xmpp:reactions:0"


# What aioxmpp does not know of itself: XEP-0313, XEP-0424 and XEP-0444.
@aioxmpp.IQ.as_payload_class
class Query(xso.XSO):
    TAG = (ARCHIVE, "query")
    page = xso.Child([aioxmpp.rsm.xso.ResultSetMetadata])


@aioxmpp.IQ.as_payload_class
class Finished(xso.XSO):
    TAG = (ARCHIVE, "fin")
    UNKNOWN_CHILD_POLICY = xso.UnknownChildPolicy.DROP
    UNKNOWN_ATTR_POLICY = xso.UnknownAttrPolicy.DROP
    complete = xso.Attr("complete", type_=xso.Bool(), default=False)
    page = xso.Child([aioxmpp.rsm.xso.ResultSetMetadata])


class Result(xso.XSO):
    TAG = (ARCHIVE, "result")
    id_ = xso.Attr("id")
    forwarded = xso.Child([aioxmpp.misc.Forwarded])


class Retract(xso.XSO):
    TAG = ("urn:xmpp:message-retract:1", "retract")
    id_ = xso.Attr("id")


class Retracted(xso.XSO):
    TAG = ("urn:xmpp:message-retract:1", "retracted")
    UNKNOWN_ATTR_POLICY = xso.UnknownAttrPolicy.DROP
    UNKNOWN_CHILD_POLICY = xso.UnknownChildPolicy.DROP


class Reaction(xso.XSO):
    TAG = (REACTIONS, "reaction")
    text = xso.Text()


class Reactions(xso.XSO):
    TAG = (REACTIONS, "reactions")
    id_ = xso.Attr("id")
    each = xso.ChildList([Reaction])


aioxmpp.Message.result = xso.Child([Result])
aioxmpp.Message.retract = xso.Child([Retract])
aioxmpp.Message.retracted = xso.Child([Retracted])
aioxmpp.Message.reactions = xso.Child([Reactions])


def seen(message) -> dict:
    """What a message says, in the words of the tests."""
    ids, marker, reactions = message.xep0359_stanza_ids, message.xep0333_marker, message.reactions
    entries = {
        "from": str(message.from_) if message.from_ else None,
        "to": str(message.to) if message.to else None,
        "type": message.type_.value,
        "id": message.id_,
        "body": message.body.any() if message.body else None,
        "late": bool(message.xep0203_delay) or None,
        "archived": ids[0].id_ if ids else None,
        "retracts": message.retract.id_ if message.retract else None,
        "taken_back": message.retracted is not None or None,
        "read": marker.id_ if isinstance(marker, aioxmpp.misc.DisplayedMarker) else None,
        "reacts_to": reactions.id_ if reactions else None,
        "reactions": [reaction.text for reaction in reactions.each] if reactions else None,
    }
    return known(entries)


def waits(connector, gate: asyncio.Event):
    """The same connector, which waits at the gate: aioxmpp would come back by itself when its line is cut."""

    class Waiting(connector):
        async def connect(self, *args, **kwargs):
            await gate.wait()
            return await super().connect(*args, **kwargs)

    return Waiting()


class Client:
    async def begins(self, jid, password, host, port, direct=False):
        connector = aioxmpp.connector.XMPPOverTLSConnector if direct else aioxmpp.connector.STARTTLSConnector
        self.gate = asyncio.Event()
        self.lost = asyncio.Event()

        async def secret(jid, attempt):  # once in each login: it would go on for ever
            return password if attempt == 0 else None

        self.client = client = aioxmpp.PresenceManagedClient(
            aioxmpp.JID.fromstr(jid),
            aioxmpp.make_security_layer(secret, no_verify=True),
            override_peer=[(host, port, waits(connector, self.gate))],
        )
        client.backoff_start = timedelta(milliseconds=10)
        self.blocking = client.summon(aioxmpp.BlockingClient)
        self.carbons = client.summon(aioxmpp.CarbonsClient)
        messages = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        messages.register_callback(None, None, self.comes)
        presences = client.summon(aioxmpp.dispatcher.SimplePresenceDispatcher)
        for kind in aioxmpp.PresenceType:
            presences.register_callback(kind, None, self.is_present)
        self.page = None
        begun = self.settled(client.on_stream_established, client.on_failure)
        client.on_stream_suspended.connect(lambda reason: self.lost.set())
        self.gate.set()
        client.presence = aioxmpp.PresenceState(True)  # starts it
        await begun
        self.gate.clear()
        return {"jid": str(client.local_jid)}

    def settled(self, *signals):
        """A future of the first of these signals: its number. An error that comes with it is raised."""
        outcome = asyncio.get_running_loop().create_future()

        def settle(number, error=None):
            if outcome.done():
                return
            if isinstance(error, BaseException):
                outcome.set_exception(error)
            else:
                outcome.set_result(number)

        for number, signal in enumerate(signals):
            signal.connect(lambda *words, number=number: settle(number, *words))
        return outcome

    def comes(self, message):
        if message.result is not None:
            self.page.append(seen(message.result.forwarded.stanza) | {"archived": message.result.id_})
        elif message.xep0280_sent is not None:
            tells(news="message", carbon="sent", **seen(message.xep0280_sent.stanza))
        elif message.xep0280_received is not None:
            tells(news="message", carbon="received", **seen(message.xep0280_received.stanza))
        else:
            tells(news="message", **seen(message))

    def is_present(self, presence):
        tells(news="presence", **{"from": str(presence.from_), "type": presence.type_.value or "available"})

    async def cuts_the_line(self):
        # As the transport itself does when its socket fails; abort() would look like an end that was wanted.
        self.client.stream._xmlstream.transport._force_close(ConnectionResetError("cut"))
        await self.lost.wait()

    async def loses_the_line(self):
        await self.lost.wait()

    async def returns(self):
        client = self.client
        back = self.settled(client.on_stream_resumed, client.on_stream_established, client.on_failure)
        self.lost.clear()
        self.gate.set()
        resumed = await back == 0
        self.gate.clear()
        return {"resumed": resumed}

    async def pings(self):
        await aioxmpp.ping.ping(self.client, self.client.local_jid.replace(localpart=None, resource=None))

    async def wants_carbons(self):
        await self.carbons.enable()

    def message(self, to, id=None):
        message = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        message.id_ = id
        message.autoset_id()
        return message

    async def goes(self, message):
        """Waits until it is on the line, not until it is acknowledged."""
        sent = asyncio.get_running_loop().create_future()
        self.client.enqueue(message, on_state_change=lambda token, state: sent.done() or sent.set_result(state))
        state = await sent
        assert state in (StanzaState.SENT, StanzaState.SENT_WITHOUT_SM), state
        return {"id": message.id_}

    async def says(self, to, text, id=None):
        message = self.message(to, id)
        message.body[None] = text
        return await self.goes(message)

    async def retracts(self, to, id):
        message = self.message(to)
        message.body[None] = "Something was retracted, which your client cannot show."
        message.retract = Retract()
        message.retract.id_ = id
        return await self.goes(message)

    async def reacts(self, to, id, reactions):
        message = self.message(to)
        message.reactions = Reactions()
        message.reactions.id_ = id
        for text in reactions:
            reaction = Reaction()
            reaction.text = text
            message.reactions.each.append(reaction)
        return await self.goes(message)

    async def has_read(self, to, id):
        message = self.message(to)
        message.xep0333_marker = aioxmpp.misc.DisplayedMarker()
        message.xep0333_marker.id_ = id
        return await self.goes(message)

    async def blocks(self, jid):
        await self.blocking.block_jids([aioxmpp.JID.fromstr(jid)])

    async def unblocks(self, jid):
        await self.blocking.unblock_jids([aioxmpp.JID.fromstr(jid)])

    async def whom_blocks(self):
        return {"jids": sorted(map(str, self.blocking.blocklist))}

    async def reads_back(self, most):
        read = []
        rsm = aioxmpp.rsm.xso.ResultSetMetadata.last_page(most)
        while True:
            self.page = []
            query = Query()
            query.page = rsm
            fin = await self.client.send(aioxmpp.IQ(type_=aioxmpp.IQType.SET, payload=query))
            read += reversed(self.page)
            if fin.complete or not self.page:
                return {"read": read}
            rsm = fin.page.previous_page(most)

    async def leaves(self):
        gone = self.settled(self.client.on_stopped, self.client.on_failure)
        self.client.stop()
        await gone


async def main():
    await obeys(Client())


if __name__ == "__main__":
    asyncio.run(main())
