"""Directives on loops: threads, vectorisation, unrolling."""

from __future__ import annotations

import re
from typing import ClassVar

from operators.structural.cpp import ir
from operators.structural.cpp.analysis import View
from operators.structural.cpp.base import CppOperator, Site, describe
from operators.structural.cpp.build import UNROLL
from operators.structural.cpp.references import Reference
from operators.structural.cpp.tidy import perfect_depth

SCHEDULES = ("static", "static, 1", "dynamic", "guided")
_SCHEDULE = re.compile(r"\s*\bschedule\s*\([^)]*\)")
_COLLAPSE = re.compile(r"\s*\bcollapse\s*\([^)]*\)")
_FOR = re.compile(r"#pragma omp (parallel )?for\b")
_OTHERS = ("#pragma GCC unroll", "#pragma GCC ivdep", "#pragma omp simd")


def is_innermost(loop: ir.For) -> bool:
    """Whether no loop lies inside it."""
    return not ir.loops(loop.body)


def sums(view: View, loop: ir.For) -> list[str] | None:
    """Scalars that the loop only adds to, when nothing else ties its iterations together.

    None when something else does, or when the loop is not understood.
    """
    carried = view.carried(loop)
    if carried is None:
        return None
    private = view.private(loop)
    found: list[str] = []
    for name in sorted(carried):
        if not name.isidentifier() or name in private:
            return None
        touched = [
            s
            for s in ir.walk(loop)
            if isinstance(s, ir.Assign) and s.target == name and s.op in ("+=", "-=")
        ]
        every = [s for s in ir.walk(loop) if any(_mentions(e, name) for e in ir.expressions(s))]
        if not touched or len(every) != len(touched):
            return None
        found.append(name)
    return found


def _mentions(expression: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", expression) is not None


def array_sums(view: View, loop: ir.For) -> dict[str, Reference] | None:
    """Arrays that the loop's iterations only add to, by name; None when more ties them together."""
    carried = view.carried(loop)
    if carried is None:
        return None
    inside = view.within(loop)
    found: dict[str, Reference] = {}
    for name in carried:
        references = [r for r in inside if r.base == name]
        updates = all(
            r.is_update and isinstance(r.statement, ir.Assign) and r.statement.op in ("+=", "-=")
            for r in references
        )
        if not references or not updates or any(r.leading for r in references):
            return None
        found[name] = references[0]
    return found


class ParallelFor(CppOperator):
    """Share a loop's iterations among threads, together with the loop inside, or on another plan.

    Adds `#pragma omp parallel for` to an independent loop that nothing parallel surrounds, or
    changes `collapse` and `schedule` of a loop that has it. What it may break: nothing when the
    iterations are independent, which affine analysis must show.
    """

    name: ClassVar[str] = "cpp_parallel_for"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """New parallel loops, other schedules, other depths."""
        found = []
        for loop in ir.loops(view.function.body):
            mine = [p for p in loop.pragmas if _FOR.match(p)]
            where = describe(view, loop)
            if mine:
                for new, what in _variants(mine[0], loop):
                    found.append(_site(loop, mine[0], new, f"{what} on {where}", 1.0))
            elif _is_serial(view, loop) and loop in view.hot_loops and view.is_independent(loop):
                note = f"share {where} among threads"
                found.append(_replace(loop, "#pragma omp parallel for", note, 3.0))
        return found


def _variants(pragma: str, loop: ir.For) -> list[tuple[str, str]]:
    plain = _SCHEDULE.sub("", pragma)
    found = [(f"{plain} schedule({s})", f"schedule({s})") for s in SCHEDULES]
    found.append((plain, "default schedule"))
    if "reduction" not in pragma:
        found += [
            (f"{_COLLAPSE.sub('', pragma)} collapse({depth})", f"collapse({depth})")
            for depth in range(2, min(perfect_depth(loop), 3) + 1)
        ]
        found.append((_COLLAPSE.sub("", pragma), "collapse nothing"))
    return [(text, what) for text, what in found if text != pragma]


def _is_serial(view: View, loop: ir.For) -> bool:
    """Whether no directive for threads stands around or inside the loop."""
    around = ir.enclosing(view.function.body, loop)
    outside = any("omp parallel" in p or "omp for" in p for s in around for p in s.pragmas)
    inside = any("omp" in p and "simd" not in p for s in ir.walk(loop) for p in s.pragmas)
    return not outside and not inside and UNROLL not in loop.pragmas


def _site(loop: ir.For, old: str | None, new: str | None, note: str, weight: float) -> Site:
    def edit() -> None:
        kept = [p for p in loop.pragmas if p != old]
        loop.pragmas = [*([new] if new else []), *kept]

    return Site(note, weight, edit)


class Simd(CppOperator):
    """Tell the compiler that an innermost loop may run in vector lanes, or take that back.

    Adds `#pragma omp simd`, with a `reduction` clause for the scalars that the loop sums up, and
    sometimes `simdlen`. What it may break: the order of a sum, thus its last bits.
    """

    name: ClassVar[str] = "cpp_simd"
    weight: ClassVar[float] = 0.06

    def sites(self, view: View) -> list[Site]:
        """Innermost loops that are independent but for sums."""
        found = []
        loops = [f for f in view.hot_loops if is_innermost(f) and f.step == "1"]
        loops = [f for f in loops if UNROLL not in f.pragmas]
        for loop in loops:
            where, share = describe(view, loop), 0.02 + view.share(loop)
            mine = next((p for p in loop.pragmas if p.startswith("#pragma omp simd")), None)
            if mine is not None:
                found.append(_site(loop, mine, None, f"no simd on {where}", 0.2 * share))
                continue
            if any(p.startswith("#pragma omp") for p in loop.pragmas + _atomics(loop)):
                continue
            totals = sums(view, loop)
            if totals is None or any(r.lanes.number != 1 for r in view.within(loop)):
                continue
            clause = f" reduction(+ : {', '.join(totals)})" if totals else ""
            pragma = f"#pragma omp simd{clause}"
            found.append(_replace(loop, pragma, f"simd on {where}", share))
            for lanes in (8, 16):
                note = f"simd of {lanes} on {where}"
                found.append(_replace(loop, f"{pragma} simdlen({lanes})", note, 0.3 * share))
        return found


def _atomics(loop: ir.For) -> list[str]:
    return [p for s in ir.walk(loop.body) for p in s.pragmas]


def _replace(loop: ir.For, pragma: str, note: str, weight: float) -> Site:
    def edit() -> None:
        loop.pragmas = [p for p in loop.pragmas if not p.startswith(_OTHERS)] + [pragma]

    return Site(note, weight, edit)


class UnrollPragma(CppOperator):
    """Ask for a loop to be unrolled 2, 4, 8 or 16 times, or take that back.

    Breaks nothing; more code may be slower.
    """

    name: ClassVar[str] = "cpp_unroll_pragma"
    weight: ClassVar[float] = 0.03

    def sites(self, view: View) -> list[Site]:
        """Innermost loops, and loops around nothing but unrolled ones."""
        found = []
        for loop in view.hot_loops:
            inner = [f for f in ir.loops(loop.body) if UNROLL not in f.pragmas]
            if inner or UNROLL in loop.pragmas or any("omp" in p for p in loop.pragmas):
                continue
            where = describe(view, loop)
            mine = next((p for p in loop.pragmas if p.startswith("#pragma GCC unroll")), None)
            for times in (2, 4, 8, 16):
                pragma = f"#pragma GCC unroll {times}"
                if pragma != mine:
                    found.append(_replace(loop, pragma, f"unroll {where} {times} times", 1.0))
            if mine is not None:
                found.append(_site(loop, mine, None, f"do not unroll {where}", 1.0))
        return found


class IgnoreDependences(CppOperator):
    """Tell the compiler with `#pragma GCC ivdep` that an innermost loop carries no dependence.

    Given only where affine analysis shows it. What it may break: nothing, unless two pointers
    overlap.
    """

    name: ClassVar[str] = "cpp_ivdep"
    weight: ClassVar[float] = 0.01

    def sites(self, view: View) -> list[Site]:
        """Innermost independent loops without a directive of their own."""
        return [
            _replace(loop, "#pragma GCC ivdep", f"ivdep on {describe(view, loop)}", 1.0)
            for loop in view.hot_loops
            if is_innermost(loop) and not loop.pragmas and view.is_independent(loop)
        ]
