"""What a node needs before it serves: free ports, a directory, a certificate. Looks first, then makes."""

import asyncio
import os
from collections.abc import Callable

from node.base.path import Path
from node.cli.trouble import Trouble
from node.config import Config
from node.hub.store import StoreError
from node.net import certificate, listener, tls
from node.ports import control


def look(config: Config) -> None:
    """Whether this node can serve. Changes nothing; raises Trouble with the first reason why not."""
    _look_at_directory(config.data)
    if control.is_running(config.data):
        raise Trouble(f"a node is already running on {config.data}")
    _look_at_certificate(config)
    for name, port in config.listen.ports.items():
        try:
            listener.look(config.listen.address, port)
        except listener.ListenError as error:
            raise Trouble(f"[listen] {name}: {error}; {config.path} can name another") from error


def make(config: Config) -> None:
    """Make what is missing: the directory and, unless [tls] names one, a certificate. Raises Trouble."""
    try:
        os.makedirs(config.data, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Trouble(f"data: {config.data} cannot be made: {error.strerror}") from error
    if not config.certificate.exists():
        try:
            certificate.make(config.domain, config.certificate, config.key)
        except certificate.CertificateError as error:
            raise Trouble(str(error)) from error


def serve(config: Config, announce: Callable[[], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly end. Raises Trouble for what only showed now."""
    from node.app import serve as serve_until_stopped  # not before all is well: a mistake is answered at once

    try:
        return asyncio.run(serve_until_stopped(config, announce))
    except (StoreError, listener.ListenError, certificate.CertificateError) as error:
        raise Trouble(str(error)) from error


def _look_at_directory(data: Path) -> None:
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
