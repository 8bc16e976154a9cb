"""XEP-0439: what one may answer with a touch."""

from node.base.element import read, write
from node.things.responses import responses
from tests.things.test_chat import ask

NS = "urn:xmpp:tmp:quick-response"


def test_the_example_of_the_xep():
    assert responses(("yes", "Sure!"), ("no", "Uuuuuuh...")) == (
        read(f"<response xmlns='{NS}' value='yes' label='Sure!'/>".encode()),
        read(f"<response xmlns='{NS}' value='no' label='Uuuuuuh...'/>".encode()),
    )


def test_neither_values_nor_labels_come_twice():
    offered = responses(("on", "On"), ("on", "Now"), ("lamp on", "On"), ("off", "Off"))
    assert [each.get("value") for each in offered] == ["on", "off"]


def test_a_label_may_say_anything():
    (element,) = responses(("a 'b' <c>", 'say "&"'))
    assert read(write(element, "").encode()) == element


def test_help_and_the_greeting_offer_what_they_list(ann, ben, hub, porch):
    (answer,) = ann.says("<message to='porch@hub.local' type='chat' id='h'><body>help</body></message>").heard
    for value, label in (("status", "Status"), ("lamp on", "Lamp on"), ("lamp off", "Lamp off")):
        assert f"<response xmlns='{NS}' value='{value}' label='{label}'/>" in answer
        assert value in answer.partition("</body>")[0]
    assert answer.count("<body>") == 1
    (answer,) = ben.says("<message to='porch@hub.local' type='chat' id='h'><body>help</body></message>").heard
    assert f"<response xmlns='{NS}' value='status' label='Status'/>" in answer
    assert "lamp on" not in answer, "who may only read"
    ask(ben, "status")
    ben.says("<presence to='porch@hub.local' type='unsubscribe'/>")
    ask(ann, "grant ben@hub.local approve")
    ben.says("<presence to='porch@hub.local' type='subscribe'/>")
    greeting = ben.heard[-1]
    assert f"<response xmlns='{NS}' value='help' label='What I can say'/>" in greeting
    assert "status" in greeting.partition("</body>")[0]
    assert "help" in greeting.partition("</body>")[0]
