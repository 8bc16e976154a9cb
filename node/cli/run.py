"""hobnode run: serve with the configuration of a file."""

from node.base.path import Path
from node.cli import ground, log
from node.config import load


def arguments(parser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the TOML file")
    log.arguments(parser)
    parser.set_defaults(carry_out=run)


def run(given) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly end."""
    log.start(log.level(given))
    config = load(given.config)
    ground.look(config)
    ground.make(config)
    return ground.serve(config)
