"""Tokens of C++ and CUDA: what a compiler sees, without comments, with macros put together.

Knows comments, string and raw string literals, line continuation, digraphs and `##`. It is no
preprocessor: both branches of a condition are read, and a macro is expanded only as far as names
are put together from parts.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# The commonest come first; a name may not begin a literal: `u8R"x(...)x"`.
_TOKEN = re.compile(
    r"""
    (?>(?:[ \t\r\f\v]+ | /(?:/[^\n]* | \*.*?(?:\*/|\Z)))*)
    (?:
        (?P<name>(?!(?:u8|[uUL])?R?["'])[^\W\d]\w*(?:(?:\$|\\u[0-9A-Fa-f]{4})\w*)*)
      | (?P<line>\n)
      | (?P<number>\.?[0-9](?:[eEpP][+-]|'[0-9A-Za-z]|[0-9A-Za-z_.])*)
      | (?P<sign>%:%: | %: | <% | %> | <: | :> | \#\# | :: | -> | <<< | >>> | [^\s\w"'\\])
      | (?P<string>(?:u8|u|U|L)?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"
                 | (?:u8|u|U|L)?"(?:[^"\\\n]|\\.)*"?)
      | (?P<char>(?:u8|u|U|L)?'(?:[^'\\\n]|\\.)+')
      | (?P<spelt>(?:\w|\$|\\u[0-9A-Fa-f]{4})+)
      | (?P<rest>\S)
      | (?P<end>\Z)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_DIGRAPHS = {"%:": "#", "%:%:": "##", "<%": "{", "%>": "}", "<:": "[", ":>": "]"}
_CONTINUED = re.compile(r"\\[ \t]*\r?\n")
# Tokens that expanding macros may make, and how deep macros may stand in macros.
_EXPANDED = 20_000
_DEPTH = 8


class Token:
    """One token: its kind ("name", "number", "string", "char", "sign"), text and place."""

    __slots__ = ("kind", "place", "text")

    def __init__(self, kind: str, text: str, place: int) -> None:
        self.kind = kind
        self.text = text
        self.place = place


@dataclass(frozen=True, slots=True)
class Macro:
    """`#define name(parameters) body`; without parameters they are None."""

    name: str
    parameters: tuple[str, ...] | None
    body: tuple[Token, ...]
    line: int

    @property
    def pastes(self) -> bool:
        """Whether it puts tokens together."""
        return any(t.text == "##" for t in self.body)


@dataclass(frozen=True, slots=True)
class Directive:
    """A line of the preprocessor: `#include <x>` has the name "include"."""

    name: str
    tokens: tuple[Token, ...]
    line: int
    text: str


class Source:
    """A text in C++, taken apart.

    Attributes:
        tokens: Of the program, directives left out.
        directives: In order.
        macros: By name.
    """

    def __init__(self, text: str) -> None:
        """Take a text apart; never raises for what the text is."""
        # Where lines were joined, and where they end.
        self._joins: list[int] = []
        self._ends: list[int] | None = None
        self._text = self._joined(text) if "\\" in text else text
        self.tokens: list[Token] = []
        self.directives: list[Directive] = []
        self.macros: dict[str, Macro] = {}
        self._split()
        for directive in self.directives:
            if directive.name == "define":
                self._define(directive)

    def line(self, token: Token) -> int:
        """A token's line, from 1."""
        return self._line(token.place)

    def pasted(self) -> Iterator[tuple[str, int]]:
        """Names that macros put together, with their line; "" where that cannot be followed."""
        if not any(m.pastes for m in self.macros.values()):
            return
        for macro in self.macros.values():
            if macro.parameters is None and macro.pastes:
                yield from ((t.text, macro.line) for t in self._pasted(macro.body, {}))
        yield from self._expansions()

    def _joined(self, text: str) -> str:
        removed = 0
        for match in _CONTINUED.finditer(text):
            self._joins.append(match.start() - removed)
            removed += match.end() - match.start()
        return _CONTINUED.sub("", text) if self._joins else text

    def _line(self, place: int) -> int:
        if self._ends is None:
            self._ends = [m.start() for m in re.finditer("\n", self._text)]
        return bisect_left(self._ends, place) + bisect_right(self._joins, place) + 1

    def _split(self) -> None:
        append = self.tokens.append
        fresh, skip_to = True, 0
        for match in _TOKEN.finditer(self._text):
            kind = match.lastgroup or ""
            place = match.start(kind)
            if place < skip_to:
                continue
            if kind in ("line", "end"):
                fresh = True
                continue
            word = match[kind]
            if fresh and word in ("#", "%:"):
                skip_to = self._end_of_line(place)
                self._directive(place, skip_to)
                continue
            # Written out for the two commonest kinds, because it is most of the work.
            if kind == "sign":
                append(Token(kind, _DIGRAPHS.get(word, word), place))
            elif kind == "name" and "\\" not in word:
                append(Token(kind, word, place))
            else:
                append(_token(kind, word, place))
            fresh = False

    def _end_of_line(self, place: int) -> int:
        """Where a directive ends; a comment may go on over several lines."""
        for match in _TOKEN.finditer(self._text, place):
            if match.lastgroup == "line":
                return match.start("line")
        return len(self._text)

    def _directive(self, place: int, end: int) -> None:
        found: list[Token] = []
        for match in _TOKEN.finditer(self._text, place + 1, end):
            kind = match.lastgroup or ""
            if kind not in ("line", "end"):
                found.append(_token(kind, match[kind], match.start(kind)))
        if found and found[0].text == ":":
            found = found[1:]
        if found:
            text = self._text[found[0].place + len(found[0].text) : end]
            text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL).strip()
            line = self._line(place)
            self.directives.append(Directive(found[0].text, tuple(found[1:]), line, text))

    def _define(self, directive: Directive) -> None:
        tokens = directive.tokens
        if not tokens or tokens[0].kind != "name":
            return
        name, rest = tokens[0], tokens[1:]
        parameters: tuple[str, ...] | None = None
        if rest and rest[0].text == "(" and rest[0].place == name.place + len(name.text):
            end = next((i for i, t in enumerate(rest) if t.text == ")"), len(rest) - 1)
            inside = rest[1:end]
            parameters = tuple(t.text for t in inside if t.kind == "name")
            if any(t.text == "." for t in inside):
                parameters += ("__VA_ARGS__",)
            rest = rest[end + 1 :]
        self.macros[name.text] = Macro(name.text, parameters, tuple(rest), directive.line)

    def _expansions(self) -> Iterator[tuple[str, int]]:
        """Names pasted where a macro is used."""
        self._budget = _EXPANDED
        tokens = self.tokens
        for i, token in enumerate(tokens):
            if token.kind != "name" or token.text not in self.macros:
                continue
            macro = self.macros[token.text]
            if macro.parameters is None or i + 1 >= len(tokens) or tokens[i + 1].text != "(":
                continue
            arguments, _ = _arguments(tokens, i + 1)
            line = self.line(token)
            for made in self._expanded(macro, arguments, 0):
                yield made.text, line

    def _expanded(
        self, macro: Macro, arguments: Sequence[Sequence[Token]], depth: int
    ) -> list[Token]:
        """The tokens that a use of a macro ends in."""
        names = macro.parameters or ()
        given: dict[str, Sequence[Token]] = {}
        for i, name in enumerate(names):
            given[name] = arguments[i] if i < len(arguments) else ()
        if "__VA_ARGS__" in given:
            rest: list[Token] = []
            for argument in arguments[len(names) - 1 :]:
                rest += [_COMMA, *argument] if rest else argument
            given["__VA_ARGS__"] = rest
        return self._pasted(macro.body, given, whole=True, depth=depth)

    def _pasted(
        self,
        body: Sequence[Token],
        given: dict[str, Sequence[Token]],
        *,
        whole: bool = False,
        depth: int = 0,
    ) -> list[Token]:
        out: list[Token] = []
        i = 0
        while i < len(body):
            token = body[i]
            if token.text == "##" and out and i + 1 < len(body):
                right = list(given.get(body[i + 1].text, (body[i + 1],)))
                left = out.pop()
                if right:
                    text = left.text + right[0].text
                    out += [Token("name", text, left.place), *right[1:]]
                else:
                    out.append(left)
                i += 2
                continue
            pasting = i + 1 < len(body) and body[i + 1].text == "##"
            if token.text in given:
                value = list(given[token.text])
                out += value if pasting else self._again(value, depth)
                if pasting and not value:
                    out.append(Token("name", "", token.place))
            else:
                out.append(token)
            i += 1
        return self._again(out, depth) if whole else out

    def _again(self, tokens: Sequence[Token], depth: int) -> list[Token]:
        """Expand the macros in what an expansion gave."""
        out: list[Token] = []
        i = 0
        while i < len(tokens):
            self._budget -= 1
            if self._budget < 0:
                return list(tokens)
            token = tokens[i]
            macro = self.macros.get(token.text) if token.kind == "name" else None
            if macro is None or depth >= _DEPTH:
                out.append(token)
            elif macro.parameters is None:
                out += self._pasted(macro.body, {}, whole=True, depth=depth + 1)
            elif i + 1 < len(tokens) and tokens[i + 1].text == "(":
                arguments, i = _arguments(tokens, i + 1)
                out += self._expanded(macro, arguments, depth + 1)
            else:
                out.append(token)
            i += 1
        return out


_COMMA = Token("sign", ",", 0)


def _token(kind: str, word: str, place: int) -> Token:
    if kind in ("sign", "rest"):
        return Token("sign", _DIGRAPHS.get(word, word), place)
    if kind in ("name", "spelt") and "\\" in word:
        word = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m[1], 16)), word)
    return Token("name" if kind == "spelt" else kind, word, place)


def _arguments(tokens: Sequence[Token], start: int) -> tuple[list[list[Token]], int]:
    """What stands between a parenthesis and its end, by commas; and where the end is."""
    depth, found, i = 0, [[]], start  # type: ignore[var-annotated]
    while i < len(tokens):
        text = tokens[i].text
        if text in "([{" and text:
            depth += 1
        elif text in ")]}" and text:
            depth -= 1
            if depth == 0:
                break
        if text == "," and depth == 1:
            found.append([])
        elif i > start:
            found[-1].append(tokens[i])
        i += 1
    return found, i
