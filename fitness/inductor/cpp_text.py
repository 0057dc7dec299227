"""Brackets, indices and casts in generated C++ expressions."""

from __future__ import annotations

import re

_CAST = "static_cast<int64_t>("
_DIVISION = re.compile(r"c10::div_floor_integer\(")


def strip_casts(text: str) -> str:
    """Indices are 64-bit integers already: take the casts away that say so."""
    while (at := text.find(_CAST)) >= 0:
        end = _closing(text, at + len(_CAST) - 1)
        inner = text[at + len(_CAST) : end]
        whole = re.fullmatch(r"\w+", inner) or (
            text[at - 1 : at] in ("[", "=", "<", "(")
            and text[end + 1 : end + 2] in ("]", ";", ")", ",")
        )
        text = text[:at] + (inner if whole else f"({inner})") + text[end + 1 :]
    return text


def plain_indices(text: str) -> str:
    """Simplify what stands in brackets, and a loop's head as a whole."""
    if not text.startswith("for"):
        pieces, at = [], 0
        while (start := text.find("[", at)) >= 0:
            end = _closing(text, start)
            inner = text[start + 1 : end]
            inner = _divisions(re.sub(r"\b(\d+)L+\b", r"\1", strip_casts(f"[{inner}]")[1:-1]))
            pieces += [text[at : start + 1], inner]
            at = end
        return _divisions("".join(pieces) + text[at:])
    return _divisions(re.sub(r"\b(\d+)L+\b", r"\1", text))


def _divisions(text: str) -> str:
    """Rounding down is what `/` does where neither side can be negative."""
    while match := _DIVISION.search(text):
        end = _closing(text, match.end() - 1)
        a, _, b = _split_comma(text[match.end() : end])
        a, b = bare(a.strip()), bare(b.strip())
        never_negative = re.fullmatch(r"(?:x\d+|ks\d+|\d+|[+*()/% ])+", f"{a} {b}")
        a, b = (t if t.isidentifier() or t.isdigit() else f"({t})" for t in (a, b))
        # Mostly there are brackets already.
        around = (text[match.start() - 1 : match.start()], text[end + 1 : end + 2])
        new = f"{a} / {b}" if around == ("(", ")") else f"({a} / {b})"
        new = new if never_negative else f"div_floor({a}, {b})"
        text = text[: match.start()] + new + text[end + 1 :]
    return text


def _split_comma(text: str) -> tuple[str, str, str]:
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            return text[:i], ",", text[i + 1 :]
    return text, "", ""


def bare(text: str) -> str:
    """The text without brackets around the whole of it."""
    text = text.strip()
    while text.startswith("(") and closes_at_end(text, 0):
        text = text[1:-1].strip()
    return text


def _closing(text: str, start: int) -> int:
    """Position of the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([") - (text[i] in ")]")
        if depth == 0:
            return i
    return len(text) - 1


def closes_at_end(text: str, start: int) -> bool:
    """Whether the bracket at `start` is closed by the last letter."""
    return _closing(text, start) == len(text) - 1
