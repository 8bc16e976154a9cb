"""One connection to a broker: paho's MQTT 5 on our loop, without a thread once it is connected.

MQTT 5 lets the broker know how much we take at once, and that what we publish ourselves need not come back.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

if TYPE_CHECKING:
    from node.gateways.mqtt import Options

OPEN_DEADLINE = 15  # seconds until the broker has let us in; a slow DNS server takes five
PACKET = 256 * 1024  # bytes of one message: a device with a hundred entities announces itself in 60 KB
INFLIGHT = 20  # messages that are not confirmed yet: what a broker takes that says nothing else (mosquitto)
TICK = 1.0  # seconds; pings are due to the second
WINDOW = 0.2  # seconds, of which a broker that floods us
SHARE = 0.06  # seconds gets at the most: the rest is for people


class Owner(Protocol):
    """Whom a Connection tells. `id` is what `publish` or `subscribe` gave, `reason` the broker's; `numbers` are those
    of the subscriptions because of which a message came, if the broker says so."""

    def heard(self, topic: str, payload: bytes, retained: bool, numbers: list[int]) -> None: ...
    def confirmed(self, id: int, reason: ReasonCode) -> None: ...
    def granted(self, id: int, reason: ReasonCode) -> None: ...


class Connection:
    """A connection as `name` (the client id), with a last will: topic and text. It is opened once.

    `lost` is done when it has ended: with the reason, in words.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, options: "Options", name: str, will: tuple[str, str]):
        self.lost: asyncio.Future[str] = loop.create_future()
        self.window = INFLIGHT
        self.largest = PACKET
        self._loop = loop
        self._options = options
        self._name = name
        self._will = will
        self._paho: paho.Client | None = None
        self._sock: Any = None
        self._timers: dict[str, asyncio.Handle] = {}
        self._refused = ""
        self._numbered = True
        self._until = 0.0  # of the while in which
        self._spent = 0.0  # seconds were spent on what the broker says

    async def open(self, owner: Owner) -> None:
        """Connects; returns when the broker has let us in. Raises OSError, in words."""
        self._owner = owner
        self._up: asyncio.Future[str] = self._loop.create_future()
        opened: asyncio.Future[paho.Client] = self._loop.create_future()
        # Names and connections may take long, and the loop's own threads are waited for when the node stops.
        threading.Thread(target=self._connect, args=(opened,), name="open mqtt", daemon=True).start()
        try:
            async with asyncio.timeout(OPEN_DEADLINE):
                self._attend(await opened)
                await asyncio.wait([self._up, self.lost], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise OSError(f"no answer within {OPEN_DEADLINE} s") from None
        if not self._up.done():
            raise OSError(self._refused or self.lost.result())

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int | None:
        """Sends a message; its id, or None when the line is being lost. At most `window` may be unconfirmed."""
        assert self._paho
        info = self._paho.publish(topic, payload, qos, retain)
        return info.mid if info.rc == paho.MQTT_ERR_SUCCESS else None

    def subscribe(self, filter: str, number: int) -> int | None:
        """Asks for what others say, not for what we say ourselves: there are no loops."""
        assert self._paho
        properties = None
        if self._numbered:
            properties = Properties(PacketTypes.SUBSCRIBE)
            properties.SubscriptionIdentifier = number
        return self._paho.subscribe(filter, options=SubscribeOptions(qos=1, noLocal=True), properties=properties)[1]

    def unsubscribe(self, filter: str) -> None:
        assert self._paho
        self._paho.unsubscribe(filter)

    def leave(self) -> None:
        """Takes leave, so that the last will is not told; `lost` is done when that has been sent."""
        assert self._paho
        self._paho.disconnect()

    def give_up(self, reason: str) -> None:
        """It is of no use any more."""
        if not self.lost.done():
            self.lost.set_result(reason)

    def close(self) -> None:
        """Ends it without a word: the broker tells our last will."""
        client, self._paho = self._paho, None
        for timer in self._timers.values():
            timer.cancel()
        if client:
            _close(client)

    # Connecting

    def _connect(self, opened: asyncio.Future[paho.Client]) -> None:
        """In a thread: makes a client whose socket is connected."""
        client, error = None, None
        try:
            client = self._made()
            limits = Properties(PacketTypes.CONNECT)
            limits.MaximumPacketSize = PACKET
            client.connect(self._options.broker, self._options.port, self._options.keepalive, properties=limits)
        except (OSError, ValueError) as problem:
            error = _in_words(problem)
        try:
            self._loop.call_soon_threadsafe(_opened, opened, client, error)
        except RuntimeError:  # the loop has closed meanwhile
            if client:
                _close(client)

    def _made(self) -> paho.Client:
        options = self._options
        client = _Paho(
            CallbackAPIVersion.VERSION2, client_id=self._name, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        client.on_socket_register_write = lambda *about: None  # else the thread writes, and not the loop
        client.connect_timeout = OPEN_DEADLINE / 3  # seconds for one address
        client.max_inflight_messages_set(0)  # our owner counts
        topic, text = self._will
        client.will_set(topic, text, qos=1, retain=True)
        if options.user:
            client.username_pw_set(options.user, options.password)
        if options.tls:
            client.tls_set_context(ssl.create_default_context(cafile=options.ca))
        return client

    def _attend(self, client: paho.Client) -> None:
        """The socket is the loop's from now on; a CONNECT waits to be sent."""
        self._paho, self._sock = client, client.socket()
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a command must not wait for an ack
        client.on_connect = self._answered
        client.on_disconnect = self._ended
        client.on_message = self._message
        client.on_publish = lambda client, data, id, reason, properties: self._owner.confirmed(id, reason)
        client.on_subscribe = lambda client, data, id, reasons, properties: self._owner.granted(id, reasons[0])
        client.on_socket_register_write = self._writing
        client.on_socket_unregister_write = self._written
        client.on_socket_close = self._closing
        self._loop.add_reader(self._sock, self._readable)
        self._loop.add_writer(self._sock, client.loop_write)

    # What paho calls, on the loop

    def _answered(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self._refused = f"it refuses us: {reason}"
            if str(reason) in ("Not authorized", "Bad user name or password"):
                self._refused += "; look at user and password of [gateway.mqtt]"
            elif str(reason) == "Unsupported protocol version":
                self._refused += "; it has to know MQTT 5"
        elif not self._up.done():
            self.window = min(INFLIGHT, getattr(properties, "ReceiveMaximum", INFLIGHT))
            self.largest = getattr(properties, "MaximumPacketSize", PACKET)
            self._numbered = bool(getattr(properties, "SubscriptionIdentifierAvailable", True))
            self._up.set_result("")
            self._tick()

    def _ended(self, client: Any, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if not self.lost.done():
            from_broker = flags.is_disconnect_packet_from_server
            self.lost.set_result(f"it has ended the connection: {reason}" if from_broker else "the connection is lost")

    def _message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        numbers = getattr(message.properties, "SubscriptionIdentifier", [])
        with contextlib.suppress(UnicodeDecodeError):  # MQTT 5 §1.5.4: malformed
            self._owner.heard(message.topic, bytes(message.payload), bool(message.retain), numbers)

    def _writing(self, client: paho.Client, data: Any, sock: Any) -> None:
        self._loop.add_writer(sock, client.loop_write)

    def _written(self, client: Any, data: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _closing(self, client: Any, data: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self._sock = None

    # What the loop calls

    def _readable(self) -> None:
        """Takes one packet, and no more in a while than others can bear."""
        if self._sock is None or self._paho is None:
            return
        now = self._loop.time()
        if now >= self._until:
            self._until, self._spent = now + WINDOW, 0.0
        try:
            self._paho.loop_read()
        except Exception as error:  # paho trusts a broker; what it makes of nonsense is no matter of ours
            self.give_up(f"it does not speak MQTT: {type(error).__name__} {error}"[:200])
            self._loop.remove_reader(self._sock)
            return
        self._spent += self._loop.time() - now
        if self._sock is None:
            return
        if self._spent >= SHARE:
            self._loop.remove_reader(self._sock)
            self._timers["resume"] = self._loop.call_at(self._until, self._resume)
        elif isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            self._timers["more"] = self._loop.call_soon(self._readable)  # which the selector does not see

    def _resume(self) -> None:
        if self._sock is not None:
            self._loop.add_reader(self._sock, self._readable)
            self._readable()

    def _tick(self) -> None:
        """paho looks whether a ping is due, or has not been answered."""
        if self._paho:
            self._timers["tick"] = self._loop.call_later(TICK, self._tick)
            self._paho.loop_misc()


class _Paho(paho.Client):
    """paho's client, which makes no room for a packet of a size that we have not allowed."""

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > PACKET:
            raise OSError("a packet is too large")
        return super()._sock_recv(bufsize)


def _opened(opened: asyncio.Future[paho.Client], client: paho.Client | None, error: Exception | None) -> None:
    """The thread is done."""
    if error and not opened.done():
        opened.set_exception(error)
    elif client and not opened.done():
        opened.set_result(client)
    elif client:  # too late: nobody waits any more
        _close(client)


def _close(client: paho.Client) -> None:
    sock: Any = client.socket()
    if sock:
        if client.on_socket_close:
            client.on_socket_close(client, None, sock)
        client.on_socket_close = client.on_socket_unregister_write = None
        sock.close()


def _in_words(problem: Exception) -> OSError:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return OSError(f"its certificate is not accepted: {problem.verify_message}")
    if isinstance(problem, ssl.SSLError):
        return OSError(f"no TLS with it: {problem.reason or problem}")
    if isinstance(problem, socket.gaierror):
        return OSError("there is no host of that name")
    if isinstance(problem, TimeoutError):
        return OSError("no answer")
    return OSError(getattr(problem, "strerror", None) or str(problem))
