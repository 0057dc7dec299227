"""Problems that cannot tell a right kernel from a wrong one, found before anything is spent.

A search finds the cheapest program that passes. Where zeros, a constant or less than all inputs
pass, that program is no kernel for the problem; where rounding decides, no right kernel passes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from fitness.bench import prepare, settings_of
from fitness.correctness import LEAST_SCALE, Expected, expect
from fitness.exchange import flatten, spec_of, unflatten
from fitness.findings import Findings
from fitness.given import Given
from fitness.problem import Problem
from fitness.reference import Reference, Result, perturbed
from fitness.spec import EvaluationSpec
from fitness.strain import golden_of, strain
from fitness.variants import Argument, arguments_of
from populations.errors import EvoError, ProblemError

# Entries of the state are changed one by one for no longer than this.
_STATE_BUDGET_S = 20.0
# From so much of the error allowed on, moved by one unit in the inputs' last places, it is noted.
_NOTED = 0.25


def examine(problem: Problem, workload: str, device: str, seeds: tuple[int, int]) -> Findings:
    """Look at a problem through its reference, on one workload.

    Takes about ten runs of the reference in its own dtype and in float64, and two more for each
    entry of its state, for as long as that takes less than 20 s.

    Args:
        problem: The problem.
        workload: The workload, the smallest for one.
        device: Where to compute, as torch names it.
        seeds: Of the model's state and first inputs, and of other inputs.

    Raises:
        ProblemError: The reference fails on its own inputs.
    """
    return _Examination(problem, workload, device, seeds).findings()


class _Examination:
    def __init__(
        self, problem: Problem, workload: str, device: str, seeds: tuple[int, int]
    ) -> None:
        self._problem = problem
        self._workload = workload
        self._device = device
        self._seeds = seeds
        self._reference = Reference(problem, device, seeds[0])
        self._inputs = problem.inputs(workload, seeds[0])
        self._result, self._expected = self._run(self._inputs)
        self._found = Findings()

    def findings(self) -> Findings:
        self._look_at_values()
        if not self._found.refused:
            # Whatever ignores everything ignores each.
            self._look_at_inputs()
            self._look_at_state()
            self._look_at_rounding()
        return self._found

    def _run(
        self, inputs: list[Any], reference: Reference | None = None
    ) -> tuple[Result, list[Expected]]:
        problem = self._problem
        result = (reference or self._reference).run(inputs, problem.shared_dtype(inputs))
        expected = [
            expect(native, golden, exact=problem.exact, tolerances=problem.tolerances)
            for native, golden in zip(result.native, result.golden, strict=True)
        ]
        return result, expected

    def _pass(self, outputs: Sequence[torch.Tensor]) -> list[bool]:
        """Which outputs would be taken for the reference's on its first inputs."""
        if [tuple(o.shape) for o in outputs] != [e.spec.shape for e in self._expected]:
            return [False] * len(self._expected)
        return [strain(e, o) <= 1 for e, o in zip(self._expected, outputs, strict=True)]

    def _look_at_values(self) -> None:
        refused, notes = self._found.refused, self._found.notes
        for number, (want, native) in enumerate(
            zip(self._expected, self._result.native, strict=True)
        ):
            if want.special is not None:
                share = len(want.special[0]) / max(want.values.numel(), 1)
                text = f"{share:.0%} of output {number} is not finite"
                (refused if share > 0.5 else notes).append(f"{text} on the problem's own inputs")
            if strain(want, native) > 1:
                refused.append(f"output {number} of the reference is outside its own TOLERANCE")
        if not refused:
            self._look_at_precision()
        if refused:
            return
        zeros = self._pass([torch.zeros_like(t) for t in self._result.native])
        if all(zeros):
            refused.append(f"zeros would pass: {self._how_small()}")
            return
        notes += [f"zeros would pass for output {i}" for i, passed in enumerate(zeros) if passed]
        self._look_at_constants()

    def _how_small(self) -> str:
        largest = max((e.scale for e in self._expected), default=0.0)
        own = max((e.reference_rms for e in self._expected), default=0.0)
        if largest <= LEAST_SCALE:
            return "every output is exactly 0"
        if own >= largest / 100:
            return f"outputs (rms {largest:.2e}) are no larger than the reference's own error"
        return f"outputs (rms {largest:.2e}) are smaller than the error that TOLERANCE allows"

    def _look_at_constants(self) -> None:
        refused = self._found.refused
        others = self._problem.inputs(self._workload, self._seeds[1])
        if _equal(self._inputs, others):
            refused.append("get_inputs gives the same inputs for every seed: an answer can be kept")
            return
        answers = [golden_of(e) for e in self._run(others)[1]]
        if all(self._pass(answers)):
            refused.append(
                "the right answer to other inputs would pass, so a constant does: the output does "
                "not depend on the inputs"
            )
            return

    def _look_at_inputs(self) -> None:
        tree, tensors = flatten(self._inputs)
        specs = [spec_of(t) for t in tensors]
        for number in arguments_of(tree, specs):
            given = Given(self._problem)
            variants = Argument(number).inputs(given, self._workload, self._seeds[0])
            if not self._ignored(variants):
                continue
            if number < len(tensors):
                text = f"the output does not depend on input tensor {number} ({specs[number]})"
                self._found.refused.append(text)
            else:
                self._found.notes.append(
                    f"changing number {number - len(tensors)} by a quarter changes no output"
                )
        integers = [i for i, t in enumerate(tensors) if not t.is_floating_point()]
        if integers and self._ignored(self._with_other(integers)):
            names = ", ".join(map(str, integers))
            self._found.refused.append(f"the output does not depend on input tensors {names}")

    def _with_other(self, numbers: Sequence[int]) -> Iterator[list[Any]]:
        tree, tensors = flatten(self._inputs)
        other = flatten(self._problem.inputs(self._workload, self._seeds[1]))[1]
        mixed = [other[i] if i in numbers else t for i, t in enumerate(tensors)]
        if not _equal(unflatten(tree, mixed), self._inputs):
            yield unflatten(tree, mixed)

    def _ignored(self, variants: Iterator[list[Any]]) -> bool:
        """Whether there are inputs among them that the reference takes, and none matters."""
        taken = False
        for inputs in variants:
            try:
                answers = [golden_of(e) for e in self._run(inputs)[1]]
            except ProblemError:
                continue
            taken = True
            if not all(self._pass(answers)):
                return False
        return taken

    def _look_at_state(self) -> None:
        model = self._problem.model(self._seeds[0])
        # A product with a matrix can be left out; what has one dimension costs nothing.
        entries = sorted(model.named_parameters(), key=lambda entry: -entry[1].dim())
        generator = torch.Generator().manual_seed(self._seeds[1])
        start = time.monotonic()
        for name, value in entries:
            if not value.is_floating_point() or not value.numel():
                continue
            if time.monotonic() - start > _STATE_BUDGET_S:
                self._found.notes.append(f"from parameter {name!r} on none was looked at")
                return
            changed = {name: perturbed(value.detach(), generator)}
            reference = Reference(self._problem, self._device, self._seeds[0], changed)
            answers = [golden_of(e) for e in self._run(self._inputs, reference)[1]]
            if all(self._pass(answers)):
                text = f"the output does not depend on parameter {name!r} {list(value.shape)}"
                (self._found.refused if value.dim() > 1 else self._found.notes).append(text)

    def _look_at_precision(self) -> None:
        """Whether the reference says the same twice, and about the same in float64."""
        again = self._run(self._inputs)[0]
        if not all(self._pass(again.native)):
            self._found.refused.append("the reference answers the same inputs differently")
        elif self._result.method == "native":
            if self._shaken() is None:
                text = "the reference does not run in float64: its own values are the yardstick"
                self._found.notes.append(text)
            else:
                largest = max(_rms(t) for t in self._result.native)
                self._found.refused.append(
                    "outputs are made of rounding: the reference says something else in float64 "
                    f"(rms {largest:.2e}), as for the mean of normalised values"
                )

    def _look_at_rounding(self) -> None:
        if self._problem.exact or (shaken := self._shaken()) is None:
            return
        for number, want in enumerate(self._expected):
            # Integers are decided by comparisons; a tie among many is no fault of the problem.
            if want.exact or tuple(shaken[number].shape) != want.spec.shape:
                continue
            if (share := strain(want, shaken[number])) > _NOTED:
                self._found.notes.append(
                    f"changing the last places of the inputs moves output {number} by {share:.2g} "
                    "of the error allowed: a right kernel may fail"
                )

    def _shaken(self) -> list[torch.Tensor] | None:
        dtype = self._problem.shared_dtype(self._inputs)
        return self._reference.shaken(self._inputs, dtype, self._seeds[1])


def _rms(tensor: torch.Tensor) -> float:
    return float(tensor.abs().double().square().mean().sqrt()) if tensor.numel() else 0.0


def _equal(first: list[Any], second: list[Any]) -> bool:
    (tree, tensors), (other_tree, others) = flatten(first), flatten(second)
    if tree != other_tree or len(tensors) != len(others):
        return False
    return all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))


def serve(channel: Any, argument: dict[str, Any]) -> None:
    """Examine a problem in a process of its own.

    Sends one pair: ("done", Findings) or ("error", an EvoError).

    Args:
        channel: To whoever asks.
        argument: `spec` (`EvaluationSpec`) and `seeds` (of `examine`).
    """
    spec: EvaluationSpec = argument["spec"]
    try:
        prepare(settings_of(spec))
        problem = Problem(spec.problem)
        sizes = {
            name: sum(spec_of(t).nbytes for t in flatten(problem.inputs(name, 0))[1])
            for name in problem.selected(spec.workloads, "workload")
        }
        smallest = min(sizes, key=lambda name: sizes[name])
        found = examine(problem, smallest, spec.torch_device, argument["seeds"])
        channel.send_trusted(("done", found))
    except EvoError as error:
        channel.send_trusted(("error", error))
