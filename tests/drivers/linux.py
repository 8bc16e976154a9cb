"""A tree of files as the kernel shows them, and things in it as a configuration declares them."""

import asyncio
import contextlib
import os
from pathlib import Path

from node.config import load
from node.drivers.linux import Driver


class Tree:
    """Files below a folder; each call changes some of them. None removes one; a folder goes with its last file."""

    def __init__(self, folder: Path):
        self.root = folder / "root"
        self.config = folder / "hobnode.toml"

    def __call__(self, files: dict[str, str | None]) -> None:
        for name, text in files.items():
            path = self.root / name
            if text is None:
                path.unlink()
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.write_text(text)

    def says(self, name: str) -> str:
        return (self.root / name).read_text()

    def hangs(self, name: str) -> Path:
        """A file of which no reading ends before its pipe `lets_go`."""
        path, pipe = self.root / name, self.root / "pipe"
        os.mkfifo(pipe)
        path.unlink()
        path.symlink_to(pipe)
        return pipe

    def thing(self, toml: str) -> Driver:
        """The driver of `[thing.cellar]`, of which `toml` are the further lines."""
        text = f'domain = "home.example"\n[thing.cellar]\ndriver = "linux"\nroot = "{self.root}"\n{toml}\n'
        thing = load(self.config, text).things["cellar"]
        return Driver(thing.options, thing.declared.fields, thing.declared.controls)


def field(name: str, place: str) -> str:
    """TOML that declares a field: `field("cpu", 'hwmon = "coretemp/temp1"')`."""
    return f'[[thing.cellar.fields]]\nname = "{name}"\n{place}\n'


def control(name: str, place: str, type: str = "boolean") -> str:
    return f'[[thing.cellar.controls]]\nname = "{name}"\ntype = "{type}"\n{place}\n'


async def opened(driver: Driver) -> Driver:
    await driver.open(lambda readings: None)
    return driver


async def first(driver: Driver) -> dict[str, str]:
    """Opens it; what it reads."""
    return await (await opened(driver)).read()


def lets_go(path: Path) -> None:
    """Ends the readings of a file that hangs: they come to nothing."""
    with contextlib.suppress(OSError):  # nobody reads it just now
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


async def gone(driver: Driver) -> str:
    async with asyncio.timeout(5):
        return await driver.gone()
