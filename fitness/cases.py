"""The judge's questions: inputs from secret seeds, with the answers that the reference gives.

Making a case costs a run of the reference in float64, far more than judging a small candidate. So
cases are kept and used for several candidates, one seed after the other is replaced, and what is
kept is bounded. A candidate sees inputs only while its own process runs, so that it cannot know
them beforehand; whatever an earlier candidate might have left behind loses its use with the seed.
"""

from __future__ import annotations

import os
import random
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from fitness.correctness import Expected, expect
from fitness.exchange import TensorSpec, Tree, flatten, sealed_memory, spec_of, total_bytes
from fitness.problem import Problem
from fitness.reference import Reference
from fitness.spec import EvaluationSpec

# Candidates judged before one of the seeds is replaced.
ROTATION = 64


@dataclass(frozen=True, slots=True)
class Case:
    """One workload with inputs from one seed.

    Attributes:
        workload: Name of the workload.
        seed: The secret seed.
        dtype: Name of the dtype that models are cast to; empty for none.
        tree: Structure of the inputs.
        specs: The input tensors.
        descriptor: Sealed memory with their contents, owned by the bank.
        output_tree: Structure of the outputs.
        expected: The outputs.
        changed: Positions of input tensors that the reference changes, so that a candidate may.
        method: How the golden values came about (`fitness.reference.Result`).
    """

    workload: str
    seed: int
    dtype: str
    tree: Tree
    specs: tuple[TensorSpec, ...]
    descriptor: int
    output_tree: Tree
    expected: tuple[Expected, ...]
    changed: tuple[int, ...]
    method: str

    @property
    def output_specs(self) -> list[TensorSpec]:
        """The output tensors."""
        return [e.spec for e in self.expected]

    @property
    def nbytes(self) -> int:
        """Bytes that keeping it costs."""
        return total_bytes(self.specs) + sum(e.nbytes for e in self.expected)


@dataclass(frozen=True, slots=True)
class Constants:
    """What a candidate is constructed from: constructor arguments and the reference's state.

    Attributes:
        tree: Structure of the constructor's arguments.
        arguments: Their tensors.
        names: Names in the state.
        state: Tensors of the state, behind the arguments in memory.
        descriptor: Sealed memory with the contents of both.
    """

    tree: Tree
    arguments: tuple[TensorSpec, ...]
    names: tuple[str, ...]
    state: tuple[TensorSpec, ...]
    descriptor: int

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """All tensors, in the order in which they lie in memory."""
        return self.arguments + self.state


class CaseBank:
    """Makes and keeps cases; belongs to one judge."""

    def __init__(
        self, problem: Problem, spec: EvaluationSpec, *, model_seed: int, rng: random.Random
    ) -> None:
        """Prepare; the workloads are run when they are first asked for.

        Args:
            problem: The problem.
            spec: Which workloads, how many seeds, which device.
            model_seed: Decides the reference's state; the same in the baselines' process.
            rng: Source of the secret seeds.
        """
        self._problem = problem
        self._spec = spec
        self._rng = rng
        self._model_seed = model_seed
        self._reference = Reference(problem, spec.torch_device, model_seed)
        self._seeds = [self._secret() for _ in range(spec.seeds)]
        self._judged = 0
        self._kept: OrderedDict[tuple[str, int], Case] = OrderedDict()
        self._limit_bytes = _room_bytes(spec.device)
        self.workloads = self._smallest_first()
        self.constants = self._constants()

    def cases(self) -> Iterator[tuple[str, int]]:
        """(workload, number of the seed) in the order of checking: small workloads fail fast."""
        for workload in self.workloads:
            for number in range(self._spec.seeds):
                yield workload, number

    def case(self, workload: str, number: int) -> Case:
        """The case of a workload and a seed by its number, made now unless kept."""
        key = (workload, self._seeds[number])
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        case = self._make(*key)
        self._kept[key] = case
        total = sum(c.nbytes for c in self._kept.values())
        while total > self._limit_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            total -= oldest.nbytes
            os.close(oldest.descriptor)
        return case

    def lowered(self, case: Case) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """Golden outputs of a case after rounding its inputs (`Reference.lowered`)."""
        inputs = self._problem.inputs(case.workload, case.seed)
        return self._reference.lowered(inputs, self._problem.shared_dtype(inputs))

    def judged(self) -> None:
        """Count one candidate; now and then one seed is replaced by a new one."""
        self._judged += 1
        if self._judged % ROTATION:
            return
        number = (self._judged // ROTATION) % len(self._seeds)
        old, self._seeds[number] = self._seeds[number], self._secret()
        for key in [k for k in self._kept if k[1] == old]:
            os.close(self._kept.pop(key).descriptor)

    def _secret(self) -> int:
        return self._rng.getrandbits(62)

    def _smallest_first(self) -> tuple[str, ...]:
        names = self._problem.selected(self._spec.workloads, "workload")
        if len(names) == 1:
            return names
        sizes = {}
        for name in names:
            tensors = flatten(self._problem.inputs(name, self._seeds[0]))[1]
            sizes[name] = sum(spec_of(t).nbytes for t in tensors)
        return tuple(sorted(names, key=lambda n: sizes[n]))

    def _constants(self) -> Constants:
        tree, arguments = flatten(self._problem.init_inputs(self._model_seed))
        state = self._problem.model(self._model_seed).state_dict()
        tensors = [*arguments, *state.values()]
        specs = tuple(TensorSpec(spec_of(t).dtype, tuple(t.shape)) for t in tensors)
        count = len(arguments)
        return Constants(
            tree, specs[:count], tuple(state), specs[count:], sealed_memory(tensors, specs)
        )

    def _make(self, workload: str, seed: int) -> Case:
        inputs = self._problem.inputs(workload, seed)
        dtype = self._problem.shared_dtype(inputs)
        tree, tensors = flatten(inputs)
        specs = tuple(spec_of(t) for t in tensors)
        result = self._reference.run(inputs, dtype)
        tolerances = self._problem.tolerances
        expected = tuple(
            expect(native, golden, exact=self._problem.exact, tolerances=tolerances)
            for native, golden in zip(result.native, result.golden, strict=True)
        )
        return Case(
            workload=workload,
            seed=seed,
            dtype=str(dtype).removeprefix("torch.") if dtype else "",
            tree=tree,
            specs=specs,
            descriptor=sealed_memory(tensors, specs),
            output_tree=result.tree,
            expected=expected,
            changed=result.changed,
            method=result.method,
        )


def _room_bytes(device: str) -> int:
    """Bytes of cases to keep: an eighth of the memory they are kept in."""
    if device == "cuda":
        free: Any = torch.cuda.mem_get_info()
        return int(free[1]) // 8
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
