"""What the innermost loops are made of, from the compiler's listing for x86-64 (AT&T syntax).

A report that a loop was vectorised does not say what it costs: a sum kept in order is one addition
per element all the same, a register tile that is too large lives on the stack. The instructions
say it. Which loop runs most is not known; of the copies that a compiler makes of one loop the one
with the widest vectors is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fitness.diagnostics.vectorisation import FILE

_MOST_LOOPS = 6
_LONGEST = 400_000
_FUNCTION = re.compile(r"^([A-Za-z_][\w.$]*):")
_LABEL = re.compile(r"^(\.L[\w.]*):")
_FILE = re.compile(r'^\s*\.file\s+(\d+)\s.*"([^"]*)"(?:\s+md5\s.*)?$')
_LOC = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)")
_CODE = re.compile(r"^\s+([a-z][a-z0-9]*)(?:\s+(.*))?$")
_JUMP = re.compile(r"^j[a-z]+$")
_STACK = re.compile(r"\(%[re]sp\b|-\d+\(%[re]bp\)")
_NO_ARITHMETIC = (
    *("mov", "broadcast", "insert", "extract", "perm", "shuf", "unpck", "blend", "cvt"),
    *("xor", "and", "or", "comi", "ucomi", "cmp"),
)
_WIDTHS = (("zmm", 64), ("ymm", 32), ("xmm", 16))


@dataclass(frozen=True, slots=True)
class Code:
    """One instruction."""

    name: str
    operands: str
    line: int


@dataclass(frozen=True, slots=True)
class Mix:
    """One innermost loop.

    Attributes:
        function: Where it is.
        line: Line of the C++ text that most of it comes from; 0 when none is known.
        instructions: How many it has.
        width: Bytes of its widest packed arithmetic; 0 without any.
        products: Fused multiply-adds, packed.
        packed: Other packed arithmetic.
        scalar: Scalar floating-point arithmetic.
        slow: Divisions and square roots.
        loads: Instructions that read memory, the stack included.
        stores: Instructions that write memory, the stack included.
        stack: Those of both on the stack with vector registers: spills or a local array.
        gathers: Gathers and scatters.
        calls: Calls.
    """

    function: str
    line: int
    instructions: int
    width: int
    products: int
    packed: int
    scalar: int
    slow: int
    loads: int
    stores: int
    stack: int
    gathers: int
    calls: int


def inner_loops(listing: str) -> list[Mix]:
    """The innermost loops that compute or call, one per function and line, by line."""
    best: dict[tuple[str, int], Mix] = {}
    for function, loop in _loops(listing[:_LONGEST].splitlines()):
        mix = _mix(function, loop)
        if not (mix.products or mix.packed or mix.scalar or mix.calls or mix.loads):
            continue
        key = (function, mix.line)
        if key not in best or _rank(mix) > _rank(best[key]):
            best[key] = mix
    return sorted(best.values(), key=lambda mix: (mix.line, mix.function))


def condense(mixes: list[Mix], limit: int = _MOST_LOOPS) -> list[str]:
    """One line for each loop; those with the most arithmetic when there are more than `limit`."""
    ranked = sorted(mixes, key=lambda m: -(2 * m.products + m.packed + m.scalar))[:limit]
    return [_line(mix) for mix in sorted(ranked, key=lambda mix: mix.line)]


def _rank(mix: Mix) -> tuple[int, int]:
    return mix.width, mix.instructions


def _line(mix: Mix) -> str:
    parts = []
    if mix.products:
        parts.append(f"{mix.products} fused multiply-adds")
    if mix.packed:
        parts.append(f"{mix.packed} other packed operations")
    if mix.scalar:
        parts.append(f"{mix.scalar} scalar operations")
    parts.append(f"{mix.loads} loads, {mix.stores} stores")
    for number, name in (
        (mix.slow, "divisions or roots"),
        (mix.gathers, "gathers or scatters"),
        (mix.calls, "calls"),
        (mix.stack, "vector accesses to the stack (spills, or a local array)"),
    ):
        if number:
            parts.append(f"{number} {name}")
    width = f"{mix.width}-byte vectors" if mix.width else "no vectors"
    return f"innermost loop at line {mix.line} ({width}): {', '.join(parts)}"


def _loops(lines: list[str]) -> Iterator[tuple[str, list[Code]]]:
    for function, codes, labels in _functions(lines):
        spans = set()
        for at, code in enumerate(codes):
            start = labels.get(code.operands.strip()) if _JUMP.match(code.name) else None
            if start is not None and start <= at:
                spans.add((start, at))
        for start, end in sorted(spans):
            inside = [s for s in spans if s != (start, end) and start <= s[0] and s[1] <= end]
            if not inside:
                yield function, codes[start : end + 1]


def _functions(lines: list[str]) -> Iterator[tuple[str, list[Code], dict[str, int]]]:
    name, line, own = "", 0, set[str]()
    codes: list[Code] = []
    labels: dict[str, int] = {}
    for text in lines:
        if match := _FUNCTION.match(text):
            if codes:
                yield name, codes, labels
            name, codes, labels = match[1].partition(".")[0], [], {}
        elif match := _LABEL.match(text):
            labels[match[1]] = len(codes)
        elif match := _FILE.match(text):
            if match[2].endswith(FILE):
                own.add(match[1])
        elif match := _LOC.match(text):
            # What comes from a header belongs to the line that used it.
            line = int(match[2]) if match[1] in own else line
        elif match := _CODE.match(text):
            codes.append(Code(match[1], match[2] or "", line))
    if codes:
        yield name, codes, labels


def _mix(function: str, loop: list[Code]) -> Mix:
    counts = dict.fromkeys(
        ("products", "packed", "scalar", "slow", "loads", "stores", "stack", "gathers", "calls"), 0
    )
    width, lines = 0, dict[int, int]()
    for code in loop:
        lines[code.line] = lines.get(code.line, 0) + 1
        kind, size = _kind(code)
        if kind:
            counts[kind] += 1
        width = max(width, size)
        if "(" in code.operands and not code.name.startswith(("lea", "nop", "prefetch")):
            stores = code.operands.rstrip().endswith(")") and "mov" in code.name
            counts["stores" if stores else "loads"] += 1
            if _STACK.search(code.operands) and "mm" in code.operands:
                counts["stack"] += 1
    line = max(lines, key=lambda n: lines[n])
    return Mix(function=function, line=line, instructions=len(loop), width=width, **counts)


def _kind(code: Code) -> tuple[str, int]:
    """What an instruction counts as, and the bytes of its packed arithmetic."""
    name = code.name.removeprefix("v")
    if name.startswith("call"):
        return "calls", 0
    if "gather" in name or "scatter" in name:
        return "gathers", 0
    if name.startswith(_NO_ARITHMETIC) or not name.endswith(("ps", "pd", "ss", "sd")):
        return "", 0
    packed = name.endswith(("ps", "pd"))
    size = next((w for register, w in _WIDTHS if register in code.operands), 0) if packed else 0
    if name.startswith(("div", "sqrt")):
        return "slow", size
    product = packed and re.match(r"fn?m(add|sub)", name)
    return "products" if product else "packed" if packed else "scalar", size
