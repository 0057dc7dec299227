"""A search that needs no compiler and no device: toy kernels, operators and evaluators.

A toy kernel is a module of switches and two launch parameters; its speedup is a function of them.
Some switches pay only together, and some combinations are wrong.
"""

from __future__ import annotations

import math
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from evo.budget import Budget
from evo.events import Event, Judged
from evo.parts import Parts
from evo.search import Search
from operators.credit import Credit
from operators.merge import ThreeWayMerge
from operators.operator import Inapplicable, Variation
from populations.archive import Population
from populations.errors import StoreError
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from populations.parameters import parameters, skeleton, values, with_values
from populations.policies.steady import SteadyState
from populations.selection import RandomSelection, Tournament
from populations.store import Store

SWITCHES = "abcdefgh"
SEED = "".join(f"{name} = 0\n\n\n" for name in SWITCHES) + (
    "BLOCK = 1  # tune: 1, 2, 4, 8, 16, 32\nWARPS = 1  # tune: 1, 2, 4, 8\n"
)
# a and b pay each; c pays with d; f without e is wrong; g and h only cost.
BEST = math.exp(0.3 + 0.2 + 0.5 + 0.4)


def judge(source: str) -> Evaluation:
    """A pure function of the source."""
    on = {
        name
        for name, value in re.findall(r"^([a-h]) = ([01])$", source, re.MULTILINE)
        if value == "1"
    }
    if "f" in on and "e" not in on:
        return Evaluation(Outcome.WRONG_VALUES, 1, 4, diagnostics="f needs e", device_s=0.25)
    point = values(source)
    log = 0.3 * ("a" in on) + 0.2 * ("b" in on) + (0.5 if {"c", "d"} <= on else 0)
    log += (0.4 if {"e", "f"} <= on else 0) - 0.1 * len(on & {"g", "h"})
    log -= 0.05 * len(on & {"c", "d", "e"}) * (not {"c", "d"} <= on)
    log -= 0.1 * abs(math.log2(point["BLOCK"]) - 4) + 0.1 * abs(math.log2(point["WARPS"]) - 2)
    speedup = Speedup(math.exp(log), math.exp(log - 0.01), math.exp(log + 0.01))
    timing = Timing("w", "eager", 1.0 / speedup.value, 1.0, speedup, (log,))
    return Evaluation(Outcome.PASSED, 4, 4, timings=(timing,), speedup=speedup, device_s=0.5)


def noisy(candidate: Candidate) -> Evaluation:
    """A measurement that is off by some percent, and sometimes by far; each number is a moment."""
    evaluation = judge(candidate.source)
    if evaluation.speedup is None:
        return evaluation
    rng = random.Random(f"{candidate.source}:{candidate.number}")
    if rng.random() < 0.02:
        return Evaluation(Outcome.WRONG_VALUES, 3, 4, diagnostics="a race", device_s=0.5)
    log = evaluation.speedup.log + rng.gauss(0.0, 0.05) + 0.5 * (rng.random() < 0.05)
    speedup = Speedup(math.exp(log), math.exp(log - 0.08), math.exp(log + 0.08))
    timing = Timing("w", "eager", 1.0 / speedup.value, 1.0, speedup, (log,))
    return replace(evaluation, timings=(timing,), speedup=speedup)


class Switch:
    """Turns one switch."""

    arity = 1

    def __init__(self, name: str, switches: str) -> None:
        self.name = name
        self._switches = switches

    def vary(self, parents, situation):
        name = situation.rng.choice(self._switches)
        if situation.rng.random() < 0.1:
            return Inapplicable("not in the mood")
        source = re.sub(
            rf"^{name} = ([01])$",
            lambda m: f"{name} = {1 - int(m[1])}",
            parents[0].source,
            flags=re.MULTILINE,
        )
        return Variation(source=source, note=f"turned {name}")


class QuickTune:
    """A point drawn at random: what `operators.tuning.Tune` answers, without its price."""

    name = "tune"
    arity = 1

    def vary(self, parents, situation):
        new = {p.name: situation.rng.choice(p.choices) for p in parameters(parents[0].source)}
        study = situation.lineage.same_skeleton(skeleton(parents[0].source))
        if any(values(kernel.source) == new for kernel in study):
            return Inapplicable("known")
        return Variation(source=with_values(parents[0].source, new), note=f"{new}")


class Newest:
    """Has something new only for the newest kernel, so that nothing can wait for its turn.

    `last` is the number of the kernel from which on there is nothing new at all.
    """

    name = "front"
    arity = 1

    def __init__(self, last: int) -> None:
        self._last = last

    def vary(self, parents, situation):
        newest = max(situation.lineage.kernels)
        if parents[0].number != newest or newest >= self._last:
            return Inapplicable("not the newest")
        return Variation(source=parents[0].source + "# more\n", note="more")


def operators():
    made = (Switch("front", "abcd"), Switch("back", "efgh"), ThreeWayMerge(), QuickTune())
    return {operator.name: operator for operator in made}


class Immediate:
    """Answers at once, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Candidate], Evaluation] | None = None) -> None:
        self.asked: list[Candidate] = []
        self.answer = answer or (lambda candidate: judge(candidate.source))

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        self.asked.append(candidate)
        future: Future[Evaluation] = Future()
        future.set_result(self.answer(candidate))
        return future

    def close(self) -> None:
        pass


class Delayed(Immediate):
    """Answers from several threads after random delays."""

    def __init__(self, answer=None, *, workers: int, delay_s: float, seed: int) -> None:
        super().__init__(answer)
        self._rng = random.Random(seed)
        self._delay_s = delay_s
        self._pool = ThreadPoolExecutor(workers)

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        self.asked.append(candidate)
        return self._pool.submit(self._judge, candidate, self._rng.random() * self._delay_s)

    def _judge(self, candidate: Candidate, delay_s: float) -> Evaluation:
        time.sleep(delay_s)
        return self.answer(candidate)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class NewestFirst(Immediate):
    """Answers the latest question first, after a moment in which others may come."""

    def __init__(self, answer=None) -> None:
        super().__init__(answer)
        self._open: list[tuple[Candidate, Future[Evaluation]]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def submit(self, candidate: Candidate) -> Future[Evaluation]:
        self.asked.append(candidate)
        future: Future[Evaluation] = Future()
        self._open.append((candidate, future))
        return future

    def _work(self) -> None:
        while not self._closed:
            time.sleep(0.002)
            if self._open:
                candidate, future = self._open.pop()
                future.set_result(self.answer(candidate))

    def close(self) -> None:
        self._closed = True
        self._thread.join()


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)

    @property
    def judged(self) -> list[int]:
        return [event.kernel.number for event in self.events if isinstance(event, Judged)]


def seeds(*sources: str) -> list[Kernel]:
    return [
        Kernel(Candidate(number, source, "python", note=f"seed {number}"), judge(source))
        for number, source in enumerate(sources or (SEED,))
    ]


def search(
    store: Store,
    evaluator,
    *,
    seed: int = 1,
    in_flight: int = 4,
    remeasure: int = 0,
    screening: int = 0,
    observer: Recorder | None = None,
    parts: dict[str, object] | None = None,
    **limits: float,
) -> Search:
    """A search over the toy's landscape; `limits` are those of `Budget`."""
    own = operators()
    arguments = {
        "store": store,
        "evaluator": evaluator,
        "operators": own,
        "structural": frozenset({"front", "back"}),
        "credit": Credit(priors={"front": 1.0, "back": 1.0, "merge": 0.3, "tune": 0.7}),
        "policy": SteadyState(population=Population(capacity=10), selection=Tournament(size=3)),
        "observer": observer or Recorder(),
        **(parts or {}),
    }
    return Search(
        Parts(**arguments),
        budget=Budget(**(limits or {"evaluations": 30})),
        seed=seed,
        in_flight=in_flight,
        device="cpu",
        edits=1.6,
        remeasure=remeasure,
        screening=screening,
    )


def only(operator) -> dict[str, object]:
    """Parts of a search with one operator, a structural one."""
    return {
        "operators": {operator.name: operator},
        "structural": frozenset({operator.name}),
        "credit": Credit(priors={operator.name: 1.0}),
    }


def at_random() -> dict[str, object]:
    """Parts of a search without any pressure."""
    everyone = Population(capacity=10_000)
    return {"policy": SteadyState(population=everyone, selection=RandomSelection())}


def create(folder: Path) -> Store:
    folder.mkdir(parents=True, exist_ok=True)
    return Store.create(
        folder, experiment="[search]\nseed = 1\npopulation = 10\n", fingerprint="toy"
    )


def contents(store: Store) -> list[object]:
    """Everything in a store that the lineage consists of."""
    return [store.candidates(), store.evaluations(), store.trials()]


def _opened(folder: Path) -> Store:
    """The store, made where there is none: a kill may have come before its first commit."""
    try:
        return Store.open(folder)
    except StoreError:
        return create(folder)


def _run(folder: Path, evaluations: int) -> None:
    """Begin or go on; the store is made with its seed in several commits, as a run does it."""
    with _opened(folder) as store:
        evaluator = Delayed(workers=2, delay_s=0.008, seed=os.getpid())
        answer = evaluator.submit

        def submit(candidate: Candidate) -> Future[Evaluation]:
            with (folder / "asked.log").open("a") as log:
                log.write(f"{candidate.number}\n")
            assert store.evaluation(candidate.number) is None
            return answer(candidate)

        evaluator.submit = submit
        search(store, evaluator, evaluations=evaluations).run(seeds())
        evaluator.close()


def main(folder: Path, kills: int, evaluations: int) -> None:
    """Run in children, each killed at a random moment but the last; prints how many were killed."""
    rng = random.Random(5)
    killed = 0
    while True:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _run(folder, evaluations)
                status = 0
            finally:
                os._exit(status)
        if killed < kills:
            time.sleep(0.01 + 0.15 * rng.random())
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if status == 0:
            break
        if status != signal.SIGKILL:
            sys.exit(f"a child failed: {status}")
        killed += 1
    print(killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
