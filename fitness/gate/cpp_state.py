"""What C++ keeps from one call to the next: static and global variables that can change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fitness.gate.tokens import Source, Token

_CONSTANT = frozenset(("const", "constexpr", "consteval", "constinit", "__constant__"))
_STORAGE = frozenset(("static", "thread_local", "__device__", "__managed__"))
_NO_VARIABLE = frozenset(
    {"using", "typedef", "template", "struct", "class", "union", "enum", "extern", "static_assert"}
    | {"namespace", "friend", "concept", "return", "goto", "public", "private", "protected", "asm"}
    | {"__asm__", "PYBIND11_MODULE", "TORCH_LIBRARY", "operator", "requires", "if", "for", "while"}
)
# Guards hold no answers: one is taken and given back.
_GUARDS = frozenset(("mutex", "recursive_mutex", "shared_mutex", "once_flag"))
_ANGLES = {"<": 1, ">": -1, ">>": -2}
# Tokens of a declaration up to its value, at most, and of the value.
_LONGEST = 400


def kept(source: Source) -> Iterator[tuple[str, int]]:
    """Variables that outlive a call and can change, each with its line."""
    tokens = source.tokens
    # Of each open brace, whether it opens a block; namespaces and `extern "C"` do not.
    blocks: list[bool] = []
    depth, begin, skip_to = 0, True, 0
    for i, token in enumerate(tokens):
        text, starts = token.text, begin
        begin = False
        if text == "{":
            blocks.append(depth > 0 or not _opens_space(tokens, i))
            depth += blocks[-1]
            begin = True
        elif text == "}" and blocks:
            depth -= blocks.pop()
            begin = True
        elif text == ";":
            begin = True
        elif token.kind != "name" or i < skip_to:
            continue
        elif text in _STORAGE and _is_first(tokens, i):
            end, name = _variable(tokens, i, at_top=depth == 0)
            skip_to = end
            if name:
                yield f"the variable {name} ({text})", source.line(token)
        elif starts and depth == 0 and text not in _NO_VARIABLE:
            end, name = _variable(tokens, i, at_top=True)
            if name:
                skip_to = end
                yield f"the global variable {name}", source.line(token)


def _is_first(tokens: Sequence[Token], i: int) -> bool:
    """Whether it is the first of several words of storage."""
    return i == 0 or tokens[i - 1].text not in _STORAGE


def _opens_space(tokens: Sequence[Token], i: int) -> bool:
    if i and tokens[i - 1].kind == "string":
        return True
    for token in reversed(tokens[max(0, i - 6) : i]):
        if token.text in ("namespace", "inline"):
            return token.text == "namespace"
        if token.kind != "name" and token.text != "::":
            return False
    return False


def _variable(tokens: Sequence[Token], start: int, *, at_top: bool) -> tuple[int, str]:
    """Read a declaration; returns its end and the name of a variable that can change, or ""."""
    words: list[str] = []
    angles, star = 0, False
    for i in range(start, min(start + _LONGEST, len(tokens))):
        text = tokens[i].text
        if angles or text in ("<", ">", ">>"):
            angles += _ANGLES.get(text, 0)
        elif tokens[i].kind == "name":
            if text in _NO_VARIABLE:
                break
            words.append(text)
            # `const float* p` points to constants and can change all the same.
            star = star and text not in _CONSTANT
        elif text == "*":
            star = True
        elif text not in ("&", "::"):
            return _ended(tokens, i, words, star=star, at_top=at_top)
    return start + 1, ""


def _ended(
    tokens: Sequence[Token], i: int, words: list[str], *, star: bool, at_top: bool
) -> tuple[int, str]:
    """What a declaration is whose type and name are followed by this token."""
    text = tokens[i].text
    if text == "(":
        stored = any(word in _STORAGE for word in words)
        return (i, "") if at_top and not stored else _constructed(tokens, i, words, star=star)
    if text == "[":
        attribute = i + 1 < len(tokens) and tokens[i + 1].text == "["
        return i, "" if attribute else _changing(words, star=star)
    if text not in ("=", ";", "{", ","):
        return i, ""
    # A word alone is no declaration: `public:`, or a macro.
    typed = [w for w in words if w not in _STORAGE and w != "inline"]
    lonely = len(typed) < 2 and "auto" not in words and text != "="
    return i, "" if lonely else _changing(words, star=star)


def _constructed(
    tokens: Sequence[Token], i: int, words: list[str], *, star: bool
) -> tuple[int, str]:
    """A parenthesis after a name: a function's parameters or a variable's first value."""
    depth = 0
    for j in range(i, min(i + _LONGEST, len(tokens))):
        depth += (tokens[j].text == "(") - (tokens[j].text == ")")
        if depth == 0:
            after = tokens[j + 1].text if j + 1 < len(tokens) else ";"
            inside = tokens[i + 1 : j]
            values = bool(inside) and all(t.kind in ("number", "string") for t in inside)
            is_value = after == ";" and (values or "thread_local" in words)
            return j, _changing(words, star=star) if is_value else ""
    return i, ""


def _changing(words: list[str], *, star: bool) -> str:
    """The declared name, if it is a variable that can change."""
    if not words or "__shared__" in words or words[-1] in ("void", "auto"):
        return ""
    if _GUARDS.intersection(words[:-1]):
        return ""
    constant = any(word in _CONSTANT for word in words)
    return "" if constant and not star else words[-1]
