"""What fuzzing begins with can be recorded again: a node that writes down what it is told, behind the encryption."""

import sys

from tests.fuzz import recorded
from tests.live.peers import Person


def test_the_tee_writes_down_what_a_client_says(nodes, run, tmp_path, monkeypatch):
    file = tmp_path / "ann.txt"
    home = nodes("hub.local", within=(sys.executable, "-m", "tests.fuzz.tee", str(file)))
    home.start()
    home.add("ann")

    async def story():
        ann = await Person("ann@hub.local/phone", home).logs_in()
        await ann.plugin["xep_0199"].ping("hub.local")
        await ann.leaves()

    run(story())
    assert home.stop() == 0
    monkeypatch.setattr(recorded, "TRAFFIC", tmp_path)
    plain, login, session = recorded.streams.__wrapped__()
    assert b"starttls" in plain[1] and b"mechanism=" in login[1] and b"xmpp-bind" in session[1]
    assert any(b"urn:xmpp:ping" in piece for piece in session)
