"""The inputs that a problem gives, the last draw kept: many variants are made of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fitness.distributions import Kind, kind_of
from fitness.exchange import flatten
from fitness.problem import Problem

if TYPE_CHECKING:
    import torch


class Given:
    """Draws a problem's inputs; what it returns is not to be written to.

    A verification asks fifteen distributions of one draw. Drawing the forty million numbers of
    conv1d's largest workload takes a second, and so does looking at what may be changed of them.
    """

    def __init__(self, problem: Problem, limit_bytes: int = 0) -> None:
        """Draw nothing yet.

        Args:
            problem: Gives the inputs.
            limit_bytes: A larger draw is not kept.
        """
        self.problem = problem
        self._limit_bytes = limit_bytes
        self._key: tuple[str, int] | None = None
        self._inputs: list[Any] = []
        self._kinds: list[Kind] = []

    def inputs(self, workload: str, seed: int) -> list[Any]:
        """What `Problem.inputs` gives. Raises ProblemError like it."""
        if self._key != (workload, seed):
            self.forget()
            inputs = self.problem.inputs(workload, seed)
            if sum(t.nbytes for t in flatten(inputs)[1]) > self._limit_bytes:
                return inputs
            self._key, self._inputs = (workload, seed), inputs
        return list(self._inputs)

    def kinds(self, workload: str, seed: int, tensors: Sequence[torch.Tensor]) -> list[Kind]:
        """What may be changed of each of the tensors that `inputs` gave."""
        if self._key != (workload, seed):
            return [kind_of(tensor) for tensor in tensors]
        self._kinds = self._kinds or [kind_of(tensor) for tensor in tensors]
        return self._kinds

    def forget(self) -> None:
        """Give the memory back."""
        self._key, self._inputs, self._kinds = None, [], []
