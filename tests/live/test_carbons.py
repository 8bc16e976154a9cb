"""XEP-0280 with slixmpp: a phone and a desk of ann's, and bob."""

from tests.live.peers import Person

ANN, BOB = "ann@home.example", "bob@home.example"


def test_the_desk_sees_both_sides_of_what_the_phone_says(home, run):
    async def story():
        phone = await Person(f"{ANN}/phone", home).logs_in()
        desk = await Person(f"{ANN}/desk", home, plugins=("xep_0280",)).logs_in()
        bob = await Person(f"{BOB}/b", home).logs_in()
        copies = []
        for name in ("carbon_sent", "carbon_received"):
            desk.add_event_handler(name, lambda stanza, name=name: copies.append((name, stanza[name])))
        info = await desk.plugin["xep_0030"].get_info(jid="home.example")
        assert {"urn:xmpp:carbons:2", "urn:xmpp:carbons:rules:0"} <= info["disco_info"]["features"]
        await desk.plugin["xep_0280"].enable()

        phone.send_message(f"{BOB}/b", "Is the lamp on?", mtype="chat")
        assert (await bob.hears(lambda s: s.name == "message"))["body"] == "Is the lamp on?"
        bob.send_message(f"{ANN}/phone", "Yes, it is.", mtype="chat")
        assert (await phone.hears(lambda s: s.name == "message"))["body"] == "Yes, it is."
        await desk.plugin["xep_0199"].ping("home.example")  # whose answer comes behind all copies
        assert [(name, message["from"], message["body"]) for name, message in copies] == [
            ("carbon_sent", f"{ANN}/phone", "Is the lamp on?"),
            ("carbon_received", f"{BOB}/b", "Yes, it is."),
        ]

        await desk.plugin["xep_0280"].disable()
        phone.send_message(f"{BOB}/b", "Good.", mtype="chat")
        assert (await bob.hears(lambda s: s.name == "message"))["body"] == "Good."
        await desk.plugin["xep_0199"].ping("home.example")
        assert len(copies) == 2
        for person in (phone, desk, bob):
            await person.leaves()

    run(story())
