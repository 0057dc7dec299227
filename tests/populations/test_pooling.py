import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.outcome import Outcome, Speedup
from populations.pooling import combine, measurements, pool
from tests.contracts.samples import failed, passed, quick


def measured(log, half):
    return Speedup(math.exp(log), math.exp(log - half), math.exp(log + half))


def width(speedup):
    return math.log(speedup.high / speedup.low)


logs = st.floats(-3, 3)
halves = st.sampled_from([0.0, 0.001, 0.02, 0.5])
several = st.lists(st.builds(measured, logs, halves), min_size=1, max_size=6)


def test_one_measurement_stays_as_it_is():
    alone = measured(0.5, 0.03)
    assert combine([alone]) is alone
    evaluation = passed(2.0)
    assert pool([evaluation]) is evaluation
    assert measurements(evaluation) == 1


@quick
@given(measurements=several, data=st.data())
def test_the_order_does_not_matter_and_the_centre_is_among_them(measurements, data):
    found = combine(measurements)
    assert min(m.value for m in measurements) * (1 - 1e-9) <= found.value
    assert found.value <= max(m.value for m in measurements) * (1 + 1e-9)
    shuffled = combine(data.draw(st.permutations(measurements)))
    assert shuffled.value == pytest.approx(found.value, rel=1e-9)
    assert shuffled.low == pytest.approx(found.low, rel=1e-6)


@quick
@given(measurements=several, shift=st.floats(-1, 1))
def test_a_faster_baseline_shifts_everything_alike(measurements, shift):
    factor = math.exp(shift)
    moved = [Speedup(m.value * factor, m.low * factor, m.high * factor) for m in measurements]
    found, expected = combine(moved), combine(measurements)
    assert found.value == pytest.approx(expected.value * factor)
    assert found.low == pytest.approx(expected.low * factor)


def test_measurements_that_agree_narrow_the_interval_step_by_step():
    widths = [width(combine([measured(0.0, 0.02)] * count)) for count in (1, 2, 3, 6)]
    assert widths == sorted(widths, reverse=True)
    # The second confirms, and only from the third on there is more than that.
    assert widths[1] == pytest.approx(widths[0], rel=0.01)
    assert widths[2] < 0.8 * widths[0]


def test_measurements_that_disagree_widen_it_until_it_holds_them():
    low, high = measured(0.0, 0.02), measured(math.log(1.58), 0.02)
    both = combine([low, high])
    assert both.low < low.value
    assert high.value < both.high
    # A third that sides with the first draws the centre there.
    three = combine([low, high, low])
    assert both.low < three.low < low.value < three.value < both.value


def test_a_vague_measurement_counts_little_against_a_sharp_one_that_it_does_not_contradict():
    found = combine([measured(0.0, 0.01), measured(0.1, 0.3)])
    assert abs(found.log) < 0.001
    # But it may not be outvoted by precision that reality has refuted.
    found = combine([measured(0.0, 0.001), measured(0.5, 0.05)])
    assert 0.2 < found.log < 0.3


def coverage(count, *, between, rng, within=0.015, repeats=4000):
    """How often the interval of so many measurements holds the truth, which is 0.

    Each has an interval for `within`, and is off by `between` besides, which no interval shows.
    """

    def one():
        log = rng.gauss(0.0, math.hypot(within, between))
        return measured(log, 1.96 * within)

    found = [combine([one() for _ in range(count)]) for _ in range(repeats)]
    return sum(s.low <= 1.0 <= s.high for s in found) / repeats


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_interval_is_honest_where_the_measurements_are(count):
    assert coverage(count, between=0.0, rng=random.Random(count)) > 0.95


def test_it_stays_nearly_honest_where_the_measurements_are_not():
    """Twice as much comes between two measurements as their intervals say."""
    rng = random.Random(7)
    found = [coverage(count, between=0.03, rng=rng) for count in (1, 2, 3, 5)]
    assert found[0] < 0.65
    assert found[1] > 0.75
    assert found[2] > 0.85
    assert found[3] > 0.9
    assert found == sorted(found)


def test_an_evaluation_of_several():
    first = replace(passed(1.0), build_s=1.0, device_s=2.0, details={"cache": "warm"})
    second = replace(passed(1.1), build_s=0.5, device_s=3.0, details={"cache": "cold"})
    found = pool([first, second])
    assert found.outcome is Outcome.PASSED
    assert found.speedup == combine([first.speedup, second.speedup])
    assert (found.build_s, found.run_s, found.device_s) == (1.5, 0.0, 5.0)
    assert found.details["cache"] == "warm"
    assert found.details["measurements"] == [
        [s.value, s.low, s.high] for s in (first.speedup, second.speedup)
    ]
    assert measurements(found) == 2
    (timing,) = found.timings
    assert timing.log_ratios == first.timings[0].log_ratios + second.timings[0].log_ratios
    assert timing.baseline_ms == pytest.approx(math.sqrt(1.0 * 1.1))
    assert timing.speedup == combine([first.timings[0].speedup, second.timings[0].speedup])


def test_workloads_are_combined_each_with_its_own():
    def both(a, b):
        one, two = (
            replace(passed(v).timings[0], workload=name) for v, name in ((a, "x"), (b, "y"))
        )
        return replace(passed(1.0), timings=(one, two))

    swapped = both(1.1, 2.2)
    found = pool([both(1.0, 2.0), replace(swapped, timings=swapped.timings[::-1])])
    assert [t.workload for t in found.timings] == ["x", "y"]
    assert [t.speedup.value for t in found.timings] == pytest.approx(
        [math.sqrt(1.1), 2 * math.sqrt(1.1)], rel=0.01
    )


def test_what_failed_once_has_failed():
    wrong = replace(failed(), device_s=1.0)
    found = pool([replace(passed(2.0), device_s=2.0), wrong, passed(2.0)])
    assert found == replace(wrong, device_s=3.0)


def test_a_profile_is_kept_whichever_measurement_it_was_taken_in():
    first = replace(
        passed(1.0),
        details={"diagnostics": {"cpp": 1, "bottleneck": 2}, "diagnosis": ["a"], "stages": 3},
    )
    known = {"cpp": 4, "bottleneck": 5, "counters": {"launches": 6}, "profiled": 7}
    second = replace(passed(1.1), details={"diagnostics": known, "diagnosis": ["b"]})
    found = pool([first, second, passed(1.2)]).details
    assert found.pop("measurements")
    assert found == {
        "diagnostics": {"cpp": 1, "bottleneck": 2, "counters": {"launches": 6}, "profiled": 7},
        "diagnosis": ["b"],
        "stages": 3,
    }
    assert pool([second, first]).details["diagnosis"] == ["b"]
    assert pool([first, first]).details["diagnosis"] == ["a"]
