"""What a node needs before it serves: free ports, a directory, a certificate. Looks first, then makes."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from node.base import jid
from node.base.path import Path
from node.cli.trouble import Trouble
from node.config import Config
from node.hub.store import StoreError
from node.net import certificate, listener, tls
from node.ports import control

Answer = TypeVar("Answer")

log = logging.getLogger("hobnode")


def look(config: Config) -> None:
    """Whether this node can serve. Changes nothing; raises Trouble with the first reason why not."""
    look_at_directory(config.data)
    if control.is_running(config.data):
        raise Trouble(f"a node is already running on {config.data}")
    _look_at_certificate(config)
    wrong: dict[str, list[str]] = {}
    for name, port in config.listen.ports.items():
        try:
            listener.look(config.listen.address, port)
        except listener.ListenError as error:
            wrong.setdefault(str(error), []).append(name)
    if wrong:
        said = ", ".join(f"{' and '.join(names)}: {error}" for error, names in wrong.items())
        raise Trouble(f"[listen] {said}; change that in {config.path}")


def make(config: Config) -> None:
    """Make what is missing: the directory and, unless [tls] names one, a certificate for the domain. Raises Trouble."""
    try:
        os.makedirs(config.data, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Trouble(f"data: {config.data} cannot be made: {error.strerror}") from error
    try:
        if config.certificate.exists():
            _put_aside(config, certificate.load(config.certificate))
        if not config.certificate.exists():
            certificate.make(config.domain, config.certificate, config.key)
    except certificate.CertificateError as error:
        raise Trouble(str(error)) from error


def refusal(config: Config, shown: certificate.Certificate) -> str:
    """Why our certificate may not speak for the domain that the file names, or ''."""
    if config.domain.startswith("[") or not config.domain.strip("0123456789."):
        return ""  # an IP address, whose certificates have no names to compare
    why = tls.refusal(shown.der, jid.ascii_domain(config.domain))
    return f"{why}; it has to be for {config.domain}" if why else ""


def _put_aside(config: Config, shown: certificate.Certificate) -> None:
    """One that was made here for another domain gives way to a new one; of another the log tells."""
    why = refusal(config, shown)
    if not why:
        return
    if config.tls.certificate is not None or not certificate.made_here(shown):
        log.warning("%s", why)
        return
    # The certificate first: without it both are made, whenever the power fails.
    for file in (config.certificate, config.key):
        os.replace(file, f"{file}.{shown.names[0]}")
    log.warning("%s: a new one is made; who trusts the old one has to trust it, too", why)


def serve(config: Config, announce: Callable[[], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly end. Raises Trouble for what only showed now."""
    from node.app import serve as serve_until_stopped  # not before all is well: a mistake is answered at once

    try:
        return complete(serve_until_stopped(config, announce))
    except (StoreError, listener.ListenError, certificate.CertificateError) as error:
        raise Trouble(str(error)) from error


def complete(work: Coroutine[Any, Any, Answer]) -> Answer:
    """What `asyncio.run` does, but for its handler of Ctrl-C. That knows the task, and `signal` spells it out when ours
    takes its place: which loads `inspect`, 0.7 MiB."""
    with asyncio.Runner() as runner:  # cancels what has not ended
        return runner.get_loop().run_until_complete(work)


def look_at_directory(data: Path) -> None:
    """Whether we may make this directory, or write in it. Changes nothing; raises Trouble."""
    if data.exists():
        owner = os.stat(data).st_uid
        if owner != os.geteuid():
            # Files that root makes in somebody else's directory would lock that somebody out.
            raise Trouble(f"data: {data} belongs to user {owner}; run the node as that user")
        if not os.access(data, os.W_OK | os.X_OK):
            raise Trouble(f"data: {data} cannot be written to")
        return
    above = data.parent
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise Trouble(f"data: {data} cannot be made: {above} cannot be written to")


def _look_at_certificate(config: Config) -> None:
    if not config.certificate.exists() and config.tls.certificate is None:
        return
    try:
        tls.Identity(config.certificate, config.key)
    except certificate.CertificateError as error:
        raise Trouble(str(error)) from error
