"""One rule as the configuration has it: its condition, and what is to be done."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from node.base.jid import Jid, JidError, make, parse

ACTIONS = 16  # things of one rule: a scene; each is a task of its own for some seconds


@dataclass(frozen=True)
class Rule:
    """`[[rule]]`. One condition: `above`, `below`, `equals`, or `gone` (the thing is offline)."""

    thing: str  # ours by its name, or an address
    field: str = ""
    name: str = ""
    above: Decimal | None = None
    below: Decimal | None = None
    equals: object = None  # true, false or a text; a number, however the sensor spells it
    gone: bool = False
    hysteresis: Decimal = Decimal(0)  # how far the value has to come back before the rule can act again
    lasting: float = 0.0  # seconds for which it has to hold
    set: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)  # controls, by thing
    tell: list[str] = dataclasses.field(default_factory=list)  # people
    say: str = ""  # with {thing}, {field} and {value}

    def __post_init__(self):
        said = [name for name in ("above", "below", "equals") if getattr(self, name) is not None]
        if len(said) + self.gone != 1:
            raise ValueError("needs one condition: above, below, equals or gone")
        if bool(self.field) == self.gone:
            raise ValueError("needs 'field', unless the condition is 'gone'")
        if self.lasting < 0 or self.hysteresis < 0:
            raise ValueError("lasting and hysteresis must not be negative")
        if not (self.set or self.tell):
            raise ValueError("needs 'set' or 'tell'")
        if len(self.set) > ACTIONS:
            raise ValueError(f"can set at most {ACTIONS} things")
        for name in (self.thing, *self.set):
            checked("thing", name, "localhost")
        for address in self.tell:
            checked("tell", address)
        try:
            self.say.format(thing="", field="", value="")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ValueError("say knows {thing}, {field} and {value}") from None

    @property
    def condition(self) -> str:
        """In words: 'light below 20'."""
        if self.gone:
            return "gone"
        if self.equals is not None:
            return f"{self.field} is {plain(self.equals)}"
        return f"{self.field} above {self.above}" if self.above is not None else f"{self.field} below {self.below}"

    @property
    def telling(self) -> str:
        """Under which it is kept that people were told: a rule that tells something else is a new one."""
        return repr((self.thing, self.condition, self.lasting, self.tell, self.say))

    def holds(self, value: str, was: bool) -> bool:
        """Whether the condition is true for a value; `was`: it was true before, and hysteresis counts."""
        if self.equals is not None and not is_number(self.equals):
            return value == plain(self.equals)
        try:
            number = Decimal({"true": "1", "false": "0"}.get(value, value))
        except InvalidOperation:
            return False
        if number.is_nan():
            return False
        if self.equals is not None:
            return number == self.equals  # 21 is "21.0", too; who means the spelling says "21"
        back = self.hysteresis if was else Decimal(0)
        if self.above is not None:
            return number > self.above - back
        return self.below is not None and number < self.below + back


def checked(option: str, address: str, host: str = "") -> Jid:
    """An account's address, or a name alone where that is one at `host`. Raises ValueError."""
    try:
        jid = make(address, host) if host and "@" not in address else parse(address)
    except JidError as error:
        raise ValueError(f"{option}: {address!r} is no address: {error}") from None
    if not jid.local or jid.full:
        raise ValueError(f"{option}: {address!r} is no address such as 'name@domain'")
    return jid


def is_number(value: object) -> bool:
    """Whether the TOML file has a number there."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def texts(controls: dict[str, object]) -> dict[str, str]:
    """Controls of a rule with their values as things have them."""
    return {name: plain(value) for name, value in controls.items()}


def plain(value) -> str:
    """A value of the TOML file as things have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
