"""Time a candidate against baselines, in rounds, from a third process.

One round is one batch of calls of every subject, in random order, right after each other. What is
kept is, per round, the logarithm of baseline time over candidate time: what slows the machine down
for longer than a round slows both down alike and cancels. Each error that a choice here removes:

- another process ran in between, caches are cold and its threads may still spin: every batch
  begins with discarded calls for `settle_ms`;
- the clock's resolution and the loop around a call: a batch lasts `batch_ms`;
- always the same one first: the order is drawn anew for every round;
- one processor is slower than another, for as long as a sibling of it is at work: both sides of a
  round begin on the same one, drawn anew for every round, where they need one alone. They are not
  kept there: whoever is kept cannot make way for a neighbour;
- a neighbour takes the processor away: the time that a process's threads waited for a processor
  is read from the kernel before and after, and a round in which it was more than 5% of a batch is
  dropped and repeated, unless the budget ends with too few quiet ones: then the quietest third
  counts;
- a clock that lies: a process's own time is compared with the time that its answer took;
- a device that is held back does so at the word of a process that may not do it: on CUDA further
  batches run without a hold, where the judge's clock bounds what a call takes. Where that is more
  than reported, and more than any launching explains, it is what counts, for both sides of the
  pair; where a call is launched for longer than the judge's own, it is told beside the result.

Executions of a subject per workload: probes (at most 4 batches), then rounds * (settling calls +
calls per batch), the quiet ones being at least `pairs` unless budget or hopelessness ends it; on
CUDA up to 3 batches without a hold.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Sequence

from fitness import statistics
from fitness.batches import LATE_LOOKS
from fitness.clocks import LAUNCHES_MS, ClockError
from fitness.rounds import Rounds
from fitness.sandbox import linux
from fitness.spec import EvaluationSpec
from fitness.subject import Subject, Timed, bare_calls

FEWEST_ROUNDS = 5
MOST_ROUNDS_FACTOR = 6
# Measurements in which a clock must be wrong before it counts as lying.
ATTEMPTS = LATE_LOOKS
# Rounds beyond `pairs` are run only until this many calls' time has passed: a kernel of
# microseconds is not worth more.
_EXTENSION_CALLS = 1000
# A batch of microseconds hides in what an answer takes. So a candidate that claims this speedup,
# and a share of the others, has one long batch.
_AUDIT_ABOVE = 1.2
_AUDIT_SHARE = 1 / 16
# A baseline has so many: a neighbour may be in one of them.
_AUDITS = 3
# No call of anything takes less, launched from Python.
_LEAST_MS = 1e-3


def probed(
    subjects: Sequence[Subject],
    spec: EvaluationSpec,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timed]:
    """Subjects that know how many calls make a batch; others may use the device meanwhile.

    Raises ClockError for times that cannot be.
    """
    timed = [Timed(subject, spec, clock) for subject in subjects]
    for one in timed:
        one.probe()
    return timed


def measure(
    timed: Sequence[Timed],
    spec: EvaluationSpec,
    rng: random.Random,
    *,
    trusted: bool = False,
    hopeless: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Time all subjects on one workload; the device must be leased exclusively.

    Args:
        timed: The candidate, then at least one baseline, all of them `probed`. With one alone
            there is nothing to pair, and the fewest rounds are run.
        spec: How many rounds, how long at most, when to give up.
        rng: Draws the order within a round.
        trusted: Whether the first subject is our own too.
        hopeless: A candidate that is slower than this for sure is not timed to the end: as soon
            as its interval against every baseline lies below this speedup. The spec's own limit is
            looked at once.
        clock: Seconds; replaced in tests.

    Raises:
        ClockError: A subject's times cannot be, or the candidate's do not fit ours.
    """
    # Probes may have met a neighbour's bad moment; both ways, as either side may be the odd one.
    for one in timed:
        for other in timed:
            one.adopt(other)
    for attempt in range(ATTEMPTS):
        rounds = _run(timed, spec, rng, clock, hopeless)
        if trusted:
            break
        # On a machine with more work than processors an honest answer may come late every time in
        # one measurement; a clock that lies does so in each, and its process runs all the while.
        timed[0].suspected = True
        call_ms = min((one.unaccounted_ms() / one.calls for one in timed[1:]), default=0.0)
        fault = timed[0].clock_fault(call_ms) or _audit(timed, rounds, rng)
        if not fault:
            break
        if attempt == ATTEMPTS - 1:
            raise ClockError(fault)
    return rounds


def _audit(timed: Sequence[Timed], rounds: Rounds, rng: random.Random) -> str:
    """Look at one more batch, a long one where much is claimed; says what is wrong, or "".

    Where it matters what lies between two calls, it is the least that it was in some long batches
    of a baseline: a neighbour in one of them must excuse nobody. What it was at least before is
    tried first: three more long batches are for whom that does not excuse.

    What is taken from a baseline is taken from the last one: of a verification's others the first
    are processes of the candidate's own.
    """
    ours, *others = timed
    claimed = any(rounds.speedup(one.name).low > _AUDIT_ABOVE for one in others)
    given_up = rounds.gave_up and not claimed
    if not others or given_up:
        ours.look()
        return ""
    if ours.ahead:
        # Of everybody: what a kernel is said to take must not depend on chance.
        _release(timed, rounds)
        return ""
    if not claimed and rng.random() >= _AUDIT_SHARE:
        ours.look()
        return ""
    audit = ours.audit(rounds.median_ms(ours.name))
    theirs = others[-1]
    if not audit.fault(ours.name, theirs.renewal_ms, ours.threads):
        return ""
    theirs_ms = rounds.median_ms(theirs.name)
    theirs.renewal_ms = min(theirs.audit(theirs_ms).renewal_ms for _ in range(_AUDITS))
    return audit.fault(ours.name, theirs.renewal_ms, ours.threads)


def _release(timed: Sequence[Timed], rounds: Rounds) -> None:
    """Time calls that nobody holds the device back for, and let them count where they tell more.

    The last subject must be our own: it says what lies between two calls.
    """
    held_ms = {one.name: rounds.median_ms(one.name) for one in timed}
    ours, *others = timed
    calls = bare_calls(held_ms[ours.name], held_ms[others[-1].name])
    between = others[-1].between(calls, LATE_LOOKS)

    least_ms = math.inf
    for _ in range(LATE_LOOKS):
        # A neighbour can only make it longer.
        least_ms = min(least_ms, between.takes_ms(ours.bare(calls)))
        if between.explains(least_ms, held_ms[ours.name]):
            return
    unheld_ms = {ours.name: least_ms}
    for one in others:
        unheld_ms[one.name] = min(between.takes_ms(one.bare(calls)) for _ in range(LATE_LOOKS))
    # Both sides with a cache as the renewal of the inputs leaves it, and with their launches.
    rounds.unheld_ms = {name: max(ms, _LEAST_MS) for name, ms in unheld_ms.items()}
    if not between.explains(least_ms, held_ms[ours.name], LAUNCHES_MS):
        rounds.count_unheld()


def _run(
    timed: Sequence[Timed],
    spec: EvaluationSpec,
    rng: random.Random,
    clock: Callable[[], float],
    hopeless: float,
) -> Rounds:
    names = tuple(one.name for one in timed)
    rounds = Rounds(
        names,
        {name: [] for name in names},
        calls={one.name: one.calls for one in timed},
        device=spec.device,
    )
    for one in timed:
        one.forget()
    order, places = list(timed), _places(spec)
    at = -1
    start = clock()
    while not _enough(rounds, spec, clock() - start, hopeless):
        rng.shuffle(order)
        if places:
            # Away from where somebody else is at work.
            busy = bool(rounds.disturbed) and rounds.disturbed[-1]
            at = rng.choice([p for p in places if p != at] if busy else places)
        elif spec.device == "cpu":
            at = linux.current_processor()
        for one in order:
            one.move(at)
            rounds.times_ms[one.name].append(one.batch(rng))
        rounds.disturbed.append(any(one.disturbed for one in timed))
        rounds.waited_ms.append(max(one.waited_ms for one in timed))
    for one in timed:
        one.move(-1)
    return rounds


def _places(spec: EvaluationSpec) -> list[int]:
    """Numbers of the processors that a round may begin on; none where it is left to the system."""
    if spec.device != "cpu" or spec.threads != 1:
        return []
    places = sorted(os.sched_getaffinity(0))
    return places if len(places) > 1 else []


def measure_once(subjects: Sequence[Subject]) -> Rounds:
    """One call of each subject: for kernels in an interpreter, whose times mean nothing."""
    rounds = Rounds(tuple(s.name for s in subjects), disturbed=[False])
    rounds.times_ms = {s.name: s.batch(1, 0.0) for s in subjects}
    rounds.calls = dict.fromkeys(rounds.names, 1)
    return rounds


def _enough(rounds: Rounds, spec: EvaluationSpec, spent_s: float, hopeless: float) -> bool:
    done = len(rounds.disturbed)
    if done < FEWEST_ROUNDS or len(rounds.names) == 1:
        return done >= FEWEST_ROUNDS
    below = max(hopeless, spec.give_up_below if done == FEWEST_ROUNDS else 0.0)
    if below:
        intervals = [statistics.speedup(rounds.log_ratios(b)) for b in rounds.names[1:]]
        rounds.gave_up = all(s.high < below for s in intervals)
    if rounds.gave_up or spent_s >= spec.timing_budget_s:
        return True
    if done - sum(rounds.disturbed) < spec.pairs:
        return done >= MOST_ROUNDS_FACTOR * spec.pairs
    slowest_ms = max(times[-1] for times in rounds.times_ms.values())
    if done >= MOST_ROUNDS_FACTOR * spec.pairs or spent_s * 1e3 >= _EXTENSION_CALLS * slowest_ms:
        return True
    widest = max(statistics.spread(rounds.log_ratios(b)) for b in rounds.names[1:])
    return widest <= spec.min_effect
