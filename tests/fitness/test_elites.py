"""Who gets a profile: whoever may be the best, at little cost; whoever is, in any case."""

import random

from fitness.elites import STAGE, Bar, Elites
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from populations.statistics import Progress


def candidate(number):
    return Candidate(number=number, source=f"x = {number}\n", language="python")


def judged(speedup, *, profile_s=None):
    stages = {} if profile_s is None else {STAGE: {"wall_s": profile_s, "device_s": 0.0}}
    timing = Timing("w", "eager", 1.0, speedup.value, speedup, (0.0,))
    return Evaluation(
        Outcome.PASSED, 1, 1, timings=(timing,), speedup=speedup, run_s=1.0,
        details={"stages": stages},
    )  # fmt: skip


def test_the_bar_is_the_highest_least_speedup_of_the_others():
    elites = Elites()
    assert elites.bar(candidate(0)) == Bar(0.0)
    elites.judged(candidate(0), judged(Speedup(1.5, 1.4, 1.6)))
    elites.judged(candidate(1), judged(Speedup(3.0, 1.2, 9.0)))
    elites.judged(candidate(2), Evaluation(Outcome.WRONG_VALUES, run_s=1.0))
    assert elites.bar(candidate(3)) == Bar(1.4)
    # It is measured again: what it was itself does not count, and the worse luck does then.
    assert elites.bar(candidate(0)) == Bar(1.2)
    elites.judged(candidate(0), judged(Speedup(1.1, 1.0, 1.2)))
    assert elites.bar(candidate(3)) == Bar(1.2)


def test_nobody_is_profiled_twice_and_few_in_vain():
    elites = Elites()
    elites.judged(candidate(0), judged(Speedup(1.5, 1.4, 1.6), profile_s=0.04))
    assert elites.bar(candidate(0)) is None
    assert elites.bar(candidate(1)) == Bar(1.4)
    elites.judged(candidate(1), judged(Speedup(1.5, 1.3, 1.6), profile_s=0.2))
    above = elites.bar(candidate(2))
    assert above == Bar(1.4, certain=True)
    assert not above.cleared(Speedup(1.6, 1.3, 1.8))
    assert above.cleared(Speedup(1.6, 1.5, 1.8))
    assert Bar(1.4).cleared(Speedup(1.6, 1.3, 1.8))


def test_every_champion_has_cleared_the_bar():
    """Whatever the measurements, even where profiles take as long as everything else."""
    rng = random.Random(5)
    for dear in (0.0, 10.0):
        elites, progress, crowned, profiles = Elites(), Progress(), 0, 0
        for number in range(300):
            value = rng.lognormvariate(0, 0.3)
            speedup = Speedup(value, value / rng.uniform(1, 1.5), value * 1.2)
            bar = elites.bar(candidate(number))
            assert bar is not None
            cleared = bar.cleared(speedup)
            evaluation = judged(speedup, profile_s=dear if cleared else None)
            elites.judged(candidate(number), evaluation)
            profiles += cleared
            if progress.insert(Kernel(candidate(number), evaluation)):
                crowned += 1
                assert cleared
        assert crowned >= 3
        assert profiles < 60


def test_an_earlier_session_counts():
    elites = Elites()
    done = judged(Speedup(2.0, 1.9, 2.1), profile_s=0.01)
    elites.adopt([Kernel(candidate(0), done)])
    assert elites.bar(candidate(0)) is None
    assert elites.bar(candidate(1)) == Bar(1.9)
