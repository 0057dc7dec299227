r"""A lineage as a drawing for Graphviz: `evo lineage RUN --dot F`, then `dot -Tsvg -O F`.

The language is simple enough to be written as it is (https://graphviz.org/doc/info/lang.html), so
no package is needed. In a quoted text a quotation mark ends it and an ampersand begins an entity of
HTML: both are written as entities. A backslash begins an escape (`\N` is the node's name), in some
places after entities and escapes have been looked for already, so that no escaping of it holds
everywhere: a sign that looks the same takes its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from populations.kernel import Kernel
    from populations.lineage import Lineage

# Characters that XML, and so Graphviz's SVG, cannot hold.
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL = str.maketrans({"&": "&amp;", '"': "&quot;", "\\": "\N{REVERSE SOLIDUS OPERATOR}"})
# Characters of a note that are shown.
_NOTE = 160
# From the slowest kernel that passed to the fastest.
_SHADES = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6")
_HEAD = (
    "digraph lineage {",
    '  node [shape="box", style="rounded,filled", fontname="sans-serif", fontsize="10"];',
    '  edge [color="#888888", arrowsize="0.6"];',
)


def dot(lineage: Lineage, *, path: Collection[int] = ()) -> str:
    """The graph in the DOT language.

    Kernels that passed are filled, the faster the darker; those that failed are dashed. A
    crossover's other parents are dotted edges. What was done is the tooltip.

    Args:
        lineage: What to draw.
        path: Numbers of kernels to draw in bold, those of the champion's path say.
    """
    logs = [s.log for k in lineage.kernels.values() if (s := k.evaluation.speedup)]
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    bold = frozenset(path)
    lines = list(_HEAD)
    for kernel in lineage.kernels.values():
        number, candidate = kernel.number, kernel.candidate
        node = _node(kernel, low, high)
        if number in bold:
            node["penwidth"] = "3"
        lines.append(f"  {number} {_written(node)};")
        for place, parent in reversed(list(enumerate(candidate.parents))):
            edge = {"tooltip": f"{candidate.operator}: {parent} to {number}"}
            if place:
                edge["style"] = "dotted"
            elif {parent, number} <= bold:
                edge |= {"penwidth": "3", "color": "#000000"}
            lines.append(f"  {parent} -> {number} {_written(edge)};")
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    """A text as a quoted identifier; what no drawing can hold becomes the replacement character."""
    fit = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return f'"{fit.translate(_SPECIAL)}"'


def _node(kernel: Kernel, low: float, high: float) -> dict[str, str]:
    candidate, speedup = kernel.candidate, kernel.evaluation.speedup
    outcome = f"{speedup.value:.3g}x" if speedup else kernel.evaluation.outcome.replace("_", " ")
    note = candidate.note[:_NOTE]
    node = {
        "label": f"#{kernel.number} {candidate.operator}\n{outcome}",
        "tooltip": f"{candidate.language}: {note}" if note else candidate.language,
    }
    if speedup is None:
        return {**node, "style": "rounded,dashed", "fontcolor": "#888888"}
    share = (speedup.log - low) / (high - low) if high > low else 1.0
    return {**node, "fillcolor": _SHADES[min(math.floor(share * len(_SHADES)), len(_SHADES) - 1)]}


def _written(attributes: Mapping[str, str]) -> str:
    return f"[{', '.join(f'{key}={quoted(value)}' for key, value in attributes.items())}]"
