"""What a candidate is compared with: eager and compiled forms of the reference and its rivals.

Baselines live in one long-lived process of our own per pool, which has a channel to every judge.
It computes only while a judge that holds the device lease asks it to, so that one at a time does.
A name is a standard one ("eager", "compile", "max-autotune-no-cudagraphs"), or one of the
problem's `BASELINES`, alone (eager) or with "+compile". This is the asking side, which does not
import torch; the process itself is in `fitness.baseline_server`.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fitness import timing
from fitness.batches import Batches, ProcessSubject
from fitness.clocks import bring
from fitness.lease import DeviceLease
from fitness.pace import Answer, Pacemaker, Request, Silence
from fitness.sandbox.channel import Channel
from fitness.spec import EvaluationSpec
from fitness.subject import Subject
from populations.errors import ProblemError, WorkerDied, WorkerError, WorkerTimeout

# The first call may compile for minutes, with every variant tried and timed.
COMPILE_LIMIT_S = 900.0
_ANSWER_LIMIT_S = 120.0
_MEASURE_PAIRS = 10


@dataclass(frozen=True, slots=True)
class BaselineTable:
    """The baselines of a problem, measured.

    Attributes:
        times_ms: Workload -> baseline -> median time of one call.
        failed: Workload -> baseline -> why it could not be measured.
    """

    times_ms: Mapping[str, Mapping[str, float]]
    failed: Mapping[str, Mapping[str, str]]

    def fastest(self, workload: str) -> str:
        """Name of the fastest baseline on a workload."""
        times = self.times_ms[workload]
        return min(times, key=lambda name: times[name])


class BaselineClient:
    """One end of a conversation with the baselines' process."""

    def __init__(self, channel: Channel, pid: int, device: str) -> None:
        """Use a channel to the process with this number, which computes on a device."""
        self._channel = channel
        self._pid = pid
        self._device = device
        self._warm: set[tuple[str, str, tuple[int, ...]]] = set()

    def contents(self) -> dict[str, list[str]]:
        """Names of the selected "workloads" and "baselines". Raises ProblemError."""
        answer = self._ask({"do": "contents"}, COMPILE_LIMIT_S)
        return {kind: answer[kind] for kind in ("workloads", "baselines")}

    def warm(self, baseline: str, workload: str, seeds: tuple[int, ...]) -> str:
        """Compile a baseline and make its inputs, unless done before; says why it failed, or ""."""
        key = (baseline, workload, seeds)
        if key in self._warm:
            return ""
        failed: str = self._ask({"do": "warm", "key": key}, COMPILE_LIMIT_S).get("failed", "")
        if not failed:
            self._warm.add(key)
        return failed

    @contextmanager
    def subjects(
        self, names: Sequence[str], workload: str, seeds: tuple[int, ...], rng: random.Random
    ) -> Iterator[list[Subject]]:
        """Baselines on a workload with inputs from seeds, for timing; ask nothing else then."""
        keys = [(name, workload, seeds) for name in names]
        pacemaker = Pacemaker()
        self._send({"do": "pace", "keys": keys}, [pacemaker.theirs.fileno()])
        pacemaker.handed_over()
        try:
            yield [
                ProcessSubject(
                    Batches(
                        lambda request: self.batch(pacemaker, request),
                        rng,
                        subject=number,
                        device=self._device,
                    ),
                    name,
                    self._pid,
                )
                for number, name in enumerate(names)
            ]
        finally:
            pacemaker.close()
        self._receive(_ANSWER_LIMIT_S)

    def batch(self, pacemaker: Pacemaker, request: Request) -> Answer:
        """One batch of one of `subjects`."""
        if request.processor >= 0:
            bring(self._pid, request.processor)
        try:
            return pacemaker.batch(request, COMPILE_LIMIT_S)
        except Silence as error:
            pacemaker.close()
            answer = self._receive(_ANSWER_LIMIT_S)
            raise WorkerError(f"a baseline failed: {answer.get('failed', error)}") from error

    def close(self) -> None:
        """End the conversation. Callable twice."""
        self._channel.close()

    def _ask(self, question: dict[str, Any], limit_s: float) -> dict[str, Any]:
        self._send(question, [])
        return self._receive(limit_s)

    def _send(self, question: dict[str, Any], descriptors: list[int]) -> None:
        try:
            self._channel.send(question)
            if descriptors:
                self._channel.send_fds(descriptors)
        except WorkerDied as error:
            raise WorkerDied("the process of the baselines died") from error

    def _receive(self, limit_s: float) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._channel.receive(limit_s)
        except WorkerTimeout as error:
            raise WorkerTimeout(f"the baselines did not answer in {limit_s:g} s") from error
        except WorkerDied as error:
            raise WorkerDied("the process of the baselines died") from error
        if "problem_error" in answer:
            raise ProblemError(answer["problem_error"])
        return answer


def measure(
    client: BaselineClient,
    spec: EvaluationSpec,
    lease: DeviceLease,
    rng: random.Random,
    progress: Callable[[str], None] = lambda _: None,
) -> BaselineTable:
    """Compile and time every selected baseline on every selected workload.

    A baseline that fails on a workload is left out there and named in `failed`.

    Args:
        client: To the baselines' process.
        spec: What to measure.
        lease: The device.
        rng: Draws the seed of the inputs and the order.
        progress: Told one line before each baseline is compiled.

    Raises:
        ProblemError: No baseline works on some workload, or the problem file is at fault.
    """
    contents = client.contents()
    seeds = (rng.getrandbits(62),)
    times: dict[str, dict[str, float]] = {}
    failed: dict[str, dict[str, str]] = {}
    for workload in contents["workloads"]:
        working = []
        for baseline in contents["baselines"]:
            progress(f"{workload}: {baseline}")
            with lease.shared():
                reason = client.warm(baseline, workload, seeds)
            if reason:
                failed.setdefault(workload, {})[baseline] = reason
            else:
                working.append(baseline)
        if not working:
            reasons = "; ".join(f"{n}: {r}" for n, r in failed[workload].items())
            raise ProblemError(f"{spec.problem}: no baseline works on {workload!r}: {reasons}")
        short = replace(
            spec,
            pairs=min(spec.pairs, _MEASURE_PAIRS),
            timing_budget_s=max(spec.timing_budget_s, 0.1) * len(working),
            give_up_below=0.0,
            min_effect=1.0,
        )
        with lease.exclusive(), client.subjects(working, workload, seeds, rng) as subjects:
            rounds = timing.measure(timing.probed(subjects, short), short, rng, trusted=True)
        times[workload] = {b: rounds.median_ms(b) for b in working}
    return BaselineTable(times, failed)


def connect(server: Channel) -> Channel:
    """Open a further channel to a baselines' process, given the one that it was started with."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        server.send_fds([theirs.fileno()])
    return Channel(ours, trusted=True)
