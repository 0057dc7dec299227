"""Do slow, faulty models keep the workers busy? Run as `python -m benchmarks.models`.

A real search asks a local server over HTTP, through the real client. The server takes its time and
fails now and then, in every way: too many requests, an error of its own, half an answer, nonsense.
Judging is a sleep, so that nothing but the loop, the desk and the client decides how busy the
workers are. Reported: their busy share from the first candidate to the last answer, what was lost,
and by how much a budget was missed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.trivial import Silent
from evo.budget import Budget
from evo.parts import Parts
from evo.search import Search
from operators.credit import Credit
from operators.dialogue import Conversation, Dialogue, Prompt, Reason, Rejected
from operators.llm.client import ChatClient
from operators.llm.desk import Desk
from operators.llm.settings import ModelSettings
from operators.llm.spending import Limits, Spending
from operators.operator import Situation, Variation
from populations.archive import Population
from populations.call import Finish, Message
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from populations.policies.steady import SteadyState
from populations.selection import Tournament
from populations.store import Store
from tests.operators.llm.server import LocalServer, Reply, Request, error, says

WORKERS = 2
BUSY = 0.9
FAULTS = 0.1


def judged(value: float) -> Evaluation:
    """An evaluation that passed."""
    speedup = Speedup(value, value, value)
    timing = Timing("w", "eager", 1.0 / value, 1.0, speedup, (0.0,))
    return Evaluation(Outcome.PASSED, 1, 1, timings=(timing,), speedup=speedup)


@dataclass
class Sleeping:
    """An evaluator that sleeps, and knows how busy it was.

    Attributes:
        seconds: What one evaluation takes.
        changes: (time, candidates under way) at every change.
    """

    seconds: float
    changes: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS)
        self._lock = threading.Lock()
        self._open = 0

    def submit(self, candidate: Candidate, **_: object) -> Future[Evaluation]:
        """Sleep in one of the workers."""
        self._note(1)
        return self._pool.submit(self._judge, candidate)

    def _judge(self, candidate: Candidate) -> Evaluation:
        time.sleep(self.seconds)
        self._note(-1)
        return judged(1.0 + (candidate.number % 7) / 10)

    def _note(self, change: int) -> None:
        with self._lock:
            self._open += change
            self.changes.append((time.monotonic(), self._open))

    def busy(self, until: float) -> float:
        """Share of the workers' time that they worked, from the first candidate on."""
        worked, end = 0.0, [*(t for t, _ in self.changes[1:]), until]
        for (start, count), stop in zip(self.changes, end, strict=True):
            worked += min(count, WORKERS) * max(min(stop, until) - start, 0.0)
        return worked / (WORKERS * (until - self.changes[0][0]))

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(cancel_futures=True)


class Numbered:
    """Asks for a number and puts it into its parent."""

    name = "numbered"
    arity = 1

    def vary(self, parents: Sequence[Kernel], situation: Situation) -> Conversation:
        """One question."""
        del parents
        return Conversation(self._turns(situation.rng.getrandbits(60)), model="slow")

    def _turns(self, number: int) -> Dialogue:
        answer = yield Prompt((Message("user", f"number {number}"),))
        found = re.search(r"number (\d+)", answer.text)
        if answer.finish is not Finish.COMPLETE or not found:
            return Rejected(Reason.NO_ANSWER, answer.text)
        return Variation(source=f"NUMBER = {found[1]}\n", note=found[0])


def faulty(latency_s: float, seed: int) -> Any:
    """A server's replies: slow, and one in ten is no answer."""
    rng = random.Random(seed)
    lock = threading.Lock()

    def reply(request: Request) -> Reply:
        with lock:
            fault, pace = rng.random(), rng.uniform(0.9, 1.1)
        slow = latency_s * pace
        kinds = [
            error(429, "too many requests", headers={"Retry-After": "1"}, delay_s=slow / 20),
            error(500, "no", delay_s=slow / 2),
            says("cut off", delay_s=slow, cut=40),
            Reply(b"<html>nonsense</html>", delay_s=slow),
        ]
        if fault < FAULTS:
            return kinds[int(fault / FAULTS * len(kinds))]
        return says(f"here is {request.text}", delay_s=slow)

    return reply


def measure(
    *, latency_s: float, at_once: int, evaluation_s: float, evaluations: int, cost_usd: float = 0.0
) -> dict[str, Any]:
    """Search once; returns JSON-able numbers."""
    sleeping = Sleeping(evaluation_s)
    answered: list[float] = []
    with (
        LocalServer(faulty(latency_s, 1)) as server,
        tempfile.TemporaryDirectory(prefix="evo-bench-") as folder,
        Store.create(Path(folder), experiment="", fingerprint="models") as store,
    ):
        settings = ModelSettings(
            name="slow",
            base_url=server.url,
            price_in=10.0,
            price_out=100.0,
            parallel=at_once,
            max_tokens=1000,
            timeout_s=10 * latency_s + 10,
        )
        client = ChatClient(settings)
        spending = Spending({"slow": settings}, Limits(cost_usd=cost_usd))

        def keep(call: Any) -> None:
            answered.append(time.monotonic())
            store.add_call(call)

        parts = Parts(
            store=store,
            evaluator=sleeping,
            operators={"numbered": Numbered()},
            structural=frozenset(),
            credit=Credit(priors={"numbered": 1.0}),
            policy=SteadyState(population=Population(capacity=10), selection=Tournament(size=2)),
            observer=Silent(),
            desk=Desk({"slow": client}, keep, spending),
        )
        search = Search(
            parts,
            budget=Budget(evaluations=evaluations),
            seed=1,
            in_flight=2 * WORKERS + 2 * at_once,
            device="cpu",
            edits=1.0,
        )
        seed = Candidate(0, "NUMBER = 0\n", "python")
        start = time.monotonic()
        reason = search.run([Kernel(seed, judged(1.0))])
        wall_s = time.monotonic() - start
        client.close()
        sleeping.close()
        dearest = max((c.answer.cost_usd for c in store.calls()), default=0.0)
        proposals = {p.number for p in store.proposals()}
        ended = {c.number for c in store.candidates()} | {r.number for r in store.rejections()}
        return {
            "reason": reason,
            "wall_s": wall_s,
            "asked": len(server.requests),
            "answers": len(answered),
            "candidates": len(store.candidates()) - 1,
            "rejected": len(store.rejections()),
            "lost": len(proposals - ended),
            # The last candidates have nothing behind them to fill both workers.
            "busy": sleeping.busy(answered[-1]),
            "cost_usd": spending.cost_usd,
            "dearest_usd": dearest,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 whether or not a bar is reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--latency-s", type=float, default=20.0)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--evaluation-s", type=float, default=0.7)
    parser.add_argument("--evaluations", type=int, default=400)
    options = parser.parse_args(arguments)
    found = measure(
        latency_s=options.latency_s,
        at_once=options.at_once,
        evaluation_s=options.evaluation_s,
        evaluations=options.evaluations,
    )
    print(json.dumps(found, indent=1))
    verdict = "yes" if found["busy"] > BUSY else "NO"
    print(f"workers busy {found['busy']:.1%}, wanted > {BUSY:.0%}: {verdict}")
    print(f"proposals lost {found['lost']}, wanted 0: {'NO' if found['lost'] else 'yes'}")
    limit = found["cost_usd"] / 3 or 1.0
    again = measure(
        latency_s=options.latency_s / 20,
        at_once=options.at_once,
        evaluation_s=options.evaluation_s / 20,
        evaluations=100_000,
        cost_usd=limit,
    )
    over = again["cost_usd"] - limit
    kept = over <= again["dearest_usd"]
    print(
        f"a budget of {limit:.4f} US dollars: {again['cost_usd']:.4f} spent, "
        f"{over / again['dearest_usd']:+.1f} calls; wanted within one: {'yes' if kept else 'NO'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
