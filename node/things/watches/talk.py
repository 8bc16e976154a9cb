"""Asking for watches, seeing and ending them: by chat, and by the command "Alert me"."""

import math

from node.base.element import E
from node.base.errors import StanzaError
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.things import words
from node.things.commands import NS, ended, refused
from node.things.watches import asking
from node.things.watches.asking import TIME, Unclear, seconds
from node.things.watches.wish import Wish

OF_ONE = 20  # watches of one person at one thing: more than he remembers
OF_THING = 100  # at one thing, under a KiB each; a reading is held against those of its field, 1.3 µs each


def setup(hub, watches):
    said = Talk(hub, watches)
    chat = hub.need("chat")
    chat.understand(r"watch(?:es)?[?]?", said.watches)
    chat.understand(r"(?:watch|tell me when|tell me if) (.+?)[.!]?", said.watch, said.offers)
    chat.understand(r"unwatch (\d{1,4}|all)", said.unwatch)
    chat.understand(rf"mute(?: (?:for )?{TIME})?", said.mute)
    chat.understand("unmute", said.unmute)
    hub.need("commands").add("watch", "Alert me", asking.question, said.run, hub.need("access").may_read)


class Talk:
    def __init__(self, hub, watches):
        self.hub = hub
        self.all = watches

    def offers(self, talk):
        """In the help."""
        lines = [f"{asking.examples(talk.thing)}: I tell you when it is so, once a minute at most"]
        if self.all.of(talk.thing, talk.asker):
            lines.append("watches, unwatch 1, unwatch all, mute 2h, mute, unmute: about what you watch")
        return lines

    def watch(self, talk, text):
        try:
            wish = asking.understood(talk.thing, text)
        except Unclear as error:
            return str(error)
        return self.add(talk.thing, talk.asker, wish)

    async def add(self, thing: Thing, who, wish: Wish) -> str:
        """Keeps the wish; what is to be said of it. Raises StanzaError."""
        own = self.all.of(thing, who)
        same = next((watch for watch in own if watch.wish == wish), None)
        if same is not None:
            return f"You watch that already: {same.number}: {wish.said(thing)}."
        if len(own) >= OF_ONE:
            return f"You have {OF_ONE} watches here already; say for example: unwatch {own[0].number}"
        if sum(1 for _ in self.all.all(thing.jid)) >= OF_THING:
            return f"I am watched for {OF_THING} reasons already, and look at all of them with each reading."
        try:
            watch, already = await self.all.add(thing, who, wish)
        except StoreError as error:
            raise unkept(error) from error
        so = " That is so already: I tell you when it ends." if already else ""
        return f"I tell you: {wish.said(thing)} (watch {watch.number}).{so}{self.silence(thing, who)}"

    def watches(self, talk):
        """The list."""
        own = self.all.of(talk.thing, talk.asker)
        if not own:
            return f"You watch nothing here. Say for example: {asking.examples(talk.thing)}"
        lines = [f"{watch.number}: {watch.wish.said(talk.thing)}{self.lost(talk.thing, watch.wish)}" for watch in own]
        return "\n".join(lines) + self.silence(talk.thing, talk.asker, "\n")

    def lost(self, thing, wish):
        """That there is nothing to be watched any more: another board may have come in the place of that one."""
        return " (I have no such reading now)" if wish.field and wish.field not in thing.fields else ""

    def silence(self, thing, who, before=" "):
        """That he has muted it."""
        until = self.all.muted(thing, who)
        if until is None:
            return ""
        end = f" until {words.clock(until)}" if until < math.inf else ""
        return f"{before}All is muted{end}; say unmute to end that."

    def unwatch(self, talk, number):
        own = self.all.of(talk.thing, talk.asker)
        ending = own if number.lower() == "all" else [watch for watch in own if watch.number == int(number)]
        if not ending:
            return "You watch nothing here." if not own else f"You have no watch {number}. Say watches to see yours."
        said = ", ".join(watch.wish.said(talk.thing) for watch in ending)
        return self.kept(self.all.remove(talk.thing, ending), f"No longer: {said}.")

    def mute(self, talk, number, unit):
        if not self.all.of(talk.thing, talk.asker):
            return "You watch nothing here: I say nothing unless you ask me."
        until = talk.thing.now() + seconds(number, unit) if number else math.inf
        how_long = f"until {words.clock(until)}" if number else "until you say unmute"
        return self.kept(self.all.mute(talk.thing, talk.asker, until), f"I tell you nothing {how_long}.")

    def unmute(self, talk):
        if self.all.muted(talk.thing, talk.asker) is None:
            return "Nothing is muted."
        return self.kept(self.all.mute(talk.thing, talk.asker, None), "I tell you again.")

    async def kept(self, work, said):
        """Confirmed when it is kept."""
        try:
            await work
        except StoreError as error:
            raise unkept(error) from error
        return said

    async def run(self, iq, command, name, session, given):
        """The command."""
        try:
            said = await self.add(session.thing, iq.sender, asking.answered(session.thing, given))
        except Unclear as error:
            raise refused("bad-payload", str(error)) from None
        return ended(iq, command, name, E("note", NS, said, type="info"))


def unkept(error: StoreError) -> StanzaError:
    return StanzaError("internal-server-error", f"That could not be kept: {error}")
