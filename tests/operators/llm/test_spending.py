"""Limits hold for what is under way too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.dialogue import Prompt
from operators.llm.settings import ModelSettings
from operators.llm.spending import Limits, Spending
from populations.call import Answer, Finish, Message

MODEL = ModelSettings(name="m", price_in=1.0, price_out=10.0, max_tokens=1000)
PROMPT = Prompt((Message("user", "x" * 300),))


def answer(cost_usd=0.004, tokens_in=100, tokens_out=400):
    return Answer(
        "t", Finish.COMPLETE, "m", tokens_in=tokens_in, tokens_out=tokens_out, cost_usd=cost_usd
    )


def spending(**limits):
    return Spending({"m": MODEL}, Limits(**limits))


def test_nothing_is_limited_unless_it_is_said():
    free = spending()
    for _ in range(1000):
        assert free.reserve("m", PROMPT) == ""
    assert free.exhausted() == free.full() == ""


def test_open_questions_count_at_what_they_may_cost():
    limited = spending(cost_usd=0.05)
    # 101 tokens in, 1000 out: a little more than a cent each.
    asked = 0
    while not limited.reserve("m", PROMPT):
        asked += 1
    assert asked == 4
    assert limited.full()
    assert limited.exhausted() == ""


def test_known_prices_take_the_place_of_the_highest():
    limited = spending(cost_usd=0.05)
    for _ in range(5):
        assert limited.reserve("m", PROMPT) == ""
        limited.returned("m")
        limited.add(answer())
    asked = 0
    while not limited.reserve("m", PROMPT):
        asked += 1
    # 0.02 are spent: seven of 0.004 are left.
    assert asked == 7


def test_the_first_question_is_put_whatever_it_may_cost():
    limited = spending(cost_usd=0.001)
    assert limited.reserve("m", PROMPT) == ""
    assert "0.001 US dollars" in limited.reserve("m", PROMPT)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"cost_usd": 0.004}, "0.004 US dollars for models"),
        ({"tokens": 500}, "500 tokens"),
        ({"calls": 1}, "1 model calls"),
    ],
)
def test_a_limit_that_is_reached_is_named(limits, text):
    limited = spending(**limits)
    assert limited.exhausted() == ""
    limited.add(answer())
    assert limited.exhausted() == text
    assert limited.reserve("m", PROMPT)


@given(
    st.floats(0.01, 1.0),
    st.lists(st.tuples(st.floats(0.0, 0.02), st.integers(1, 6)), min_size=1, max_size=60),
)
def test_no_more_than_one_call_beyond_the_limit(limit, rounds):
    limited = spending(cost_usd=limit)
    dearest = 0.0
    for cost, count in rounds:
        opened = sum(limited.reserve("m", PROMPT) == "" for _ in range(count))
        for _ in range(opened):
            limited.returned("m")
            # Never more than the settings allow a call to cost.
            cost_usd = min(cost, 0.0101)
            dearest = max(dearest, cost_usd)
            limited.add(answer(cost_usd=cost_usd))
    # Estimates follow the dearest answer so far: those of one round may all be dearer than that.
    assert limited.cost_usd <= limit + max(6 * dearest, 0.0101)
