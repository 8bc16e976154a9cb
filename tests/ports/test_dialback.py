"""The packets of XEP-0220 and the keys of XEP-0185, on the values of their own examples."""

import asyncio

import pytest

from node.base.element import read as read_element
from node.base.errors import StreamError
from node.base.jid import parse
from node.ports.dialback import Packet, Questions, Secret, read

SECRET = Secret("s3cr3tf0rd14lb4ck")
CAPULET, MONTAGUE = parse("capulet.example"), parse("montague.example")


def packet(xml):
    return read(
        read_element(xml.replace("<db:", "<db:", 1).replace(" ", f" xmlns:db='{NS}' xmlns='{SERVER}' ", 1).encode())
    )


NS, SERVER = "jabber:server:dialback", "jabber:server"


def test_key_of_xep_0185():
    key = SECRET.key("xmpp.example.com", "example.org", "D60000229F")
    assert key == "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"


def test_key_of_xep_0220():
    key = Secret("d14lb4ck43v3r").key("capulet.example", "montague.example", "417GAF25")
    assert key == "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"


def test_F2_a_key_holds_for_one_stream_and_one_pair():
    key = SECRET.key("b", "a", "1")
    assert SECRET.knows(key, "b", "a", "1")
    assert not SECRET.knows(key, "b", "a", "2")
    assert not SECRET.knows(key, "c", "a", "1")
    assert not SECRET.knows(key, "a", "b", "1")
    assert not SECRET.knows("ключ", "b", "a", "1")


def test_F2_a_domain_cannot_borrow_letters_of_the_other():
    assert SECRET.key("c", "a.b", "1") != SECRET.key("bc", "a.", "1")
    assert SECRET.key("inform.example", "a", "1") != SECRET.key("in", "form.example a", "1")


def test_result_asks():
    asked = packet("<db:result from='capulet.example' to='montague.example'>\n  b483\n</db:result>")
    assert asked == Packet("result", CAPULET, MONTAGUE, key="b483")


def test_verify_asks():
    asked = packet("<db:verify from='capulet.example' id='417GAF25' to='montague.example'>225c</db:verify>")
    assert asked == Packet("verify", CAPULET, MONTAGUE, id="417GAF25", key="225c")


def test_answer_turns_the_domains_round_and_drops_the_key():
    asked = Packet("verify", CAPULET, MONTAGUE, id="417GAF25", key="225c")
    assert (
        asked.answer("valid").to_bytes()
        == b"<db:verify from='montague.example' to='capulet.example' id='417GAF25' type='valid'/>"
    )


def test_error_answer_is_read_as_it_was_written():
    answer = Packet("result", CAPULET, MONTAGUE, key="1").answer("error", "item-not-found", "not <here>")
    assert b"<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" in answer.to_bytes()
    assert packet(answer.to_bytes().decode()) == answer


def test_remote_connection_failed_is_written_although_rfc_6120_lacks_it():
    answer = Packet("result", CAPULET, MONTAGUE).answer("error", "remote-connection-failed")
    assert b"<remote-connection-failed " in answer.to_bytes()


@pytest.mark.parametrize(
    "xml",
    [
        "<db:result from='capulet.example'>1</db:result>",
        "<db:result to='capulet.example'>1</db:result>",
        "<db:result from='' to='capulet.example'>1</db:result>",
        "<db:result from='romeo@capulet.example' to='montague.example'>1</db:result>",
        "<db:result from='capulet.example/x' to='montague.example'>1</db:result>",
    ],
)
def test_a_packet_is_between_two_domains(xml):
    with pytest.raises(StreamError) as refused:
        packet(xml)
    assert refused.value.condition == "improper-addressing"


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        ("<db:verify from='a' to='b'>1</db:verify>", "bad-format"),
        ("<db:other from='a' to='b'>1</db:other>", "unsupported-stanza-type"),
        ("<db:result from='a' to='b' type='maybe'/>", "unsupported-stanza-type"),
        (f"<db:result from='a' to='b'>{'f' * 300}</db:result>", "policy-violation"),
    ],
)
def test_what_is_no_packet(xml, condition):
    with pytest.raises(StreamError) as refused:
        packet(xml)
    assert refused.value.condition == condition


def asking(talk):
    async def run():
        return await asyncio.wait_for(talk(Questions()), 5)

    return asyncio.run(run())


def test_an_answer_reaches_who_asked():
    async def talk(questions):
        question = Packet("verify", MONTAGUE, CAPULET, id="1", key="k")
        future = questions.ask(question)
        assert questions.answered(question.answer("valid"))
        return await future

    assert asking(talk).type == "valid"


@pytest.mark.parametrize(
    "answer",
    [
        Packet("verify", MONTAGUE, CAPULET, id="1", type="valid"),  # from and to swapped
        Packet("verify", CAPULET, MONTAGUE, id="2", type="valid"),  # another stream
        Packet("result", CAPULET, MONTAGUE, type="valid"),  # another question
        Packet("verify", parse("tybalt.example"), MONTAGUE, id="1", type="valid"),  # somebody else
        Packet("verify", CAPULET, MONTAGUE, id="1", key="k"),  # no answer at all
    ],
)
def test_F1_what_nobody_asked_is_no_answer(answer):
    async def talk(questions):
        question = Packet("verify", MONTAGUE, CAPULET, id="1", key="k")
        future = questions.ask(question)
        assert not questions.answered(answer)
        assert not future.done()
        assert questions.answered(question.answer("invalid"))
        return await future

    assert asking(talk).type == "invalid"


def test_F1_an_answer_counts_once():
    async def talk(questions):
        question = Packet("result", MONTAGUE, CAPULET, key="k")
        questions.ask(question)
        assert questions.answered(question.answer("invalid"))
        return questions.answered(question.answer("valid"))

    assert asking(talk) is False


def test_the_end_of_a_stream_answers_all():
    async def talk(questions):
        future = questions.ask(Packet("verify", MONTAGUE, CAPULET, id="1", key="k"))
        questions.fail(ConnectionError("gone"))
        with pytest.raises(ConnectionError):
            await future
        return len(questions)

    assert asking(talk) == 0
