"""What the search has tried, in lines: pure functions of the lineage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from operators.llm.fence import one_line
from operators.llm.memory import bare
from populations.kernel import Kernel
from populations.lineage import Lineage

# Attempts that are shown: the best of those that ran, the newest of those that did not.
_BEST, _FAILED = 10, 8
# Ancestors that are shown, the nearest.
_ANCESTORS = 12
_NOTE, _FATE = 180, 160


def first_parent(kernel: Kernel, lineage: Lineage | None) -> Kernel | None:
    """The kernel that another was made from; None for a first one, and where it is not known."""
    if lineage is None or not kernel.candidate.parents:
        return None
    return lineage.kernels.get(kernel.candidate.parents[0])


def fate(kernel: Kernel, lineage: Lineage | None = None) -> str:
    """What came of a kernel, in a few words.

    Args:
        kernel: The kernel.
        lineage: Where its first parent is looked up, for the gain over it; None: not told.
    """
    evaluation = kernel.evaluation
    if evaluation.speedup is None:
        text = evaluation.outcome.value
        if evaluation.checks_passed:
            text += f" after {evaluation.checks_passed} of {evaluation.checks_total} checks"
        first = evaluation.diagnostics.strip().partition("\n")[0]
        return one_line(f"{text}: {first}" if first else text, _FATE)
    text = f"{evaluation.speedup.value:.3g}x"
    before = first_parent(kernel, lineage)
    if before and before.evaluation.speedup:
        gain = evaluation.speedup.value / before.evaluation.speedup.value
        text += f", {gain:.3g} times kernel {before.number}"
    twin = evaluation.details.get("same_binary_as")
    return text if twin is None else f"{text}; compiled to the same code as kernel {twin}"


def line(kernel: Kernel, lineage: Lineage | None = None) -> str:
    """A kernel in one line: who made it, what was done, what came of it."""
    candidate = kernel.candidate
    note = one_line(bare(candidate.note), _NOTE)
    made = f"{candidate.operator}: {note}" if note else candidate.operator
    return f"#{kernel.number} ({candidate.language}) {made} -> {fate(kernel, lineage)}"


def ancestry(kernel: Kernel, lineage: Lineage) -> str:
    """The way from a kernel back to the seed along first parents, a line each; the kernel first.

    Tuning steps are left out: their gain shows in the step that follows.
    """
    if kernel.number not in lineage.kernels:
        return line(kernel, lineage)
    path = [lineage.get(number) for number in lineage.path(kernel.number)]
    told = [k for k in path[:-1] if k.candidate.operator != "tune"] + path[-1:]
    return "\n".join(line(k, lineage) for k in told[::-1][:_ANCESTORS])


def attempts(kernels: Iterable[Kernel], lineage: Lineage) -> str:
    """What was tried, a line each: the best that ran, then the newest that failed."""
    told = [k for k in kernels if k.candidate.operator != "tune"]
    ran = sorted((k for k in told if k.passed), key=lambda k: (k.fitness, k.number), reverse=True)
    failed = sorted((k for k in told if not k.passed), key=lambda k: k.number, reverse=True)
    return "\n".join(line(k, lineage) for k in [*ran[:_BEST], *failed[:_FAILED]])


def children(kernel: Kernel, lineage: Lineage) -> list[Kernel]:
    """The kernels that were made from this one, by number."""
    return [k for k in lineage.kernels.values() if kernel.number in k.candidate.parents]


def family(parents: Sequence[Kernel], lineage: Lineage) -> list[Kernel]:
    """Children and siblings of kernels: what was tried on them and beside them, by number."""
    numbers = {p.number for p in parents}
    above = {number for p in parents for number in p.candidate.parents}
    return [
        k
        for k in lineage.kernels.values()
        if k.number not in numbers and (numbers | above) & set(k.candidate.parents)
    ]


def divergence(a: Kernel, b: Kernel, lineage: Lineage) -> str:
    """What each of two kernels changed since their last common first parent; "" without one."""
    if not {a.number, b.number} <= lineage.kernels.keys():
        return ""
    paths = [lineage.path(a.number), lineage.path(b.number)]
    common = [m for m, n in zip(*paths, strict=False) if m == n]
    if not common:
        return ""
    told = []
    for kernel, path in zip((a, b), paths, strict=True):
        steps = [lineage.get(number) for number in path[len(common) :]]
        steps = [k for k in steps if k.candidate.operator != "tune"][-_ANCESTORS // 2 :]
        told.append(f"since kernel {common[-1]}, on the way to kernel {kernel.number}:")
        told += [f"  {line(k, lineage)}" for k in steps] or ["  nothing but launch parameters"]
    return "\n".join(told)
