"""What the statements of a function mention: elements of arrays, with their indices resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from operators.structural.cpp import ir
from operators.structural.cpp.affine import Poly, poly
from operators.structural.cpp.expression import accesses, names
from operators.structural.cpp.tree import Unsupported
from operators.structural.cpp.unit import IDENTIFIER, Unit

_VECTOR = re.compile(r"typedef \w+ (\w+) __attribute__\(\(vector_size\((\w+) \*")
_SMALLER = re.compile(r"(?P<a>[^<>?:]+) < (?P<b>[^<>?:]+) \? (?P=a) : (?P=b)")


@dataclass(frozen=True, slots=True)
class Reference:
    """One mention of an array element in its place.

    Attributes:
        base: The array or pointer parameter, with local pointers followed back to it.
        name: The name as written.
        index: The flat index; for arrays of several dimensions the last index.
        leading: Indices before the last one.
        is_write: Whether the element is assigned.
        is_update: Whether it is assigned by a compound operator such as `+=`.
        statement: The statement it stands in.
        loops: The loops around it, outermost first.
        lanes: How many consecutive elements it covers; 1 unless it is a vector.
        text: The subscript as written.
    """

    base: str
    name: str
    index: Poly
    leading: tuple[Poly, ...]
    is_write: bool
    is_update: bool
    statement: ir.Stmt
    loops: tuple[ir.For, ...]
    lanes: Poly
    text: str


class References:
    """A function's references and definitions, taken once; edits make it stale."""

    def __init__(self, unit: Unit, function: ir.Function) -> None:
        self.unit = unit
        self.function = function
        self.references: list[Reference] = []
        self.definitions: dict[int, dict[str, Poly]] = {}
        self.around: dict[int, tuple[ir.For, ...]] = {}
        self.bounded: dict[str, tuple[Poly, Poly, ir.For]] = {}
        self._lanes: dict[str, Poly] = {}
        self._walk(function.body, (), unit.known, {})

    def _walk(
        self,
        block: ir.Block,
        around: tuple[ir.For, ...],
        outer: Mapping[str, Poly],
        pointers: Mapping[str, tuple[str, Poly]],
    ) -> None:
        known = dict(outer)
        aliases = dict(pointers)
        for item in block.items:
            self.definitions[id(item)] = known
            self.around[id(item)] = around
            self._collect(item, around, known, aliases)
            if isinstance(item, ir.Raw) and (match := _VECTOR.match(item.text)):
                self._lanes[match[1]] = known.get(match[2], Poly.atom(match[2]))
            if isinstance(item, ir.Decl):
                known = dict(known)
                known.pop(item.name, None)
                if item.is_const and item.init is not None and _is_integer(item):
                    value = _resolved(item.init, known)
                    if (smaller := _SMALLER.fullmatch(item.init)) and value is not None:
                        self._bound(item, smaller["a"], smaller["b"], around)
                    elif value is not None:
                        known[item.name] = value
                if item.name in self.unit.tunables:
                    known.pop(item.name, None)
                if item.pointer.startswith("*") and item.init is not None:
                    self._alias(item, known, aliases)
            inner = (*around, item) if isinstance(item, ir.For) else around
            for inside in ir.children(item):
                self._walk(inside, inner, known, aliases)

    def _bound(self, item: ir.Decl, a: str, b: str, around: tuple[ir.For, ...]) -> None:
        """Note the range of `const int v = a < b ? a : b`, the start of a clamped tile."""
        loop = next((f for f in reversed(around) if f.var == a), None)
        high = self.resolve(b, item)
        low = self.resolve(loop.low, loop) if loop is not None else None
        if loop is not None and low is not None and high is not None:
            self.bounded[item.name] = (low, high, loop)

    def _alias(
        self, item: ir.Decl, known: Mapping[str, Poly], aliases: dict[str, tuple[str, Poly]]
    ) -> None:
        offset = _resolved(item.init or "", known)
        if offset is None:
            return
        pointers = [n for n in offset.names if offset.coefficient(n) == Poly.constant(1)]
        pointers = [n for n in pointers if n in aliases or "*" in self.function.params.get(n, "*")]
        if len(pointers) == 1:
            base, rest = pointers[0], offset - Poly.atom(pointers[0])
            more = aliases.get(base)
            aliases[item.name] = (more[0], more[1] + rest) if more else (base, rest)

    def _collect(
        self,
        item: ir.Stmt,
        around: tuple[ir.For, ...],
        known: Mapping[str, Poly],
        aliases: Mapping[str, tuple[str, Poly]],
    ) -> None:
        for expression in ir.expressions(item):
            try:
                found = accesses(expression)
            except Unsupported:
                continue
            for place, access in enumerate(found):
                index = _resolved(access.indices[-1], known)
                leading = [_resolved(i, known) for i in access.indices[:-1]]
                target = isinstance(item, ir.Assign) and expression is item.target and place == 0
                if index is None or any(i is None for i in leading):
                    index = Poly.atom(f"unknown_{id(access)}")
                base, offset = aliases.get(access.base, (access.base, Poly.constant(0)))
                update = target and isinstance(item, ir.Assign) and item.op != "="
                self.references.append(
                    Reference(
                        base,
                        access.base,
                        index + offset,
                        tuple(i for i in leading if i is not None),
                        target,
                        update,
                        item,
                        around,
                        self._lanes.get(access.wide, Poly.constant(1)),
                        access.text,
                    )
                )

    def resolve(self, text: str, at: ir.Stmt) -> Poly | None:
        """The polynomial an expression stands for where statement `at` is; None if it has none."""
        return _resolved(text, self.definitions.get(id(at), self.unit.known))

    def number(self, text: str, at: ir.Stmt) -> int | None:
        """The value of an integer expression when it is known and can never change."""
        value = self.resolve(text, at)
        return value.number if value is not None else None

    def trip(self, loop: ir.For) -> int | None:
        """How often a loop with step 1 runs, when that is a fixed number."""
        low, high = self.resolve(loop.low, loop), self.resolve(loop.high, loop)
        if low is None or high is None or loop.step != "1":
            return None
        count = (high - low).number
        return max(count, 0) if count is not None else None

    def trip_limits(self, loop: ir.For) -> tuple[int, int] | None:
        """Least and greatest number of iterations over the launch parameters' choices."""
        low, high = self.resolve(loop.low, loop), self.resolve(loop.high, loop)
        if low is None or high is None or loop.step != "1":
            return None
        return self.limits(high - low)

    def within(self, root: ir.Stmt) -> list[Reference]:
        """The references inside a statement."""
        inside = {id(s) for s in ir.walk(root)}
        return [r for r in self.references if id(r.statement) in inside]

    def span(
        self, index: Poly, loops: tuple[ir.For, ...], private: frozenset[str] = frozenset()
    ) -> tuple[Poly, Poly] | None:
        """Least and greatest value of `index` while the given loops run, inner loops removed.

        Starts of clamped tiles are removed too where they are among the `private` names. None when
        a bound is not a polynomial or a coefficient's sign is not known. Extents and whatever else
        is symbolic count as non-negative.
        """
        ranges = [(name, *self.bounded[name][:2]) for name in private if name in self.bounded]
        for loop in reversed(loops):
            first, behind = self.resolve(loop.low, loop), self.resolve(loop.high, loop)
            if first is None or behind is None:
                return None
            ranges.append((loop.var, first, behind - self._last_step(loop, behind - first)))
        low = high = index
        for name, first, last in ranges:
            sides = []
            for side, ends in ((low, (first, last)), (high, (last, first))):
                factor = side.coefficient(name)
                sign = _sign(factor) if factor is not None else None
                if sign is None:
                    return None
                sides.append(side.replaced({name: ends[0] if sign >= 0 else ends[1]}))
            low, high = sides
        return low, high

    def _last_step(self, loop: ir.For, extent: Poly) -> Poly:
        """How far below its bound a loop's last iteration starts, at least."""
        step = self.resolve(loop.step, loop)
        if step is None or step.number == 1:
            return Poly.constant(1)
        whole = extent.number
        fixed = step.number
        sizes = (fixed,) if fixed else self.sizes(step)
        if whole is not None and sizes and all(size > 0 and whole % size == 0 for size in sizes):
            return step
        rounded = f"% {loop.step}"
        if any(atom.endswith(rounded) for monomial, _ in extent.terms for atom in monomial):
            return step
        return Poly.constant(1)

    def sizes(self, value: Poly) -> tuple[int, ...]:
        """All values of an expression that is a single launch parameter; else empty."""
        name = next((m[0] for m, c in value.terms if len(m) == 1 and c == 1), "")
        choices = self.unit.tunables.get(name)
        return choices.choices if choices and value == Poly.atom(name) else ()

    def limits(self, value: Poly) -> tuple[int, int] | None:
        """Least and greatest value over the launch parameters' choices; None if symbolic."""
        low = high = 0
        for monomial, factor in value.terms:
            least = most = factor
            for atom in monomial:
                choice = self.unit.tunables.get(atom)
                if choice is None or choice.low < 0:
                    return None
                ends = sorted((least * choice.low, least * choice.high))
                tops = sorted((most * choice.low, most * choice.high))
                least, most = min(ends[0], tops[0]), max(ends[1], tops[1])
            low, high = low + least, high + most
        return low, high


def _is_integer(decl: ir.Decl) -> bool:
    return not any(word in decl.type for word in ("float", "double", "_v"))


def _resolved(text: str, known: Mapping[str, Poly]) -> Poly | None:
    try:
        return poly(text, known)
    except Unsupported:
        return None


def _sign(factor: Poly) -> int | None:
    """1, 0 or -1; None when the terms disagree. Symbols are non-negative."""
    signs = {(c > 0) - (c < 0) for _, c in factor.terms}
    return signs.pop() if len(signs) == 1 else (0 if not signs else None)


def mentions(statement: ir.Stmt) -> frozenset[str]:
    """Every name used inside a statement, declarations' own names left out."""
    found: set[str] = set()
    for inner in ir.walk(statement):
        for expression in ir.expressions(inner):
            try:
                found |= names(expression)
            except Unsupported:
                found.update(IDENTIFIER.findall(expression))
    return frozenset(found)
