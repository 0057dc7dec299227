import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.credit import Credit, reward
from tests.contracts.samples import kernel, quick

PARENT = kernel(0, value=1.0)


def child(operator, value, spread=0.0):
    return kernel(1, value=value, spread=spread, operator=operator, parents=(0,))


def fresh(**options):
    return Credit(priors={"unroll": 1.0, "tile": 1.0, "merge": 2.0}, **options)


def test_priors_decide_at_first():
    chances = fresh(floor=0.0).probabilities()
    assert chances == pytest.approx({"unroll": 0.25, "tile": 0.25, "merge": 0.5})


def test_an_operator_that_improves_is_asked_more():
    credit = Credit(priors={"unroll": 1.0, "tile": 1.0, "merge": 1.0})
    for _ in range(10):
        credit.record(child("tile", 1.3), [PARENT])
        credit.record(child("unroll", 1.0), [PARENT])
        credit.record(child("merge", None), [PARENT])
    chances = credit.probabilities()
    assert chances["tile"] > chances["unroll"] > chances["merge"] >= 0.03
    assert chances["tile"] > 0.5


def share_of_the_good_one(seed, *, good):
    """Of 200 choices among 8 operators, one of which improves 15 % of its children by 11 %."""
    rng = random.Random(seed)
    credit = Credit(priors={f"op{n}": 1.0 for n in range(8)})
    chosen = 0
    for _ in range(200):
        operator = credit.choose(rng)
        chosen += operator == good
        if rng.random() < (0.15 if operator == good else 0.005):
            credit.record(child(operator, 1.11), [PARENT])
        else:
            credit.record(child(operator, 1.0 if rng.random() < 0.7 else None), [PARENT])
    return chosen / 200


def test_a_rare_improver_is_found_within_a_short_run():
    shares = [share_of_the_good_one(seed, good=f"op{seed % 8}") for seed in range(20)]
    # An even choice gives 0.125.
    assert sum(shares) / len(shares) > 0.3


def test_recent_rewards_count_more():
    early, late = fresh(), fresh()
    gains = [1.2] * 10 + [1.0] * 10
    for value in gains:
        early.record(child("tile", value), [PARENT])
    for value in reversed(gains):
        late.record(child("tile", value), [PARENT])
    assert late.probabilities()["tile"] > early.probabilities()["tile"]


def test_a_miss_is_a_small_debit():
    missed, failed = fresh(), fresh()
    missed.miss("tile")
    failed.record(child("tile", None), [PARENT])
    before = fresh().probabilities()["tile"]
    assert failed.probabilities()["tile"] < missed.probabilities()["tile"] < before


def test_seeds_and_strangers_are_passed_over():
    credit = fresh()
    credit.record(PARENT, [])
    credit.record(child("stranger", 9.0), [PARENT])
    credit.miss("stranger")
    assert credit.probabilities() == fresh().probabilities()


def test_the_choice_follows_the_probabilities_and_the_restriction():
    credit, rng = fresh(floor=0.1), random.Random(0)
    counts = Counter(credit.choose(rng) for _ in range(4000))
    for name, chance in credit.probabilities().items():
        assert counts[name] / 4000 == pytest.approx(chance, abs=0.03)
    assert {credit.choose(rng, among={"tile"}) for _ in range(5)} == {"tile"}
    assert credit.choose(random.Random(5)) == credit.choose(random.Random(5))
    with pytest.raises(ValueError, match="no known operator"):
        credit.choose(rng, among=["stranger"])


def test_reward_is_the_certain_gain_over_the_best_parent():
    assert reward(child("a", None), [PARENT]) == 0.0
    assert reward(child("a", 0.5), [PARENT]) == pytest.approx(0.01)
    assert reward(child("a", 1.1, spread=0.1), [PARENT]) == pytest.approx(0.01)
    assert reward(child("a", 1.25**0.5), [PARENT]) == pytest.approx(0.01 + 0.99 / 2)
    assert reward(child("a", 9.0), [PARENT]) == 1.0
    assert reward(child("a", 1.25), [PARENT, kernel(2, value=1.25)]) == pytest.approx(0.01)
    assert reward(child("a", 0.1), [kernel(2, value=None)]) == 1.0


def test_nonsense_is_refused():
    for options in ({"priors": {}}, {"priors": {"a": 0.0}}):
        with pytest.raises(ValueError, match="prior above 0"):
            Credit(**options)
    with pytest.raises(ValueError, match="memory=0"):
        Credit(priors={"a": 1.0}, memory=0)


records = st.lists(
    st.tuples(
        st.sampled_from(["unroll", "tile", "merge"]),
        st.one_of(st.none(), st.floats(0.1, 10), st.just("miss")),
    ),
    max_size=40,
)


@quick
@given(
    records=records,
    repeats=st.sampled_from([1, 1, 1, 500]),
    among=st.sets(st.sampled_from(["unroll", "tile", "merge"]), min_size=1),
)
def test_nobody_falls_under_the_floor(records, repeats, among):
    credit, again = fresh(floor=0.05), fresh(floor=0.05)
    for operator, value in records * repeats:
        for each in (credit, again):
            if value == "miss":
                each.miss(operator)
            else:
                each.record(child(operator, value), [PARENT])
    chances = credit.probabilities(among)
    assert set(chances) == among
    assert sum(chances.values()) == pytest.approx(1.0)
    assert min(chances.values()) >= 0.05 - 1e-12
    assert again.probabilities(among) == chances


def test_what_asking_costs_counts_against_an_operator():
    chances = []
    for asking in (0.0, 4.0):
        credit = Credit(priors={"free": 1.0, "paid": 1.0})
        for _ in range(20):
            credit.record(child("free", 1.3), [PARENT])
            credit.record(child("paid", 1.3), [PARENT], asking=asking)
        chances.append(credit.probabilities()["paid"])
    assert chances[0] == pytest.approx(0.5)
    # A fifth of the worth, and chances go with its square.
    assert chances[1] < 0.1


def test_an_answer_that_comes_to_nothing_costs_what_it_cost():
    credit = Credit(priors={"a": 1.0, "b": 1.0})
    for _ in range(5):
        credit.miss("a")
        credit.miss("b", asking=3.0)
    assert credit.probabilities()["a"] > 0.8
