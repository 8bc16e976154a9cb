"""What the administrator may ask of the node: people are added and removed, things are looked at."""

from collections.abc import Mapping
from typing import Any

from node.base.jid import make
from node.hub import people
from node.hub.accounts import AccountError
from node.hub.hub import Hub
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.ports.control import Handler, Refused


def requests(hub: Hub) -> Mapping[str, Handler]:
    """The handlers for `Control`. Each answers when what it changed is on disk.

    - domain {} → the part after the @ of every address here
    - user-add {name, password} → the address
    - user-passwd {name, password} → the address; whoever is logged in has to log in anew
    - user-remove {name} → the address; sessions end, and all that was kept for it is gone
    - user-list {} → addresses
    - user-invite {days} → token and expires (Unix time): with the token somebody may make one account (XEP-0445)
    - thing-list {} → for each thing: name, address, label, state, reason, readings
    - thing-log {name, count} → the last lines of its audit, oldest first: stamp, who, way, what, outcome
    - thing-forget {name} → in words, that nothing is kept any more of a device that a gateway had brought
    """
    desk = Desk(hub)
    return {
        "domain": desk.domain,
        "user-add": desk.add,
        "user-passwd": desk.change,
        "user-remove": desk.remove,
        "user-list": desk.people,
        "user-invite": desk.invite,
        "thing-list": desk.things,
        "thing-log": desk.log,
        "thing-forget": desk.forget,
    }


class Desk:
    """Answers the requests, for a node that serves and for one whose files are opened for a moment."""

    def __init__(self, hub: Hub):
        self.hub = hub

    async def domain(self, request: dict[str, Any]) -> str:
        return self.hub.host

    async def add(self, request: dict[str, Any]) -> str:
        address = self._address(request)
        if address in self.hub.things:
            raise Refused(f"{address} is a thing")
        if not self.hub.accounts.exists(address.local):
            self.hub.tell("removed", address)  # who followed a thing of that name shall not follow a person
        return await self._changed(address, self.hub.accounts.create(address.local, request["password"]))

    async def change(self, request: dict[str, Any]) -> str:
        address = self._address(request)
        await self._changed(address, self.hub.accounts.set_password(address.local, request["password"]))
        people.password_changed(self.hub, address)
        return address

    async def remove(self, request: dict[str, Any]) -> str:
        address = self._address(request)
        await self._changed(address, self.hub.accounts.remove(address.local))
        return await self._changed(address, people.forget(self.hub, address))

    async def people(self, request: dict[str, Any]) -> list[str]:
        return [make(name, self.hub.host) for name in self.hub.accounts.names()]

    async def invite(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            invitation = await self.hub.need("register").invite(request["days"])
        except StoreError as error:
            raise Refused(str(error)) from error
        if invitation is None:
            raise Refused("too many invitations are open; wait until some have been used or have expired")
        return invitation._asdict()

    async def things(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [_described(thing) for thing in self.hub.things.values()]

    async def log(self, request: dict[str, Any]) -> list[tuple]:
        try:
            return await self.hub.need("audit").lines(self._address(request), request["count"])
        except StoreError as error:
            raise Refused(str(error)) from error

    async def forget(self, request: dict[str, Any]) -> str:
        try:
            gateway = self.hub.need("gateway.mqtt")
        except KeyError:
            raise Refused("there is no gateway here: the things are those of the configuration") from None
        try:
            return await gateway.incoming.forget(self._address(request))
        except (ValueError, StoreError) as error:
            raise Refused(str(error)) from error

    def _address(self, request: dict[str, Any]):
        try:
            return make(request["name"], self.hub.host)
        except ValueError as error:
            raise Refused(str(error)) from error

    async def _changed(self, address, change) -> str:
        try:
            await change
        except (AccountError, StoreError) as error:
            raise Refused(str(error)) from error
        return address


def _described(thing: Thing) -> dict[str, Any]:
    readings = []
    for name, reading in thing.readings.items():
        field = thing.fields.get(name)
        readings.append(
            {
                "name": name,
                "label": field.label if field else "",
                "type": field.type if field else "",
                "unit": field.unit if field else "",
                "value": reading.value,
                "stamp": reading.stamp,
            }
        )
    return {
        "name": thing.jid.local,
        "address": thing.jid,
        "label": thing.label,
        "state": _state(thing),
        "reason": thing.reason,
        "since": thing.since,
        "readings": readings,
    }


def _state(thing: Thing) -> str:
    if not thing.online:
        return "offline"
    for state in ("alarm", "busy", "stale", "fault"):
        if getattr(thing, state):
            return state
    return "online"
