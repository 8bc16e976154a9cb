"""hobnode run: serve with the configuration of a file."""

from node.cli import ground, log, place
from node.config import load


def arguments(parser) -> None:
    place.arguments(parser)
    log.arguments(parser)
    parser.set_defaults(carry_out=run)


def run(given) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly end."""
    log.start(log.level(given))
    config = load(place.named(given))
    ground.look(config)
    ground.make(config)
    return ground.serve(config)
