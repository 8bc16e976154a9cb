"""Our things on the broker: announced for Home Assistant, their values told, commands taken.

    hobnode/<node>/status                 online, or offline: the node itself, by its last will too
    hobnode/<node>/<thing>/status         online or offline
    hobnode/<node>/<thing>/state          all values as JSON
    hobnode/<node>/<thing>/<control>/set  what a control shall be
    homeassistant/device/hobnode_<node>/<thing>/config

<node> is made of our domain, so two nodes on one broker do not meet. All but commands is retained; what is ours and is
no more is found when we connect, and taken away: nobody else does that.
"""

import json
import logging
from asyncio import TimerHandle
from fnmatch import fnmatchcase

from node.gateways.mqtt import entities
from node.gateways.mqtt.client import OFFLINE, ONLINE, Listener
from node.gateways.mqtt.names import level
from node.hub.quota import Quota
from node.hub.thing import ControlError, Thing

log = logging.getLogger("hobnode")

PAUSE = 1.0  # seconds between two states of a thing
GRACE = 10.0  # seconds until a thing that was taken out is forgotten: when the file is read again it comes back
WAY = "gateway.mqtt"  # how commands come, in the audit
TAKEN_AWAY = 1000  # names that are remembered; one that is forgotten is taken away once more, which does no harm
COMMANDS, COMMANDS_IN = 30, 10.0  # of one thing within so many seconds: a slider that is drawn, no loop of others


def setup(hub, client, options, node):
    return Things(hub, client, options, node)


class Face:
    """What the broker has been told of one thing."""

    __slots__ = ("config", "known", "name", "platforms", "root", "sent", "state", "status", "thing", "timer")

    def __init__(self, thing: Thing, name: str, root: str):
        self.thing = thing
        self.name = name
        self.root = root
        self.config = self.status = self.state = ""
        self.known = False  # what it can do; before its board has said so, what was told in an earlier life stays
        self.platforms: dict[str, str] = {}  # of all entities that were ever announced
        self.sent = float("-inf")  # when the state was told, on the loop's clock
        self.timer: TimerHandle | None = None


class Things:
    def __init__(self, hub, client, options, node):
        self.hub = hub
        self.client = client
        self.options = options
        self.audit = hub.need("audit")
        self.node = node
        self.ids = f"hobnode_{node}"
        self.faces: dict[str, Face] = {}  # by the level of their topics
        self.quota = Quota(COMMANDS, COMMANDS_IN)
        self.filters: list[tuple[str, Listener]] = []  # what we listen to
        self.taken_away: set[str] = set()  # names of whose topics this broker was told so
        hub.on("thing", self.appeared)
        hub.on("thing gone", self.disappeared)
        client.on_change(self.connected)
        self.listen()
        for thing in hub.things.values():
            self.appeared(thing)

    @property
    def root(self) -> str:
        return f"{self.options.topic}/{self.node}"

    def listen(self):
        options = self.options
        self.taken_away.clear()
        if options.publish:
            self.filters.append((f"{self.root}/#", self.heard))
        if options.publish and options.announce:
            self.filters += [(self.config_topic("+"), self.found), (f"{options.announce}/status", self.born)]
        for filter, listener in self.filters:
            self.client.subscribe(filter, listener)

    def withdraw(self):
        """Takes away all that we have told."""
        for name in list(self.faces):
            self.drop(self.faces[name])
            self.forget(name)

    def change(self, options):
        """Does as these options say."""
        for filter, listener in self.filters:
            self.client.unsubscribe(filter, listener)
        self.filters.clear()
        self.options = options
        self.listen()
        for face in list(self.faces.values()):
            if not self.is_told(face.thing):
                self.disappeared(face.thing)
        for thing in self.hub.things.values():
            if level(thing.jid.local) not in self.faces:
                self.take(thing)
            elif self.client.online:
                self.announce(self.faces[level(thing.jid.local)])

    def config_topic(self, name: str) -> str:
        return f"{self.options.announce}/device/{self.ids}/{name}/config"

    # Things come and go

    def is_told(self, thing):
        """What came in by MQTT is there already."""
        chosen = any(fnmatchcase(thing.jid.local, each) for each in self.options.things)
        return self.options.publish and chosen and thing.kind != "mqtt"

    def appeared(self, thing):
        if thing.kind != "mqtt":
            thing.on_change(self.changed)
            self.take(thing)

    def take(self, thing):
        if not self.is_told(thing):
            return
        name = level(thing.jid.local)
        self.taken_away.discard(name)
        self.faces[name] = face = Face(thing, name, f"{self.root}/{name}")
        if self.client.online:
            self.announce(face)

    def disappeared(self, thing):
        face = next((face for face in self.faces.values() if face.thing is thing), None)
        if face is None:
            return
        self.drop(face)
        if self.client.online:
            self.client.publish(f"{face.root}/status", OFFLINE, retain=True)
            self.hub.loop.call_later(GRACE, self.forget, face.name)

    def drop(self, face):
        del self.faces[face.name]
        if face.timer:
            face.timer.cancel()

    def forget(self, name):
        """Takes away what the broker keeps of a thing that is no more. (Without a connection: when there is one.)"""
        if name in self.faces or name in self.taken_away or not self.client.online or name != level(name):
            return  # the last is no name that we give
        if len(self.taken_away) >= TAKEN_AWAY:
            self.taken_away.clear()
        self.taken_away.add(name)
        log.info("mqtt: the topics of %s are taken away", name)
        if self.options.announce:
            self.client.publish(self.config_topic(name), "", retain=True)
        for topic in ("state", "status"):
            self.client.publish(f"{self.root}/{name}/{topic}", "", retain=True)

    # What we tell

    def connected(self, online):
        self.taken_away.clear()
        for face in self.faces.values() if online else ():
            self.announce(face)

    def announce(self, face):
        """Tells all of a thing, whatever was told before."""
        face.config = face.status = face.state = ""
        self.tell_thing(face)

    def changed(self, thing, names):
        face = self.faces.get(level(thing.jid.local)) if self.client.online else None
        if face is None:
            return
        if not names:
            self.tell_thing(face)
        elif names.isdisjoint(face.thing.controls):
            self.later(face)
        else:
            self.tell_state(face)

    def tell_thing(self, face):
        """What is new of its fields, of its being there, and of its values."""
        face.known = face.known or face.thing.online
        if face.known and self.options.announce:
            self.tell_config(face)
        status = ONLINE if face.thing.online else OFFLINE
        if status != face.status:
            face.status = status
            self.client.publish(f"{face.root}/status", status, retain=True)
        self.tell_state(face)

    def tell_config(self, face):
        ids = f"{self.ids}_{face.name}"
        told = entities.device(face.thing, ids, face.root, self.client.status, self.options.control)
        components = told["cmps"]
        now = {key: each["p"] for key, each in components.items()}
        # An entity that is not told of any more stays, unless one says that it has gone: by its platform alone.
        gone = {key: {"p": platform} for key, platform in face.platforms.items() if now.get(key) != platform}
        face.platforms |= now
        if not gone.keys().isdisjoint(now):  # a lamp that may only be looked at is another entity of the same key
            self.publish_config(face, told | {"cmps": components | gone})
        self.publish_config(face, told | {"cmps": components | gone | components})

    def publish_config(self, face, told):
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        if text != face.config:
            face.config = text
            self.client.publish(self.config_topic(face.name), text, retain=True)

    def later(self, face):
        """The state, once a second."""
        due = face.sent + PAUSE
        if due <= self.hub.loop.time():
            self.tell_state(face)
        elif face.timer is None:
            face.timer = self.hub.loop.call_at(due, self.tell_state, face)

    def tell_state(self, face):
        if face.timer:
            face.timer.cancel()
            face.timer = None
        text = entities.state(face.thing)
        if self.client.online and face.known and text != face.state:
            face.state, face.sent = text, self.hub.loop.time()
            self.client.publish(f"{face.root}/state", text, retain=True)

    # What we hear

    def born(self, topic, payload, retained):
        """Home Assistant has been started."""
        if payload == ONLINE.encode() and not retained:
            for face in self.faces.values():
                self.announce(face)

    def found(self, topic, payload, retained):
        """An announcement of ours, from an earlier life."""
        name = topic.split("/")[-2]
        face = self.faces.get(name)
        if not retained or not payload:
            return
        if face is None:
            self.forget(name)
            return
        try:
            components = json.loads(payload)["cmps"]
            face.platforms |= {key: each["p"] for key, each in components.items() if len(each) > 1}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # not ours, and overwritten soon
        if face.config:
            self.tell_config(face)

    def heard(self, topic, payload, retained):
        match topic.removeprefix(f"{self.root}/").split("/"):
            case [name, control, "set"] if not retained and name in self.faces:  # an old wish is no command
                self.command(self.faces[name], control, payload)
            case [name, "state" | "status"] if retained and payload and name not in self.faces:
                self.forget(name)

    def command(self, face, key, payload):
        thing = face.thing
        control = next((each for each in thing.controls.values() if level(each.name) == key), None)
        if control is None:
            log.debug("mqtt: %s has no control %r", face.name, key)
            return
        value = entities.value(control, payload.decode(errors="replace"))
        what = f"{control.name}={value[:40]}"
        if not self.options.control:
            self.refuse(thing, what, "refused")
        elif not self.quota.take(face.name, self.hub.loop.time()):
            self.refuse(thing, what, f"refused: more than {COMMANDS} commands in {COMMANDS_IN:g} s")
        else:
            self.hub.spawn(self.carry_out(face, control.name, value, what), f"mqtt sets {what} of {thing.jid}")

    def refuse(self, thing, what, outcome):
        self.audit.refused(thing.jid, self.hub.host, WAY, what, outcome)

    async def carry_out(self, face, name, value, what):
        """What came of it is seen in the state."""
        thing, outcome = face.thing, "done"
        try:
            await thing.control({name: value}, self.hub.host)
        except ControlError as error:
            outcome = f"failed: {error.text}"
            log.warning("%s: mqtt %r %s", thing.jid.local, what, outcome)
        self.audit.note(thing.jid, self.hub.host, WAY, what, outcome)
        face.state = ""  # told again also when nothing has changed: a switch that was pressed in vain goes back
        self.tell_state(face)
