"""A real Home Assistant core as a process: somebody's home with MQTT set up, and nothing that leaves the machine.

    with HomeAssistant(folder, broker) as assistant:
        assistant.shows("light.porch_lamp", "on")                 # waits until it does
        assistant.does("light", "turn_off", "light.porch_lamp")   # as by a finger on its dashboard

What runs is the core and its integrations `mqtt` and those that it always brings, with the packages that they import
(home_assistant.txt). Its frontend, which only browsers need, is an empty folder.
"""

import base64
import hmac
import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.live.mosquitto import Broker
from tests.live.peers import DEADLINE, free_port

PYTHON = Path(__file__).resolve().parents[2] / ".venv-test-home-assistant" / "bin" / "python"
START = 3 * DEADLINE  # seconds, also for its end; it takes four, and ten when nothing is compiled yet
LOUD = re.compile(r" (WARNING|ERROR|CRITICAL) \(")
SLOW = re.compile(r"took [\d.]+ seconds|is taking ")  # what this machine is to blame for
KEY = "signs what only this test knows"
CONFIGURATION = """
homeassistant:
  name: Home
  unit_system: metric
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
frontend:
  development_repo: {folder}
logger:
  default: info
"""
# What its users are asked when they see it first, and do there: file, version, data.
STORED = (
    ("onboarding", 4, {"done": ["user", "core_config", "analytics", "integration"]}),
    # Its search for other machines (mDNS) is for the loopback, which it leaves out.
    ("core.network", 1, {"configured_adapters": ["lo"]}),
    (
        "auth",
        1,
        {
            "users": [
                {
                    "id": "ann",
                    "name": "Ann",
                    "group_ids": ["system-admin"],
                    "is_owner": True,
                    "is_active": True,
                    "system_generated": False,
                    "local_only": False,
                }
            ],
            "groups": [{"id": "system-admin"}, {"id": "system-users"}, {"id": "system-read-only"}],
            "credentials": [],
            "refresh_tokens": [
                {
                    "id": "test",
                    "user_id": "ann",
                    "client_id": None,
                    "client_name": "test",
                    "client_icon": None,
                    "token_type": "long_lived_access_token",
                    "created_at": "2026-01-01T00:00:00+00:00",
                    "access_token_expiration": 3600.0,
                    "token": "test",
                    "jwt_key": KEY,
                    "last_used_at": None,
                    "last_used_ip": None,
                    "expire_at": None,
                    "credential_id": None,
                    "version": None,
                }
            ],
        },
    ),
)


def token() -> str:
    """What Ann's browser shows that it is hers: a JWT (RFC 7519)."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iss": "test", "iat": now, "exp": now + 3600}
    text = ".".join(part(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{text}.{part(hmac.digest(KEY.encode(), text.encode(), 'sha256'))}"


class HomeAssistant:
    """Home Assistant at a broker; `states` is what it shows now: entity id → state as its API has it."""

    def __init__(self, folder: Path, broker: Broker):
        if not PYTHON.exists():
            pytest.fail("Home Assistant is missing: tests/run installs it")
        self.port = free_port()
        self.states: dict[str, dict] = {}
        self.said: list[str] = []  # the lines of its log
        self.complaints: list[str] = []  # its warnings and errors, except while it starts or stops
        self._broker = broker
        self._folder = folder
        self._headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
        self._news = threading.Condition()
        self._ready = False
        self._process: subprocess.Popen | None = None
        self._threads: list[threading.Thread] = []
        store = folder / ".storage"
        store.mkdir(parents=True)
        for key, version, data in STORED:
            stored = {"version": version, "minor_version": 1, "key": key, "data": data}
            (store / key).write_text(json.dumps(stored))
        (folder / "hass_frontend").mkdir()
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port, folder=folder))

    def __enter__(self) -> "HomeAssistant":
        try:
            self.start()
            self._adds_mqtt()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *error) -> None:
        self._kill()

    def start(self) -> None:
        """Starts it, and waits until it is there for people."""
        self._process = subprocess.Popen(
            [PYTHON, "-m", "homeassistant", "--config", self._folder, "--skip-pip", "--log-no-color"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._follows(self._reads_log, self._process)
        self.until(lambda: self._ready, "its start", START)
        self._listens()

    def stop(self) -> None:
        """Ends it as its users do: it writes down what it knows."""
        self._ready = False
        try:
            self._process.terminate()
            self._process.wait(START)
        finally:
            self._kill()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()  # nothing, if it has ended
            self._process.wait(DEADLINE)
        for thread in self._threads:
            thread.join(DEADLINE)
        self._threads.clear()

    def _follows(self, reads: Callable, *sources) -> None:
        thread = threading.Thread(target=reads, args=sources, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _adds_mqtt(self) -> None:
        """What its users do: Settings, Devices, Add integration, MQTT."""
        flows = "/api/config/config_entries/flow"
        asked = self.asks("POST", flows, {"handler": "mqtt"})
        done = self.asks("POST", f"{flows}/{asked['flow_id']}", {"broker": "127.0.0.1", "port": self._broker.port})
        assert (done["type"], done["result"]["state"]) == ("create_entry", "loaded"), done

    # What we say

    def asks(self, method: str, path: str, about: object = None):
        """A request of its REST API, and the answer."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            line.request(method, path, json.dumps(about), self._headers)
            answer = line.getresponse()
            text = answer.read().decode()
        finally:
            line.close()
        assert answer.status == 200, f"{method} {path}: {answer.status} {text}"
        return json.loads(text) if answer.getheader("Content-Type", "").startswith("application/json") else text

    def does(self, domain: str, service: str, entity: str, **data) -> None:
        """A button, slider or switch of it is touched."""
        self.asks("POST", f"/api/services/{domain}/{service}", {"entity_id": entity, **data})

    def device(self, name: str) -> dict | None:
        """What it has in its registry about a device: `name`, ... and the ids of all `entities`; None: nothing."""
        names = ("name", "manufacturer", "model", "sw_version")
        told = ", ".join(f"'{each}': device_attr(id, '{each}')" for each in names)
        about = f"{{{told}, 'entities': device_entities(id)}} if id else none"
        template = f"{{% set id = device_id('{name}') %}}{{{{ ({about}) | to_json }}}}"
        return json.loads(self.asks("POST", "/api/template", {"template": template}))

    # What it shows

    def state(self, entity: str) -> str:
        """'' of one that is not there."""
        return self.states.get(entity, {}).get("state", "")

    def shows(self, entity: str, state: str, **attributes) -> None:
        """Waits until an entity has this state and these attributes."""

        def is_so() -> bool:
            shown = self.states.get(entity, {})
            return shown.get("state") == state and attributes.items() <= shown.get("attributes", {}).items()

        self.until(is_so, f"{entity} to be {state} {attributes or ''}")

    def lacks(self, *entities: str) -> None:
        """Waits until there are no such entities."""
        self.until(lambda: self.states.keys().isdisjoint(entities), f"{entities} to be gone")

    def until(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
        """Waits for what only its events or its log can change."""
        with self._news:
            if not self._news.wait_for(lambda: condition() or self._process.poll() is not None, seconds):
                raise AssertionError(f"waited in vain for {what}; it shows {self._summary()}")
            assert condition(), f"it has ended: {self.said[-20:]}"

    def _summary(self) -> dict[str, str]:
        return {entity: state["state"] for entity, state in self.states.items()}

    def _reads_log(self, process: subprocess.Popen) -> None:
        for line in map(str.rstrip, process.stderr):
            with self._news:
                self.said.append(line)
                self._ready = self._ready or "Home Assistant initialized" in line
                if self._ready and LOUD.search(line) and not SLOW.search(line):
                    self.complaints.append(line)
                self._news.notify_all()
        process.wait()
        with self._news:
            self._news.notify_all()

    def _listens(self) -> None:
        """Follows its events, which begin before its states are read."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START + DEADLINE)  # it pings each 50 s
        line.request("GET", "/api/stream?restrict=state_changed,device_registry_updated", headers=self._headers)
        stream = line.getresponse()
        assert stream.status == 200, stream.status
        stream.readline()  # the first ping: from here on nothing is missed
        states = self.asks("GET", "/api/states")
        with self._news:
            self.states = {state["entity_id"]: state for state in states}
        self._follows(self._reads_events, line, stream)

    def _reads_events(self, line, stream) -> None:
        with closing(line), suppress(OSError, http.client.HTTPException):  # it ends
            for text in stream:
                if text.startswith(b"data: {"):
                    self._takes(json.loads(text[6:]))

    def _takes(self, event: dict) -> None:
        with self._news:
            if event["event_type"] == "state_changed":
                entity, state = event["data"]["entity_id"], event["data"]["new_state"]
                if state is None:
                    self.states.pop(entity, None)
                else:
                    self.states[entity] = state
            self._news.notify_all()
