"""hobnode up: everything at the first run, and how to log in; afterwards it just serves."""

import asyncio
import getpass
import os
import secrets
import socket
import subprocess
import sys
from contextlib import closing

from node.base import jid
from node.base.path import Path
from node.cli import ground, log, place
from node.cli.trouble import Trouble
from node.config import Config, Listen, load
from node.hub.accounts import AccountError, Accounts
from node.hub.store import Store, StoreError
from node.net import certificate
from node.options import read

PORTS = Listen()
DOMAIN = 'domain = "{domain}"\n'
FIRST = f"""\
# The configuration of this node; README.md has a table of all options.
{DOMAIN}
[listen]
# Ports; 0 is off. Where another program has one already, write another here.
client = {PORTS.client}
client_tls = {PORTS.client_tls}
server = {PORTS.server}

[access]
# Who may control the things, and whose wish to see them is granted without asking:
# "ann@home.example" is a person, "@home.example" is everybody with an account there.
control = ["{{owner}}"]
approve = ["@{{domain}}"]
"""
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like another when read from a screen
GROUPS, GROUP = 4, 4  # 79 bits, to be typed on a phone once
PEOPLE = range(1000, 60000)  # Debian's user ids for people; the others are services
QR_WAIT = 60  # seconds; a Pi Zero needs five
WHITE_ON_BLACK, USUAL = "\033[97;40m", "\033[0m"  # ECMA-48 SGR


def arguments(parser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help=f"where all is kept (default: {place.data()})")
    parser.add_argument("--domain", metavar="NAME", help=f"the part after the @ (default: {_domain()})")
    log.arguments(parser)
    parser.set_defaults(carry_out=run)


def run(given) -> int:
    """Set up what is missing, say how to log in, serve until SIGTERM or SIGINT; 0 after an orderly end."""
    log.start(log.level(given))
    data = (given.data or place.data()).absolute()
    config, text = _configuration(data / place.FILE, given.domain)
    if text:
        # Before the certificate, which is for the domain that it names, and before the ports are looked at: where one
        # is taken, the file is where another can be named.
        ground.look_at_directory(config.path.parent)
        _keep(config.path, text)
    ground.look(config)
    ground.make(config)
    owner = _owner(config.domain)
    # A password has no place in the journal; there, the administrator makes the account.
    password = None if log.is_the_journal(sys.stdout) else ground.complete(_first_account(config, owner))
    _greet(config, owner, password)
    return ground.serve(config, _announce)


def _configuration(file: Path, domain: str | None) -> tuple[Config, str]:
    """The configuration, and the text to keep for it when it does not name a domain yet. Changes nothing."""
    said = read(file) if file.exists() else None
    if said and "domain" in said.values:
        config = load(file)
        if domain is not None and str(_prepared(domain)) != config.domain:
            raise Trouble(f"{file} says that this is {config.domain}; another --domain needs another --data")
        return config, ""
    domain = str(_prepared(_domain() if domain is None else domain))
    if said is None:
        text = FIRST.format(domain=domain, owner=_owner(domain))
    else:  # a line of its own, in front: what stands behind a table's name belongs to the table
        text = DOMAIN.format(domain=domain) + file.read_bytes().decode()
    return load(file, text), text


def _prepared(domain: str) -> jid.Jid:
    try:
        return jid.make("", domain)
    except jid.JidError as error:
        raise Trouble(f"--domain {domain!r}: {error}") from error


def _keep(file: Path, text: str) -> None:
    """Whole or not at all, whenever the power fails. Raises Trouble."""
    half = file.with_name(f"{file.name}.part")
    try:
        os.makedirs(file.parent, mode=0o700, exist_ok=True)
        with open(half, "w", encoding="utf-8") as writing:
            writing.write(text)
            writing.flush()
            os.fsync(writing.fileno())
        os.replace(half, file)
    except OSError as error:
        raise Trouble(f"{file} cannot be written: {error.strerror}") from error


async def _first_account(config: Config, owner: jid.Jid) -> str | None:
    """Make an account where there is none; its password, or None if nothing was to do."""
    try:
        with closing(Store(config.data, asyncio.get_running_loop())) as store:
            accounts = Accounts(store.accounts, config.domain)
            if accounts.names():
                return None
            password = "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))
            await accounts.create(owner.local, password)
            return password
    except (StoreError, AccountError) as error:
        raise Trouble(str(error)) from error


def _greet(config: Config, owner: jid.Jid, password: str | None) -> None:
    if password is None:
        print(f"hobnode: {config.domain}, configured in {config.path}")
        if log.is_the_journal(sys.stdout):
            print(f"hobnode: the owner's account is made by: {_command()} user add {owner}{place.option(config.path)}")
        sys.stdout.flush()
        return
    ways = [
        f"{port} ({how})"
        for port, how in ((config.listen.client, "STARTTLS"), (config.listen.client_tls, "direct TLS"))
        if port
    ]
    print(f"""
This is {config.domain}. All that it keeps is in {config.data}

  Log in with any XMPP client:

  address      {owner}
  password     {password}    (shown this once)
  server       {config.listen.address or _address()}, port {" or ".join(ways)}
  certificate  SHA-256 {certificate.fingerprint(config.certificate)}
               SHA-1   {certificate.old_fingerprint(config.certificate)}
               (made here: the client asks once whether to trust it, and shows one of these; compare)

{qr(f"xmpp:{owner}")}
  Then add the contact hub@{config.domain}: this machine. More people, another password:
  {_command()} user add NAME@{config.domain}{place.option(config.path)}
  {_command()} user passwd {owner}{place.option(config.path)}
""")
    sys.stdout.flush()


def _announce() -> None:
    print("hobnode: ready; Ctrl-C stops it", flush=True)


def qr(text: str) -> str:
    """The text as a QR code for the terminal; '' if it cannot be drawn or shown."""
    command = [sys.executable, "-m", "node.cli.qr", text]
    try:
        drawn = subprocess.run(command, capture_output=True, timeout=QR_WAIT, check=True).stdout.decode()
        drawn.encode(sys.stdout.encoding or "ascii")
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return ""
    if sys.stdout.isatty():  # not every scanner reads a negative, as it would be on a light background
        drawn = "".join(f"{WHITE_ON_BLACK}{line}{USUAL}\n" for line in drawn.splitlines())
    return drawn


def _command() -> str:
    """What to type for hobnode here: its path, unless the shell finds it by its name."""
    folder, name = os.path.split(sys.argv[0])
    if name != "hobnode" or folder in os.environ.get("PATH", "").split(os.pathsep):
        return "hobnode"
    return sys.argv[0]


def _domain() -> str:
    """NAME.local: what this machine is called on its network, without any DNS (mDNS, RFC 6762)."""
    name = socket.gethostname().partition(".")[0].lower().replace("_", "-").strip("-")
    return f"{name if name and name != 'localhost' else 'hobnode'}.local"


def _owner(domain: str) -> jid.Jid:
    """The address for the person who sets this up: the name of the login, if it is a person's."""
    try:
        name = getpass.getuser() if os.getuid() in PEOPLE else "owner"
        address = jid.make(name, domain)
        return address if address.local != "hub" else jid.make("owner", domain)
    except (OSError, KeyError, jid.JidError):
        return jid.make("owner", domain)


def _address() -> str:
    """The address by which this machine is found on its network; its name if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # RFC 5737: nobody's address. Nothing is sent: the route is asked for
        except OSError:
            return socket.gethostname()
        return asking.getsockname()[0]
