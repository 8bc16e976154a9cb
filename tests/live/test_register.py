"""XEP-0077, XEP-0445 and XEP-0352 with slixmpp: somebody comes with an invitation, and her phone goes to sleep."""

import re

from slixmpp.exceptions import IqError

from tests.live.peers import Person


class Newcomer(Person):
    """Makes an account before logging in, with an invitation if there is one."""

    def __init__(self, jid, node, token=""):
        super().__init__(jid, node, plugins=("xep_0077", "xep_0352", "xep_0085"))
        self.token = token
        self.refused = []
        self.asks_for_the_form = self.plugin["xep_0077"].get_registration
        self.plugin["xep_0077"].get_registration = self.knocks
        self.add_event_handler("register", self.registers)
        self.add_event_handler("chatstate", self._comes)

    async def knocks(self):
        if self.token:
            # Not as an iq of slixmpp's: of those it sends none but the plugin's own before there is a session.
            self.send_raw(f"<iq type='set' id='t'><preauth xmlns='urn:xmpp:pars:0' token='{self.token}'/></iq>")
        return await self.asks_for_the_form()

    async def registers(self, form):
        assert form["register"]["fields"] == {"username", "password"}
        try:
            iq = self.make_iq_set()
            iq["register"]["username"], iq["register"]["password"] = self.boundjid.user, "secret"
            await iq.send()
        except IqError as error:
            self.refused.append(error.condition)


def test_somebody_comes_with_an_invitation_and_her_phone_sleeps(nodes, run):
    home = nodes()
    home.start()
    home.add("ann")
    token = re.search(r"preauth=(\w+)", home.command("user", "invite").stdout)[1]

    async def story():
        ann = await Person("ann@home.example/desk", home, plugins=("xep_0085",)).logs_in()
        kim = await Newcomer("kim@home.example/phone", home, token).logs_in()
        assert kim.refused == []
        await home.says("kim@home.example has registered from 127.0.0.1")

        kim.plugin["xep_0352"].send_inactive()
        await kim.plugin["xep_0199"].ping("home.example")
        for show in ("away", "dnd"):
            ann.send_presence(pto="kim@home.example/phone", pshow=show)
        state = ann.make_message("kim@home.example/phone", mtype="chat")
        state["chat_state"] = "composing"
        state.send()
        await ann.plugin["xep_0199"].ping("home.example")
        ann.send_message("kim@home.example/phone", "Are you in?", mtype="chat")
        await kim.plugin["xep_0199"].ping("home.example")
        first, second, third = (stanza for stanza in kim.came if stanza["from"] == "ann@home.example/desk")
        assert first["type"] == "dnd"
        assert second["chat_state"] == "composing"
        assert third["body"] == "Are you in?"
        for each in (ann, kim):
            await each.leaves()

    run(story())


def test_the_door_is_open_or_it_is_not(nodes, run):
    home = nodes(more="[register]\nopen = true\n")
    home.start()

    async def story():
        for number in range(4):
            kim = Newcomer(f"kim{number}@home.example/phone", home)
            if number < 3:
                await (await kim.logs_in()).leaves()
                assert kim.refused == []
        kim.enable_direct_tls = False
        kim.connect(home.address, home.port)
        try:
            await kim.started
        except ConnectionError:
            assert kim.refused == ["resource-constraint"]
        await kim.leaves()

    run(story())
