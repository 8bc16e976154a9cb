"""Where the node's file is when nobody says: where `hobnode up` puts it, or the service."""

import os

from node.base.path import Path
from node.cli.trouble import Trouble

FILE = "hobnode.toml"
SERVICE = Path("/var/lib/hobnode") / FILE  # systemd/hobnode.service


def arguments(parser) -> None:
    """The options --config and --data; `named` reads them."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the node's TOML file (default: {data() / FILE}, or {SERVICE})"
    )
    where.add_argument("--data", type=Path, metavar="DIR", help=f"the same by its directory, as for up: DIR/{FILE}")


def named(given) -> Path:
    """The file that is meant. Raises Trouble if it is not said, and none is where it usually is."""
    if given.data:
        return given.data / FILE
    return given.config or usual()


def data() -> Path:
    """Where all that a person's node keeps belongs (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")) / "hobnode"


def usual() -> Path:
    """The file of this person's node, or that of the service. Raises Trouble."""
    ours = data() / FILE
    for file in (ours, SERVICE):
        if file.exists():
            return file
    hidden = os.path.lexists(SERVICE.parent) and not os.access(SERVICE.parent, os.X_OK)
    service = "; that of the service is for root: try with sudo" if hidden else ""
    raise Trouble(f"there is no {ours}: `hobnode up` makes it, --config FILE names another{service}")


def option(file: Path) -> str:
    """What has to be typed behind a command so that it finds this file."""
    return "" if file == data() / FILE else f" --config {file}"
