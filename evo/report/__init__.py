"""The report of a run: one HTML file that needs nothing else, on screen and on paper.

`RunData` is what it is made of and `write_report` writes it. Drawn inside: `chart` (the search),
`forest` and `tree` (the lineage), `code` (the champion). Everything passes through `markup`, which
is where text is made safe; there is no script in the file, and its content policy forbids any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.report.ancestry import what_brought_it
from evo.report.chart import evaluations_chart
from evo.report.data import RunData
from evo.report.markup import Markup, element, join
from evo.report.sections import (
    champion_path,
    champion_source,
    circumstances,
    headline,
    operator_table,
    workload_table,
)
from evo.report.style import STYLE
from evo.report.tree import lineage_drawing

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RunData", "render", "write_report"]


def write_report(data: RunData, path: Path) -> None:
    """Write the report; a reader sees the old file or the whole new one, never a part.

    Raises OSError when the file cannot be written.
    """
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(render(data), encoding="utf-8")
    draft.replace(path)


def render(data: RunData) -> str:
    """The report's HTML. The same data give the same text."""
    body = join(
        element("header", headline(data)),
        _section("Per workload", workload_table(data.table)),
        _section("Speedup over the evaluations", evaluations_chart(data)),
        _section("Lineage", lineage_drawing(data)),
        _section("The champion's descent", champion_path(data)),
        _section("What brought it", what_brought_it(data.history)) if data.history else None,
        element("section", champion_source(data)),
        _section("Outcomes by operator", operator_table(data)),
        element("section", circumstances(data)),
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"evo: {data.experiment}"),
        element("style", Markup(STYLE)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"


def _section(title: str, content: Markup) -> Markup:
    return element("section", element("h2", title), content)
