"""How a command reaches the administration: at the node that runs, or in its files when none does."""

import asyncio
import os
import sys
from contextlib import closing, suppress
from typing import Any

from node.app import assemble
from node.base import jid
from node.cli import place
from node.cli.trouble import Trouble
from node.config import Config, load
from node.hub.accounts import Accounts
from node.hub.hub import Hub
from node.hub.store import Store, StoreError
from node.ports import administration, control
from node.ports.client import saved


def configuration(given, aloud: bool = True) -> Config:
    """What the file says that is meant; of what is lacking it tells `aloud`. Raises ConfigError, and Trouble if a node
    runs there under another domain."""
    config = load(place.named(given))
    for each in config.lacking if aloud else ():
        print(f"hobnode: {each}", file=sys.stderr)
    with suppress(control.NotRunning):
        running = ask_running(config, "domain")
        if running != config.domain:
            raise Trouble(f"the running node is {running}; {config.path} says {config.domain}: restart it")
    return config


def thing_name(config: Config, text: str) -> str:
    """What a thing is called here by somebody who may give all of its address. Raises Trouble."""
    if "@" not in text:
        return text
    try:
        address = jid.parse(text)
    except jid.JidError as error:
        raise Trouble(f"{text!r} is no address: {error}") from error
    if address.domain != config.domain:
        raise Trouble(f"this node has the things of {config.domain}, not of {address.domain}")
    return address.local


def ask(config: Config, do: str, **arguments: Any) -> Any:
    """Carry out a request of `node.ports.administration` and return its answer. Raises Trouble."""
    try:
        return ask_running(config, do, **arguments)
    except control.NotRunning:
        pass
    if do == "user-list" and not (config.data / "accounts.db").exists():
        return []  # who only looks makes no files
    _become_owner(config)
    try:
        return asyncio.run(_alone(config, do, arguments))
    except control.Refused as refused:
        raise Trouble(str(refused), exit_code=1) from refused
    except StoreError as error:
        raise Trouble(str(error)) from error


def ask_running(config: Config, do: str, **arguments: Any) -> Any:
    """The same, at a running node only. Raises control.NotRunning, Trouble."""
    try:
        return control.ask(config.data, do, **arguments)
    except control.Refused as refused:
        raise Trouble(str(refused), exit_code=1) from refused
    except PermissionError as error:
        raise Trouble(f"{config.data} belongs to another user: try with sudo") from error
    except (OSError, ValueError) as error:
        raise Trouble(f"the node that runs on {config.data} does not answer: {error}") from error


async def _alone(config: Config, do: str, arguments: dict[str, Any]) -> Any:
    loop = asyncio.get_running_loop()
    with closing(Store(config.data, loop)) as store:
        hub = Hub(jid.make("", config.domain), store, Accounts(store.accounts, config.domain), loop)
        assemble(hub, config)  # whoever is removed, the features have to forget, and
        saved.setup(hub)  # what the client port has kept of his sessions
        return await administration.requests(hub)[do](arguments)


def _become_owner(config: Config) -> None:
    """As root, act as the user to whom the directory belongs, so that the node can read what we write."""
    if os.geteuid() != 0 or not config.data.exists():
        return
    owner = os.stat(config.data)
    if owner.st_uid != 0:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
