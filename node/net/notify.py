"""Tells systemd how we are: ready, alive, stopping (sd_notify(3)); silent where nobody asked."""

import asyncio
import contextlib
import os
import socket


class Service:
    """The manager that started us, if one did: it left NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""

    def __init__(self, environment=os.environ):
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path  # @: the abstract namespace
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        if self._socket:
            self._socket.setblocking(False)
        self._timer: asyncio.TimerHandle | None = None
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval = int(environment.get("WATCHDOG_USEC", 0)) / 2_000_000 if ours else 0.0
        """Seconds between two signs of life: half of what the manager allows; 0 when it does not watch."""

    def ready(self, status: str) -> None:
        """We serve; `status` is for `systemctl status`. From now on the running loop gives signs of life."""
        self._send(f"READY=1\nSTATUS={_line(status)}")
        self._alive()

    def stopping(self) -> None:
        """We have begun to stop. Signs of life go on: a disk may be slow, `close` ends them."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Nothing is said after this."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._socket:
            self._socket.close()
            self._socket = None

    def _alive(self) -> None:
        # A timer of the loop itself: when the loop hangs the signs stop, and systemd starts the node again.
        if self._socket and self.interval:
            self._send("WATCHDOG=1")
            self._timer = asyncio.get_running_loop().call_later(self.interval, self._alive)

    def _send(self, text: str) -> None:
        if self._socket:
            with contextlib.suppress(OSError):  # a manager that is away or slow must not stop the node
                self._socket.sendto(text.encode(), self._address)


def _line(text: str) -> str:
    return text.replace("\n", " ")
