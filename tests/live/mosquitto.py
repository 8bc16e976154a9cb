"""A real MQTT broker (Debian's mosquitto) as a process, and somebody who talks by it (paho, on a thread of its own)."""

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.live.peers import DEADLINE, free_port, need


class Broker:
    """mosquitto on a port of the loopback. `password` is that of the user `home`; without one anybody may come.

    `more` are lines of mosquitto.conf. What is retained lives no longer than the process.
    """

    def __init__(self, folder: Path, password: str = "", more: str = ""):
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.process: subprocess.Popen | None = None
        lines = [f"listener {self.port} 127.0.0.1", "user root", f"allow_anonymous {str(not password).lower()}", more]
        if password:
            words = [need("mosquitto_passwd", "mosquitto"), "-b", "-c", str(folder / "passwords"), "home", password]
            subprocess.run(words, check=True, timeout=DEADLINE)
            lines.append(f"password_file {folder / 'passwords'}")
        self.config.write_text("\n".join(lines) + "\n")
        self.start()

    def __enter__(self) -> "Broker":
        return self

    def __exit__(self, *error) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        # On Debian it lies where only root looks for programs.
        mosquitto = "/usr/sbin/mosquitto" if Path("/usr/sbin/mosquitto").exists() else need("mosquitto", "mosquitto")
        self.process = subprocess.Popen(
            [mosquitto, "-v", "-c", str(self.config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "running" in line:
                break
        else:
            raise AssertionError(f"mosquitto has ended: {said}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)


class Message(NamedTuple):
    topic: str
    payload: str
    retained: bool


class Talker:
    """Somebody at the broker who hears all that is said, and remembers it."""

    def __init__(self, broker: Broker, filter: str = "#", user: str = "", password: str = ""):
        self.came: list[Message] = []
        self._news = threading.Condition()
        self._ready = threading.Event()
        self._paho = paho.Client(CallbackAPIVersion.VERSION2)
        self._paho.max_inflight_messages_set(0)
        if user:
            self._paho.username_pw_set(user, password)
        self._paho.on_message = self._heard
        self._paho.on_connect = lambda client, *about: client.subscribe(filter, qos=1)
        self._paho.on_subscribe = lambda *about: self._ready.set()
        self._paho.reconnect_delay_set(1, 1)
        self._paho.connect("127.0.0.1", broker.port)
        self._paho.loop_start()
        assert self._ready.wait(DEADLINE), "the broker does not take us"

    def __enter__(self) -> "Talker":
        return self

    def __exit__(self, *error) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def _heard(self, client, data, message):
        with self._news:
            self.came.append(Message(message.topic, message.payload.decode(), bool(message.retain)))
            self._news.notify_all()

    def says(self, topic: str, payload: str, retain: bool = False) -> None:
        """Publishes, and waits until the broker has it."""
        self._paho.publish(topic, payload, qos=1, retain=retain).wait_for_publish(DEADLINE)

    def hears(self, topic: str, condition: Callable[[str], object] = lambda payload: True) -> str:
        """Waits for a message of that topic whose payload is as wanted, and takes it and all before it."""
        end = time.monotonic() + DEADLINE
        with self._news:
            while True:
                for at, message in enumerate(self.came):
                    if message.topic == topic and condition(message.payload):
                        del self.came[: at + 1]
                        return message.payload
                left = end - time.monotonic()
                assert left > 0, f"waited in vain for {topic}; came: {self.came}"
                self._news.wait(left)
