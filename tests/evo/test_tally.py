"""What each operator brought, from a store."""

import pytest

from evo.tally import table, tally
from populations.call import Answer, Call, Finish, Message
from populations.rows import Proposal, Rejection
from tests.contracts.samples import kernel
from tests.evo.toy import create


@pytest.fixture
def store(tmp_path):
    with create(tmp_path) as made:
        yield made


def keep(store, made):
    store.add_candidate(made.candidate)
    store.add_evaluation(made.number, made.evaluation)


def ask(store, number, operator, cost_usd):
    store.add_proposal(Proposal(number, operator, (0,), "m"))
    answer = Answer("text", Finish.COMPLETE, "m", tokens_in=10, tokens_out=5, cost_usd=cost_usd)
    store.add_call(Call(number, 0, operator, (Message("user", "?"),), answer))


def test_every_operator_has_its_balance(store):
    keep(store, kernel(0, value=1.0))
    keep(store, kernel(1, value=1.5, operator="tile", parents=(0,)))
    keep(store, kernel(2, value=None, operator="tile", parents=(1,)))
    ask(store, 3, "rewrite", 0.25)
    keep(store, kernel(3, value=1.2, operator="rewrite", parents=(1,)))
    ask(store, 4, "rewrite", 0.5)
    store.add_rejection(Rejection(4, "unreadable", "no code"))
    found = {one.operator: one for one in tally(store)}
    assert list(found) == ["tile", "rewrite", "seed"]
    tile, rewrite, seed = found["tile"], found["rewrite"], found["seed"]
    assert (tile.proposals, tile.candidates, tile.passed, tile.improved) == (2, 2, 1, 1)
    assert (rewrite.proposals, rewrite.candidates, rewrite.passed, rewrite.improved) == (2, 1, 1, 0)
    assert (rewrite.calls, rewrite.tokens, rewrite.cost_usd) == (2, 30, 0.75)
    assert rewrite.rejected == {"unreadable": 1}
    assert (seed.improved, seed.calls) == (0, 0)
    lines = table(list(found.values())).splitlines()
    assert "US dollars" in lines[0]
    assert "0.75" in next(line for line in lines if line.startswith("rewrite"))


def test_what_mends_a_failed_kernel_improves_on_it(store):
    keep(store, kernel(0, value=1.0))
    keep(store, kernel(1, value=None, operator="rewrite", parents=(0,)))
    keep(store, kernel(2, value=0.9, operator="repair", parents=(1,)))
    assert {one.operator: one.improved for one in tally(store)}["repair"] == 1


def test_models_are_left_out_where_none_was_asked(store):
    keep(store, kernel(0, value=1.0))
    assert "calls" not in table(tally(store))
