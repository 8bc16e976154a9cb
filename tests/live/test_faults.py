"""What a bad card, a full one, a slow one and a wrong clock do to a node, as its people notice it.

The names begin with the rows of the catalogue of faults: R3 damaged files, R4 no room, R5 a disk that fails to sync,
R6 the clock, R8 a slow disk.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.live.device import Device, Refused
from tests.live.household import starts
from tests.live.peers import Node

DOMAIN = "home.example"
ROSTER = "jabber:iq:roster"
YEAR = 365 * 86400


@pytest.fixture
def home(nodes):
    """A node with Ann, Bob and Carol, which has ended in order."""
    home = nodes(DOMAIN)
    home.start()
    home.add("ann", "bob", "carol")
    home.stop()
    return home


class Spoiler:
    """What is wrong with the disk and the clock of a node; it does not run yet."""

    def __init__(self, home: Node):
        self.path = home.folder / "spoilt"
        self.does()
        home.within = (sys.executable, "-m", "tests.live.faulty", str(self.path))

    def does(self, **faults) -> None:
        """These faults from now on, and no others."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(faults))
        fresh.replace(self.path)


@asynccontextmanager
async def people(home, *names):
    """A device for each, logged in; in the end they ack what they have, and leave."""
    devices = [Device(home, f"{name}@{DOMAIN}/phone") for name in names]
    try:
        for device in devices:
            await device.arrives()
        yield devices
    finally:
        for device in devices:
            if device.connected:
                await device.leaves()


def write(device, to, id):
    """A chat message whose text is its id."""
    text = f"<message type='chat' to='{to}@{DOMAIN}' id='{id}'><body>{id}</body></message>"
    device.sends(text, id)


def texts(heard):
    return [each.body for each in heard]


async def hear(device, *ids):
    """These and nothing else, in this order, are what is new to the device."""
    await device.until(lambda: len(device.came) >= len(ids), f"messages {ids}")
    assert texts(device.came) == list(ids)
    device.came.clear()


async def h_now(device):
    """The `h` that is said at once."""
    before = device.acks
    device.requests()
    await device.until(lambda: device.acks > before, "an answer to <r/>")
    return device.acked


async def add_contact(device, name):
    await device.asks("set", f"<query xmlns='{ROSTER}'><item jid='{name}@elsewhere.example'/></query>")


async def contacts(device):
    """The names in the own roster."""
    answer = await device.asks("get", f"<query xmlns='{ROSTER}'/>")
    return {item.get("jid").partition("@")[0] for item in answer.iter(f"{{{ROSTER}}}item")}


# R3: damaged files


def empty(path):
    os.truncate(path, 0)


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def spoil_header(path):
    _overwrite(path, 0)


def spoil_page(path):
    _overwrite(path, 4096)


def _overwrite(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 4096)


DAMAGES = (empty, halve, spoil_header, spoil_page)


def test_R3_a_damaged_archive_or_history_of_things_costs_nobody_his_account(home, run):
    async def before():
        async with people(home, "ann") as (ann,):
            await add_contact(ann, "friend")
            write(ann, "bob", "for later")
            await ann.all_covered()

    async def after(number):
        async with people(home, "ann", "carol") as (ann, carol):
            assert await contacts(ann) == {"friend"}
            write(ann, "carol", f"again {number}")
            await hear(carol, f"again {number}")
            await ann.all_covered()
            assert texts(await ann.history()) == [f"again {number}"]  # a new archive

    async def last():
        async with people(home, "bob") as (bob,):
            await hear(bob, "for later")

    home.start()
    run(before())
    for number, damage in enumerate(DAMAGES):
        home.stop()
        for name in ("archive.db", "things.db"):
            damage(home.data / name)
        if number:
            time.sleep(1)  # the name that a damaged file gets has the second in it
        starts(home)
        for name in ("archive.db",) if damage is spoil_page else ("archive.db", "things.db"):  # this has one page yet
            assert len(list(home.data.glob(f"{name}.damaged-*"))) == number + 1, damage
            home.log.wait(f"{name} is damaged")
        run(after(number))
    run(last())


def test_R3_damaged_accounts_are_not_thrown_away_and_a_copy_brings_them_back(home, run):
    path = home.data / "accounts.db"
    copy = path.read_bytes()
    others = {name: (home.data / name).read_bytes() for name in ("archive.db", "things.db")}
    for damage in DAMAGES:
        damage(path)
        damaged = path.read_bytes()
        refused = home.command("run")
        assert refused.returncode != 0
        assert "accounts.db is damaged" in refused.stderr and "put back a copy" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert path.read_bytes() == damaged
        assert {name: (home.data / name).read_bytes() for name in others} == others
        path.write_bytes(copy)
    home.start()

    async def login():
        async with people(home, "ann"):
            pass

    run(login())


def test_R3_a_torn_log_costs_its_end_and_a_missing_index_nothing(home, run):
    """What a power cut makes of the log on a card that lies: its end is torn, one of its pages is another's."""

    async def talk():
        async with people(home, "ann", "bob") as (ann, bob):
            for number in range(10):
                await add_contact(ann, f"c{number}")
                write(ann, "bob", f"m{number}")
                await ann.all_covered()
            await ann.asks("get", "<ping xmlns='urn:xmpp:ping'/>")
            await hear(bob, *(f"m{number}" for number in range(10)))

    async def finds():
        async with people(home, "ann") as (ann,):
            return len(await contacts(ann)), texts(await ann.history())

    home.start()
    run(talk())
    home.stop(signal.SIGKILL)
    saved = home.folder / "saved"
    shutil.copytree(home.data, saved, ignore=shutil.ignore_patterns("control"))

    def start_with(spoil):
        home.stop(signal.SIGKILL)
        shutil.rmtree(home.data)
        shutil.copytree(saved, home.data)
        for name in ("accounts.db", "archive.db"):
            spoil(home.data / name)
        starts(home)
        assert not list(home.data.glob("*.damaged-*"))
        return run(finds())

    def log(path):
        return path.with_name(path.name + "-wal")

    def tear(path):
        os.truncate(log(path), log(path).stat().st_size - 5000)

    def overwrite(path):
        _overwrite(log(path), log(path).stat().st_size - 20_000)

    assert start_with(lambda path: path.with_name(path.name + "-shm").unlink()) == (10, [f"m{n}" for n in range(10)])
    for spoil in (tear, overwrite):
        number, history = start_with(spoil)
        assert 0 < number < 10 and 0 < len(history) < 10
        assert history == [f"m{n}" for n in range(len(history))]


# R4: no room


def test_R4_on_a_full_disk_live_chat_goes_on_and_room_is_used_without_a_restart(home, run):
    mount = 'cp -a "$0" "$0.saved" && mount -t tmpfs -o size=2m tmpfs "$0" && cp -a "$0.saved/." "$0" && exec "$@"'
    home.within = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(home.data))
    if subprocess.run([*home.within[:3], "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False).returncode:
        pytest.fail("a disk of our own to fill takes the right to mount: run this test as root")
    home.start()
    data = Path(f"/proc/{home.process.pid}/root{home.data}")
    assert shutil.disk_usage(data).total == 2 << 20

    async def story():
        async with people(home, "ann", "bob") as (ann, bob):
            await ann.all_covered()
            fill(data / "filler")
            acked = ann.acked
            for number in range(3):
                write(ann, "bob", f"live {number}")
                await hear(bob, f"live {number}")
                write(ann, "carol", f"refused {number}")
                await hear(ann, "resource-constraint text")
                with pytest.raises(Refused, match="resource-constraint"):
                    await add_contact(ann, f"refused{number}")
                await ann.ping()
            assert await h_now(ann) == acked  # nothing of it is safe
            (data / "filler").unlink()
            await ann.all_covered()
            await add_contact(ann, "friend")
            write(ann, "carol", "kept")
            await ann.all_covered()
            async with people(home, "carol") as (carol,):
                await hear(carol, "kept")
                assert await contacts(ann) == {"friend"}
                sent = [text for text in texts(await ann.history()) if "refused" not in text]
                assert sent == ["live 0", "live 1", "live 2", "kept"]

    run(story())
    home.log.wait("the disk is full")
    assert "Traceback" not in home.said()


def fill(path):
    """Takes all the room that there is."""
    with open(path, "wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break


# R5: a disk that fails to sync


@pytest.mark.parametrize("done", [False, True], ids=["lost", "on disk all the same"])
def test_R5_what_could_not_be_synced_is_neither_acked_nor_there_twice(home, run, done):
    disk = Spoiler(home)
    home.start()

    async def story():
        async with people(home, "ann", "bob") as (ann, bob):
            await ann.all_covered()
            acked = ann.acked
            disk.does(fails="IOERR_FSYNC", done=done)
            write(ann, "bob", "live")
            await hear(bob, "live")
            with pytest.raises(Refused, match="resource-constraint"):
                await add_contact(ann, "refused")
            assert await h_now(ann) == acked
            await ann.ping()
            disk.does()
            await ann.all_covered()
            await add_contact(ann, "friend")
            home.stop(signal.SIGKILL)
            for device in (ann, bob):
                await device.ended()

    async def afterwards():
        async with people(home, "ann", "bob") as (ann, bob):
            for device in (ann, bob):
                assert texts(await device.history()) == ["live"]
            assert await contacts(ann) - {"refused"} == {"friend"}

    run(story())
    home.log.wait("archive.db: writing works again")
    assert home.said().count("archive.db: the disk reports an error") == 1
    home.within = ()
    starts(home)
    run(afterwards())
    assert not list(home.data.glob("*.damaged-*"))


def test_R4_a_card_that_has_become_read_only(home, run):
    disk = Spoiler(home)
    home.start()

    async def story():
        async with people(home, "ann", "bob") as (ann, bob):
            await ann.all_covered()
            acked = ann.acked
            disk.does(fails="READONLY")
            write(ann, "bob", "live")
            await hear(bob, "live")
            with pytest.raises(Refused, match="resource-constraint"):
                await add_contact(ann, "refused")
            assert await h_now(ann) == acked
            disk.does()  # mended and mounted again
            await ann.all_covered()
            await add_contact(ann, "friend")
            assert await contacts(ann) == {"friend"}

    run(story())
    home.log.wait("the disk is read-only")


# R6: the clock


def test_R6_whatever_the_clock_says_history_has_an_order_and_nobody_is_thrown_out(home, run):
    clock = Spoiler(home)
    in_1970 = 1000 - time.time()
    steps = {"in 1970": in_1970, "now": 0, "an hour back": -3600, "an hour on": 3600, "at last": 0}
    clock.does(clock=in_1970)
    home.start()

    async def story():
        async with people(home, "ann", "bob") as (ann, bob):
            for when, ahead in steps.items():
                clock.does(clock=ahead)
                write(ann, "carol", when)
                await ann.all_covered()
                bob.drops()
                await bob.ended()
                assert await bob.arrives()  # resumed: how long he was away no clock says
            await tells(ann)

    async def tells(ann):
        history = await ann.history()
        assert texts(history) == list(steps)
        stamps = [heard.stamp for heard in history]
        assert stamps == sorted(stamps)
        assert stamps[0].startswith("1970-")

    async def afterwards():
        async with people(home, "ann", "carol") as (ann, carol):
            await hear(carol, *steps)
            await tells(ann)
            write(ann, "bob", "in 1970 again")
            await ann.all_covered()
            assert texts(await ann.history()) == [*steps, "in 1970 again"]

    run(story())
    clock.does(clock=in_1970)
    home.stop(signal.SIGKILL)
    starts(home)
    run(afterwards())


# R8: a slow disk


def test_R8_a_disk_that_takes_two_seconds_delays_acks_and_nobody_else(home, run):
    disk = Spoiler(home)
    home.start()

    async def story():
        async with people(home, "ann", "bob") as (ann, bob):
            await ann.all_covered()
            acked = ann.acked
            disk.does(slow=2)
            write(ann, "bob", "live")
            await hear(bob, "live")
            assert await h_now(ann) == acked
            covered = asyncio.ensure_future(ann.all_covered())
            for _ in range(20):
                await bob.ping()
                assert ann.acked == acked and not covered.done(), "a ping was answered after the commit only"
            disk.does()
            await covered
            assert ann.acked > acked

    run(story())
