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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from fitness.answers import Traits
from fitness.correctness import Expected, expect
from fitness.exchange import TensorSpec, Tree, flatten, sealed_memory, spec_of, total_bytes
from fitness.fairness import Skipped, reaches, require_fair, to_scale
from fitness.given import Given
from fitness.problem import Problem
from fitness.reference import Reference, Result, perturbed
from fitness.spec import EvaluationSpec
from populations.errors import ProblemError

# Candidates judged before one of the seeds is replaced.
ROTATION = 64
# Cases of one series are in use together; so many are kept however large they are.
_LEAST_KEPT = 6


class Variant(Protocol):
    """Other inputs than a workload's own, under a name that is unique within the problem."""

    @property
    def name(self) -> str:
        """As it is reported."""
        ...

    @property
    def random(self) -> bool:
        """Whether values are as random as the problem's own (`Distribution.random`)."""
        ...

    @property
    def extreme(self) -> bool:
        """Whether values are so large that sums of them overflow."""
        ...

    def inputs(self, given: Given, workload: str, seed: int) -> Iterator[list[Any]]:
        """Inputs to try, the one preferred first; none where the problem has nothing to change."""
        ...


@dataclass(frozen=True, slots=True)
class StateChange:
    """Entries of the state with other values.

    Attributes:
        names: Names in the reference's state.
        specs: Their tensors.
        descriptor: Sealed memory with their contents, owned by the bank.
    """

    names: tuple[str, ...]
    specs: tuple[TensorSpec, ...]
    descriptor: int


_Key = tuple[str, int, str]


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
        traits: What outputs are beside their values.
        aliased: Positions of outputs that lie in the memory of an input or of the state.
        variant: What the inputs are instead of the workload's own.
        state: What the state is instead of the reference's own.
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
    traits: tuple[Traits, ...] = ()
    aliased: tuple[int, ...] = ()
    variant: Variant | None = None
    state: StateChange | None = None

    @property
    def output_specs(self) -> list[TensorSpec]:
        """The output tensors."""
        return [e.spec for e in self.expected]

    @property
    def nbytes(self) -> int:
        """Bytes that keeping it costs."""
        return total_bytes(self.specs) + sum(e.nbytes for e in self.expected)

    def close(self) -> None:
        """Free its memory."""
        os.close(self.descriptor)
        if self.state is not None:
            os.close(self.state.descriptor)


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
        self.problem = problem
        self._spec = spec
        self._rng = rng
        self._model_seed = model_seed
        self._reference = Reference(problem, spec.torch_device, model_seed)
        self._seeds = [self._secret() for _ in range(spec.seeds)]
        self._judged = 0
        self._kept: OrderedDict[_Key, Case | Skipped] = OrderedDict()
        self._limit_bytes = room_bytes(spec.device)
        # Of what lies in our own memory, beside the cases of a CPU.
        self._given = Given(problem, room_bytes("cpu") // 8)
        self.workloads = self._smallest_first()
        self._state = problem.model(model_seed).state_dict()
        self.constants = self._constants()
        self._original: StateChange | None = None

    def cases(self) -> Iterator[tuple[str, int]]:
        """(workload, number of the seed) in the order of checking: small workloads fail fast."""
        for workload in self.workloads:
            for number in range(self._spec.seeds):
                yield workload, number

    def case(self, workload: str, number: int) -> Case:
        """The case of a workload and a seed by its number, made now unless kept."""
        seed = self._seeds[number]
        return self._get((workload, seed, ""), lambda: self._make(workload, seed))

    def varied(self, workload: str, number: int, variant: Variant) -> Case:
        """The same with other inputs. Raises Skipped where they ask nothing or nothing fair."""
        seed = self._seeds[number]
        key = (workload, seed, variant.name)
        return self._get(key, lambda: self._vary(workload, seed, variant))

    def restated(self, workload: str, number: int, names: tuple[str, ...] = ()) -> Case:
        """The same with other values in the state's floating entries; all of them for no names.

        Raises Skipped where the reference has no such state or nothing fair can be asked.
        """
        seed = self._seeds[number]
        key = (workload, seed, f"state {' '.join(names)}")
        return self._get(key, lambda: self._restate(workload, seed, names))

    def original_state(self) -> StateChange:
        """What undoes every change of the state."""
        if self._original is None:
            self._original = _state_change(self._state)
        return self._original

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self._seeds)

    @property
    def constant_parameters(self) -> tuple[str, ...]:
        """Parameters whose first values do not depend on the seed: ones and zeros, mostly."""
        own = dict(self.problem.model(self._model_seed).named_parameters())
        other = dict(self.problem.model(self._model_seed + 1).named_parameters())
        return tuple(n for n, p in own.items() if n in other and torch.equal(p, other[n]))

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the floating entries of the reference's state."""
        return tuple(n for n, t in self._state.items() if t.is_floating_point() and t.numel())

    def _get(self, key: _Key, make: Callable[[], Case]) -> Case:
        if key not in self._kept:
            try:
                self._kept[key] = make()
            except Skipped as skipped:
                self._kept[key] = skipped
            self._forget()
        self._kept.move_to_end(key)
        found = self._kept[key]
        if isinstance(found, Skipped):
            raise Skipped(str(found))
        return found

    def _forget(self) -> None:
        """Keep to the limit; reasons for skipping cost nothing and stay until their seed goes."""
        cases = [(k, c) for k, c in self._kept.items() if isinstance(c, Case)]
        total = sum(c.nbytes for _, c in cases)
        for key, case in cases[:-_LEAST_KEPT]:
            if total <= self._limit_bytes:
                return
            total -= case.nbytes
            case.close()
            del self._kept[key]

    def answer(self, workload: str, inputs: list[Any]) -> tuple[Expected, ...]:
        """What the reference answers to given inputs of a workload: native and golden in one.

        Costs a run in the declared dtype and one in float64; nothing is kept, and the inputs are
        left as they are. Raises ProblemError when the reference fails on them.
        """
        try:
            return self._expected(self._reference.run(inputs, self.problem.shared_dtype(inputs)))
        except ProblemError as error:
            raise ProblemError(f"{error} (workload {workload!r})") from error

    def lowered(self, case: Case) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """Golden outputs of a case after rounding its inputs (`Reference.lowered`)."""
        inputs = self.problem.inputs(case.workload, case.seed)
        if case.variant is not None:
            inputs = next(case.variant.inputs(self._given, case.workload, case.seed))
        return self._reference.lowered(inputs, self.problem.shared_dtype(inputs))

    def judged(self) -> None:
        """Count one candidate; now and then one seed is replaced by a new one."""
        self._judged += 1
        self._given.forget()
        if self._judged % ROTATION:
            return
        number = (self._judged // ROTATION) % len(self._seeds)
        old, self._seeds[number] = self._seeds[number], self._secret()
        for key in [k for k in self._kept if k[1] == old]:
            gone = self._kept.pop(key)
            if isinstance(gone, Case):
                gone.close()

    def _secret(self) -> int:
        return self._rng.getrandbits(62)

    def _smallest_first(self) -> tuple[str, ...]:
        names = self.problem.selected(self._spec.workloads, "workload")
        if len(names) == 1:
            return names
        sizes = {}
        for name in names:
            tensors = flatten(self.problem.inputs(name, self._seeds[0]))[1]
            sizes[name] = sum(spec_of(t).nbytes for t in tensors)
        return tuple(sorted(names, key=lambda n: sizes[n]))

    def _constants(self) -> Constants:
        tree, arguments = flatten(self.problem.init_inputs(self._model_seed))
        state = self._state
        tensors = [*arguments, *state.values()]
        specs = tuple(TensorSpec(spec_of(t).dtype, tuple(t.shape)) for t in tensors)
        count = len(arguments)
        return Constants(
            tree, specs[:count], tuple(state), specs[count:], sealed_memory(tensors, specs)
        )

    def _make(self, workload: str, seed: int) -> Case:
        inputs = self.problem.inputs(workload, seed)
        result = self._reference.run(inputs, self.problem.shared_dtype(inputs))
        return self._case((workload, seed), inputs, result, self._expected(result))

    def _vary(self, workload: str, seed: int, variant: Variant) -> Case:
        reason = "the problem has no such inputs"
        for inputs in variant.inputs(self._given, workload, seed):
            try:
                result, expected = self._asked(workload, seed, inputs, self._reference)
                if variant.extreme and not reaches(flatten(inputs)[1], expected):
                    raise Skipped("the largest inputs do not reach the output")
            except Skipped as skipped:
                reason = str(skipped)
                continue
            return replace(self._case((workload, seed), inputs, result, expected), variant=variant)
        raise Skipped(reason)

    def _restate(self, workload: str, seed: int, names: tuple[str, ...]) -> Case:
        if not self.state_names:
            raise Skipped("the reference has no state")
        # Entries may share memory: what the reference makes of the change is what is asked for.
        model = self.problem.model(self._model_seed)
        own = model.state_dict()
        generator = torch.Generator().manual_seed(seed)
        for name in names or self.state_names:
            own[name].copy_(perturbed(own[name], generator))
        changed = {n: t for n, t in own.items() if not torch.equal(t, self._state[n])}
        inputs = self.problem.inputs(workload, seed)
        device = self._spec.torch_device
        reference = Reference(self.problem, device, self._model_seed, changed)
        result, expected = self._asked(workload, seed, inputs, reference)
        case = self._case((workload, seed), inputs, result, expected)
        return replace(case, state=_state_change(changed))

    def _asked(
        self, workload: str, seed: int, inputs: list[Any], reference: Reference
    ) -> tuple[Result, tuple[Expected, ...]]:
        """What the reference answers; raises Skipped where no kernel can be held to it."""
        dtype = self.problem.shared_dtype(inputs)
        try:
            result = reference.run(inputs, dtype)
        except ProblemError as error:
            raise Skipped(f"the reference fails: {error}") from error
        own = self._get((workload, seed, ""), lambda: self._make(workload, seed))
        expected = to_scale(self._expected(result), own.expected)
        require_fair(
            expected,
            own.expected,
            result,
            lambda: None if self.problem.exact else reference.shaken(inputs, dtype, seed),
        )
        return result, expected

    def _case(
        self,
        key: tuple[str, int],
        inputs: list[Any],
        result: Result,
        expected: tuple[Expected, ...],
    ) -> Case:
        workload, seed = key
        dtype = self.problem.shared_dtype(inputs)
        tree, tensors = flatten(inputs)
        specs = tuple(spec_of(t) for t in tensors)
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
            traits=result.traits,
            aliased=result.aliased,
        )

    def _expected(self, result: Result) -> tuple[Expected, ...]:
        exact, tolerances = self.problem.exact, self.problem.tolerances
        return tuple(
            expect(native, golden, exact=exact, tolerances=tolerances)
            for native, golden in zip(result.native, result.golden, strict=True)
        )


def _state_change(state: Mapping[str, torch.Tensor]) -> StateChange:
    tensors = list(state.values())
    specs = tuple(TensorSpec(spec_of(t).dtype, tuple(t.shape)) for t in tensors)
    return StateChange(tuple(state), specs, sealed_memory(tensors, specs))


def room_bytes(device: str) -> int:
    """Bytes of cases to keep: an eighth of the memory they are kept in."""
    if device == "cuda":
        free: Any = torch.cuda.mem_get_info()
        return int(free[1]) // 8
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
