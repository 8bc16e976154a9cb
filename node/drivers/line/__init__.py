"""Boards that speak lines over a serial port: by our protocol (boards/README.md), or as they were made."""

from node.drivers.line.options import Options
from node.drivers.line.printing import Printing
from node.drivers.line.protocol import Talking
from node.hub.driver import Control, Field

__all__ = ["Driver", "Options"]


def Driver(  # in the place of a class: which one, the format says
    options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()
) -> Printing | Talking:
    """A board that speaks our protocol, or one that just prints."""
    return (Talking if options.format == "json" else Printing)(options, fields, controls)
