"""The judge's side of timed calls: what they are called on, and what some of them must answer."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fitness.correctness import Expected, wrong_at
from fitness.exchange import TensorSpec, Tree, flatten, fresh, sealed_memory, spec_of
from fitness.problem import Problem
from fitness.spec import EvaluationSpec
from fitness.variation import Change, Contents, change_of, places

# Candidates judged before sets and checkpoints are drawn anew.
_ROTATION = 64
# Inputs of more bytes than this are drawn once only; calls still see them rolled and scaled.
_LARGE_BYTES = 64 << 20
# Where nothing can be changed in place, as many sets as calls are wanted; this many bytes of them.
_POOL_BYTES = {"cpu": 128 << 20, "cuda": 512 << 20}
_POOL_SETS = 512
_CHECKPOINTS = 4
Reference = Callable[[str, list[Any]], Sequence[Expected]]


@dataclass(frozen=True, slots=True)
class TimedInputs:
    """What a workload's timed calls are called on.

    Attributes:
        workload: Its name.
        seeds: One secret seed per set.
        tree: Structure of the inputs.
        specs: The tensors of one set.
        changes: What a call may change of each.
        descriptor: Sealed memory with the sets, one behind the other.
    """

    workload: str
    seeds: tuple[int, ...]
    tree: Tree
    specs: tuple[TensorSpec, ...]
    changes: tuple[Change, ...]
    descriptor: int


class CheckedCall:
    """Contents of one call with what the reference answers; a `fitness.batches.Checkpoint`."""

    def __init__(self, secret: int, expected: Sequence[Expected]) -> None:
        """Keep the answer to the contents that follow from `secret`."""
        self.secret = secret
        self._expected = expected

    def fault(self, sample: int, seen: Sequence[float]) -> str:
        """How what a call wrote differs at the sampled positions, or ""."""
        positions = places(sample, [e.values.numel() for e in self._expected])
        if sum(map(len, positions)) != len(seen):
            return f"{len(seen)} elements were to be seen at {sum(map(len, positions))} positions"
        start = 0
        for number, (want, at) in enumerate(zip(self._expected, positions, strict=True)):
            got = torch.tensor(seen[start : start + len(at)], dtype=torch.float64)
            start += len(at)
            if text := wrong_at(want, at, got):
                return f"output {number}: {text}"
        return ""


def drawn(
    problem: Problem, workload: str, seeds: Sequence[int]
) -> tuple[Tree, list[list[torch.Tensor]], tuple[Change, ...]]:
    """Sets of inputs from seeds: their structure, the tensors of each, what may be changed."""
    found = [flatten(problem.inputs(workload, seed)) for seed in seeds]
    tensors = [t for _, t in found]
    changes = tuple(change_of(each) for each in zip(*tensors, strict=True))
    return found[0][0], tensors, changes


def on_device(
    sets: Sequence[Sequence[torch.Tensor]], specs: Sequence[TensorSpec], device: str
) -> list[list[torch.Tensor]]:
    """The sets on a device with the strides described; what is there already is not copied."""
    if device == "cpu" and not any(spec.stride for spec in specs):
        return [[t.detach().contiguous() for t in each] for each in sets]
    return [[fresh(t, s, device) for t, s in zip(each, specs, strict=True)] for each in sets]


class ContentsBank:
    """Draws and keeps what timed calls need; belongs to one judge."""

    def __init__(
        self, problem: Problem, spec: EvaluationSpec, answer: Reference, rng: random.Random
    ) -> None:
        """Prepare; sets are drawn when they are first asked for.

        Args:
            problem: The problem.
            spec: The device, and how thoroughly to look.
            answer: The reference: (workload, inputs) to its outputs.
            rng: Source of the secrets.
        """
        self._problem = problem
        self._spec = spec
        self._answer = answer
        self._rng = rng
        self._judged = 0
        self._kept: dict[str, TimedInputs] = {}
        self._checked: dict[str, list[CheckedCall]] = {}

    def inputs(self, workload: str) -> TimedInputs:
        """The sets of a workload, drawn now unless kept."""
        if workload not in self._kept:
            self._kept[workload] = self._draw(workload)
        return self._kept[workload]

    def checkpoints(self, workload: str, count: int) -> list[CheckedCall]:
        """Some calls of a workload with their answers, in random order."""
        kept = self._checked.setdefault(workload, [])
        while len(kept) < max(count, _CHECKPOINTS):
            kept.append(self._check(self.inputs(workload)))
        return self._rng.sample(kept, count)

    def judged(self) -> None:
        """Count one candidate; now and then everything is drawn anew."""
        self._judged += 1
        if self._judged % _ROTATION == 0:
            self.close()

    def close(self) -> None:
        """Forget everything that is kept."""
        for inputs in self._kept.values():
            os.close(inputs.descriptor)
        self._kept.clear()
        self._checked.clear()

    def _draw(self, workload: str) -> TimedInputs:
        seeds = [self._secret()]
        _, sets, changes = drawn(self._problem, workload, seeds)
        seeds += [self._secret() for _ in range(self._sets(sets[0], changes) - 1)]
        tree, sets, changes = drawn(self._problem, workload, seeds)
        specs = tuple(spec_of(t) for t in sets[0])
        every = [t for each in sets for t in each]
        descriptor = sealed_memory(every, specs * len(sets))
        return TimedInputs(workload, tuple(seeds), tree, specs, changes, descriptor)

    def _sets(self, tensors: Sequence[torch.Tensor], changes: Sequence[Change]) -> int:
        size = max(sum(spec_of(t).nbytes for t in tensors), 1)
        if all(change is Change.KEEP for change in changes):
            return min(max(_POOL_BYTES[self._spec.device] // size, 2), _POOL_SETS)
        return 1 if size > _LARGE_BYTES else 2

    def _check(self, inputs: TimedInputs) -> CheckedCall:
        secret = self._rng.getrandbits(63) + 1
        device = self._spec.torch_device
        seed = inputs.seeds[secret % len(inputs.seeds)]
        _, sets, _ = drawn(self._problem, inputs.workload, [seed])
        contents = Contents(inputs.tree, on_device(sets, inputs.specs, device), inputs.changes)
        contents.refresh(0, secret)
        return CheckedCall(secret, self._answer(inputs.workload, contents.arguments))

    def _secret(self) -> int:
        return self._rng.getrandbits(62)


def to_json(inputs: TimedInputs) -> dict[str, Any]:
    """What a candidate's process is told of its timed inputs; the seeds are not among it."""
    return {
        "workload": inputs.workload,
        "tree": inputs.tree,
        "specs": [s.to_json() for s in inputs.specs],
        "sets": len(inputs.seeds),
        "changes": [str(c) for c in inputs.changes],
    }
