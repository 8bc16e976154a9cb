"""Signs of life: a client that has been silent for long is asked whether it is there, by `<r/>` or a ping (XEP-0199).

One that does not answer has no line any more: its session ends with connection-timeout, or sleeps if it can be
resumed (management.py). Two timers serve all.
"""

from typing import TYPE_CHECKING

from node.base.element import E
from node.base.errors import StreamError
from node.base.stanza import Stanza, new_id
from node.net.deadlines import Deadlines

if TYPE_CHECKING:
    from node.ports.client import ClientPort
    from node.ports.client.session import Client

PING = "urn:xmpp:ping"

# Seconds. An answer wakes a sleeping phone's radio, for ten seconds each time: four in an hour are not seen on its
# battery (XEP-0286). Most clients say something more often, and are never asked. Routers forget a line after 15 to
# 120 minutes; a line that breaks while something is sent on it is found out by PATIENCE.
SILENCE = 900.0
PATIENCE = 90.0  # seconds for an answer: a train in a tunnel, a phone between two networks


class Idle:
    """Who has not been heard for long."""

    def __init__(self, port: "ClientPort"):
        self._host = port.hub.host
        self._silent = Deadlines(port.hub.loop, SILENCE, self._look)
        self._asked = Deadlines(port.hub.loop, PATIENCE, self._judge)

    def watch(self, client: "Client") -> None:
        """It has a session, and a line."""
        client.heard = True
        self._silent.add(client)

    def forget(self, client: "Client") -> None:
        self._silent.discard(client)
        self._asked.discard(client)

    def expect_answer(self, client: "Client") -> None:
        """It was asked something: a line on which nothing comes back is none."""
        client.heard = False
        self._asked.add(client)

    def close(self) -> None:
        self._silent.close()
        self._asked.close()

    def _look(self, client: "Client") -> None:
        self._silent.add(client)
        if client.heard:
            client.heard = False
            return
        if client.management is not None:
            client.management.probe()
        else:
            client.deliver(Stanza("iq", E("ping", PING), type="get", id=new_id(), sender=self._host, to=client.jid))
        self.expect_answer(client)

    def _judge(self, client: "Client") -> None:
        if not client.heard:
            client.lose(StreamError("connection-timeout", f"nothing was heard of you for {PATIENCE:.0f} s"))
