"""hobnode thing forget: nothing is kept any more of a device that has left for good."""

from node.cli import office, place
from node.cli.trouble import Trouble
from node.ports.control import NotRunning

SUMMARY = "forget a device of the MQTT broker that has left for good: followers, rights, alerts, history and log"
RUNS = "The node has to run."


def arguments(actions) -> None:
    action = actions.add_parser("forget", help=SUMMARY, description=f"{SUMMARY[0].upper()}{SUMMARY[1:]}. {RUNS}")
    action.add_argument("name", metavar="NAME", help="its address, or the part before the @")
    place.arguments(action)
    action.set_defaults(carry_out=forget)


def forget(given) -> int:
    try:
        config = office.configuration(given)
        print(office.ask_running(config, "thing-forget", name=office.thing_name(config, given.name)))
    except NotRunning:
        raise Trouble("the node is not running: only it knows who is there", exit_code=1) from None
    return 0
