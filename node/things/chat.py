"""Talking to a thing in plain words: `status`, `lamp on`, `set dimmer 128`, `help`.

Several popular phone clients have no other way to use a device (devices.md A5), so everything can be said,
and whatever is said is answered: what is not understood with what might have been meant. A command is
confirmed when the hardware has confirmed it, and not before.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import JidError, parse
from node.base.stanza import CLIENT, Stanza, new_id
from node.hub import controls
from node.hub.thing import ControlError
from node.things import words
from node.things.late import late
from node.things.meant import beginning, meant, named, plain
from node.things.once import Once
from node.things.responses import responses

log = logging.getLogger("hobnode")

NEEDS = ("access", "followers", "control")

RECEIPTS = "urn:xmpp:receipts"  # XEP-0184
LONGEST = 500  # characters of a message that are looked at
PUZZLED = 20  # a minute that one person is told "I do not know ...": two programs could go on for ever


class Reply(NamedTuple):
    """An answer with more than words: what clients and programs understand beside them."""

    text: str
    elements: tuple[Element, ...]


Said = str | Reply | Awaitable[str] | None  # what is answered, or what waits for the answer
SWITCHED = ("on", "off", "toggle")  # what is said to a switch whose name is not


def setup(hub, options):
    hub.advertise(RECEIPTS, at="thing")
    chat = Chat(hub)
    hub.provide("chat", chat)
    hub.on_stanza("message", chat.receive, at="thing")


class Chat:
    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.followers = hub.need("followers")
        self.control = hub.need("control")
        self.once = Once(hub.loop)
        self.puzzled: dict[str, int] = {}
        self.minute = 0.0
        self.phrases: list[tuple[re.Pattern[str], Callable[..., Said]]] = []
        self.offers: list[Callable[[Talk], Iterable[str]]] = []

    def understand(
        self, pattern: str, answer: Callable[..., Said], offers: "Callable[[Talk], Iterable[str]] | None" = None
    ) -> None:
        """Teaches all things a phrase. `pattern` has to fit the whole text, its capitals ignored, blanks single.

        `answer(talk, *groups)` gives what is said, what waits for it, or None when it was not meant after all.
        `offers(talk)` are the lines of help that this asker gets.
        """
        self.phrases.append((re.compile(pattern, re.IGNORECASE), answer))
        if offers is not None:
            self.offers.append(offers)

    def receive(self, message, origin):
        """Answers a message that says something; others are chat states, or commands of programs."""
        thing = self.hub.things[message.to.bare]
        if message.type not in (None, "normal", "chat") or message.sender.bare in self.hub.things:
            return
        text = " ".join((message.body or "")[:LONGEST].split())
        if not text:
            self.control.overhear(message)
            return
        if message.id and message.has("request", RECEIPTS):
            received = E("received", RECEIPTS, id=message.id)
            self.hub.route(Stanza("message", received, sender=message.to, to=message.sender, type=message.type))
        if self.once.outcome(message):
            return
        self.once.keep(message, True)
        talk = Talk(self, thing, message)
        answer = talk.about(text)
        if isinstance(answer, str | Reply):
            self.answer(message, answer)
        elif answer is not None:
            self.hub.spawn(self.answer_later(message, answer), f"{message.sender} talks to {thing.jid}")

    async def answer_later(self, message, answer):
        try:
            self.answer(message, await answer)
        except StanzaError as error:
            self.answer(message, f"That did not work: {error.text or error.condition}")

    def answer(self, message, said):
        text, elements = said if isinstance(said, Reply) else (said, ())
        thread = message.child("thread", CLIENT)
        self.hub.route(
            Stanza(
                "message",
                E("body", None, text),
                E("thread", None, thread.text) if thread else None,
                *elements,
                type=message.type,
                sender=message.to,
                to=message.sender,
                id=new_id(),
            )
        )
        self.hub.tell("said", message.to.bare, message.sender.bare)

    def may_be_puzzled(self, asker):
        now = self.hub.loop.time()
        if now >= self.minute + 60:
            self.minute = now
            self.puzzled.clear()
        self.puzzled[asker] = self.puzzled.get(asker, 0) + 1
        return self.puzzled[asker] <= PUZZLED


class Talk:
    """One message to a thing, and its answer: a text, or a coroutine that waits for the hardware first."""

    def __init__(self, chat, thing, message):
        self.chat = chat
        self.access = chat.access
        self.thing = thing
        self.message = message
        self.asker = message.sender

    def about(self, text):
        text = plain(text, self.thing.controls)
        for pattern, method in GRAMMAR:
            found = pattern.fullmatch(text)
            said = method(self, *found.groups()) if found else None
            if said is not None:
                return said
        for pattern, answer in self.chat.phrases:
            found = pattern.fullmatch(text)
            said = answer(self, *found.groups()) if found else None
            if said is not None:
                return said
        return self.value(text) or self.phrase(text) or self.alone(text) or self.read_only(text) or self.puzzled(text)

    # Reading

    def help(self):
        thing, lines = self.thing, ["status: all readings", "??: with their times"]
        field = next(iter(thing.fields.values()), None)
        if field:
            lines.append(f"{field.name}?: one reading")
        if self.access.may_control(thing, self.asker):
            lines += [words.how_to_set(control) for control in thing.controls.values()]
        for offers in self.chat.offers:
            lines += offers(self)
        lines.append("who: who may do what")
        if self.access.is_owner(self.asker):
            lines.append("approve ann@home.example, deny ann@home.example: who may follow me")
        return Reply("You can say:\n" + "\n".join(lines), responses(("status", "Status"), *self.switches()))

    def switches(self):
        """What can be switched with a touch: the first of what this asker may control."""
        control = next((each for each in self.thing.controls.values() if each.type == "boolean"), None)
        if control is None or not self.access.may_control(self.thing, self.asker):
            return []
        title = words.capital(words.title(control))
        return [(f"{control.name} {each}", f"{title} {each}") for each in ("on", "off")]

    def status(self):
        return self.readings([each for each in self.thing.fields.values() if each.category != "identity"], times=False)

    def everything(self):
        return self.readings(self.thing.fields.values(), times=True)

    def readings(self, fields, times):
        thing = self.thing
        lines = [words.sentence(thing.complaint())] if not thing.online else []
        if thing.online and (wrong := words.wrong(thing)):
            lines.append(words.sentence(words.capital(wrong)))
        said = [self.reading(each, times) for each in fields]
        return "\n".join(lines + (said or ["There is no reading yet."]))

    def reading(self, field, times):
        reading = self.thing.readings.get(field.name)
        if reading is None:
            return f"{words.title(field)}: {words.NOTHING}"
        at = f" ({words.clock(reading.stamp)})" if times or not self.thing.online else ""
        return f"{words.title(field)}: {words.value(field, reading.value)}{at}"

    def value(self, text):
        """`temperature`, `temperature?`, `temperature??`"""
        name = text.rstrip("? ")
        field = named(self.thing.fields, name)
        if field is not None:
            return self.readings([field], times=text.endswith("??"))
        control = named(self.thing.controls, name)
        return control and self.shown(control)

    def shown(self, control):
        field = self.thing.fields.get(control.name)
        return self.readings([field], times=False) if field else how(control)

    # Setting

    def set(self, text):
        """`set front lamp on`, `set the dimmer to 128`"""
        if text.lower().startswith("the ") and (said := self.phrase(text[4:])):
            return said
        return self.phrase(text) or self.value(text) or self.read_only(text) or self.puzzled(f"set {text}")

    def turn(self, first, name, last):
        """`turn on the lamp`, `switch lamp off`; only what is the whole name of a switch is obeyed."""
        if bool(first) == bool(last):
            return None
        word = (first or last).lower()
        if not name:
            return self.alone(word)
        controls = self.thing.controls
        control = self.switch(name)
        if control is None or named(controls, f"switch {name}"):  # that one is `switch 1 on`
            return None
        return self.command(control, word) if control.type == "boolean" else how(control)

    def assign(self, name, text):
        """`lamp:=on`; `lamp:=` shows"""
        control = named(self.thing.controls, name)
        if control is None:
            return self.read_only(f"{name} {text}") or self.puzzled(name)
        return self.command(control, text) if text else self.shown(control)

    def phrase(self, text):
        """A control's name and the value that follows it."""
        control, rest = beginning(self.thing.controls, text)
        if control is None:
            name, _, word = text.rpartition(" ")
            control, rest = self.switch(name) if word.casefold() in SWITCHED else None, [word]
        if control is None:
            return None
        if rest[0] in ("to", "=") and rest[1:]:
            del rest[0]
        return self.command(control, " ".join(rest))

    def switch(self, name):
        """The control of that name; and where there is one switch only, the thing's own name means it, as does `it`."""
        name = name.lower().removeprefix("the ")
        control, label = named(self.thing.controls, name), self.thing.label.lower()
        if control is not None or named(self.thing.fields, name) is not None:
            return control
        return self.only_switch() if name and name in ("it", label, *label.split()[-1:]) else None

    def only_switch(self):
        switches = [each for each in self.thing.controls.values() if each.type == "boolean"]
        return switches[0] if len(switches) == 1 else None

    def alone(self, text):
        """`on`, to a thing that has one switch."""
        only, word = self.only_switch(), text.casefold().rstrip("!.")
        return self.command(only, word) if only and word in SWITCHED else None

    def read_only(self, text):
        """`light on`, of a light sensor: which values can be set is not to be guessed from their names."""
        field, _ = beginning(self.thing.fields, text)
        if field is None or field.name in self.thing.controls:
            return None
        return f"{words.capital(words.title(field))} can only be read.\n{self.readings([field], times=False)}"

    def command(self, control, text):
        """What is answered at once when nothing is going to be done, else the doing."""
        thing, title = self.thing, words.small(words.title(control))
        try:
            self.access.demand(thing, self.asker, "chat", f"{control.name} {text[:40]}")
        except StanzaError:
            asker, named = self.asker, self.access.named(thing, "control")
            if not self.access.is_owner(asker):
                return f"You may read me, but not control me.{ask_owner(self.access)}"
            whom = "others" if named.accounts or named.domains else "nobody"
            return f"The configuration grants control of me to {whom}. You may say: grant {asker.bare} control"
        said = late(self.message)
        if said is not None:
            return (
                f"You said this at {words.clock(said)} and it has arrived only now, "
                f"so I did nothing with {title}. Say it again if you still mean it."
            )
        value = meant(control, text, thing.readings.get(control.name))
        if value is None:
            return f"I do not know how {title} is now. Say {control.name} on, or {control.name} off."
        return self.carry_out(control, value)

    async def carry_out(self, control, value):
        thing, title, clock = self.thing, words.capital(words.title(control)), self.chat.hub.loop.time
        begun, there = clock(), thing.online
        try:
            await self.access.command(thing, {control.name: value}, self.asker, "chat")
        except ControlError as error:
            if error.type == "modify":
                return error.text.replace("true or false", "on or off") if control.type == "boolean" else error.text
            done = "confirmed" if there else "changed"  # what is not confirmed may have been done
            return f"{title} was not {done}. {words.spoken(control, error.text)}"
        done = words.value(control, controls.normal(control, value.strip()) or value)
        return f"{title} is {done} (took {clock() - begun:.1f} s)."

    # Who

    def who(self):
        access, followers, thing = self.access, self.chat.followers, self.thing
        if not access.is_owner(self.asker):
            rights = "read and control" if access.may_control(thing, self.asker) else "read"
            return f"You are {self.asker.bare}, and you may {rights} me."
        control, read, follow = access.named(thing, "control"), access.named(thing, "read"), followers.followers(thing)
        lines = [
            f"My followers: {', '.join(follow) or 'nobody'}",
            f"May control me: {', '.join(control.names()) or 'nobody'}",
        ]
        above = {*follow, *(each for each in read.accounts if each in control), *control.names()}
        if others := [each for each in read.names() if each not in above]:
            lines.append(f"May read me: {', '.join(others)}")
        waiting = followers.waiting(thing)
        return "\n".join(lines + ([f"Waiting for approval: {', '.join(waiting)}"] if waiting else []))

    def decide(self, verb, name):
        verb, thing, followers = verb.lower(), self.thing, self.chat.followers
        if not self.access.is_owner(self.asker):
            if self.access.audit.refused(thing.jid, self.asker, "chat", f"{verb} {name}", "refused"):
                log.warning("%s: %s may not decide about %r", thing.jid.local, self.asker, name)
            return f"Only an owner can decide that.{ask_owner(self.access)}"
        try:
            jid = parse(name.removeprefix("xmpp:")).bare
        except JidError:
            return f"{name} is no address. Say for example: approve ann@home.example"
        waits, follows = jid in followers.waiting(thing), jid in followers.followers(thing)
        if verb == "approve":
            if not waits:
                return f"{jid} follows me already." if follows else f"{jid} has not asked to follow me."
            return self.decided(verb, followers.approve, jid, f"{jid} follows me now.")
        if not (waits or follows):
            return f"{jid} does not follow me, and has not asked to.{self.granted(jid)}"
        said = f"{jid} {'follows me no longer' if follows else 'may not follow me'}.{self.granted(jid)}"
        return self.decided(verb, followers.deny, jid, said)

    async def decided(self, verb, act, jid, said):
        await act(self.thing, jid)
        self.access.audit.note(self.thing.jid, self.asker, "chat", f"{verb} {jid}")
        return said

    def granted(self, jid):
        """What somebody may do who does not follow: who was denied is thought to be shut out."""
        given, configured = self.access.ways(self.thing, jid)
        ways = [f"say revoke {who}" for who in given] + ["change [access] in the configuration"] * configured
        what = "read and control" if self.access.may_control(self.thing, jid) else "read"
        return f" But a grant lets {jid} {what} me: {', and '.join(ways)}." if ways else ""

    # Neither

    def puzzled(self, text):
        if not self.chat.may_be_puzzled(self.asker.bare):
            return None
        thing = self.thing
        known = {word: word for word in ("help", "status", "who", "approve", "deny", "set")}
        for each in (*thing.fields.values(), *thing.controls.values()):
            known[each.name.casefold()] = known[words.title(each).casefold()] = each.name
        first = text.casefold().removeprefix("set ").split()[0]
        from difflib import get_close_matches  # only the mistaken pay for it: 0.2 MiB

        close = get_close_matches(text.casefold(), known, 1, 0.6) or get_close_matches(first, known, 1, 0.6)
        guess = f"Did you mean {known[close[0]]}?" if close else "Say help to see what I know."
        return f"I do not know “{text[:60]}”. {guess}"


GRAMMAR = [
    (re.compile(pattern, re.IGNORECASE), method)
    for pattern, method in (
        (r"(?:help|menu|hello|hi|#)[?!.]*", Talk.help),
        (r"status[?]?|[?]", Talk.status),
        (r"[?][?]", Talk.everything),
        (r"who[?]?", Talk.who),
        (r"(approve|deny) (\S+)", Talk.decide),
        (r"(?:set )?(.+?) ?:= ?(.*)", Talk.assign),
        (r"set (.+)", Talk.set),
        (r"(?:turn|switch)(?: (on|off))?(?: (.+?))??(?: (on|off))?[!.]*", Talk.turn),
    )
]


def how(control):
    return f"You can say: {words.how_to_set(control)}"


def ask_owner(access):
    return f" Ask {', '.join(access.owners)}." if access.owners else ""
