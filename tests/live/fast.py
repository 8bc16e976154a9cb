"""XEP-0388 with XEP-0484, as far as test_crash.py needs them: a token for the password, a login by the token."""

import asyncio
import base64
import hmac
from xml.etree.ElementTree import Element, tostring

from tests.live.peers import DEADLINE, Node
from tests.live.raw import STREAM, Line

SASL2 = "{urn:xmpp:sasl:2}"
FAST = "{urn:xmpp:fast:0}"
PROGRAM = "d4565fa7-4d72-4749-b3d3-740edbf87770"  # the client's own id
MECHANISM = "HT-SHA-256-NONE"


async def get_token(node: Node, bare: str, password: str) -> str:
    """Raises Cut."""
    name = bare.partition("@")[0]
    asks = f"<request-token xmlns='{FAST[1:-1]}' mechanism='{MECHANISM}'/>"
    answer = await _authenticate(node, "PLAIN", f"\0{name}\0{password}".encode(), asks)
    token = answer.find(FAST + "token")
    assert token is not None, tostring(answer, "unicode")
    return token.get("token", "")


async def is_good(node: Node, bare: str, token: str) -> bool:
    """Raises Cut."""
    proof = hmac.digest(token.encode(), b"Initiator", "sha256")
    name = bare.partition("@")[0].encode()
    answer = await _authenticate(node, MECHANISM, name + b"\0" + proof, f"<fast xmlns='{FAST[1:-1]}'/>")
    return answer.tag == SASL2 + "success"


async def _authenticate(node: Node, mechanism: str, response: bytes, more: str) -> Element:
    async with asyncio.timeout(DEADLINE):
        line = await Line.open(node.address, node.tls_port, node.domain)
        try:
            line.begin(node.domain)
            features = await line.element()
            assert features.tag == STREAM + "features"
            line.write(
                f"<authenticate xmlns='{SASL2[1:-1]}' mechanism='{mechanism}'>"
                f"<initial-response>{base64.b64encode(response).decode()}</initial-response>"
                f"<user-agent id='{PROGRAM}'><software>raw</software></user-agent>{more}</authenticate>"
            )
            return await line.element()
        finally:
            line.cut()
