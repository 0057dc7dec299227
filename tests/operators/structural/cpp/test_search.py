"""Edits in sequence: the ladder to a fast kernel, recipes, replay, and random walks."""

import random
from pathlib import Path

import pytest

from operators.operator import Inapplicable, Situation, Variation
from operators.structural import cpp
from operators.structural.cpp.recipe import RECIPES, BlockedVectors, FilteredVectors
from operators.structural.cpp.replay import Replay
from operators.structural.cpp.schedule import Schedules
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome
from populations.parameters import parameters, values, with_values
from populations.source import cpp_sources
from tests.operators.structural.cpp.kernels import SOURCES, cpp_of, faults, module
from tests.operators.structural.cpp.test_edits import edit, without_compiler

SEEDS = Path(__file__).parents[4] / "experiments" / "seeds"
EDITS = cpp.edits()
SCHEDULES = Schedules(EDITS, [Replay.name, *(recipe.name for recipe in RECIPES)])
# From the plain loops to a convolution at several times their speed.
LADDER = [
    "halo_pad",
    "minimal_filtering:F(4, 3)",
    "explicit_vectors:vectorise t in o in j",
    "unroll_and_jam:o in j",
    "restrict",
]


def judged(number: int, source: str, operator: str, note: str, parents: tuple[int, ...]) -> Kernel:
    candidate = Candidate(number, source, "cpp", operator, parents, note)
    return Kernel(candidate, Evaluation(Outcome.WRONG_VALUES, 0, 1))


def family(steps: list[tuple[str, str, str]]) -> Lineage:
    """A line of descent from (source, operator, note)."""
    lineage = Lineage()
    for number, (source, operator, note) in enumerate(steps):
        parents = (number - 1,) if number else ()
        lineage.add(judged(number, source, operator, note, parents))
    return lineage


def grown(*names: str) -> Lineage:
    """The line that edits of these operators leave, from the plain convolution."""
    by_name = {e.name: e for e in EDITS}
    text, steps = module(SOURCES["conv"]), [(module(SOURCES["conv"]), "seed", "")]
    for name in names:
        result = by_name[name].apply(text, random.Random(0))
        assert result is not None
        text = result[0]
        steps.append((text, name, result[1]))
    return family(steps)


@pytest.mark.compiler
@without_compiler
def test_the_ladder_from_the_seed_is_right_on_every_rung(tmp_path: Path) -> None:
    seed = (SEEDS / "conv1d_cpp.py").read_text()
    texts = [edit_seed(seed, LADDER[:rungs]) for rungs in range(len(LADDER) + 1)]
    best = values(texts[-1])
    assert {"ROWS", "LANES", "JAM"} <= set(best)
    texts.append(with_values(texts[-1], {"ROWS": 4, "JAM": 8}))
    texts.append(with_values(texts[-1], {"ROWS": 2, "LANES": 8, "JAM": 12}))
    assert faults(tmp_path, "conv1d", [cpp_sources(t)[0].text for t in texts]) == [""] * 8


def edit_seed(seed: str, steps: list[str]) -> str:
    source = cpp_sources(seed)[0]
    return edit(module(source.text), steps)


@pytest.mark.compiler
@without_compiler
def test_the_ladder_for_rmsnorm_is_right(tmp_path: Path) -> None:
    steps = [
        "privatise_reduction:a private",
        "simd:simd on c in r",
        "simd:simd on c in r",
        "factor_out",
        "reciprocal",
    ]
    texts = [edit(module(SOURCES["norm"]), steps[: n + 1]) for n in range(len(steps))]
    assert faults(tmp_path, "norm", [cpp_of(t) for t in texts]) == [""] * len(texts)
    assert "_part" in texts[0]


@pytest.mark.parametrize(
    ("recipe", "words"), [(BlockedVectors, "LANES"), (FilteredVectors, "ROWS")]
)
def test_recipes_make_all_their_edits(recipe: type, words: str) -> None:
    result = recipe(SCHEDULES).apply(module(SOURCES["conv"]), random.Random(0))
    assert result is not None
    assert words in result[0]
    assert "JAM" in result[0]
    assert result[1].startswith("cpp_halo_pad: pad x with zeros per b, drop the guard; then cpp_")
    assert recipe(SCHEDULES).apply(module(SOURCES["scan"]), random.Random(0)) is None


def test_a_recipe_falls_back_on_an_earlier_form() -> None:
    lineage = grown("cpp_unroll_and_jam", "cpp_restrict")
    recipe = FilteredVectors(SCHEDULES)
    assert recipe.apply(lineage.get(2).source, random.Random(0)) is None
    result = recipe.vary([lineage.get(2)], Situation(lineage, random.Random(0), "cpu"))
    assert isinstance(result, Variation)
    assert result.note.startswith("from #0; then ")
    assert "cpp_minimal_filtering: filter l" in result.note
    assert result.note.endswith("cpp_restrict: restrict the pointers of conv")


def test_replay_opens_what_later_edits_had_closed() -> None:
    lineage = grown("cpp_halo_pad", "cpp_explicit_vectors", "cpp_unroll_and_jam")
    parent = lineage.get(3)
    filtering = next(e for e in EDITS if e.name == "cpp_minimal_filtering")
    assert filtering.apply(parent.source, random.Random(0)) is None
    replay = Replay(SCHEDULES)
    found = set()
    for seed in range(40):
        result = replay.vary([parent], Situation(lineage, random.Random(seed), "cpu"))
        if isinstance(result, Variation) and "cpp_minimal_filtering" in result.note:
            assert result.note.startswith("from #0; then cpp_halo_pad: pad x")
            assert "LANES" in result.source
            found.add(result.note)
    assert found


def test_replay_of_a_replay_starts_from_its_schedule() -> None:
    lineage = grown("cpp_halo_pad", "cpp_explicit_vectors", "cpp_unroll_and_jam")
    replay = Replay(SCHEDULES)
    for number in range(4, 10):
        parent = lineage.get(number - 1)
        for seed in range(40):
            result = replay.vary([parent], Situation(lineage, random.Random(seed), "cpu"))
            if isinstance(result, Variation):
                break
        assert isinstance(result, Variation)
        lineage.add(judged(number, result.source, replay.name, result.note, (number - 1,)))
        root, steps = SCHEDULES.read(lineage.get(number), lineage)
        assert root.number == 0
        assert [f"{s.operator}: {s.note}" for s in steps] == result.note.split("; then ")[1:]


def test_replay_reads_several_edits_in_one_note_and_passes_over_tuning() -> None:
    text = module(SOURCES["conv"])
    lineage = family(
        [
            (text, "seed", ""),
            (text + "#1\n", "cpp_align", "align x; then cpp_restrict: restrict the pointers"),
            (text + "#2\n", "tune", "JAM 4 to 8"),
            (text + "#3\n", "cpp_blocked_vectors", "cpp_halo_pad: pad; then cpp_simd: simd on k"),
        ]
    )
    root, steps = SCHEDULES.read(lineage.get(3), lineage)
    assert root.number == 0
    assert [s.operator for s in steps] == [
        "cpp_align",
        "cpp_restrict",
        "cpp_halo_pad",
        "cpp_simd",
    ]


def test_replay_keeps_launch_parameters() -> None:
    lineage = grown("cpp_unroll_and_jam", "cpp_restrict")
    tuned = with_values(lineage.get(2).source, {"JAM": 2})
    lineage.add(judged(3, tuned, "tune", "JAM 4 to 2", (2,)))
    for seed in range(20):
        situation = Situation(lineage, random.Random(seed), "cpu")
        result = Replay(SCHEDULES).vary([lineage.get(3)], situation)
        if isinstance(result, Variation) and "JAM" in values(result.source):
            assert values(result.source)["JAM"] == 2
            return
    pytest.fail("no variation")


@pytest.mark.parametrize("operator", ["seed", "merge", "llm"])
def test_replay_needs_edits_of_its_own_kind(operator: str) -> None:
    text = module(SOURCES["conv"])
    lineage = family([(text, "seed", ""), (text + "#\n", operator, "something")])
    result = Replay(SCHEDULES).vary([lineage.get(1)], Situation(lineage, random.Random(0), "cpu"))
    assert isinstance(result, Inapplicable)


@pytest.mark.compiler
@without_compiler
@pytest.mark.parametrize("kernel", ["conv", "norm", "matmul", "smooth"])
def test_random_walks_stay_right(kernel: str, tmp_path: Path) -> None:
    """A few edits in a row, anywhere, with launch parameters at random."""
    texts = []
    for seed in range(5):
        rng, text = random.Random(f"{kernel} {seed}"), module(SOURCES[kernel])
        for _ in range(12):
            result = rng.choice(EDITS).apply(text, rng)
            text = result[0] if result is not None else text
        texts.append(with_values(text, {p.name: rng.choice(p.choices) for p in parameters(text)}))
    assert faults(tmp_path, kernel, [cpp_of(t) for t in texts]) == [""] * len(texts)


def test_operators_have_names_and_weights() -> None:
    operators = cpp.operators()
    names = [operator.name for operator in operators]
    assert len(set(names)) == len(names)
    assert all(name.startswith("cpp_") and name.isidentifier() for name in names)
    assert 0.8 < sum(operator.weight for operator in operators) < 2
