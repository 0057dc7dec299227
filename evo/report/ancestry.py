"""What brought the champion: who is credited with its descent, and when each new best came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.ancestry import contribution_cells, kinds
from evo.report.markup import Column, Markup, element, grid, join, td
from evo.tables import (
    NOTHING,
    format_count,
    format_duration,
    format_speedup,
    one_line,
)
from populations.analysis.course import milestones
from populations.analysis.credit import contributions
from populations.analysis.dead_ends import dead_ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from populations.analysis.credit import Contribution
    from populations.analysis.history import History

# Rows of a kind that are shown, and characters of a name.
_ROWS = 12
_NAME = 80
_LEGEND = (
    "Gain: what the steps on the champion's path gained, by whoever made them; share: of the "
    "path's gain, on the logarithm; advances: the part in the advances of every champion in the "
    "line, each divided among all steps of its path by what they gained."
)


def what_brought_it(history: History) -> Markup:
    """Contributions by operator, model, knowledge entry and island, milestones, dead ends."""
    if history.champion is None:
        return element("p", "There is no champion.", class_="quiet")
    balances = contributions(history, kinds(history))
    return join(
        *(_balance(kind, found) for kind, found in balances.items()),
        element("p", _LEGEND, class_="note"),
        element("h2", "Each new best"),
        _milestones(history),
        element("p", _nowhere(history), class_="note"),
    )


def _balance(kind: str, found: Sequence[Contribution]) -> Markup | None:
    named = [one for one in found if one.name]
    if not named:
        return None
    head: list[Column] = [(kind, "text"), ("judged", None), ("improved", None)]
    head += [("steps", None), ("gain", None), ("share", None), ("advances", None)]
    body = [
        [
            td(one_line(one.name, _NAME) or f"no {kind}", "text"),
            td(one.judged),
            td(one.improved),
            *map(td, contribution_cells(one)),
        ]
        for one in found[:_ROWS]
    ]
    return grid(head, body)


def _milestones(history: History) -> Markup:
    head: list[Column] = [("kernel", "text"), ("operator", "text")]
    head += [("speedup", None), ("evaluations", None), ("device time", None), ("wall time", None)]
    body = [
        [
            td(f"#{one.kernel.number}", "text"),
            td(one.kernel.candidate.operator, "text"),
            td(format_speedup(one.kernel.evaluation.speedup)),
            td(one.evaluations),
            td(format_duration(one.device_s)),
            td(NOTHING if one.wall_s is None else format_duration(one.wall_s)),
        ]
        for one in milestones(history)
    ]
    return grid(head, body)


def _nowhere(history: History) -> str:
    found = dead_ends(history.lineage, champion=history.champion)
    if not found:
        return "Every kernel that was tried further has a descendant that is surely better."
    most = found[0]
    return (
        f"{format_count(len(found), 'kernel')} had descendants and none that was surely better; "
        f"the most were spent on #{most.kernel.number}: {format_count(most.descendants, 'kernel')}."
    )
