"""Constant strings and numbers, and strings known in part.

A string that is put together from constants is as good as written out; where a part is not known,
`HOLE` stands for it. Everything is bounded: a source may ask for a string of a terabyte.
"""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fitness.gate.values import HOLE, Partly, Value, is_known

_TEXT_LIMIT = 1 << 18
_NUMBER_LIMIT = 1 << 64
# Methods of a string that give a string, and need constants alone.
_TEXT_METHODS = frozenset(
    {"capitalize", "casefold", "lower", "lstrip", "removeprefix", "removesuffix"}
    | {"replace", "rstrip", "strip", "swapcase", "title", "upper", "translate", "split", "rsplit"}
    | {"partition", "rpartition", "splitlines", "encode", "decode", "hex"}
)


def text(pieces: Sequence[Value]) -> Value:
    """The pieces one after the other; None when no piece is known."""
    if not any(isinstance(p, str) for p in pieces):
        return None
    shown = "".join([_shown(p) for p in pieces])
    if len(shown) > _TEXT_LIMIT:
        return None
    whole = all(is_known(p) for p in pieces)
    return shown if whole else Partly(shown)


def binary(node: ast.BinOp | ast.AugAssign, left: Value, right: Value) -> Value:
    """What an operator makes of two values, None if it is not known."""
    op = node.op.__class__
    if isinstance(left, str | bytes) or isinstance(right, str | bytes):
        return _on_text(op, left, right)
    if isinstance(left, tuple) and isinstance(right, tuple) and op is ast.Add:
        return left + right if len(left) + len(right) < 4096 else None
    if isinstance(left, int | float) and isinstance(right, int | float):
        function = _NUMBERS.get(op)
        small = abs(left) < _NUMBER_LIMIT and abs(right) < _NUMBER_LIMIT
        return function(left, right) if function and small else None
    return None


def _on_text(op: type[ast.operator], left: Value, right: Value) -> Value:
    if op is ast.Add:
        if isinstance(left, bytes) and isinstance(right, bytes):
            return left + right
        return text([left, right]) if not isinstance(left, bytes) else None
    if op is ast.Mult and isinstance(left, str) and isinstance(right, int):
        return left * right if len(left) * max(right, 0) <= _TEXT_LIMIT else None
    if op is ast.Mod and isinstance(left, str):
        values = right if isinstance(right, tuple) else (right,)
        return _filled(left, [_shown(v) for v in values], all(is_known(v) for v in values))
    return None


def _filled(pattern: str, values: list[str], known: bool) -> Value:
    pieces = pattern.replace("%%", "\0").split("%")
    out = pieces[0]
    for piece in pieces[1:]:
        conversion = piece.lstrip("0123456789.#+- ")
        value = values.pop(0) if values else HOLE
        out += value + conversion[1:]
    out = out.replace("\0", "%")
    return out if known and not isinstance(pattern, Partly) else Partly(out)


def method(
    receiver: str | bytes, name: str, args: Sequence[Value], keywords: Mapping[str, Value]
) -> Value:
    """A method of a constant string, called with these values."""
    if name == "join":
        return _joined(receiver, args)
    if name == "format" and isinstance(receiver, str):
        return formatted(receiver, args, keywords)
    if name not in _TEXT_METHODS or len(receiver) > _TEXT_LIMIT:
        return None
    # What is put in place of a part of a template does not hide the rest of it.
    rest = Partly(receiver) if isinstance(receiver, str) else None
    if isinstance(receiver, Partly) or not all(is_known(a) and len(str(a)) < 200 for a in args):
        return rest
    try:
        found = getattr(receiver, name)(*args)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    return tuple(found) if isinstance(found, list) else found


def formatted(pattern: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> Value:
    """`pattern.format(...)`, without its conversions."""
    values: dict[str, Value] = {str(i): v for i, v in enumerate(args)}
    values |= keywords
    out: list[Value] = []
    rest = pattern.replace("{{", "\0").replace("}}", "\1")
    number = 0
    for piece in rest.split("{"):
        inside, brace, after = piece.partition("}")
        if not brace:
            out.append(piece)
            continue
        name = inside.partition(":")[0].partition("!")[0]
        if not name:
            name, number = str(number), number + 1
        out += [values.get(name), after]
    folded = text(out)
    if not isinstance(folded, str):
        return None
    plain = folded.replace("\0", "{").replace("\1", "}")
    whole = not isinstance(folded, Partly) and not isinstance(pattern, Partly)
    return plain if whole else Partly(plain)


def _joined(receiver: str | bytes, args: Sequence[Value]) -> Value:
    (parts,) = args if len(args) == 1 else (None,)
    if isinstance(parts, str):
        parts = tuple(parts)
    if not isinstance(parts, tuple) or len(parts) > 4096:
        return None
    if isinstance(receiver, bytes):
        return receiver.join(parts) if all(isinstance(p, bytes) for p in parts) else None
    pieces: list[Value] = []
    for part in parts:
        pieces += [receiver, part] if pieces else [part]
    return text(pieces)


def called(path: str, args: Sequence[Value]) -> Value:
    """What a function of the standard library gives for constants, None if it is not known."""
    if path == "os.path.join":
        return _path(*args)
    function = _FUNCTIONS.get(path)
    if function is None or not args or not all(_small(a) for a in args):
        return None
    try:
        return function(*args)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, binascii.Error):
        return None


def item(base: Value, index: Value, node: ast.expr) -> Value:
    """An element or a slice of a constant."""
    try:
        if isinstance(node, ast.Slice):
            if not isinstance(base, str | bytes | tuple):
                return None
            ends = [_end(n) for n in (node.lower, node.upper, node.step)]
            found = base[slice(*ends)]
            return Partly(found) if isinstance(base, Partly) else found
        if isinstance(base, dict):
            return base.get(index)
        return base[index] if isinstance(index, int) else None
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _end(node: ast.expr | None) -> int | None:
    if node is None:
        return None
    value = ast.literal_eval(node)
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _small(value: Value) -> bool:
    if isinstance(value, tuple):
        return len(value) <= 4096
    if isinstance(value, str | bytes):
        return len(value) <= _TEXT_LIMIT
    return isinstance(value, int | float) and abs(value) < _NUMBER_LIMIT


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value
    return str(value) if is_known(value) and not isinstance(value, bytes) else HOLE


def _decoded(value: Any, codec: str = "utf-8", *_: str) -> Value:
    found = codecs.decode(value, codec)
    return found if isinstance(found, str | bytes) else None


def _power(left: float, right: float) -> Value:
    return left**right if abs(left) <= 1024 and 0 <= right <= 6 else None


def _shifted(left: float, right: float) -> Value:
    whole = isinstance(left, int) and isinstance(right, int)
    return left << right if whole and 0 <= right <= 62 else None  # type: ignore[operator]


def _path(*parts: Value) -> Value:
    pieces: list[Value] = []
    for part in parts:
        if isinstance(part, str) and part.startswith("/"):
            pieces = []
        pieces += ["/", part] if pieces else [part]
    return text(pieces)


_NUMBERS: dict[type[ast.operator], Callable[[float, float], Value]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b if b else None,
    ast.Mod: lambda a, b: a % b if b else None,
    ast.BitXor: lambda a, b: a ^ b if isinstance(a, int) and isinstance(b, int) else None,
    ast.LShift: _shifted,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "builtins.chr": chr,
    "builtins.ord": ord,
    "builtins.str": lambda a, *_: a if isinstance(a, str) else str(a),
    "builtins.int": int,
    "builtins.bytes": lambda a, *_: a.encode() if isinstance(a, str) else bytes(tuple(a)),
    "builtins.bytearray": lambda a, *_: bytes(tuple(a)),
    "builtins.bytes.fromhex": bytes.fromhex,
    "builtins.str.join": lambda a, b: _joined(a, [b]),
    "builtins.list": tuple,
    "builtins.tuple": tuple,
    "builtins.reversed": lambda a: tuple(reversed(a)),
    "base64.b64decode": lambda a, *_: base64.b64decode(a),
    "base64.b16decode": lambda a, *_: base64.b16decode(a),
    "base64.b32decode": lambda a, *_: base64.b32decode(a),
    "base64.b85decode": lambda a, *_: base64.b85decode(a),
    "binascii.unhexlify": binascii.unhexlify,
    "codecs.decode": _decoded,
}
