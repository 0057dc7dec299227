"""Constraints on launch parameters: comments that say which points are worth building.

    # tune-if: (BLOCK_M + BLOCK_N) * BLOCK_K * 2 * NUM_STAGES <= shared_memory
    // tune-if: BLOCK_OUT * VECTORS <= 24 and 96 % BLOCK_OUT == 0

A line that is nothing but such a comment binds the whole file: a point for which an expression is
false is never proposed. The comment is one line in either language, and any other language's
comment that begins with `#` or `//` does as well. What stands in it is arithmetic (`+ - * / // %`),
comparisons (also chained), `and`, `or`, `not` and parentheses over numbers, quoted strings, names
of launch parameters and facts of the device (`FACTS`). Nothing else is ever evaluated: the text
comes from whoever wrote the kernel.

A constraint decides only what it can: one that names a fact nobody knows here, or that divides by
zero at a point, keeps nothing away. One that cannot be read is no constraint; `faults` says why.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from populations.parameters import Value, comment_starts, values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FACTS: Mapping[str, str] = MappingProxyType(
    {
        "shared_memory": "bytes of shared memory that one block may have",
        "registers": "32-bit registers that one block may have",
        "block_threads": "threads that one block may have",
        "warp": "threads of a warp",
        "multiprocessors": "streaming multiprocessors of the device",
        "threads": "processors that a kernel may keep busy on the CPU",
        "l1_bytes": "first-level data cache of one core",
        "l2_bytes": "second-level cache of one core, or of the whole device on CUDA",
        "vector_bytes": "bytes of the widest vector register",
    }
)
"""What a constraint may say of the device, in its units; each is known where it means something."""

_LINE = re.compile(r"^[ \t]*(?P<mark>#|//)[ \t]*tune-if:[ \t]*(?P<text>[^\r\n]*)", re.MULTILINE)
_LONGEST = 400
_Unary = Callable[[float], float]
_Binary = Callable[[float, float], float]
_ARITHMETIC: dict[type[ast.operator], _Binary] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: dict[type[ast.unaryop], _Unary] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_ORDER: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITY: dict[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
# Words of languages that write these differently.
_MEANT = {"&&": "and", "||": "or", "!": "not", "&": "and", "|": "or"}


class ConstraintError(ValueError):
    """A constraint that cannot be read, or not evaluated at some point; the message says why."""


class _Unknown(Exception):
    """A fact that nobody knows here."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """One expression over launch parameters and facts of the device.

    Attributes:
        text: The expression as written.
        names: The names in it, sorted.
        line: Where it stands in its file, from 1; 0 for one that stands in none.
    """

    text: str
    names: tuple[str, ...]
    line: int = 0

    def holds(self, known: Mapping[str, Value]) -> bool | None:
        """Whether a point satisfies it; None when that cannot be told.

        Args:
            known: Values of launch parameters and facts by name. Never raises.
        """
        try:
            return bool(_value(_tree(self.text), known))
        except (_Unknown, ArithmeticError, ConstraintError):
            return None


def parsed(text: str, names: Iterable[str], *, line: int = 0) -> Constraint:
    """Read one expression.

    Args:
        text: What stands behind `tune-if:`.
        names: The launch parameters that it may name; `FACTS` are known besides.
        line: Where it stands.

    Raises:
        ConstraintError: It is too long, is no expression, holds something that is neither
            arithmetic nor a comparison, or names something that there is not.
    """
    own = tuple(names)
    tree = _tree(text)
    found = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    for name in found:
        if name not in own and name not in FACTS:
            raise ConstraintError(f"no launch parameter is named {name!r}{_nearest(name, own)}")
    if not set(found) & set(own):
        raise ConstraintError("it names no launch parameter")
    return Constraint(text=text, names=tuple(found), line=line)


@lru_cache(maxsize=1024)
def constraints(source: str) -> tuple[Constraint, ...]:
    """The constraints of a source, in file order; those that cannot be read are left out."""
    return tuple(c for c in _read(source) if isinstance(c, Constraint))


def faults(source: str) -> tuple[str, ...]:
    """Why some `tune-if` comments of a source are no constraints, one line for each."""
    return tuple(text for text in _read(source) if isinstance(text, str))


def feasible(
    point: Mapping[str, Value], among: Iterable[Constraint], facts: Mapping[str, Value]
) -> bool:
    """Whether no constraint refuses a point.

    Args:
        point: Values of launch parameters by name; they hide facts of the same name.
        among: The constraints.
        facts: What is known of the device, by names of `FACTS`.
    """
    known = {**facts, **point}
    return all(constraint.holds(known) is not False for constraint in among)


def _read(source: str) -> Iterator[Constraint | str]:
    if "tune-if:" not in source:
        return
    names = tuple(values(source))
    comments = comment_starts(source)
    for match in _LINE.finditer(source):
        if match["mark"] == "#" and match.start("mark") not in comments:
            continue
        line = source.count("\n", 0, match.start("mark")) + 1
        try:
            yield parsed(match["text"].strip(), names, line=line)
        except ConstraintError as error:
            yield f"line {line}: tune-if: {error}"


@lru_cache(maxsize=1024)
def _tree(text: str) -> ast.expr:
    """The expression, every node of it of a kind that `_value` knows. Raises ConstraintError."""
    if len(text) > _LONGEST:
        raise ConstraintError(f"longer than {_LONGEST} characters: {text[:40]!r}...")
    try:
        with warnings.catch_warnings():
            # Of escapes in strings, and of numbers that end in a word.
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
        for node in ast.walk(tree):
            _check(node, text)
    except SyntaxError as error:
        word = next((w for w in _MEANT if w in text), "")
        hint = f"; write {_MEANT[word]!r} for {word!r}" if word else ""
        raise ConstraintError(f"{text!r} is no expression: {error.msg}{hint}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ConstraintError):
            raise
        raise ConstraintError(f"{text[:40]!r}... is no expression: {error}") from error
    return tree


def _check(node: ast.AST, text: str) -> None:
    if isinstance(node, ast.Constant):
        if type(node.value) not in (int, float, bool, str):
            raise ConstraintError(f"{text!r}: {node.value!r} is neither a number nor a string")
        return
    if isinstance(node, ast.BinOp):
        good = type(node.op) in _ARITHMETIC
    elif isinstance(node, ast.UnaryOp):
        good = type(node.op) in _SIGNS or isinstance(node.op, ast.Not)
    elif isinstance(node, ast.Compare):
        good = all(type(op) in _ORDER or type(op) in _EQUALITY for op in node.ops)
    else:
        kinds = (ast.BoolOp, ast.Name, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
        good = isinstance(node, (*kinds, ast.expr_context))
    if not good:
        written = ast.get_source_segment(text, node) or text
        word = next((w for w in ("&", "|") if w in written), "")
        hint = f"; write {_MEANT[word]!r} for {word!r}" if word else ""
        raise ConstraintError(
            f"{written!r} is neither arithmetic nor a comparison, 'and', 'or', 'not'{hint}"
        )


def _value(node: ast.expr, known: Mapping[str, Value]) -> Value:
    if isinstance(node, ast.Constant):
        return node.value  # type: ignore[return-value]  # _check has seen it
    if isinstance(node, ast.Name):
        if node.id not in known:
            raise _Unknown(node.id)
        return known[node.id]
    return _computed(node, known)


def _computed(node: ast.expr, known: Mapping[str, Value]) -> Value:
    if isinstance(node, ast.BoolOp):
        # All of them: what cannot be told of one part cannot be told of the whole.
        parts = [bool(_value(part, known)) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.UnaryOp):
        operand = _value(node.operand, known)
        if isinstance(node.op, ast.Not):
            return not operand
        return _SIGNS[type(node.op)](_number(operand))
    if isinstance(node, ast.BinOp):
        left, right = _number(_value(node.left, known)), _number(_value(node.right, known))
        return _finite(_ARITHMETIC[type(node.op)](left, right))
    if isinstance(node, ast.Compare):
        return _compared(node, known)
    raise ConstraintError(f"cannot evaluate {type(node).__name__}")


def _compared(node: ast.Compare, known: Mapping[str, Value]) -> bool:
    sides = [_value(side, known) for side in (node.left, *node.comparators)]
    verdicts = []
    for op, left, right in zip(node.ops, sides[:-1], sides[1:], strict=True):
        if type(op) in _EQUALITY:
            verdicts.append(_EQUALITY[type(op)](left, right))
        else:
            verdicts.append(_ORDER[type(op)](_number(left), _number(right)))
    return all(verdicts)


def _number(value: Value) -> float:
    """The value, if it can be computed with: texts are only compared."""
    if isinstance(value, str):
        raise ConstraintError(f"{value!r} is no number")
    return value


def _finite(value: float) -> float:
    if isinstance(value, complex) or not math.isfinite(value):
        raise ConstraintError(f"{value!r} is no number to go on with")
    return value


def _nearest(name: str, own: tuple[str, ...]) -> str:
    known = [*own, *FACTS]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
