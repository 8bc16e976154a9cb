"""The Homie convention, 4 and 3: a device describes itself in a hundred small retained topics, each an attribute."""

from typing import Any

from node.gateways.mqtt.incoming import Incoming
from node.gateways.mqtt.incoming.far import Far
from node.gateways.mqtt.incoming.homie import DEVICES, ID, PROPERTIES, far

ATTRIBUTES = 600  # of one device: nine for each of 64 properties
DIGITS = 3  # of the number of an element of an array
LONGEST = 512  # bytes of one; the list of a device's nodes has some dozens
OF_PROPERTY = ("name", "datatype", "format", "settable", "retained", "unit")


class Homie4:
    def __init__(self, incoming: Incoming, client: Any, root: str):
        self._incoming = incoming
        self._client = client
        self._root = root
        self._devices: dict[str, dict[str, str]] = {}  # attributes by what stands behind the device's id
        client.subscribe(f"{root}/+/$homie", self._found)

    def turned(self, online: bool) -> None:
        """All that a device says is kept at the broker."""

    def close(self) -> None:
        self._client.unsubscribe(f"{self._root}/+/$homie", self._found)
        for device in self._devices:
            self._client.unsubscribe(f"{self._root}/{device}/#", self._heard)

    def _found(self, topic: str, payload: bytes, retained: bool) -> None:
        device = topic.split("/")[-2]
        if not ID.match(device):
            return
        if payload[:2] in (b"3.", b"4.") and device not in self._devices and len(self._devices) < DEVICES:
            self._devices[device] = {}
            self._client.subscribe(f"{self._root}/{device}/#", self._heard)
        elif not payload:
            self._gone(device)

    def _gone(self, device: str) -> None:
        if self._devices.pop(device, None) is not None:
            self._client.unsubscribe(f"{self._root}/{device}/#", self._heard)
            self._incoming.put(f"homie:{device}", lambda: None)

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        """An attribute, or a value, which is the driver's."""
        device, _, rest = topic[len(self._root) + 1 :].partition("/")
        attributes = self._devices.get(device)
        if attributes is None or "/$" not in f"/{rest}" or rest.endswith("$target") or len(payload) > LONGEST:
            return
        text = payload.decode(errors="replace")
        if rest == "$state":
            if not text:
                self._gone(device)
            return
        if attributes.get(rest, "") == text or (rest not in attributes and len(attributes) >= ATTRIBUTES):
            return
        attributes[rest] = text
        self._incoming.put(f"homie:{device}", lambda: self._far(device))

    def _far(self, device: str) -> Far | None:
        attributes = self._devices.get(device)
        if attributes is None:
            return None
        nodes: dict[str, dict[str, Any]] = {}
        for node in _ids(attributes.get("$nodes")):
            if node.endswith("[]"):
                nodes |= self._array(attributes, node.removesuffix("[]"))
            else:
                nodes[node] = self._node(attributes, node)
        about = {"name": attributes.get("$name"), "type": attributes.get("$implementation"), "nodes": nodes}
        return far(self._root, device, about | {"homie": attributes.get("$homie", "4.0")}, version=4)

    def _node(self, attributes: dict[str, str], node: str) -> dict[str, Any]:
        """As Homie 5 describes it."""
        properties = {}
        for name in _ids(attributes.get(f"{node}/$properties")):
            said = {each: attributes.get(f"{node}/{name}/${each}") for each in OF_PROPERTY}
            properties[name] = {each: text for each, text in said.items() if text}
        return {"properties": properties}

    def _array(self, attributes: dict[str, str], node: str) -> dict[str, dict[str, Any]]:
        """Homie 3: lights[] are lights_0 and lights_1, which have their properties in common and names of their own."""
        first, _, last = attributes.get(f"{node}/$array", "").partition("-")
        if not (first.isdecimal() and last.isdecimal() and max(len(first), len(last)) <= DIGITS):
            return {}
        table = self._node(attributes, node)
        elements = [f"{node}_{number}" for number in range(int(first), int(last) + 1)][:PROPERTIES]
        return {each: table | {"name": attributes.get(f"{each}/$name", each.replace("_", " "))} for each in elements}


def _ids(text: str | None) -> list[str]:
    """Of a list such as 'wheels,engine,lights[]'."""
    return [id for id in (text or "").split(",") if ID.match(id.removesuffix("[]"))]
