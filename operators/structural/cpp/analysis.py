"""Which loops of a function may be reordered, and which of them matter.

The tests are those of affine dependence analysis, on the safe side: a loop whose iterations are
not shown to be independent counts as dependent. Two things are taken on trust, and the judge finds
out when they fail: pointers with different names do not overlap, and sums may be reordered.
"""

from __future__ import annotations

from math import gcd

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly
from operators.structural.cpp.expression import accesses
from operators.structural.cpp.references import Reference, References
from operators.structural.cpp.unit import Unit

# A loop with less than this part of the hottest loop's work is left alone.
HOT = 0.004


class View(References):
    """A function's references and what they say about its loops."""

    def __init__(self, unit: Unit, function: ir.Function) -> None:
        super().__init__(unit, function)
        self._declared: dict[int, frozenset[str]] = {}
        self._carried: dict[int, set[str] | None] = {}
        self._hot: list[ir.For] | None = None

    def work(self, loop: ir.For) -> float:
        """A rough count of innermost statement executions, for choosing hot loops."""
        return _work(self, loop) * self._times(loop)

    def _times(self, loop: ir.For) -> float:
        total = 1.0
        for outer in self.around.get(id(loop), ()):
            total *= self.trip(outer) or 32
        return total

    def private(self, loop: ir.For) -> frozenset[str]:
        """Names declared inside the loop: each iteration has its own."""
        found = self._declared.get(id(loop))
        if found is None:
            inner = [s for s in ir.walk(loop) if s is not loop]
            declared = {s.name for s in inner if isinstance(s, ir.Decl)}
            found = frozenset(declared | {s.var for s in inner if isinstance(s, ir.For)})
            self._declared[id(loop)] = found
        return found

    def inner_names(self, level: int, loops: tuple[ir.For, ...]) -> frozenset[str]:
        """Names declared inside the loop at `level` of a path, that loop's variable included."""
        if level >= len(loops):
            return frozenset()
        return self.private(loops[level]) | {loops[level].var}

    def is_opaque(self, root: ir.Stmt) -> bool:
        """Whether it holds statements that are not understood (comments aside)."""
        return any(
            isinstance(s, ir.Raw) and not s.text.startswith(("//", "/*")) for s in ir.walk(root)
        )

    @property
    def hot_loops(self) -> list[ir.For]:
        """The loops that matter for the time, in source order."""
        if self._hot is None:
            work = {id(f): (f, self.work(f)) for f in ir.loops(self.function.body)}
            least = HOT * max((w for _, w in work.values()), default=0.0)
            self._hot = [f for f, w in work.values() if w >= least]
        return self._hot

    def share(self, loop: ir.For) -> float:
        """A loop's part of the work of the hottest one, 0..1."""
        most = max((self.work(f) for f in self.hot_loops), default=1.0)
        return self.work(loop) / most

    def carried(self, loop: ir.For) -> set[str] | None:
        """Names through which one iteration may influence another; None when nothing is known.

        Empty means that the iterations are independent. A name stands here also for a sum that
        every iteration adds to.
        """
        if id(loop) not in self._carried:
            self._carried[id(loop)] = self._find_carried(loop)
        return self._carried[id(loop)]

    def _find_carried(self, loop: ir.For) -> set[str] | None:
        if self.is_opaque(loop):
            return None
        private = self.private(loop)
        found = {
            s.target
            for s in ir.walk(loop)
            if isinstance(s, ir.Assign) and not accesses(s.target) and s.target not in private
        }
        inside = self.within(loop)
        for write in inside:
            if not write.is_write or write.name in private:
                continue
            same = [r for r in inside if r.base == write.base]
            if not all(self.is_apart(loop, write, other) for other in same):
                found.add(write.base)
        return found

    def is_apart(
        self, loop: ir.For, write: Reference, other: Reference, second: ir.For | None = None
    ) -> bool:
        """Whether two references meet only within one iteration of `loop`.

        With `second`, a loop with the same bounds: `other` stands in that one, and they may meet
        only where both loops run the same iteration.
        """
        again = second or loop
        if loop.var in self.private(again) or again.var in self.private(loop):
            return False
        same = {again.var: Poly.atom(loop.var)}
        pairs = [(write.index, other.index), *zip(write.leading, other.leading, strict=False)]
        private = self.private(loop) | self.private(again)
        sides = (
            (_inner(loop, write), write.lanes),
            (_inner(again, other), other.lanes),
        )
        return any(self._index_apart(loop, (a, b.replaced(same)), sides, private) for a, b in pairs)

    def _index_apart(
        self,
        loop: ir.For,
        indices: tuple[Poly, Poly],
        sides: tuple[tuple[tuple[ir.For, ...], Poly], tuple[tuple[ir.For, ...], Poly]],
        private: frozenset[str],
    ) -> bool:
        stride, other_stride = (index.coefficient(loop.var) for index in indices)
        if stride is None or stride != other_stride or not stride.terms:
            return False
        steps: list[Poly] = []
        spans = []
        for index, (inner, lanes) in zip(indices, sides, strict=True):
            rest = index - stride * Poly.atom(loop.var)
            span = self.span(self._near(rest, inner, private, stride, steps), inner, private)
            if span is None:
                return False
            spans.append((span[0], span[1] + lanes - Poly.constant(1)))
        reach = (spans[0][1] - spans[1][0], spans[1][1] - spans[0][0])
        one = Poly.constant(1)
        step = self.resolve(loop.step, loop) or one
        gaps = [stride * step - distance for distance in reach]
        if steps:
            # Far steps cannot make up for what the loop itself and the near ones reach together.
            first, behind = self.resolve(loop.low, loop), self.resolve(loop.high, loop)
            common = _common(steps)
            if first is None or behind is None or common is None:
                return False
            gaps += [common - stride * (behind - first - one) - distance for distance in reach]
        return all(gap.names.isdisjoint(private) and self._is_positive(gap) for gap in gaps)

    def _near(
        self,
        rest: Poly,
        inner: tuple[ir.For, ...],
        private: frozenset[str],
        stride: Poly,
        steps: list[Poly],
    ) -> Poly:
        """`rest` without the terms of inner variables that take larger steps than `stride`.

        The steps left out are added to `steps`.
        """
        for var in [*(f.var for f in inner), *(n for n in self.bounded if n in private)]:
            factor = rest.coefficient(var)
            if factor is None or not factor.terms or factor == stride:
                continue
            # A symbolic step of at least `stride` will do: as long as it is 1, so is the extent.
            slack = Poly.constant(0 if factor.number is not None else 1)
            if self._is_positive(factor - stride + slack):
                steps.append(factor)
                rest = rest - factor * Poly.atom(var)
        return rest

    def _is_positive(self, value: Poly) -> bool:
        limits = self.limits(value)
        if limits is not None:
            return limits[0] > 0
        # Symbols are extents, at least 1: no negative terms but a constant below the others' sum.
        rest = value - Poly.constant(dict(value.terms).get((), 0))
        if any(factor < 0 for _, factor in rest.terms):
            return False
        return sum(f for _, f in rest.terms) + dict(value.terms).get((), 0) > 0

    def is_independent(self, loop: ir.For) -> bool:
        """Whether the loop's iterations may run in any order."""
        return self.carried(loop) == set()

    def is_repeatable(self, loop: ir.For) -> bool:
        """Whether running an iteration twice leaves what running it once does."""
        if self.is_opaque(loop):
            return False
        private = self.private(loop)
        inside = [r for r in self.within(loop) if r.name not in private]
        written = {r.base for r in inside if r.is_write}
        read = {r.base for r in inside if not r.is_write or r.is_update}
        return written.isdisjoint(read)


def _work(view: View, statement: ir.Stmt) -> float:
    if isinstance(statement, ir.For):
        return (view.trip(statement) or 32) * max(1.0, _work(view, statement.body))
    return float(
        sum(_work(view, item) for block in ir.children(statement) for item in block.items)
        or isinstance(statement, ir.Assign | ir.Decl)
    )


def _inner(loop: ir.For, reference: Reference) -> tuple[ir.For, ...]:
    """The loops between `loop` and a reference inside it."""
    loops = reference.loops
    return loops[loops.index(loop) + 1 :] if loop in loops else ()


def _common(steps: list[Poly]) -> Poly | None:
    """A step that all the given ones are multiples of."""
    numbers = [step.number for step in steps]
    if all(number is not None for number in numbers):
        return Poly.constant(gcd(*(n for n in numbers if n is not None)))
    return steps[0] if all(step == steps[0] for step in steps) else None
