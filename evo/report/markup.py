"""HTML that cannot be broken by what stands in it.

Text becomes markup in one place, `element`, which escapes everything that is not markup already. A
kernel's source, a note, a compiler's message: none of them can open a tag or leave an attribute.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# Control characters, lone surrogates (which no encoding can write) and marks that turn the
# direction of writing, with which a source can be made to read as something else.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)

# Elements without content.
_VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | int | None | Iterable["Content"]
# A column's name and its class.
Column = tuple[str, str | None]


def escape(text: str) -> Markup:
    """Text as it shall be read; characters that have no business in a report become U+FFFD."""
    return Markup(html.escape(_UNFIT.sub("\ufffd", text.replace("\r\n", "\n"))))


def join(*parts: Content) -> Markup:
    """Markup as it is, other text escaped, None left out, sequences joined."""
    return Markup("".join(_flatten(parts)))


def element(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """One element.

    Args:
        name: Tag name, never from data.
        content: What stands in it; see `join`.
        attributes: A trailing underscore is dropped (`class_`), others become hyphens, None leaves
            an attribute out, floats are written with at most one decimal.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*content)}</{name}>")


def td(content: Content, name: str | None = None) -> Markup:
    """A cell of a table; `name` is its class."""
    return element("td", content, class_=name)


def grid(head: Sequence[Column], body: Sequence[Sequence[Markup]]) -> Markup:
    """A table that scrolls by itself where it is too wide."""
    cells = [element("th", name, class_=kind, scope="col") for name, kind in head]
    rows = [element("tr", row) for row in body]
    table = element("table", element("thead", element("tr", cells)), element("tbody", rows))
    return element("div", table, class_="wide")


def _number(value: str | float) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _flatten(parts: Iterable[Content]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, Markup):
            yield part
        elif isinstance(part, str | int):
            yield escape(str(part))
        elif part is not None:
            yield from _flatten(part)
