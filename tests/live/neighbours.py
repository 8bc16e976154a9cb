"""Two nodes at addresses of their own, known to each other by their certificates."""

from collections.abc import Callable

from node.net import certificate
from tests.live.peers import Node

HOME, CABIN = "home.example", "cabin.example"
STOVE = f"stove@{CABIN}"


def neighbours(nodes: Callable[..., Node], at_cabin: str = "", at_home: str = "") -> tuple[Node, Node]:
    """Home, where ann and bob live, and the cabin, where cleo lives; both have been started with this TOML."""
    home = nodes(HOME, address="127.0.0.2", server=True)
    cabin = nodes(CABIN, address="127.0.0.3", server=True)
    for node in (home, cabin):
        node.data.mkdir()
        certificate.make(node.domain, node.data / "certificate.pem", node.data / "key.pem")
    home.configure(peer(cabin) + at_home)
    cabin.configure(peer(home) + at_cabin)
    for node in (cabin, home):
        node.start()
    home.add("ann", "bob")
    cabin.add("cleo")
    return home, cabin


def peer(node: Node, fingerprint: str | None = None) -> str:
    """The table by which the other node knows this one."""
    return (
        f'[federation.peers."{node.domain}"]\nhost = "{node.address}"\nport = {node.server_port}\n'
        f'fingerprint = "{fingerprint or certificate.fingerprint(node.data / "certificate.pem")}"\n'
    )
