"""hobnode thing: what is attached to the node, how it is, what it reads, and what was done with it."""

import re
import sys
import time

from node.cli import forget, office, place
from node.cli.table import print_table
from node.cli.trouble import Trouble
from node.config import Config
from node.hub.driver import Field
from node.ports.control import NotRunning
from node.things import words
from node.things.misnamed import guess

HEADER = ("NAME", "DRIVER", "STATE", "READINGS")
LOG = ("TIME", "WHO", "BY", "WHAT", "OUTCOME")
LAST = 20  # lines: what a screen holds
MOST = 1000  # lines: as many as are kept of one thing
TRUTH = re.compile(r"(?<=[= ])(true|false)(?=[,.;]|$)")  # 'lamp=true', 'it says false'


def arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "list the things: name, driver, state, readings"
    action = actions.add_parser("list", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    place.arguments(action)
    action.set_defaults(carry_out=show)
    summary = "tell what was done with a thing, by whom, and what came of it"
    action = actions.add_parser("log", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    action.add_argument("name", metavar="NAME", help="its address, or the part before the @")
    action.add_argument("--last", type=int, default=LAST, metavar="N", help=f"how many lines (default: {LAST})")
    place.arguments(action)
    action.set_defaults(carry_out=log)
    forget.arguments(actions)


def show(given) -> int:
    """Print the table; how a thing is only a running node knows."""
    config = office.configuration(given)
    try:
        found = {thing["name"]: thing for thing in office.ask_running(config, "thing-list")}
    except NotRunning:
        print("the node is not running; this is what it would have:", file=sys.stderr)
        found = None
    brought = [name for name in found or () if name not in config.things]  # by a gateway
    print_table([HEADER, *(_row(config, name, found) for name in (*config.things, *brought))])
    return 0


def log(given) -> int:
    """Print the last lines of a thing's audit."""
    if not 0 < given.last <= MOST:
        raise Trouble(f"--last takes 1 to {MOST}, not {given.last}")
    config = office.configuration(given)
    name = office.thing_name(config, given.name)
    lines = office.ask(config, "thing-log", name=name, count=given.last)
    if not lines:
        _look_for(config, name)
        print(f"nothing was done with {name} yet", file=sys.stderr)
        return 0
    print_table([LOG, *(_line(*each) for each in lines)])
    return 0


def _look_for(config: Config, name: str) -> None:
    """Raises Trouble when there never was a thing of that name, as far as can be known."""
    names = set(config.things)
    try:
        names |= {thing["name"] for thing in office.ask_running(config, "thing-list")}
    except NotRunning:
        if config.gateways:  # they may have brought it
            return
    if name.lower() not in names:
        raise Trouble(f"there is no thing {name!r}{guess(name.lower(), names)}", exit_code=1)


def _line(stamp: float, who: str, way: str, what: str, outcome: str) -> tuple[str, ...]:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stamp)), who, way, _plain(what), _plain(outcome)


def _plain(text: str) -> str:
    """With people's words for true and false."""
    return TRUTH.sub(lambda found: "on" if found[0] == "true" else "off", text.replace("true or false", "on or off"))


def _row(config: Config, name: str, found: dict | None) -> tuple[str, str, str, str]:
    configured = config.things.get(name)
    if configured is None:
        driver = "by a gateway"
    elif configured.board:
        driver = f"{configured.driver} ({configured.board.name})"
    else:
        driver = configured.driver
    if found is None:
        return name, driver, "not running", ""
    if name not in found:
        return name, driver, "not loaded", "configured after the node was started"
    thing = found[name]
    if thing["state"] == "offline":
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(thing["since"]))
        return name, driver, "offline", f"since {since}: {thing['reason']}"
    return name, driver, thing["state"], ", ".join(map(_reading, thing["readings"]))


def _reading(reading: dict) -> str:
    field = Field(reading["name"], reading.get("type", ""), reading["unit"])  # a node of last week tells no type
    return f"{reading['label'] or reading['name']} {words.value(field, reading['value'])}"
