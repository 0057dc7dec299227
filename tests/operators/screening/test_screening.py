"""What tells kernels apart, what is offered of them, and which is chosen."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.screening.screen import STARTUP, most_promising
from operators.screening.spread import spread
from operators.screening.traits import MOST, frame, lines
from operators.tuning.space import space_of_source
from populations.parameters import skeleton, values
from tests.contracts.samples import kernel

TILES = (16, 32, 64, 128, 256)


def source(edits="", tile=64, warps=4):
    """Edit a writes two lines, b one; c only where a is."""
    made = [f"  {name} = 1\n" for name in edits]
    made += ["a_too = 1\n"] if "a" in edits else []
    text = f"TILE = {tile}  # tune: {', '.join(map(str, TILES))}\n"
    return text + (f"WARPS = {warps}  # tune: 2, 4, 8\n" if "w" in edits else "") + "".join(made)


def test_lines_know_nothing_of_launch_parameters_and_layout():
    assert lines(source("a", tile=16)) == lines(source("a", tile=256))
    assert lines(source("a")) == lines(source("a").replace("  a", "\n    a"))
    assert lines(source("a")) != lines(source("b"))


def test_a_trait_is_what_kernels_have_and_lack_together():
    found = frame([source(), source("a"), source("b"), source("ab")])
    assert len(found.traits) == 2
    points = [found.point(source(edits, tile=32)) for edits in ("", "a", "b", "ab")]
    assert [sum(point[:2]) for point in points] == [0, 1, 1, 2]
    assert {point[2] for point in points} == {32}
    assert found.space.choices["TILE"] == TILES


def test_a_parameter_that_a_kernel_lacks_has_its_middle():
    found = frame([source(), source("w", warps=8)])
    assert dict(zip(found.space.names, found.point(source()), strict=True))["WARPS"] == 4
    assert (
        dict(zip(found.space.names, found.point(source("w", warps=8)), strict=True))["WARPS"] == 8
    )


def test_traits_are_few_and_the_order_of_kernels_decides_nothing():
    texts = ["".join(f"{n} = {n >> bit & 1}\n" for bit in range(8)) for n in range(60)]
    found = frame(texts)
    assert len(found.traits) == MOST
    mixed = random.Random(1).sample(texts, len(texts))
    assert frame(mixed) == found


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_any_text_is_accepted(texts, seed):
    found = frame(texts)
    for text in texts:
        point = found.point(text)
        assert len(point) == len(found.space.names)
        found.space.ranks(point)
        assert all(
            skeleton(other) == skeleton(text) for other in spread(text, 4, random.Random(seed))
        )


def test_points_near_and_far_that_the_constraints_allow():
    rule = "# tune-if: TILE * WARPS <= limit and TILE < 256\n".replace("limit", "shared_memory")
    text = rule + source("w")
    rng, here = random.Random(1), values(text)
    seen = Counter()
    for _ in range(60):
        found = spread(text, 5, rng, {"shared_memory": 512})
        assert len(set(found)) == len(found) <= 5
        assert text not in found
        for other in found:
            now = values(other)
            assert now["TILE"] < 256
            assert now["TILE"] * now["WARPS"] <= 512
            seen[sum(now[name] != here[name] for name in here)] += 1
    assert seen[1] > 30
    assert seen[2] > 30
    assert spread("x = 1\n", 5, rng) == ()
    assert spread("X = 1  # tune: 1\n", 5, rng) == ()


def truth(edits, tile):
    return 1.0 + 0.5 * ("a" in edits) - 0.2 * ("b" in edits) - 0.1 * abs(TILES.index(tile) - 3)


def judged(*made):
    return [
        kernel(number, source(edits, tile), truth(edits, tile))
        for number, (edits, tile) in enumerate(made)
    ]


def test_what_is_learnt_in_one_kernel_is_known_of_another():
    seen = judged(("", 16), ("", 64), ("a", 16), ("b", 16), ("b", 64), ("", 128), ("", 256))
    offered = [source("b", 32), source("a", 128), source("b", 256), source("", 32)]
    chosen = {most_promising(offered, seen, (), random.Random(n)) for n in range(5)}
    assert chosen == {1}


def test_what_failed_is_no_place_to_go():
    seen = judged(("", 16), ("", 32), ("b", 16), ("b", 32), ("", 64))
    seen += [kernel(9 + at, source("a", tile), None) for at, tile in enumerate((16, 64, 128))]
    offered = [source("a", 32), source("", 128)]
    assert most_promising(offered, seen, (), random.Random(1)) == 1


def test_proposals_made_together_differ():
    seen = judged(("", 16), ("", 32), ("a", 16), ("b", 16), ("b", 32))
    offered = [source("a", tile) for tile in TILES[2:]] + [source("ab", 128), source("", 256)]
    first = most_promising(offered, seen, (), random.Random(1))
    under_way = [kernel(20, offered[first]).candidate]
    assert most_promising(offered, seen, under_way, random.Random(1)) != first


@pytest.mark.parametrize("passed", [1, STARTUP - 1])
def test_while_little_is_known_the_choice_is_even(passed):
    seen = [*judged(*[("", TILES[at]) for at in range(passed)]), kernel(30, "broken", None)]
    offered = [source("a", tile) for tile in TILES]
    chosen = Counter(most_promising(offered, seen, (), random.Random(n)) for n in range(200))
    assert set(chosen) == set(range(5))
    assert max(chosen.values()) < 80


def test_a_long_run_is_learnt_from_its_best_and_its_latest():
    seen = judged(*[("b", 16)] * 150, ("", 64), ("a", 64))
    seen = [kernel(at, source("b", TILES[at % 5]), 0.5) for at in range(150)] + seen[-2:]
    offered = [source("b", 128), source("a", 128)]
    assert most_promising(offered, seen, (), random.Random(1)) == 1


def test_a_space_of_one_text():
    assert space_of_source(source("w")).choices == {"TILE": TILES, "WARPS": (2, 4, 8)}
