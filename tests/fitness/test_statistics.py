"""Intervals: they hold the truth as often as they say, process luck included."""

import math
import random

import pytest

from fitness import statistics
from fitness.rounds import Draws, Rounds


def measured(rng, *, luck, noise, pairs=30):
    """Log ratios of one pair of processes of one kernel: luck once, noise for each pair."""
    shift = rng.gauss(0, luck)
    return [shift + rng.gauss(0, noise) * (1 if rng.random() < 0.9 else 5) for _ in range(pairs)]


def coverage(luck, width, noise=0.01, count=600):
    rng = random.Random(5)
    intervals = [
        statistics.speedup(measured(rng, luck=luck, noise=noise), luck=width) for _ in range(count)
    ]
    return sum(s.low <= 1 <= s.high for s in intervals) / count


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.1])
def test_the_interval_alone_holds_what_pairs_can_show(noise):
    assert coverage(0.0, 0.0, noise) >= 0.94


def test_the_luck_of_a_process_is_seen_by_no_number_of_pairs():
    assert coverage(0.005, 0.0, noise=0.003) < 0.6
    assert 0.93 <= coverage(0.005, 1.96 * 0.005, noise=0.003) <= 0.99


def test_luck_widens_both_sides_and_moves_nothing():
    ratios = [0.09, 0.1, 0.11] * 10
    plain, wide = statistics.speedup(ratios), statistics.speedup(ratios, luck=0.02)
    assert wide.value == plain.value
    assert math.log(wide.value / wide.low) == pytest.approx(
        math.hypot(0.02, math.log(plain.value / plain.low))
    )
    assert wide.high > plain.high


def test_short_calls_and_processors_have_more_of_it():
    assert statistics.luck("cpu", 0.02) > statistics.luck("cpu", 1.0) > 0
    assert statistics.luck("cuda", 0.005) > statistics.luck("cuda", 1.0) > 0
    assert statistics.luck("cpu", 1.0) > statistics.luck("cuda", 1.0)
    assert statistics.luck("", 1.0) == 0.0


def rounds(ours, theirs, disturbed, waited):
    return Rounds(
        ("candidate", "eager"),
        {"candidate": ours, "eager": theirs},
        disturbed=disturbed,
        device="cpu",
        waited_ms=waited,
    )


def test_of_rounds_that_were_all_disturbed_the_quietest_count():
    waited = [0.01 * (1 + i % 5) for i in range(50)]
    ours = [1.0 if w < 0.025 else 3.0 for w in waited]
    found = rounds(ours, [2.0] * 50, [True] * 50, waited)
    assert len(found.kept()) == 20
    assert found.speedup("eager").value == pytest.approx(2.0)
    few = rounds(ours[:6], [2.0] * 6, [True] * 6, waited[:6])
    assert few.kept() == list(range(6))


def test_quiet_rounds_alone_count_where_there_are_enough():
    disturbed = [i % 2 == 0 for i in range(20)]
    found = rounds([1.0] * 20, [2.0] * 20, disturbed, [0.0] * 20)
    assert found.kept() == [i for i in range(20) if i % 2]


def test_a_speedup_holds_luck_by_the_faster_ones_time():
    found = rounds([0.05] * 20, [0.2] * 20, [False] * 20, [0.0] * 20)
    speedup = found.speedup("eager")
    assert math.log(speedup.high / speedup.value) == pytest.approx(statistics.luck("cpu", 0.05))


def drawn(rng, *, processes, off=0.0, share=0.0):
    """Sixty rounds of a kernel against itself, over so many pairs of processes."""
    found = []
    for _ in range(processes):
        apart = [off * (rng.random() < share) for _ in range(2)]
        times = [
            [math.exp(a + rng.gauss(0.0, 0.03)) for _ in range(60 // processes)] for a in apart
        ]
        found.append(rounds(*times, [False] * len(times[0]), [0.0] * len(times[0])))
    return Draws(found)


def test_one_draw_is_what_its_rounds_say():
    one = rounds([1.0, 1.1, 0.9] * 4, [2.0] * 12, [False] * 12, [0.0] * 12)
    assert Draws([one]).speedup("eager") == one.speedup("eager")
    assert Draws([one]).median_ms("candidate") == one.median_ms("candidate")


def test_a_process_that_is_slow_for_life_is_in_the_interval():
    def verdicts(processes):
        rng = random.Random(3)
        return [
            drawn(rng, processes=processes, off=0.07, share=1 / 16).speedup("eager")
            for _ in range(400)
        ]

    def share(speedups, want):
        return sum(map(want, speedups)) / len(speedups)

    def holds(speedup):
        return speedup.low <= 1 <= speedup.high

    assert share(verdicts(1), holds) < 0.92
    assert share(verdicts(1), lambda s: s.low > 1.01) > 0.03
    assert share(verdicts(5), holds) > 0.95
    assert share(verdicts(5), lambda s: s.low > 1.01) < 0.01


def test_where_processes_agree_draws_cost_little():
    rng = random.Random(4)

    def width(processes):
        speedups = [drawn(rng, processes=processes).speedup("eager") for _ in range(60)]
        return statistics.median([math.log(s.high / s.low) for s in speedups])

    assert width(5) < 1.25 * width(1)


def test_draws_tell_all_samples_and_what_each_draw_said():
    first = rounds([1.0] * 8, [2.0] * 8, [False] * 8, [0.0] * 8)
    other = rounds([3.0] * 9, [6.0] * 9, [True] + [False] * 8, [0.0] * 9)
    found = Draws([first, other])
    assert found.times_ms["candidate"] == [1.0] * 8 + [3.0] * 9
    assert len(found.log_ratios("eager")) == 16
    facts = found.facts()
    assert (facts["draws"], facts["rounds"], facts["kept"], facts["disturbed"]) == (2, 17, 16, 1)
    assert facts["medians_ms"] == {"candidate": [1.0, 3.0], "eager": [2.0, 6.0]}


def test_a_subject_that_was_not_timed_in_every_draw_is_left_out():
    whole = rounds([1.0] * 8, [2.0] * 8, [False] * 8, [0.0] * 8)
    less = Rounds(("candidate",), {"candidate": [1.0] * 8}, [False] * 8)
    assert Draws([whole, less]).names == ("candidate",)


def test_a_closing_measurement_tells_what_calls_take_without_a_hold():
    one = Rounds(("candidate", "eager"), {"candidate": [1.0], "eager": [2.0]}, disturbed=[False])
    assert "unheld_ms" not in Draws([one]).facts()
    one.unheld_ms = {"candidate": 1.5, "eager": 2.5}
    facts = Draws([one]).facts()
    assert facts["unheld_ms"] == {"candidate": 1.5, "eager": 2.5}
    assert facts["counts_unheld"] is False
