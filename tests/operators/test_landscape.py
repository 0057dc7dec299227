"""Steps along a lattice, back, and across."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.landscape.table import load
from operators.landscape import Crossover, Ground, Step, Undo, operators, structural
from operators.operator import Inapplicable, Situation, Variation
from operators.tuning import Tune
from populations.kernel import Kernel
from populations.lineage import Lineage
from populations.parameters import values
from tests.contracts.samples import kernel
from tests.fitness.landscape.test_table import GOLDEN
from tests.fitness.landscape.tiny import VARIANTS, source

TABLE = load(GOLDEN)
ALL = operators(TABLE, Tune())


def made(number: int, text: str) -> Kernel:
    return kernel(number, text, 1.0 + number / 8, language="cpp")


def situation(seed: int = 0, kernels: tuple[Kernel, ...] = ()) -> Situation:
    lineage = Lineage()
    for each in kernels:
        lineage.add(each)
    return Situation(lineage=lineage, rng=random.Random(seed), device="cpu")


def edits_of(variation: Variation) -> tuple[str, ...]:
    number = TABLE.variant_of(variation.source)
    assert number is not None
    return TABLE.variants[number].edits


def test_they_go_by_the_real_operators_names() -> None:
    assert list(ALL) == [
        "cpp_halo_pad",
        "cpp_explicit_vectors",
        "cpp_pack",
        "undo",
        "merge",
        "tune",
    ]
    assert [operator.arity for operator in ALL.values()] == [1, 1, 1, 1, 2, 1]
    assert all(operator.name == name for name, operator in ALL.items())


def test_a_step_makes_its_edit_where_there_is_such_a_variant() -> None:
    steps = structural(TABLE)
    found = steps["cpp_halo_pad"].vary([made(0, source(()))], situation())
    assert isinstance(found, Variation)
    assert edits_of(found) == ("pad",)
    assert found.note == "pad"
    # Needs padding; and packing alone did not apply.
    for name in ("cpp_explicit_vectors", "cpp_pack"):
        assert isinstance(steps[name].vary([made(0, source(()))], situation()), Inapplicable)
    assert isinstance(steps["cpp_pack"].vary([made(0, source(("pad",)))], situation()), Variation)


def test_launch_parameters_come_along() -> None:
    steps = structural(TABLE)
    found = steps["cpp_explicit_vectors"].vary([made(0, source(("pad",), 4))], situation())
    assert isinstance(found, Variation)
    assert values(found.source) == {"BLOCK": 4, "LANES": 4}


def test_back_takes_what_needs_it_along() -> None:
    undo = Undo(Ground(TABLE))
    parent = made(0, source(("pad", "vectors", "pack"), 2, 8))
    seen = {
        (found.note, edits_of(found))
        for seed in range(30)
        if isinstance(found := undo.vary([parent], situation(seed)), Variation)
    }
    # Without padding there are no vectors, and packing alone is no variant.
    assert seen == {
        ("without vectors", ("pad", "pack")),
        ("without pack", ("pad", "vectors")),
    }
    assert isinstance(undo.vary([made(0, source(()))], situation()), Inapplicable)


def test_a_crossover_has_something_of_both() -> None:
    cross = Crossover(Ground(TABLE))
    one, two = made(0, source(("pad", "vectors"), 2, 8)), made(1, source(("pad", "pack"), 4))
    found = [cross.vary([one, two], situation(seed)) for seed in range(40)]
    children = {edits_of(f) for f in found if isinstance(f, Variation)}
    assert children == {("pad",), ("pad", "vectors", "pack")}
    both = next(f for f in found if isinstance(f, Variation) and len(edits_of(f)) == 3)
    # The first parent's values, where it has them.
    assert values(both.source) == {"BLOCK": 2, "LANES": 8}
    assert isinstance(cross.vary([one, one], situation()), Inapplicable)


@pytest.mark.parametrize("name", list(ALL))
def test_no_operator_raises_on_a_kernel_of_another_kind(name: str) -> None:
    for text in ("", "x = 1\n", "def ("):
        parents = [made(0, text), made(1, text)][: ALL[name].arity]
        assert isinstance(ALL[name].vary(parents, situation(0, tuple(parents))), Inapplicable)


@given(
    numbers=st.tuples(*[st.integers(0, len(TABLE) - 1)] * 2),
    name=st.sampled_from([name for name in ALL if name != "tune"]),
    seed=st.integers(0, 999),
)
@settings(deadline=None)
def test_whatever_comes_out_is_a_variant_and_the_same_again(
    numbers: tuple[int, int], name: str, seed: int
) -> None:
    parents = [made(n, TABLE.source(row)) for n, row in enumerate(numbers)][: ALL[name].arity]
    found = ALL[name].vary(parents, situation(seed))
    assert ALL[name].vary(parents, situation(seed)) == found
    if isinstance(found, Variation):
        assert edits_of(found) in VARIANTS
        assert TABLE.variant_of(found.source) not in [TABLE.variant_of(p.source) for p in parents]


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_every_variant_is_reached_by_steps(seed: int) -> None:
    rng, here = random.Random(seed), source(())
    seen = [frozenset(())]
    steps = structural(TABLE)
    for _ in range(200):
        found = steps[rng.choice(list(steps))].vary([made(0, here)], situation(rng.getrandbits(30)))
        if isinstance(found, Variation):
            here = found.source
            seen.append(frozenset(edits_of(found)))
    assert set(seen) == {frozenset(edits) for edits in VARIANTS}
    # A step is one edit more, or one less with those that need it.
    for before, after in pairwise(seen):
        assert before < after or after < before
        assert len(after - before) <= 1


def test_steps_of_one_operator_choose_among_their_edits() -> None:
    step = Step("both", ("pad", "vectors"), Ground(TABLE))
    assert isinstance(step.vary([made(0, source(("pad", "vectors")))], situation()), Inapplicable)
    found = step.vary([made(0, source(("pad",)))], situation())
    assert isinstance(found, Variation)
    assert found.note == "vectors"
