"""Statements of a generated C++ kernel, rewritten with types, `+=` and plain indices."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fitness.inductor.cpp_text import bare, closes_at_end, plain_indices, strip_casts

_LOOP = re.compile(
    r"for\s*\(\s*(?P<type>int64_t|int) (?P<name>\w+)\s*=\s*(?P<low>.*?);\s*"
    r"(?P=name)\s*<\s*(?P<high>.*?);\s*(?P=name)\s*(?:\+=\s*(?P<step>.*)|\+\+)\)$"
)
_UPDATE = re.compile(r"^(?P<target>\w+(?:\[[^=]*\])?) = (?P=target) (?P<op>[+*]) (?P<value>.*);$")
_AUTO = re.compile(r"^auto (?P<name>\w+) = (?P<value>.*);$")
_DECLARATION = re.compile(
    r"^(?!return )(?:const )?(?P<type>[\w:<>]+?)(?P<star>\*?) (?P<name>\w+)"
    r"(?P<array>\[.*\])?(?: = .*)?;$"
)
# The objects behind a cascade, each step of it, and its end.
_CASCADE = re.compile(r"^(?:static )?(?:CascadeSumHelper|WelfordHelper)<.*> \w+\(.*\);$")
_CASCADE_STEP = re.compile(r"^(?P<target>\w+) = cascade_sum_combine\((?P<value>.*), &\w+\);$")
_CASCADE_END = re.compile(
    r"^(?P<target>\w+) = (?:cascade_sum_final\(&|welford_combine\((?P=target), &)\w+\);$"
)
# An array on the heap, and the pointer to it that is used.
_OWNED = re.compile(
    r"^std::unique_ptr<\w+ \[\]> (?P<owner>\w+) = std::make_unique<\w+ \[\]>\((?P<size>\d+)L*\);$"
)
_BORROWED = re.compile(r"^(?P<type>\w+)\* (?P<name>\w+) = (?P<owner>\w+)\.get\(\);$")
# Elements of an array that may stand on a thread's stack.
_ARRAY_LIMIT = 16384
# Functions that return the type of their first argument.
_SAME_TYPE = re.compile(
    r"abs|a?(?:cos|sin|tan)h?|atan2|ceil|copysign|erfc?|exp2?|expm1|floor|fmod|hypot|lgamma"
    r"|log(?:10|1p|2)?|max|min|nearbyint|pow|sqrt|trunc"
)


@dataclass(slots=True)
class Block:
    """A pair of braces: what stands in front of it (directives, a loop's head), and inside."""

    head: list[str] = field(default_factory=list)
    items: list[str | Block] = field(default_factory=list)
    tail: str = ""


class Plain:
    """Rewrites statements; knows the types of the variables met so far."""

    def __init__(self, types: dict[str, str]) -> None:
        """Begin with the types of the function's parameters: "float", "float*"."""
        self._types = types
        self._arrays: dict[str, str] = {}

    def visit(self, block: Block) -> None:
        """Rewrite a block in place."""
        block.head = [self._head(line) for line in block.head]
        in_double = _summed_in_cascades(block)
        items: list[str | Block] = []
        for item in block.items:
            if isinstance(item, Block):
                self.visit(item)
                self._note_lambda(item)
                items.append(item)
            elif not (_CASCADE.match(item) or _CASCADE_END.match(item)):
                line = self._array(item) or self._statement(item, in_double)
                items += [line] if line != ";" else []
        block.items = items

    def _note_lambda(self, block: Block) -> None:
        """Remember what a masked expression, written as a lambda, returns."""
        head = re.match(r"auto (\w+) = \[&\]", block.head[-1]) if block.head else None
        if head and block.items and isinstance(block.items[-1], str):
            value = re.fullmatch(r"return (.*);", block.items[-1])
            if value and (kind := self._type_of(value[1])):
                self._types[f"{head[1]}()"] = kind

    def _head(self, line: str) -> str:
        line = plain_indices(strip_casts(line)) if line.startswith("for") else line
        if match := _LOOP.match(line):
            low, high = bare(match["low"]), bare(match["high"])
            step = bare(match["step"] or "1")
            name = match["name"]
            self._types[name] = match["type"]
            after = f"++{name}" if step == "1" else f"{name} += {step}"
            return f"for ({match['type']} {name} = {low}; {name} < {high}; {after})"
        return line

    def _array(self, line: str) -> str:
        """An array on the stack for one on the heap; ";" where nothing is left, "" for others."""
        if (match := _OWNED.match(line)) and int(match["size"]) <= _ARRAY_LIMIT:
            self._arrays[match["owner"]] = match["size"]
            return ";"
        if (match := _BORROWED.match(line)) and match["owner"] in self._arrays:
            self._types[match["name"]] = f"{match['type']}*"
            return f"{match['type']} {match['name']}[{self._arrays[match['owner']]}];"
        return ""

    def _statement(self, line: str, in_double: set[str]) -> str:
        line = plain_indices(line)
        if match := _CASCADE_STEP.match(line):
            return f"{match['target']} += {match['value']};"
        line = re.sub(r"(welford_combine\(\w+, \w+), &\w+\)", r"\1)", line)
        line = re.sub(r"\bWelford<\w+>", "Welford", line)
        line = line.replace("c10::convert<", "static_cast<")
        line = re.sub(
            r"decltype\((\w+(?:\(\))?)\)",
            lambda m: self._types.get(m[1], m[0]).removesuffix("*"),
            line,
        )
        if match := _AUTO.match(line):
            return self._typed(match["name"], match["value"])
        if match := _UPDATE.match(line):
            return f"{match['target']} {match['op']}= {match['value']};"
        if match := _DECLARATION.match(line):
            is_scalar = not match["star"] and not match["array"]
            if is_scalar and match["name"] in in_double:
                line = re.sub(r"^(const )?(float|double)\b", r"\1double", line)
            kind = line.removeprefix("const ").split()[0].rstrip("*")
            self._types[match["name"]] = kind if is_scalar else f"{kind}*"
        return line

    def _typed(self, name: str, value: str) -> str:
        """A declaration with its type written out where it is known."""
        kind = self._type_of(value)
        if kind is None:
            return f"auto {name} = {value};"
        self._types[name] = kind
        if kind.endswith("*"):
            return f"{kind} {name} = {value};"
        for cast in (f"{kind}(", f"static_cast<{kind}>("):
            if value.startswith(cast) and closes_at_end(value, len(cast) - 1):
                # Converted by the declaration just as well.
                value = value[len(cast) : -1]
        if kind == "int64_t":
            value = re.sub(r"\b(\d+)L+\b", r"\1", value)
        return f"const {kind} {name} = {value};"

    def _type_of(self, value: str) -> str | None:
        if value in self._types:
            return self._types[value]
        for pattern, kind in _KINDS:
            if (match := pattern.match(value)) and (found := kind(self, match)):
                return found
        return None

    def element(self, name: str) -> str | None:
        """What a pointer points to."""
        kind = self._types.get(name, "")
        return kind.removesuffix("*") if kind.endswith("*") else None

    def floating(self, name: str) -> str | None:
        """A variable's type if it is float or double."""
        kind = self._types.get(name)
        return kind if kind in ("float", "double") else None

    def both(self, a: str, b: str) -> str | None:
        """The type of two variables if they share it."""
        kind = self._types.get(a)
        return kind if kind == self._types.get(b) else None

    def lambda_or(self, name: str, kind: str) -> str | None:
        """The type of a lambda's result if it is `kind`."""
        return kind if self._types.get(name) == kind else None


# Forms of an expression -> the type of its value, None where that is not certain.
_Kind = Callable[[Plain, "re.Match[str]"], str | None]
_KINDS: tuple[tuple[re.Pattern[str], _Kind], ...] = tuple(
    (re.compile(f"(?:{pattern})$"), kind)
    for pattern, kind in (
        (r"(\w+)\[.*\]", lambda p, m: p.element(m[1])),
        (
            r"(?:static_cast<(\w+)>|(float|double|u?int\d+_t|bool))(\(.*\))",
            lambda _, m: (m[1] or m[2]) if closes_at_end(m[3], 0) else None,
        ),
        (r"-?std::numeric_limits<(\w+)>::\w+\(\)", lambda _, m: m[1]),
        (r"\d+L+|[\dL+*() ]*\bx\d+[x\dL+*() ]*", lambda _, __: "int64_t"),
        (r"!?\w+ (?:==|!=|<|>|<=|>=|&&|\|\|) !?\w+|!\w+", lambda _, __: "bool"),
        (r"std::(?:isnan|isinf|signbit)\(\w+\)", lambda _, __: "bool"),
        (
            r"std::(\w+)\((\w+)(?:, .*)?\)",
            lambda p, m: p.floating(m[2]) if _SAME_TYPE.fullmatch(m[1]) else None,
        ),
        (r"1 / std::sqrt\((\w+)\)|-(\w+)", lambda p, m: p.floating(m[1] or m[2])),
        (r"(\w+) [/&] (\w+)", lambda p, m: p.both(m[1], m[2])),
        (r"m(?:ax|in)_propagate_nan\((\w+), (\w+)\)", lambda p, m: p.both(m[1], m[2])),
        (r"\w+ \? (\w+) : (\w+)", lambda p, m: p.both(m[1], m[2])),
        (
            r"\w+ \? (\w+\(\)) : (?:static_cast|-?std::numeric_limits)<(\w+)>.*",
            lambda p, m: p.lambda_or(m[1], m[2]),
        ),
        # A sigmoid.
        (r"(float|double)\(1\) / \(\1\(1\) \+ std::exp\(-\w+\)\)", lambda _, m: m[1]),
    )
)


def _summed_in_cascades(block: Block) -> set[str]:
    """Variables that a block's cascades add to, those of its inner blocks' own left out."""
    found: set[str] = set()
    for item in block.items:
        if isinstance(item, Block):
            lines = [i for i in item.items if isinstance(i, str)]
            own = {m["name"] for line in lines if (m := _DECLARATION.match(line))}
            found |= _summed_in_cascades(item) - own
        elif match := _CASCADE_STEP.match(item):
            found.add(match["target"])
    return found
