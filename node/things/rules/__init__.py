"""Rules: when a field of a thing, ours or of a node we know, crosses a condition, things are set and people are told.

    [[rule]]
    name = "night light"
    thing = "porch"                       # or "porch@cabin.example"
    field = "light"
    below = 20
    lasting = 60                          # seconds
    set.hall = { lamp = true }            # or set."stove@cabin.example"
    tell = ["ann@home.example"]

A rule acts once when its condition becomes true, and again after it has been false. Setting is absolute, so to do
it again does no harm; whatever was done, or failed, stands in the audit of the thing that was set, and what a thing did
not do because it was lost is made up for when it is back. Two rules that drive each other in circles are stopped: what
a rule has set is known, and no rule follows from itself. A circle that we cannot see, through another node or through
the light of a lamp, is stopped by the number of times.

A condition that is true when the node starts acts on things, for the heater must be off above 25 °C. People are told
what became so while the node was away, and what they were told before is not told again: things.db has it until it is
so no more. That a thing is gone counts once it had the time to come back, as after a power cut.

When rules are read anew, those that are as they were go on where they stand: what somebody has set since stays.
"""

import dataclasses
import logging
from asyncio import TimerHandle
from collections.abc import Iterable
from dataclasses import dataclass

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import Jid, make, parse
from node.base.stanza import Stanza, new_id
from node.hub.quota import Quota
from node.hub.store import StoreError
from node.hub.thing import RESOURCE, TO_COME, ControlError, Thing
from node.things import words
from node.things.audit import DONE
from node.things.rules import mistakes
from node.things.rules.far import AGAIN, Far
from node.things.rules.rule import Rule, texts

__all__ = ["Rule", "Rules", "setup"]

log = logging.getLogger("hobnode")

NEEDS = ("audit", "access")

TIMES = 20  # that one rule acts within TIMES_IN; a motion light does less, a circle does so in seconds
TIMES_IN = 600.0  # seconds
FOLLOWS = 10.0  # seconds in which a change of what a rule has set is the rule's doing: twice what a command may take

SCHEMA = "CREATE TABLE told_rules (rule TEXT PRIMARY KEY) WITHOUT ROWID;"  # of what is so, and was told


@dataclass(slots=True, eq=False)  # of two equal rules each has its own
class State:
    """One rule and where it stands."""

    rule: Rule
    name: str
    source: Jid  # bare
    true: bool | None = None  # None: not known yet
    first: bool = True  # nothing is known from before
    cause: tuple[str, ...] = ()  # the rules that led to its being true
    timer: TimerHandle | None = None
    said: set[str] = dataclasses.field(default_factory=set)  # mistakes, each once

    @property
    def title(self) -> str:
        """For the log: 'rule dusk', or 'rule 4' of one without a name."""
        return f"rule {self.rule.name}" if self.rule.name else self.name

    @property
    def way(self) -> str:
        """For the audit: 'rule: dusk', or 'rule: 4'."""
        return self.title.replace(" ", ": ", 1)


def setup(hub, rules: Iterable[Rule]) -> None:
    hub.provide("rules", Rules(hub, rules))


class Rules:
    def __init__(self, hub, rules):
        self.hub = hub
        self.audit = hub.need("audit")
        self.myself = make("hub", hub.host)  # in whose name others are asked: the machine itself
        self.far = Far(hub, self.myself, self.seen)
        self.times = Quota(TIMES, TIMES_IN)
        self.caused: dict[tuple[Jid, str], tuple[float, tuple[str, ...]]] = {}  # what rules have set, by control
        self.states: dict[Jid, list[State]] = {}
        self.there: set[Jid] = set()  # things that are online, as far as they have told
        self.owed: dict[Jid, dict[str, tuple[State, dict]]] = {}  # what could not be set, by thing and rule
        self.database = hub.store.things
        self.database.schema("rules", SCHEMA)
        self.told = {rule for (rule,) in self.database.read("SELECT rule FROM told_rules")}
        self.load(rules)
        for thing in hub.things.values():  # rules may come later than things
            thing.on_change(self.changed)
        hub.on("thing", lambda thing: thing.on_change(self.changed))
        hub.on("thing gone", self.taken_out)
        hub.on("started", lambda: hub.loop.call_soon(self.check))  # when gateways have put in what they remember
        hub.on("stopping", self.stop)

    def load(self, rules: Iterable[Rule]) -> None:
        """Puts these rules in the place of all before; one that is as it was goes on where it stands."""
        before = [state for states in self.states.values() for state in states]
        self.states = {}
        for number, rule in enumerate(rules, 1):
            name, source = rule.name or f"rule {number}", self.address(rule.thing)
            state = next((each for each in before if each.rule == rule), None)
            if state is None:
                state = State(rule, name, source)
            else:
                before.remove(state)
                state.rule, state.name = rule, name  # 1 is True, and the number may be another
            self.states.setdefault(source, []).append(state)
        for state in before:
            disarm(state)
        for rule in self.told - {state.rule.telling for states in self.states.values() for state in states}:
            self.keep(rule, False)
        self.far.follow(
            {
                source: {state.rule.field for state in states if state.rule.field}
                for source, states in self.states.items()
                if source.domain != self.hub.host
            }
        )
        for thing in self.hub.things.values():
            self.look(thing)
        for source in self.states:
            if source in self.hub.things:
                self.changed(self.hub.things[source], set())
            elif source in self.far.online:
                self.seen(source, True, {})
        if self.hub.things:  # else the node is just being put together
            self.check()

    def check(self):
        """Says which things of rules are not there: misspelled, or brought by a gateway later."""
        for state in (state for states in self.states.values() for state in states):
            for thing in (state.source, *map(self.address, state.rule.set)):
                if thing.domain == self.hub.host and thing not in self.hub.things:
                    log.warning("%s: there is no %s yet", state.title, thing)

    def look(self, thing: Thing) -> None:
        """Says once what rules want of a thing that does not have it: that is known when it is online."""
        if not thing.online:
            return
        for state in (state for states in self.states.values() for state in states):
            found = list(mistakes.of_source(thing.jid, thing.fields, state.rule)) if state.source == thing.jid else []
            for name, controls in state.rule.set.items():
                if self.address(name) == thing.jid:
                    found += mistakes.of_target(thing.jid, thing.controls, texts(controls))
            for mistake in found:
                if mistake not in state.said:
                    state.said.add(mistake)
                    log.warning("%s: %s", state.title, mistake)

    def address(self, name: str) -> Jid:
        """Where a thing of a rule is."""
        return parse(name) if "@" in name else make(name, self.hub.host)

    def stop(self):
        for states in self.states.values():
            for state in states:
                disarm(state)

    # What happens

    def changed(self, thing: Thing, names: set[str]) -> None:
        """A face of our own things. What one says while it is being opened counts when it is online."""
        if not names:
            self.look(thing)
            if not thing.online:
                self.there.discard(thing.jid)
            elif thing.jid not in self.there:
                self.there.add(thing.jid)
                self.make_up(thing)
        if thing.jid in self.states and (thing.online or not names):
            self.seen(thing.jid, thing.online, {name: reading.value for name, reading in thing.readings.items()})

    def make_up(self, thing):
        """What a thing did not do because it was not there it does when it is back, if rules still want it."""
        for state, controls in self.owed.pop(thing.jid, {}).values():
            if state.true and state in self.states.get(state.source, ()):
                self.hub.spawn(self.carry_out(state, thing.jid, controls), f"{state.title} sets {thing.jid}")

    def taken_out(self, thing):
        self.owed.pop(thing.jid, None)
        self.there.discard(thing.jid)
        self.seen(thing.jid, False, {})

    def seen(self, source: Jid, online: bool, values: dict[str, str]) -> None:
        """A thing is there or gone, and its fields have these values; of a far one it may be some of them."""
        for state in self.states.get(source, ()):
            rule = state.rule
            if rule.gone:
                self.turn(state, not online, "gone")
            elif not online:
                disarm(state)  # what cannot be seen does not last
            elif rule.field in values:
                value = values[rule.field]
                was = rule.telling in self.told if state.true is None else state.true
                self.turn(state, rule.holds(value, was), value)
            elif source.domain == self.hub.host:
                disarm(state)  # the sensor is lost

    def turn(self, state, true, value):
        """The condition is true or false now."""
        was, state.true = state.true, true
        if not true:
            state.first = False
            disarm(state)
            self.keep(state.rule.telling, False)
        elif not was:
            state.cause = self.cause(state.source, state.rule.field)
            wait = max(state.rule.lasting, self.to_come(state))
            if wait > 0:
                state.timer = self.hub.loop.call_later(wait, self.act, state, value)
            else:
                self.act(state, value)

    def to_come(self, state):
        """Seconds until what is not there is gone."""
        if not state.rule.gone:
            return 0
        if state.source.domain != self.hub.host:  # is asked again first: our way out may be slower than we
            return AGAIN + TO_COME if state.first else 0
        thing = self.hub.things.get(state.source)
        return thing.awaited - self.hub.loop.time() if thing else 0

    def cause(self, source, name):
        """Which rules have led to this value, one after the other."""
        until, chain = self.caused.get((source, name), (0.0, ()))
        return chain if self.hub.loop.time() < until else ()

    # What is done

    def act(self, state, value):
        rule, state.timer = state.rule, None
        if state.name in state.cause:
            self.refuse(state, f"it would follow from itself: {' → '.join((*state.cause, state.name))}")
            return
        if not self.times.take(state.name, self.hub.loop.time()):
            self.refuse(state, f"it has acted {TIMES} times within {TIMES_IN / 60:.0f} minutes")
            return
        log.info("%s: %s, %s", state.title, state.source, rule.condition)
        for name, controls in rule.set.items():
            target = self.address(name)
            chain = (*state.cause, state.name)
            until = self.hub.loop.time() + FOLLOWS
            self.caused.update({(target, control): (until, chain) for control in controls})
            self.hub.spawn(self.carry_out(state, target, controls), f"{state.title} sets {target}")
        if rule.tell and rule.telling not in self.told:
            self.tell(state, value)
        state.first = False

    async def carry_out(self, state, target, controls):
        """Sets controls of one thing; each has its deadline: a command's of ours, a question's of a far one."""
        values = texts(controls)
        what, outcome = ", ".join(f"{name}={value}" for name, value in values.items()), DONE
        try:
            if target.domain != self.hub.host:
                await self.far.set(target, controls)
            elif target in self.hub.things:
                self.owed.get(target, {}).pop(state.title, None)
                await self.hub.things[target].control(values, self.myself)
            else:
                outcome = "failed: there is no such thing"
        except ControlError as error:
            outcome = f"failed: {error.text}"
            if error.type == "wait":  # it may be the beginning of its being gone
                self.owed.setdefault(target, {})[state.title] = state, controls
        except StanzaError as error:
            outcome = f"failed: {error.text or error.condition}"
        if outcome != DONE:
            log.warning("%s: %s of %s %s", state.title, what, target, outcome)
        ours = target.domain == self.hub.host
        keeper = target if ours else self.myself
        self.audit.note(keeper, state.source, state.way, what if ours else f"{target}: {what}", outcome)
        if keeper != state.source:
            self.note(state, f"set {target.local if ours else target}: {what}", outcome)

    def note(self, state, what, outcome=DONE):
        """In the audit of what the rule looks at, if that is ours: who asks there wants to know what it led to."""
        if state.source.domain == self.hub.host:
            self.audit.note(state.source, state.source, state.way, what, outcome)

    def refuse(self, state, reason):
        log.warning("%s does not act: %s", state.title, reason)
        ours = state.source if state.source.domain == self.hub.host else self.myself
        self.audit.refused(ours, state.source, state.way, state.rule.condition, reason)

    def tell(self, state, value):
        rule, thing = state.rule, self.hub.things.get(state.source)
        label, said = (thing.label if thing else state.source), value
        field = (thing.fields if thing else self.far.fields.get(state.source, {})).get(rule.field)
        if field is not None:
            said = words.value(field, value)
        text = rule.say.format(thing=label, field=rule.field, value=said)
        if not text:
            why = f" ({rule.condition})" if rule.equals is None else ""
            text = f"{label} is gone." if rule.gone else f"{label}: {rule.field} is {said}{why}."
        self.keep(rule.telling, True)
        for person in map(parse, rule.tell):
            body = E("body", None, text)
            sender = thing.full if thing else self.myself.with_resource(RESOURCE)
            self.hub.route(Stanza("message", body, type="chat", sender=sender, to=person, id=new_id()))
            self.hub.tell("said", sender.bare, person)
        self.note(state, f"told {', '.join(rule.tell)}")

    def keep(self, rule: str, told: bool) -> None:
        """Whether people were told of what is so: for the node after us."""
        if told == (rule in self.told):
            return
        (self.told.add if told else self.told.discard)(rule)
        change = "INSERT OR REPLACE INTO told_rules VALUES (?)" if told else "DELETE FROM told_rules WHERE rule = ?"
        try:
            self.database.write(change, (rule,))
        except StoreError as error:
            log.warning("it is not kept what rules have told: %s", error)


def disarm(state):
    """What waited does not come."""
    if state.timer is not None:
        state.timer.cancel()
        state.timer, state.true = None, False
