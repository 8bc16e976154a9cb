"""XEP-0077 §3.1.1: who has no account asks for one, inside TLS and before a login. features/register answers."""

from typing import TYPE_CHECKING

from node.base.errors import StreamError
from node.base.stanza import Stanza
from node.ports.client.login import neighbourhood, wait

if TYPE_CHECKING:
    from node.ports.client.session import Client

FORM_DEADLINE = 300  # seconds on one line for a person who thinks of a name and a password


class Stranger:
    """Who asks, as features/register knows him."""

    __slots__ = ("invitation", "limited", "network")

    def __init__(self, client: "Client"):
        self.network = neighbourhood(client)
        self.limited = client.port.rate > 0  # a bench makes a thousand accounts from one address
        self.invitation: bytes | None = None


def asks(client: "Client", stanza: Stanza) -> bool:
    """Whether this was a question of one who may register; if so it will be answered."""
    login, port = client.login, client.port
    assert login is not None
    if stanza.name != "iq" or stanza.to not in (None, port.hub.host) or not port.hub.need("register").features():
        return False
    if login.stranger is None:
        login.stranger = Stranger(client)
        port.waiting.discard(client)
        port.newcomers.add(client)
    stanza.sender = None  # whoever he says that he is
    answer = port.hub.need("register").answer(stanza, login.stranger)
    if isinstance(answer, Stanza):
        client.deliver(answer)
    else:
        wait(client, answer, lambda client, answer: client.deliver(answer))
    return True


def too_slow(client: "Client") -> None:
    client.close(StreamError("connection-timeout", f"not registered and logged in within {FORM_DEADLINE} s"))
