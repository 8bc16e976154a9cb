"""XEP-0050: Ad-Hoc Commands of things: read, set and approve, with forms made from fields and controls."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from node.base import form, stamp
from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import new_id
from node.hub.thing import ControlError, Thing
from node.things import words
from node.things.access import told
from node.things.control import first_values
from node.things.questions import question

log = logging.getLogger("hobnode")

NEEDS = ("disco", "access", "followers")

NS = "http://jabber.org/protocol/commands"

LIFETIME = 300.0  # seconds that a form may lie open (AH-9)
OWN_LIMIT = 10  # forms open before one person, whose oldest then gives way; nobody fills in more at a time
LIMIT = 100  # forms open at once in the whole node, a few KiB each; the oldest gives way
ENDED = 100  # sessions remembered as over, to say "expired" and not "never heard of"


def setup(hub, options):
    commands = Commands(hub)
    hub.provide("commands", commands)
    hub.advertise(NS, form.NS, at="thing")
    hub.on_iq("set", "command", NS, commands.run, at="thing")
    hub.need("disco").on_node(NS, commands.describe_list, commands.items, at="thing")
    hub.need("disco").on_node(NS, commands.describe_list, lambda iq: [], at="host")  # some clients ask the server first


class Command(NamedTuple):
    """What can be run: `ask(thing)` is the form to fill in (an empty one asks nothing), `may(thing, asker)` says who,
    and `act(iq, command, sessionid, session, answers)` gives the last stanza, or waits for it."""

    label: str
    ask: Callable[[Thing], Element]
    act: Callable[..., Any]
    may: Callable[[Thing, Jid], bool]


@dataclass(slots=True)
class Session:
    """A form that somebody has before him."""

    asker: Jid  # full: nobody else goes on with it
    thing: Thing
    node: str
    form: Element
    begun: float
    shown: bool = False


class Commands:
    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.followers = hub.need("followers")
        self.sessions: dict[str, Session] = {}  # oldest first, for all live equally long
        self.ended: dict[str, None] = {}
        self.known: dict[str, Command] = {}
        self.add("read", "Read sensors", lambda thing: form.form(), self.read, lambda thing, asker: True)
        self.add("set", "Control", self.set_form, self.set, self.may_set)
        self.add("approve", "Approve followers", self.approve_form, self.approve, self.owner)

    def add(self, node: str, *command: Any) -> None:
        """Another command for all things: the node of its own, then what `Command` says."""
        self.known[node] = Command(*command)
        self.hub.need("disco").on_node(node, self.describe, lambda iq: [], at="thing")

    def may_set(self, thing, asker):
        return bool(thing.controls) and self.access.may_control(thing, asker)

    def owner(self, thing: Thing, asker: Jid) -> bool:
        """Who may run what only owners may."""
        return self.access.is_owner(asker)

    def describe_list(self, iq):
        return [E("identity", None, category="automation", type="command-list")]

    def items(self, iq):
        """AH-1: what this person may run; the rest is hidden. Its jid is the one who was asked."""
        thing = self.hub.things[iq.to.bare]
        return [
            E("item", None, jid=iq.to, node=node, name=command.label)
            for node, command in self.known.items()
            if command.may(thing, iq.sender)
        ]

    def describe(self, iq):
        """AH-2."""
        node = iq.payload.get("node")
        if not self.known[node].may(self.hub.things[iq.to.bare], iq.sender):
            raise StanzaError("forbidden", type="cancel")
        identity = E("identity", None, category="automation", type="command-node", name=self.known[node].label)
        return [identity, E("feature", None, var=NS), E("feature", None, var=form.NS)]

    def run(self, iq, origin):
        """One step: begins a command, goes on with it, or ends it."""
        command, action = iq.payload, iq.payload.get("action") or "execute"
        if action not in ("execute", "complete", "cancel", "next", "prev"):
            raise refused("malformed-action", f"There is no action {action[:40]!r}.")
        if command.get("sessionid") is None:
            return self.begin(iq, command, action)
        return self.go_on(iq, command, action)

    def begin(self, iq, command, action):
        thing, node = self.hub.things[iq.to.bare], command.get("node")
        if node not in self.known:
            raise StanzaError("item-not-found", "There is no such command.")
        self.demand(node, thing, iq)
        if action != "execute":
            raise refused("bad-sessionid", "A command that goes on needs the sessionid it was given.")
        known = self.known[node]
        session = Session(iq.sender, thing, node, known.ask(thing), self.hub.loop.time())
        if not session.form.elements:
            return known.act(iq, command, new_id(), session, {})
        submitted = command.find("x", form.NS)
        if submitted is not None:  # AH-10: one step is enough for who knows the form
            return known.act(iq, command, new_id(), session, answers(submitted, session.form))
        return self.show(iq, command, session)

    def demand(self, node, thing, iq):
        """Raises StanzaError (forbidden) for who may not run it; log and audit tell who tried what."""
        asker, submitted = iq.sender, iq.payload.find("x", form.NS)
        if not self.known[node].may(thing, asker):
            what = f"{node} {told(first_values(submitted)) if submitted else ''}".rstrip()
            if self.access.audit.refused(thing.jid, asker, "command", what, "refused"):
                log.warning("%s: %s may not run the command %r", thing.jid.local, asker, what)
            raise StanzaError("forbidden", f"You may not run {node}.", type="cancel")

    def show(self, iq, command, session):
        name = new_id()
        self.forget()
        own = [name for name, each in self.sessions.items() if each.asker.bare == iq.sender.bare]
        if len(own) >= OWN_LIMIT:
            self.end(own[0])
        elif len(self.sessions) >= LIMIT:
            self.end(next(iter(self.sessions)))
        self.sessions[name] = session
        session.shown = True
        # AH-4: without `next` in it, `execute` has to say what the default is
        actions = E("actions", NS, E("complete", NS), execute="complete")
        return answer(iq, command, name, "executing", actions, session.form)

    def go_on(self, iq, command, action):
        name = command.get("sessionid")
        self.forget()
        session = self.sessions.get(name)
        if session is None and name in self.ended:
            raise StanzaError("not-allowed", "This form has expired.", extra=E("session-expired", NS))
        if session is None or session.asker != iq.sender or session.thing is not self.hub.things[iq.to.bare]:
            raise refused("bad-sessionid", "There is no such session of yours.")
        if command.get("node") != session.node:
            raise refused("bad-sessionid", f"This session belongs to the command {session.node}.")
        if action == "cancel":
            self.end(name)
            return answer(iq, command, name, "canceled")
        if action in ("next", "prev"):
            raise refused("bad-action", "There is one form only: complete it or cancel.")
        self.demand(session.node, session.thing, iq)  # the grant may have been taken back meanwhile
        given = answers(command.find("x", form.NS), session.form)
        self.end(name)
        return self.known[session.node].act(iq, command, name, session, given)

    def end(self, name):
        del self.sessions[name]
        self.ended[name] = None
        if len(self.ended) > ENDED:
            del self.ended[next(iter(self.ended))]

    def forget(self):
        old = self.hub.loop.time() - LIFETIME
        while self.sessions:
            name = next(iter(self.sessions))
            if self.sessions[name].begun > old:
                return
            self.end(name)

    # read

    def read(self, iq, command, name, session, given):
        """All readings as a table, in one step."""
        thing, rows = session.thing, []
        for field in thing.fields.values():
            reading = thing.readings.get(field.name)
            if reading is None:
                rows.append((words.title(field), words.NOTHING, "", ""))
            else:
                text = words.truth(field, reading.value) if field.type == "boolean" else reading.value
                rows.append((words.title(field), text, field.unit, stamp.format(reading.stamp)))
        # In the note for Profanity, which shows no tables
        said = [f"{title}: {text} {unit}".rstrip() for title, text, unit, _ in rows] or ["There is no reading yet."]
        if not thing.online:
            said.insert(0, words.sentence(thing.complaint()))
        elif wrong := words.wrong(thing):
            said.insert(0, words.sentence(words.capital(wrong)))
        note = E("note", NS, "\n".join(said), type="info" if thing.online else "warn")
        columns = [("field", "Field"), ("value", "Value"), ("unit", "Unit"), ("time", "Time")]
        return ended(iq, command, name, note, form.table(columns, rows, title=thing.label))

    # set

    def set_form(self, thing):
        return form.form(*(question(thing, control) for control in thing.controls.values()), title=thing.label)

    async def set(self, iq, command, name, session, given):
        """Sets what was changed in the form; the note says what the hardware has confirmed."""
        thing = session.thing
        values = {var: texts[0] for var, texts in given.items() if texts}
        if session.shown:
            values = changed(session, values)
        if not values:
            return ended(iq, command, name, E("note", NS, "Nothing had to be changed.", type="info"))
        controls = thing.controls  # a board that comes back may have others
        try:
            await self.access.command(thing, values, iq.sender, "command")
        except ControlError as error:
            if error.type == "modify":
                raise refused("bad-payload", error.text) from None
            text = words.spoken(controls.get(error.name), error.text)
            return ended(iq, command, name, E("note", NS, text, type="error"))  # AH-7
        said = [
            f"{words.capital(words.title(controls[var]))} is {words.value(controls[var], text)}."
            for var, text in values.items()
        ]
        return ended(iq, command, name, E("note", NS, " ".join(said), type="info"))

    # approve

    def approve_form(self, thing):
        waiting = tuple(self.followers.waiting(thing))
        if not waiting:
            return form.form()
        decisions = (("approve", "Approve"), ("deny", "Deny"))
        return form.form(
            form.field(
                "jid",
                waiting[0],
                type="list-single",
                label="Who would like to follow",
                options=waiting,
                required=True,
            ),
            form.field("decision", "approve", type="list-single", label="Decision", options=decisions),
            title=thing.label,
        )

    async def approve(self, iq, command, name, session, given):
        """Answers one who waits."""
        if not given:
            return ended(iq, command, name, E("note", NS, "Nobody waits for approval.", type="info"))
        try:
            asker = parse(given["jid"][0])
        except JidError:
            raise refused("bad-payload", "That is no address.") from None
        if asker not in self.followers.waiting(session.thing):  # the form has lain open
            return ended(iq, command, name, E("note", NS, f"{asker} does not wait for approval.", type="info"))
        denied = given.get("decision") == ["deny"]
        await (self.followers.deny if denied else self.followers.approve)(session.thing, asker)
        self.access.audit.note(session.thing.jid, iq.sender, "command", f"{'deny' if denied else 'approve'} {asker}")
        text = (
            f"{asker} does not follow {session.thing.label}."
            if denied
            else f"{asker} follows {session.thing.label} now."
        )
        return ended(iq, command, name, E("note", NS, text, type="info"))


def answers(submitted, asked):
    if submitted is None:
        raise refused("bad-payload", "The form is missing.")
    try:
        return form.read(submitted, asked)
    except form.FormError as error:
        raise refused("bad-payload", str(error)) from None


def changed(session, values):
    """What is not so already: clients send every field back, also those that nobody touched.

    A sole field is always meant: sending the form is all that one can do with it.
    """
    if len(session.form.findall("field")) == 1:
        return values
    return {var: text for var, text in values.items() if text != present(session.thing, var)}


def present(thing, name):
    """The value that a control has, or that a form shows for it where that is not known (XEP-0004 §3.3)."""
    if name in thing.readings:
        return thing.readings[name].value
    control = thing.controls.get(name)
    return "false" if control is not None and control.type == "boolean" else None


def answer(iq, command, name, status, *children):
    """The next step of a command, in the language of the one before (AH-9)."""
    lang = command.get("xml:lang") or iq.lang
    reply = iq.reply(
        E("command", NS, *children, node=command.get("node"), sessionid=name, status=status, xml_lang=lang)
    )
    reply.lang = iq.lang
    return reply


def ended(iq, command, name, *children):
    return answer(iq, command, name, "completed", *children)


def refused(condition, text):
    """AH-8: bad-request with the reason in the commands' own words."""
    return StanzaError("bad-request", text, extra=E(condition, NS))
