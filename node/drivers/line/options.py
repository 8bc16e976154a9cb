"""What the configuration says of a board that speaks lines: of its port, its format, and where its values are."""

from dataclasses import dataclass, field
from typing import Literal

from node.hub import formats, patience
from node.hub.driver import Control, Field
from node.hub.formats import Format, Place
from node.hub.formats.budget import compiled
from node.net.lines import LINE


@dataclass(slots=True)
class Sending:
    """Words of `[[thing.NAME.controls]]` of a board that just prints: what is sent to it, what it says to that."""

    send: str  # "LAMP {value}\n": {value} is what the control is set to
    confirm: str = ""  # a regular expression that is found in the line which confirms it; {value} as above
    true: str = "1"  # how a boolean is spelled
    false: str = "0"

    def __post_init__(self):
        if not self.send or len(self.send.encode()) > LINE:
            raise ValueError(f"send must be a text of 1 to {LINE} bytes")
        compiled(self.confirm.replace("{value}", "1"))


@dataclass(slots=True)
class Options:
    """`[thing.NAME]` with a board that speaks lines."""

    port: str  # /dev/serial/by-id/... stays the same when cables are changed
    baud: int = 115200
    format: Literal["json", "pairs", "csv", "regex", "paths"] = "json"  # json: the protocol in boards/README.md
    timeout: float = 4.0  # seconds for a reply: a Thing gives up after 5
    hello: float = 10.0  # seconds: an Uno is deaf for 2 after its port was opened, boards with Wi-Fi for 5
    heartbeat: float = 2.0  # json: seconds of silence until we ask whether it lives; after twice that it is gone
    # Of boards that just print:
    silence: float = 300.0  # seconds without a line that is understood until it counts as gone; 0: never
    separator: str = ""  # between pairs (blanks, commas or semicolons) or columns (a comma)
    sign: str = "="  # between a key and its value
    ask: str = ""  # sent when the port is open, for boards that speak only when asked
    every: float = 0.0  # seconds from one `ask` to the next; 0: once
    fields: dict[str, Place] = field(default_factory=dict)
    controls: dict[str, Sending] = field(default_factory=dict)

    def __post_init__(self):
        patience.check(self, "baud", "timeout", "heartbeat")
        for name in ("silence", "every", "hello"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be less than 0")
        if self.format != "json":
            formats.check(self.format, self.fields)
        elif self.fields or self.controls:
            name = next(iter({**self.fields, **self.controls}))
            raise ValueError(f"{name!r}: a board with format = 'json' says itself where its values are")
        elif not self.hello:
            raise ValueError("hello must be more than 0: a board with format = 'json' says it")

    def reader(self, fields: tuple[Field, ...]) -> Format:
        """What understands a board that just prints. Raises ValueError."""
        assert self.format != "json"
        return Format(self.format, fields, self.fields, self.separator, self.sign)

    def misfit(self, fields: tuple[Field, ...], controls: tuple[Control, ...]) -> str:
        """What of the declared has no place, or one that does not fit; '' when all is well."""
        if self.format == "json":
            return ""
        try:
            self.reader(fields)
        except ValueError as error:
            return str(error)
        lost = [control.name for control in controls if control.name not in self.controls]
        return f"control {lost[0]!r} needs 'send'" if lost else ""
