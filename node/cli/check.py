"""hobnode check: what is in order and what is not, in plain words. Changes nothing."""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from hashlib import sha256

from node.base import jid
from node.base.path import Path
from node.cli import ground, office, place
from node.cli.log import escaped
from node.cli.trouble import Trouble
from node.config import Config
from node.net import certificate, dns, listener, tls
from node.ports import control
from node.things import misnamed

GOOD, NOTE, PROBLEM = "ok", "note", "problem"
Finding = tuple[str, str]

DAY = 86400
EXPIRES_SOON = 14 * DAY  # time to get a new one at leisure
LITTLE_SPACE = 500 << 20  # bytes: some months of chat, and SQLite's logs
NO_SPACE = 50 << 20  # bytes: the next days would fill it
SLOW_SYNC = 0.5  # seconds; a good SD card takes 0.02, a dying one seconds
DEADLINE = 10  # seconds for one question to a port or to DNS
LINE = 500  # characters
WAYS = {  # SRV names of each port (RFC 6120 §3.2.1, XEP-0368)
    "client": "_xmpp-client._tcp",
    "client_tls": "_xmpps-client._tcp",
    "server": "_xmpp-server._tcp",
}


def arguments(parser) -> None:
    place.arguments(parser)
    parser.set_defaults(carry_out=run)


def run(given) -> int:
    """Print one line per finding; 0 if all is in order, 1 if there is a problem."""
    config = office.configuration(given, aloud=False)
    worst = 0
    for subject, (level, text) in findings(config):
        print(f"{level:8} {subject}: {escaped(text, LINE)}", flush=True)
        worst = max(worst, level == PROBLEM)
    return int(worst)


def findings(config: Config) -> Iterator[tuple[str, Finding]]:
    """Everything that is looked at, each with its subject, as soon as it is known."""
    running = _running(config)
    for subject, look in (
        ("configuration", configuration),
        ("node", lambda config: node(config, running)),
        ("clock", clock),
        ("disk", disk),
        ("certificate", certificate_),
        ("ports", lambda config: ports(config, running)),
        ("DNS", lambda config: asyncio.run(names(config))),
        ("people", lambda config: people(config, running)),
        ("access", lambda config: access(config, running)),
        ("rules", lambda config: rules(config, running)),
        ("things", lambda config: things(config, running)),
    ):
        for finding in look(config):
            yield subject, finding


def configuration(config: Config) -> Iterator[Finding]:
    peers = f", {_counted(config.peers, 'known node')}" if config.peers else ""
    yield GOOD, f"{config.path}: {config.domain}, {_counted(config.things, 'thing')}{peers}"
    for each in config.lacking:
        yield PROBLEM, each
    access = config.tables.get("access")
    if not (access and (access.control or any(each.control for each in access.things.values()))):
        yield (
            NOTE,
            f'nobody may control the things: [access] control = ["NAME@{config.domain}"] would allow it',
        )


def node(config: Config, running: bool) -> Iterator[Finding]:
    yield (GOOD, "running") if running else (NOTE, f"not running: hobnode run{place.option(config.path)}")


def clock(config: Config) -> Iterator[Finding]:
    now = time.time()
    if now < certificate.PLAUSIBLE.timestamp():
        yield PROBLEM, f"it is not {_date(now)}: set the clock, or let systemd-timesyncd do it"
    elif Path("/run/systemd/timesync").is_dir() and not Path("/run/systemd/timesync/synchronized").exists():
        yield NOTE, f"{_date(now)}, but no time server has confirmed it yet"
    else:
        yield GOOD, time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))


def disk(config: Config) -> Iterator[Finding]:
    if not config.data.is_dir():
        yield NOTE, f"{config.data} is not there yet; the node makes it when it starts"
        return
    free = shutil.disk_usage(config.data).free
    level = PROBLEM if free < NO_SPACE else NOTE if free < LITTLE_SPACE else GOOD
    yield level, f"{free >> 20} MiB free for {config.data}"
    try:
        seconds = _sync_time(config.data)
    except OSError as error:
        yield PROBLEM, f"{config.data} cannot be written to: {error.strerror}"
        return
    level = NOTE if seconds > SLOW_SYNC else GOOD
    slow = "; that is slow, the card may be failing" if level == NOTE else ""
    yield level, f"keeping a few bytes takes {seconds * 1000:.1f} ms{slow}"


def certificate_(config: Config) -> Iterator[Finding]:
    if not config.certificate.exists():
        yield NOTE, f"{config.certificate} is not there yet; the node makes it when it starts"
        return
    try:
        shown = tls.Identity(config.certificate, config.key).certificate
    except certificate.CertificateError as error:
        yield PROBLEM, str(error)
        return
    now = time.time()
    if shown.begins > now:
        yield PROBLEM, f"valid from {_date(shown.begins)} on, and the clock says {_date(now)}"
    elif shown.expires < now:
        yield PROBLEM, f"expired on {_date(shown.expires)}"
    else:
        yield NOTE if shown.expires < now + EXPIRES_SOON else GOOD, f"valid until {_date(shown.expires)}"
    refusal = ground.refusal(config, shown)
    if refusal:
        yield PROBLEM, refusal
    yield GOOD, f"fingerprint {certificate.fingerprint(config.certificate)}"


def ports(config: Config, running: bool) -> Iterator[Finding]:
    if not config.listen.ports:
        yield NOTE, "all are off: nobody can come in"
    for name, port in config.listen.ports.items():
        try:
            if running:
                _greet(config, name, port)
            else:
                listener.look(config.listen.address, port)
        except (OSError, listener.ListenError, _NotUs) as error:
            yield PROBLEM, f"[listen] {name} {port}: {tls.words(error) or 'no answer in time'}"
        else:
            yield GOOD, f"{name} {port} {'answers' if running else 'is free'}"


async def names(config: Config) -> list[Finding]:
    """What others find when they look for this domain, and what to tell DNS if that is not us."""
    resolver = dns.Resolver()
    found: list[Finding] = []
    try:
        if config.domain.endswith(".local"):
            return [await _look_around(resolver, config.domain)]
        for name, port in config.listen.ports.items():
            async with asyncio.timeout(DEADLINE):
                found.append(await _look_up(resolver, config.domain, name, port))
    except TimeoutError:
        found.append((NOTE, "no answer in time; on this network alone that does not matter"))
    finally:
        await resolver.close()
    return found


async def _look_around(resolver: dns.Resolver, domain: str) -> Finding:
    """Names that end in .local belong to mDNS, not to DNS (RFC 6762)."""
    try:
        async with asyncio.timeout(DEADLINE):
            await resolver.addresses(domain)
    except (dns.NotFound, dns.NoAnswer):
        return (
            NOTE,
            f"nobody on this network finds {domain}: install avahi-daemon, or give clients the address",
        )
    return GOOD, f"{domain} is found on this network (and only there)"


async def _look_up(resolver: dns.Resolver, domain: str, name: str, port: int) -> Finding:
    service, direct = WAYS[name], name == "client_tls"
    advice = f"{service}.{domain}. 3600 IN SRV 0 5 {port} {domain}."
    try:
        targets = await resolver.targets(domain, {service: direct}, 0)
        host, at, _ = targets[0]
        if at == 0:
            # Without a record everybody tries the usual port, and nobody the one for direct TLS.
            usual = port == {"client": 5222, "server": 5269}.get(name)
            await resolver.addresses(domain)
            return (GOOD, f"{name}: {domain} has an address") if usual else (NOTE, f"{name}: add the record {advice}")
        await resolver.addresses(host)
    except (dns.NotFound, dns.NoAnswer) as error:
        return NOTE, f"{name}: {error}; to be found from elsewhere, add the record {advice}"
    if at != port:
        return PROBLEM, f"{name}: DNS says {host} port {at}, but we listen on {port}"
    return GOOD, f"{name}: DNS says {host} port {at}"


def people(config: Config, running: bool) -> Iterator[Finding]:
    if not running and not (config.data / "accounts.db").exists():
        yield NOTE, f"no accounts yet: hobnode user add NAME@{config.domain}{place.option(config.path)}"
        return
    try:
        accounts = office.ask(config, "user-list")
    except Trouble as trouble:
        yield PROBLEM, str(trouble)
        return
    yield GOOD if accounts else NOTE, _counted(accounts, "account")
    for name in config.things:
        if f"{name}@{config.domain}" in accounts:
            yield PROBLEM, f"{name}@{config.domain} is an account, and [thing.{name}] wants the address"


def access(config: Config, running: bool) -> Iterator[Finding]:
    """Grants that do nothing, for nobody here has that name."""
    options = config.tables.get("access")
    if options is None:
        return
    if here := _who_is_here(config, running):
        for mistake in misnamed.mistakes(options, config.domain, *here):
            yield NOTE, mistake


def rules(config: Config, running: bool) -> Iterator[Finding]:
    """Rules that do nothing: no thing here, or nobody, has that name, or a thing has no such field or control."""
    if config.rules and (here := _who_is_here(config, running)):
        from node.cli.foreseen import foreseen  # who has no rules does not load them
        from node.things.rules.mistakes import of_names, of_words

        found = office.ask_running(config, "thing-list") if running else []
        readings = {thing["name"]: thing["readings"] for thing in found}
        known = {name: foreseen(thing, readings.get(name, [])) for name, thing in config.things.items()}
        for mistake in (*of_names(config.rules, config.domain, *here), *of_words(config.rules, config.domain, known)):
            yield NOTE, mistake


def _who_is_here(config: Config, running: bool) -> tuple[list[str], list[str], bool] | None:
    """The localparts of people and things, and whether these are all things; None if that cannot be found out."""
    try:
        accounts = office.ask(config, "user-list")
        brought = office.ask_running(config, "thing-list") if running else []
    except Trouble:  # of which `people` has told
        return None
    people = [jid.parse(account).local for account in accounts]
    things = [*config.things, *(thing["name"] for thing in brought)]
    return people, things, running or not config.gateways


def things(config: Config, running: bool) -> Iterator[Finding]:
    if not running:
        for name, thing in config.things.items():
            port = getattr(thing.options, "port", None)
            if thing.options is None:
                yield PROBLEM, f"{name}: the driver {thing.driver} cannot be loaded"
            elif isinstance(port, str) and port.startswith("/") and not os.path.exists(port):
                yield PROBLEM, f"{name}: {port} is not there"
            else:
                yield GOOD, f"{name}: driver {thing.driver}; how it is, a running node knows"
        return
    for thing in office.ask_running(config, "thing-list"):
        if thing["state"] == "offline":
            yield PROBLEM, f"{thing['name']}: offline: {thing['reason']}"
        else:
            yield GOOD, f"{thing['name']}: {thing['state']}, {_counted(thing['readings'], 'reading')}"


def _running(config: Config) -> bool:
    try:
        return control.is_running(config.data)
    except OSError as error:
        raise Trouble(f"{config.data} belongs to another user: try with sudo") from error


class _NotUs(Exception):
    """What answers at one of our ports is not this node as it is configured; the text says why."""


def _greet(config: Config, name: str, port: int) -> None:
    """Come in at one of our own ports as a client or server would, up to TLS. Raises OSError, _NotUs."""
    host = config.listen.address or "127.0.0.1"
    protocol = "server" if name == "server" else "client"
    context = tls.client_context(False, f"xmpp-{protocol}")
    with socket.create_connection((host, port), DEADLINE) as plain:
        if name != "client_tls":
            plain.sendall(
                f"<stream:stream xmlns='jabber:{protocol}' version='1.0' to='{config.domain}'"
                " xmlns:stream='http://etherx.jabber.org/streams'>".encode()
            )
            if not _read_until(plain, b"<starttls"):
                raise _NotUs("what answers there offers no TLS: is it another program?")
            plain.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            if not _read_until(plain, b"<proceed"):
                raise _NotUs("what answers there refused TLS")
        with context.wrap_socket(plain, server_hostname=config.domain) as secure:
            shown = secure.getpeercert(binary_form=True) or b""
    if sha256(shown).digest() != sha256(certificate.load(config.certificate).der).digest():
        raise _NotUs(f"what answers there shows another certificate than {config.certificate}: reload the node")


def _read_until(plain: socket.socket, mark: bytes) -> bool:
    """Read what comes until an element that begins with `mark` is whole; False if the end comes first."""
    heard = b""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and len(heard) < 65536:  # a stream header and features take less than 2 KiB
        data = plain.recv(4096)
        if not data:
            return False
        heard += data
        at = heard.find(mark)
        if at >= 0 and b">" in heard[at:] and (b"</stream:features>" in heard or mark == b"<proceed"):
            return True
    return False


def _sync_time(folder: Path) -> float:
    """Seconds until a few bytes are on the disk, the median of five."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        taken = []
        for _ in range(5):
            begin = time.monotonic()
            file.write(b"hobnode\n")
            os.fsync(file.fileno())
            taken.append(time.monotonic() - begin)
    return sorted(taken)[2]


def _counted(things: Collection, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
