"""[gateway.mqtt], as the file says it."""

import pytest

from node.gateways.mqtt import Options


def test_the_port_follows_from_tls():
    assert [Options().port, Options(tls=True).port, Options(port=7).port] == [1883, 8883, 7]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"port": 70000}, "port must be"),
        ({"keepalive": 1}, "keepalive must be"),
        ({"broker": ""}, "broker must not"),
        ({"topic": ""}, "topic must be"),
        ({"topic": "home/#"}, "topic must be"),
        ({"announce": "a b"}, "announce must be"),
    ],
)
def test_what_cannot_be_is_said_in_words(said, complaint):
    with pytest.raises(ValueError, match=complaint):
        Options(**said)
