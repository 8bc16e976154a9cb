"""The connection to a broker: kept up, bounded, and honest to who waits for a confirmation."""

import asyncio

import paho.mqtt.client as paho
import pytest

from node.gateways.mqtt import client, connection
from node.hub.driver import DriverError
from tests.conftest import DEADLINE, until
from tests.gateways.mqtt.broker import PUBLISH, packet
from tests.gateways.mqtt.conftest import reaches


def test_it_says_that_it_is_there_and_leaves_its_last_will(connected, broker, run):
    run(broker.until(lambda: broker.came))
    assert broker.came[0] == ("hobnode/home/status", b"online", True, 1)
    assert connected.turns == [True]
    assert b"hobnode-home" in broker.connects[0]
    assert b"\x27" + connection.PACKET.to_bytes(4) in broker.connects[0], "the largest packet that we take"
    assert b"\x00\x13hobnode/home/status\x00\x07offline" in broker.connects[0]


def test_a_broker_that_speaks_nonsense_is_left_and_tried_again(connected, broker, run, said):
    connected.subscribe("a", print)
    run(broker.until(lambda: broker.filters))
    broker.sends(packet(0x90, b"\x00\x01\x00"))  # a SUBACK without a reason
    run(broker.until(lambda: len(broker.connects) == 2))
    assert "it does not speak MQTT: IndexError" in said()
    run(reaches(connected, True))


def test_a_broker_that_confirms_nothing_is_left(unconnected, broker, run, said, monkeypatch):
    monkeypatch.setattr(client, "CONFIRM_DEADLINE", 0.02)
    broker.confirms = None
    unconnected.start()
    run(broker.until(lambda: len(broker.connects) == 2))
    assert "it has not confirmed anything for 0.02 s" in said()


def test_a_broker_that_was_not_told_anything_for_long_has_its_time(connected, broker, run):
    run(until(lambda: broker.came and not connected._flying))
    connected._heard -= 1000
    broker.confirms = None
    connected.publish("a", "1", retain=True)
    connected._look()
    run(broker.until(lambda: "a" in broker.topics))
    assert connected.online and connected._watchdog.when() > connected._heard


def test_whatever_fails_it_is_tried_again(connected, broker, run, said, monkeypatch):
    opened = connection.Connection.open

    async def fails(self, owner):
        monkeypatch.setattr(connection.Connection, "open", opened)
        raise RuntimeError("a bug")

    monkeypatch.setattr(connection.Connection, "open", fails)
    broker.drop()
    run(broker.until(lambda: len(broker.connects) == 2))
    assert "RuntimeError: a bug" in said()
    run(reaches(connected, True))


def test_all_is_said_before_it_leaves_for_good(connected, broker, run, monkeypatch):
    monkeypatch.setattr(client, "LEAVE_DEADLINE", DEADLINE)
    run(broker.until(lambda: broker.came))
    for number in range(100):
        connected.publish(f"t/{number}", "", retain=True)
    run(connected.leave(""))
    assert set(broker.topics) >= {f"t/{number}" for number in range(100)}
    assert broker.came[-1] == ("hobnode/home/status", b"", True, 1) and broker.goodbyes == 1


def test_it_takes_its_leave(connected, broker, run):
    run(connected.leave())
    run(broker.until(lambda: broker.goodbyes))
    assert broker.came[-1] == ("hobnode/home/status", b"offline", True, 1)


def test_it_leaves_in_time_from_a_broker_that_does_not_answer(connected, broker, run, said):
    run(broker.until(lambda: broker.came))
    broker.confirms = None
    run(connected.leave())
    assert "does not hear our goodbye" in said()


def test_listeners_hear_what_fits_their_filter(connected, broker, run):
    heard = []
    connected.subscribe("lamps/+/state", lambda *about: heard.append(about))
    connected.subscribe("lamps/#", lambda topic, payload, retained: heard.append(topic))
    run(broker.until(lambda: broker.filters == ["lamps/+/state", "lamps/#"]))
    broker.says("lamps/hall/state", b"on", retained=True)
    broker.says("lamps/hall/brightness", b"7")
    run(until(lambda: len(heard) == 3))
    assert heard == [("lamps/hall/state", b"on", True), "lamps/hall/state", "lamps/hall/brightness"]


def test_what_we_say_ourselves_is_not_wanted_back(connected, broker, run):
    connected.subscribe("a", print)
    run(broker.until(lambda: broker.filters))
    assert broker.wishes == 1 | 4, "QoS 1, and No Local (MQTT 5 §3.8.3.1)"


def test_a_broker_that_is_silent_is_asked_and_then_lost(unconnected, broker, run, monkeypatch):
    monkeypatch.setattr(connection, "TICK", 0.01)
    ahead, clock = 0, paho.time_func
    monkeypatch.setattr(paho, "time_func", lambda: clock() + ahead)
    unconnected.start()
    run(reaches(unconnected, True))
    broker.answers = False
    ahead += unconnected._options.keepalive
    run(broker.until(lambda: broker.pings))
    assert unconnected.online
    ahead += unconnected._options.keepalive
    run(reaches(unconnected, False))


def test_what_a_broker_sends_for_each_of_two_filters_is_heard_once_for_each(connected, broker, run):
    heard = []
    connected.subscribe("lamps/+/state", lambda *about: heard.append("+"))
    connected.subscribe("lamps/#", lambda *about: heard.append("#"))
    run(broker.until(lambda: len(broker.numbers) == 2))
    for number in broker.numbers:
        broker.says("lamps/hall/state", b"on", number=number)
    broker.says("lamps/hall/state", b"on", number=100)
    broker.says("lamps/hall/last", b"on")
    run(until(lambda: heard[-1:] == ["#"] and len(heard) > 2))
    assert heard == ["+", "#", "#"]


def test_a_broker_that_cannot_number_is_not_asked_to(unconnected, broker, run):
    broker.properties = bytes([0x29, 0])
    unconnected.subscribe("a", print)
    unconnected.start()
    run(broker.until(lambda: broker.filters))
    assert broker.numbers == []


def test_what_we_may_not_hear_is_told(connected, broker, run, said):
    broker.grants = 0x87
    connected.subscribe("secret/#", print)
    run(until(lambda: "does not let us hear secret/#: Not authorized" in said()))


def test_a_message_that_the_broker_would_not_take_is_not_sent(unconnected, broker, run, said):
    broker.properties = bytes([0x27, 0, 0, 8, 0])  # at most 2 KiB
    unconnected.publish("large", "1" * 3000, retain=True)
    unconnected.start()
    run(broker.until(lambda: "hobnode/home/status" in broker.topics))
    assert "large" not in broker.topics
    assert "takes no message as large as large" in said()


def test_a_listener_that_fails_harms_nobody_and_is_told_once(connected, broker, run, said):
    heard = []
    connected.subscribe("a", lambda *about: {}["nothing"])
    connected.subscribe("a", lambda topic, payload, retained: heard.append(payload))
    for payload in (b"1", b"2"):
        broker.says("a", payload)
    run(until(lambda: heard == [b"1", b"2"]))
    assert said().count("a listener failed at 'a'") == 1


def test_who_has_unsubscribed_hears_nothing(connected, broker, run):
    heard, others = [], []

    def listener(*about):
        heard.append(about)

    connected.subscribe("a", listener)
    connected.subscribe("b", lambda *about: others.append(about))
    connected.unsubscribe("a", listener)
    run(broker.until(lambda: broker.taken_back == ["a"]))
    broker.says("a", b"1")
    broker.says("b", b"1")
    run(until(lambda: others))
    assert heard == []


@pytest.mark.parametrize("filter", ["", "a#", "a/#/b", "a+/b", "a\0"])
def test_what_is_no_filter_is_refused_at_once(connected, filter):
    with pytest.raises(ValueError, match="is no MQTT topic filter"):
        connected.subscribe(filter, print)


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a\0", "a" * 70000])
def test_what_is_no_topic_is_refused_at_once(connected, topic, run):
    with pytest.raises(ValueError, match="is no MQTT topic"):
        connected.publish(topic, "1")
    with pytest.raises(DriverError, match="is no MQTT topic"):
        run(connected.deliver(topic, "1", timeout=1))


def test_after_a_loss_it_connects_again_and_asks_again(connected, broker, run, said):
    connected.subscribe("a", print)
    run(broker.until(lambda: broker.filters))
    broker.drop()
    run(reaches(connected, False))
    run(reaches(connected, True))
    run(broker.until(lambda: len(broker.filters) == 2))
    assert connected.turns == [True, False, True]
    assert "is not connected: the connection is lost" in said()


def test_a_broker_that_is_away_is_one_line_of_the_log(unconnected, broker, run, said):
    run(broker.stop())
    unconnected.start()
    run(until(lambda: "Connection refused" in said()))
    with pytest.raises(DriverError, match="is not connected: Connection refused"):
        run(unconnected.deliver("a", "1", timeout=1))
    run(broker.start())
    run(reaches(unconnected, True))
    assert said().count("mqtt: 127.0.0.1") == 1


def test_a_refusal_is_told_in_words(unconnected, broker, run, said):
    broker.reason = 0x86
    unconnected.start()
    run(broker.until(lambda: len(broker.connects) == 2))
    assert "it refuses us: Bad user name or password; look at user and password of [gateway.mqtt]" in said()
    assert said().count("refuses us") == 1


def test_a_broker_that_says_nothing_has_a_deadline(unconnected, broker, run, said, monkeypatch):
    monkeypatch.setattr(connection, "OPEN_DEADLINE", 0.05)
    monkeypatch.setattr(broker, "_packet", lambda *about: None)
    unconnected.start()
    run(until(lambda: "no answer within 0.05 s" in said()))


def test_of_what_is_retained_the_newest_waits_for_the_connection_and_all_else_is_over(unconnected, broker, run):
    for payload in ("1", "2", "3"):
        unconnected.publish("state", payload, retain=True)
        unconnected.publish("click", payload)
    unconnected.start()
    run(broker.until(lambda: "hobnode/home/status" in broker.topics))
    assert [each.payload for each in broker.came if each.topic == "state"] == [b"3"]
    assert "click" not in broker.topics


def test_what_was_not_confirmed_is_sent_again_unless_there_is_something_newer(connected, broker, run):
    run(broker.until(lambda: broker.came))
    broker.confirms = None
    connected.publish("old", "1", retain=True)
    connected.publish("click", "1")
    connected.publish("state", "1", retain=True)
    run(broker.until(lambda: "state" in broker.topics))
    broker.came.clear()
    broker.drop()
    run(reaches(connected, False))
    connected.publish("state", "2", retain=True)
    broker.confirms = 0
    run(broker.until(lambda: "state" in broker.topics and "old" in broker.topics))
    assert [each.payload for each in broker.came if each.topic == "state"] == [b"2"]
    assert "click" not in broker.topics


def test_no_more_is_on_its_way_than_a_broker_takes(connected, broker, run):
    run(broker.until(lambda: broker.came))
    broker.came.clear()
    broker.confirms = None
    for number in range(50):
        connected.publish(f"a/{number}", "1", retain=True)
    run(broker.until(lambda: len(broker.came) >= connection.INFLIGHT))
    assert len(broker.came) == connection.INFLIGHT
    broker.confirms = 0
    broker.confirm()
    run(broker.until(lambda: len(broker.came) == 50))


def test_who_delivers_hears_when_it_is_confirmed_and_goes_first(connected, broker, run):
    run(broker.until(lambda: broker.came))
    broker.came.clear()
    broker.confirms = None
    for number in range(50):
        connected.publish(f"a/{number}", "1", retain=True)

    async def deliver():
        delivering = asyncio.ensure_future(connected.deliver("lamp/set", "ON", timeout=3))
        await broker.until(lambda: len(broker.came) == connection.INFLIGHT)
        assert not delivering.done()
        broker.confirms = 0
        broker.confirm()
        await delivering

    run(deliver())
    assert broker.topics.index("lamp/set") == connection.INFLIGHT


@pytest.mark.parametrize(
    ("reason", "words"), [(0x87, "does not take lamp/set: Not authorized"), (0x10, "nobody .* listens to lamp/set")]
)
def test_what_is_not_taken_or_heard_by_nobody_is_no_success(connected, broker, run, reason, words):
    broker.confirms = reason
    with pytest.raises(DriverError, match=words):
        run(connected.deliver("lamp/set", "ON", timeout=1))


def test_who_delivers_waits_no_longer_than_he_wants(connected, broker, run):
    run(broker.until(lambda: broker.came))
    broker.confirms = None
    with pytest.raises(DriverError, match=r"has not confirmed within 0.05 s"):
        run(connected.deliver("lamp/set", "ON", timeout=0.05))


def test_who_delivers_hears_that_the_broker_was_lost(connected, broker, run):
    run(broker.until(lambda: broker.came))
    broker.confirms = None

    async def deliver():
        delivering = asyncio.ensure_future(connected.deliver("lamp/set", "ON", timeout=3))
        await broker.until(lambda: "lamp/set" in broker.topics)
        broker.drop()
        await delivering

    with pytest.raises(DriverError, match="was lost before it confirmed"):
        run(deliver())


def test_when_too_much_waits_the_oldest_gives_way(unconnected, broker, run, monkeypatch, said):
    monkeypatch.setattr(unconnected._outbox, "_limit", 3500)
    for number in range(6):
        unconnected.publish(f"a/{number}", "1" * 400, retain=True)
    unconnected.start()
    run(broker.until(lambda: "hobnode/home/status" in broker.topics))
    assert broker.topics == ["a/3", "a/4", "a/5", "hobnode/home/status"]
    assert "what is oldest is dropped, such as a/0" in said()


def test_a_packet_that_is_too_large_ends_the_connection(connected, broker, run, said):
    size = connection.PACKET + 1
    broker.sends(packet(PUBLISH << 4, b"\0\1a\0" + bytes(size))[:1000])
    run(reaches(connected, False))
    run(reaches(connected, True))


def test_a_flood_leaves_time_for_others(connected, broker, run, later):
    """Of each while the broker gets its share; what has come is heard all the same."""
    heard = []

    def slow(topic, payload, retained):
        later(connection.SHARE / 4)
        heard.append(payload)

    connected.subscribe("a", slow)
    run(broker.until(lambda: broker.filters))

    async def flood():
        broker.sends(packet(PUBLISH << 4, b"\0\1a\0x") * 50)
        whiles = 0
        while len(heard) < 50:
            before = len(heard)
            await until(lambda before=before: len(heard) > before)
            for _ in range(20):  # turns in which all could be heard
                await asyncio.sleep(0)
            later(connection.WINDOW)
            whiles += 1
        return whiles

    assert run(flood(), timeout=60) >= 50 / 5
