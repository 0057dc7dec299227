"""A search without a search: proposals and results by a script, told to a policy in due order."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from hypothesis import strategies as st

from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing

TILES = (16, 32, 64)


@dataclass(frozen=True)
class Step:
    """What comes of one proposal.

    Attributes:
        code: Which code it is; codes differ in skeleton, size and language.
        tile: Its launch parameter.
        logs: ln speedup on each workload; None: it failed.
        spread: Half of the interval.
        arity: Parents that are asked for.
        dropped: Nothing comes of it.
        mends: It names a kernel of its own as parent, by how many numbers ago; 0: the ones chosen.
    """

    code: str = "a"
    tile: int = 16
    logs: tuple[float, float] | None = (0.0, 0.0)
    spread: float = 0.01
    arity: int = 1
    dropped: bool = False
    mends: int = 0


logs = st.floats(-2, 2).map(lambda x: round(x, 2))
steps = st.builds(
    Step,
    code=st.sampled_from("abcdef"),
    tile=st.sampled_from(TILES),
    logs=st.one_of(st.none(), st.tuples(logs, logs), st.tuples(logs, logs)),
    spread=st.sampled_from([0.0, 0.01, 0.3]),
    arity=st.sampled_from([0, 1, 1, 2, 3]),
    dropped=st.sampled_from([False] * 5 + [True]),
    mends=st.sampled_from([0] * 8 + [1, 5]),
)
scripts = st.lists(steps, min_size=1, max_size=40)


def scripted(count: int, seed: int) -> list[Step]:
    """A long script without hypothesis: gains are rare and small, as in a search."""
    rng = random.Random(seed)

    def one() -> Step:
        values = tuple(round(rng.gauss(0, 0.4), 3) for _ in range(2))
        return Step(
            code=rng.choice("abcdefghij"),
            tile=rng.choice(TILES),
            logs=None if rng.random() < 0.25 else (values[0], values[1]),
            arity=rng.choice([0, 1, 1, 1, 2]),
            dropped=rng.random() < 0.05,
        )

    return [one() for _ in range(count)]


def evaluation(values: tuple[float, float] | None, spread: float = 0.01) -> Evaluation:
    if values is None:
        return Evaluation(Outcome.WRONG_VALUES, 1, 4)

    def ratio(log: float) -> Speedup:
        return Speedup(math.exp(log), math.exp(log - spread), math.exp(log + spread))

    timings = tuple(
        Timing(name, "eager", 1.0, 1.0, ratio(log), (log,))
        for name, log in zip(("large", "small"), values, strict=True)
    )
    overall = ratio(sum(values) / 2)
    return Evaluation(Outcome.PASSED, 4, 4, timings=timings, speedup=overall)


def kernel(number: int, step: Step, parents: tuple[int, ...] = ()) -> Kernel:
    """What a step brings, of these parents."""
    lines = "".join(f"{step.code}{n} = {n}\n" for n in range(20 * (ord(step.code) % 5)))
    candidate = Candidate(
        number=number,
        source=f"{step.code} = 1\n{lines}TILE = {step.tile}  # tune: 16, 32, 64\n",
        language="cpp" if step.code in "abc" else "triton",
        operator="scripted" if parents else "seed",
        parents=parents,
    )
    return Kernel(candidate, evaluation(step.logs, step.spread))


@dataclass
class Play:
    """One search with a policy.

    Attributes:
        policy: What is played with.
        chosen: The parents of each proposal, by its number.
        inserted: The kernels inserted so far, by number.
        calls: Every call that tells the policy something, with its arguments, in order.
        changes: What insertions returned, with the number of the kernel inserted.
        meddle: Called before each proposal.
    """

    policy: object
    in_flight: int = 4
    seeds: int = 1
    seed: int = 3
    chosen: dict[int, list[int]] = field(default_factory=dict)
    inserted: dict[int, Kernel] = field(default_factory=dict)
    calls: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    changes: list[tuple[int, object]] = field(default_factory=list)
    meddle: object = None

    def run(self, script: list[Step], *, check=lambda _: None) -> Play:
        """Play a script to its end; `check` is called after every insertion."""
        waiting: dict[int, Kernel | None] = {}

        def insert(last: int) -> None:
            for number in sorted(n for n in waiting if n <= last):
                self._end(number, waiting.pop(number))
                check(self)

        for number in range(self.seeds):
            step = Step("abcdef"[number % 6], logs=(0.0, -0.1 * number))
            self._end(number, kernel(number, step))
            check(self)
        for number, step in enumerate(script, self.seeds):
            insert(number - self.in_flight)
            if self.meddle:
                self.meddle(self.policy, number)
            rng = random.Random(f"{self.seed}:{number}")
            parents = self.policy.parents(step.arity, rng) if step.arity else []
            self.chosen[number] = [parent.number for parent in parents]
            own = tuple(self.chosen[number])
            self._tell("proposed", number, own)
            if step.mends:
                known = sorted(self.inserted)
                own = (known[-min(step.mends, len(known))],)
            waiting[number] = None if step.dropped else kernel(number, step, own)
        insert(10**9)
        return self

    def _end(self, number: int, result: Kernel | None) -> None:
        if result is None:
            self._tell("dropped", number)
            return
        self.inserted[number] = result
        self.changes += [(number, change) for change in self._tell("insert", result)]

    def _tell(self, name: str, *arguments: object):
        self.calls.append((name, arguments))
        return getattr(self.policy, name)(*arguments)


def told(policy, calls) -> object:
    """The policy after it was told all that, as a resumed search tells it."""
    for name, arguments in calls:
        getattr(policy, name)(*arguments)
    return policy
