"""Dialogues under way: what is asked, kept, given again, and how they end."""

import pytest

from operators.dialogue import Conversation, Prompt, Reason, Rejected
from operators.llm.desk import MOST_TURNS, Desk, by_turn
from operators.llm.fake import ScriptedAnswerer
from operators.llm.settings import ModelSettings
from operators.llm.spending import Limits, Spending
from operators.operator import Variation
from populations.call import Finish, Message

MODEL = ModelSettings(name="m")


def asking(*questions, model="m"):
    """A dialogue that asks these and returns the answers as its note."""

    def turns():
        answers = []
        for question in questions:
            answer = yield Prompt((Message("user", question),))
            if answer.finish is not Finish.COMPLETE:
                return Rejected(Reason.NO_ANSWER, answer.text)
            answers.append(answer.text)
        return Variation(source="pass\n", note=", ".join(answers))

    return Conversation(turns(), model)


def desk(script, *, recorded=(), limits=None, **options):
    kept = []
    answerer = ScriptedAnswerer(script, model="m")
    made = Desk(
        {"m": answerer}, kept.append, Spending({"m": MODEL}, limits), by_turn(recorded), **options
    )
    return made, answerer, kept


def echo(asked):
    return f"{asked.prompt.messages[-1].text}!"


def test_a_dialogue_goes_on_to_its_end():
    made, answerer, kept = desk(echo)
    made.open(3, "edit", asking("a", "b"))
    (ended,) = made.advance()
    assert (ended.number, ended.result.note) == (3, "a!, b!")
    assert [(c.proposal, c.turn, c.operator, c.answer.text) for c in kept] == [
        (3, 0, "edit", "a!"),
        (3, 1, "edit", "b!"),
    ]
    assert [(q.proposal, q.turn, q.operator) for q in answerer.asked] == [
        (3, 0, "edit"),
        (3, 1, "edit"),
    ]
    assert made.spending.calls == 2


def test_what_is_recorded_is_not_asked_again():
    made, _, kept = desk(echo)
    made.open(3, "edit", asking("a", "b"))
    made.advance()
    again, answerer, kept_again = desk(echo, recorded=kept[:1])
    again.open(3, "edit", asking("a", "b"))
    (ended,) = again.advance()
    assert ended.result.note == "a!, b!"
    assert [q.turn for q in answerer.asked] == [1]
    # The first call is in the store already, and was counted when that was read.
    assert [c.turn for c in kept_again] == [1]
    assert again.spending.calls == 1


def test_another_question_than_the_recorded_one_is_asked():
    made, _, kept = desk(echo)
    made.open(3, "edit", asking("a"))
    made.advance()
    other, answerer, _ = desk(echo, recorded=kept)
    other.open(3, "edit", asking("other"))
    (ended,) = other.advance()
    assert ended.result.note == "other!"
    assert len(answerer.asked) == 1
    replaying, answerer, kept_again = desk(echo, recorded=kept, strict=False, counted=False)
    replaying.open(3, "edit", asking("other"))
    (ended,) = replaying.advance()
    assert ended.result.note == "a!"
    assert (len(answerer.asked), len(kept_again)) == (0, 1)


def test_a_model_that_is_not_there_gives_no_answer():
    made, _, kept = desk(echo)
    made.open(1, "edit", asking("a", model="gone"))
    (ended,) = made.advance()
    assert ended.result.reason is Reason.NO_ANSWER
    assert "gone" in ended.result.text
    assert kept[0].answer.finish is Finish.FAILED


def test_a_spent_budget_asks_nobody():
    made, answerer, _ = desk(echo, limits=Limits(calls=1))
    made.open(1, "edit", asking("a", "b"))
    (ended,) = made.advance()
    assert "1 model calls" in ended.result.text
    assert len(answerer.asked) == 1


def test_an_endless_dialogue_is_ended():
    made, answerer, _ = desk(echo)
    made.open(1, "edit", asking(*map(str, range(100))))
    (ended,) = made.advance()
    assert ended.result.reason is Reason.GAVE_UP
    assert len(answerer.asked) == MOST_TURNS


def test_one_that_asks_nothing_ends_at_once():
    made, answerer, _ = desk(echo)
    made.open(1, "edit", asking())
    (ended,) = made.advance()
    assert isinstance(ended.result, Variation)
    assert not answerer.asked


def test_what_waits_for_somebody_outside_is_dormant_and_can_be_abandoned():
    made, _, _ = desk(lambda _: None)
    assert not made.dormant()
    made.open(1, "edit", asking("a"))
    assert made.dormant()
    assert made.advance() == []
    patient, _, _ = desk(lambda _: None, patient=frozenset({"m"}))
    patient.open(1, "edit", asking("a"))
    assert not patient.dormant()
    (ended,) = made.abandon("no time is left")
    assert (ended.number, ended.result.reason) == (1, Reason.NO_ANSWER)
    assert made.spending.in_flight() == (0, 0, 0)
    assert not made.waiting()


def test_a_dialogue_that_returns_nothing_of_use_is_our_mistake():
    def turns():
        yield Prompt((Message("user", "a"),))
        return "a kernel"

    made, _, _ = desk(echo)
    made.open(1, "edit", Conversation(turns(), "m"))
    with pytest.raises(TypeError, match="a Variation or Rejected"):
        made.advance()
