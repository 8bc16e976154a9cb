"""Control by machines: urn:nf/nfi/ieee:iot:ctr:1.0 and XEP-0325, one `set` in two spellings.

All parameters are checked before the hardware is touched, and the answer comes when it has confirmed. A `set`
in a message is carried out without an answer (L-6).
"""

from node.base import form
from node.base.element import E, Element
from node.base.errors import StanzaError
from node.hub.thing import ControlError, Thing
from node.things.access import told
from node.things.dialects import SETTERS, Dialect, addressed, dialects
from node.things.late import late
from node.things.once import Once
from node.things.questions import question

NEEDS = ("access",)

LEGACY = "urn:xmpp:iot:control"

PARAMETERS = 100  # in one `set`: more than a board has controls
ELEMENTS = {name for names in SETTERS.values() for name in names}


def setup(hub, options):
    control = Control(hub)
    hub.provide("control", control)
    for dialect in dialects("ctr", LEGACY):
        hub.advertise(dialect.ns, at="thing")
        hub.on_iq("set", "set", dialect.ns, control.set, at="thing")
        hub.on_iq("get", "getForm", dialect.ns, control.form, at="thing")
        control.dialects[dialect.ns] = dialect


class Control:
    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.dialects: dict[str, Dialect] = {}
        self.once = Once(hub.loop)

    async def set(self, iq, origin):
        """CT-2 to CT-5: done as asked, or not begun. The same iq again gets the same answer (CT-8)."""
        begun = self.once.outcome(iq)
        if begun is None:
            begun = self.hub.spawn(self.carry_out(iq, iq.payload), f"{iq.sender} sets {iq.to.bare}")
            self.once.keep(iq, begun)
        refused = await begun
        if refused is not None:
            raise refused
        dialect = self.dialects[iq.payload.ns]
        # L-6: older peers wait for the responseCode
        return iq.reply(E("resp", dialect.ns) if dialect.short else E("setResponse", dialect.ns, responseCode="OK"))

    async def carry_out(self, stanza, asked):
        """Sets what is asked; the StanzaError to answer with when that did not work."""
        thing, dialect = self.hub.things[stanza.to.bare], self.dialects[asked.ns]
        what = told(given(dialect, asked))
        try:
            self.access.demand(thing, stanza.sender, dialect.ns, f"set {what}".rstrip())
            try:
                addressed(dialect, asked, thing.jid.local)
                values = wanted(dialect, asked, thing)
            except (ControlError, StanzaError) as error:
                self.access.audit.note(thing.jid, stanza.sender, dialect.ns, what, f"failed: {error.text}")
                raise
            await self.access.command(thing, values, stanza.sender, dialect.ns)
        except ControlError as error:
            return refusal(dialect, error)
        except StanzaError as error:
            return error
        return None

    def overhear(self, message):
        """A `set` in a message, if there is one: carried out in silence."""
        for dialect in self.dialects.values():
            asked = message.child("set", dialect.ns)
            if asked is None or late(message) is not None or self.once.outcome(message) is not None:
                continue
            work = self.carry_out(message, asked)
            self.once.keep(message, self.hub.spawn(work, f"{message.sender} sets {message.to.bare}"))
            return

    def form(self, iq, origin):
        """CT-6: what can be set, in an order in which it can be set, with the values now."""
        thing, dialect = self.hub.things[iq.to.bare], self.dialects[iq.payload.ns]
        self.access.demand(thing, iq.sender, dialect.ns, "getForm")
        addressed(dialect, iq.payload, thing.jid.local)
        questions = (question(thing, each, not_same=True) for each in thing.controls.values())
        return iq.reply(form.form(*questions, title=thing.label))


def given(dialect: Dialect, asked: Element) -> dict[str, str]:
    """What a `set` says, for the audit: nobody has looked yet whether it makes sense."""
    submitted = asked.find("x", form.NS)
    if submitted is not None:
        return first_values(submitted)
    return {name: each.get(dialect.value) or "" for each in asked.elements if (name := each.get(dialect.name))}


def first_values(submitted: Element) -> dict[str, str]:
    """A form's answers of one value each, without what belongs to the form itself."""
    return {var: texts[0] if texts else "" for var, texts in form.values(submitted).items() if var not in OWN}


def wanted(dialect: Dialect, asked: Element, thing: Thing) -> dict[str, str]:
    """The values by control, in the order of the document (CT-2). Raises ControlError, StanzaError."""
    submitted = asked.find("x", form.NS)
    parameters = [each for each in asked.elements if each.name != dialect.node or each.ns != dialect.ns]
    if len(parameters) > PARAMETERS:
        raise StanzaError("bad-request", f"At most {PARAMETERS} parameters at once.")
    if submitted is None:
        each_of_them = [typed(dialect, each, thing) for each in parameters]
        values = dict(each_of_them)
        if len(values) < len(each_of_them):
            raise StanzaError("bad-request", "One parameter is given twice.")
    elif len(parameters) > 1:
        raise StanzaError("bad-request", "Either a form or parameters, not both.")
    else:
        values = first_values(submitted)
    if not values:
        raise StanzaError("bad-request", "Nothing to set.")
    return values


OWN = ("FORM_TYPE", "xdd session")  # fields of the form itself (XEP-0068, XEP-0336)


def typed(dialect, element, thing):
    """One parameter with its value, if its element is one for a control of that type (CT-3)."""
    name = element.get(dialect.name)
    if element.ns != dialect.ns or element.name not in ELEMENTS or name is None:
        raise StanzaError("bad-request", f"{element.name[:40]!r} is no parameter with a name.")
    control = thing.controls.get(name)
    if control is not None and element.name not in SETTERS[control.type]:
        raise ControlError(
            name, "bad-request", "modify", f"A parameter of type {control.type} is not a {element.name}."
        )
    return name, element.get(dialect.value) or ""


def refusal(dialect, error):
    """The control's name goes into `paramError`, under both names that peers look for (devices.md A2)."""
    if error.type != "modify":
        return StanzaError(error.condition, error.text, type=error.type)
    told = E("paramError", dialect.ns, error.text, n=error.name, var=error.name)
    return StanzaError(error.condition, error.text, type=error.type, extra=told)
