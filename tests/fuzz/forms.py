"""Forms: any answer to any question is read or refused with FormError, and what is read fits the question."""

from decimal import Decimal
from random import Random

from node.base import form, stamp
from node.base.element import E, read, write
from node.base.form import FormError
from node.base.stanza import CLIENT, PLAIN_SCOPES
from tests.fuzz import mutate, second

TYPES = (
    *("boolean", "fixed", "hidden", "jid-multi", "list-multi", "list-single", "text-multi", "text-private"),
    "text-single",
)
ANSWERS = (
    *mutate.VALUES,
    *("on", " true ", "0", "-0", "+5", "1.50", ".5", "5.", "1e3", "1e-999", "1E+9999999", "0x10", "1_000", "\u0661"),
    *("9" * 64, "9" * 5000, "1" + "0" * 63, "." * 5000, "2026-02-30", "24:00:00", "9999-12-31", "\uff11", "sNaN"),
    *("2026-11-22T14:02:11.5+02:00", "2026-11-22T25:61:61Z", "0000-01-01T00:00:00Z", "9999-12-31T24:00:00-14:59"),
    *("Infinity", "eco", "Hot", "hot"),
)

Case = tuple[list[tuple], list[tuple[str, str, list[str]]], int]  # questions, answers, seed of what is done to the XML


def make(chance: Random) -> Case:
    questions = []
    for number in range(chance.choice((1, 2, 5))):
        datatype = chance.choice((None, None, "xs:string", "x:own", "xs:boolean", *form.CONVERT))
        bounds = [chance.choice((None, None, *_bounds(datatype))) for _ in range(2)]
        options = chance.choice(((), ("eco", "hot"), (("a", "A"), ("", "none"))))
        questions.append((f"v{number}", chance.choice(TYPES), options, chance.random() < 0.3, datatype, *bounds))
    answers = []
    for _ in range(chance.choice((0, 1, 2, 6))):
        var = chance.choice((*(question[0] for question in questions), "FORM_TYPE", "", "strange"))
        values = [mutate.good(chance.choice(ANSWERS)) for _ in range(chance.choice((0, 1, 1, 1, 2)))]
        answers.append((var, chance.choice((*TYPES, "")), values))
    return questions, answers, chance.randrange(1 << 30)


def _bounds(datatype: str | None) -> tuple[str, ...]:
    if datatype in ("xs:date", "xs:time", "xs:dateTime"):
        return ()
    return ("-5", "0", "1.5", "100") if datatype in ("xs:decimal", "xs:double") else ("-5", "0", "100")


def check(case: Case) -> None:
    questions, given, seed = case
    chance = Random(seed)
    asked = form.form(
        *(
            form.field(var, type=type, options=options, required=required, datatype=datatype, minimum=low, maximum=high)
            for var, type, options, required, datatype, low, high in questions
        ),
        title="T",
    )
    fields = (
        E("field", None, *(E("value", None, each) for each in values), var=var, type=type)
        for var, type, values in given
    )
    written = write(E("x", form.NS, *fields, type="submit"), CLIENT).encode()
    if seed % 4 == 0:
        written = mutate.twist(written, chance, ())
    for x in read(PLAIN_SCOPES[CLIENT] + written + b"</s>").elements:
        form.values(x)
        try:
            answers = form.read(x, asked)
        except FormError as error:
            second.tree(write(E("text", None, mutate.good(str(error))), ""))
            continue
        known = {question[0]: question for question in questions}
        assert set(answers) <= set(known)
        for var, texts in answers.items():
            _fits(known[var], texts)


def _fits(question: tuple, texts: list[str]) -> None:
    var, type, options, _, datatype, low, high = question
    assert len(texts) <= 1 or type.endswith("-multi") or type == "hidden"
    for text in texts:
        if type == "boolean" or datatype == "xs:boolean":
            assert text in ("true", "false")
        elif type.startswith("list-"):
            assert text in [option if isinstance(option, str) else option[0] for option in options]
        if datatype in form.INTEGERS and type != "boolean":
            assert form.check(text, datatype, low, high) == text
            lowest, highest = form.INTEGERS[datatype]
            assert (lowest is None or lowest <= int(text)) and (highest is None or int(text) <= highest)
        elif datatype in ("xs:decimal", "xs:double") and type != "boolean":
            number = Decimal(text)
            assert number.is_finite() and not (low and number < Decimal(low)) and not (high and number > Decimal(high))
        elif datatype == "xs:dateTime" and type != "boolean":
            stamp.parse(text)
