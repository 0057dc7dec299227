"""The lineage as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.report.chart import describe
from evo.report.forest import Place, lay_out
from evo.report.markup import Markup, element
from evo.tables import format_count
from populations.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evo.report.data import RunData

# Kernels drawn one by one; beyond, most are counted at their ancestors.
LIMIT = 240
LANE, MARGIN, WIDTH = 19.0, 16.0, 960.0
NARROW, WIDE = 24.0, 84.0


def lineage_drawing(data: RunData) -> Markup:
    """Draw who descends from whom: generations to the right, the champion's line on top.

    Solid edges lead from the first parent, dashed ones from the second parent of a crossover.
    """
    path = [kernel.number for kernel in data.path]
    places = lay_out(data.kernels, path=path, keep=data.improvements, limit=LIMIT)
    if not places:
        return element("p", "No kernel was judged.", class_="quiet")
    columns = max(place.column for place in places.values()) + 1
    lanes = max(place.lane for place in places.values()) + 1
    step = min(max((WIDTH - 2 * MARGIN) / columns, NARROW), WIDE)
    sheet = _Sheet(data, places, step)
    width, height = 2 * MARGIN + step * columns, 2 * MARGIN + LANE * lanes
    drawing = element(
        "svg",
        element("title", "Lineage of the kernels"),
        sheet.edges(),
        sheet.nodes(),
        sheet.numbers(),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        class_="lineage",
    )
    return element(
        "figure", element("div", drawing, class_="wide tall"), _legend(len(data.kernels), places)
    )


class _Sheet:
    """Turns places into shapes."""

    def __init__(self, data: RunData, places: Mapping[int, Place], step: float) -> None:
        self._places = places
        self._step = step
        self._path = frozenset(kernel.number for kernel in data.path)
        self._improved = frozenset(data.improvements)
        self._champion = data.champion

    def edges(self) -> list[Markup]:
        plain: list[str] = []
        second: list[str] = []
        champion: list[str] = []
        for number, place in self._places.items():
            for index, parent in enumerate(place.kernel.candidate.parents):
                if parent not in self._places:
                    continue
                if index:
                    second.append(self._curve(self._places[parent], place))
                elif number in self._path:
                    champion.append(self._bend(self._places[parent], place))
                else:
                    plain.append(self._bend(self._places[parent], place))
        drawn = (("edge", plain), ("edge second", second), ("edge path", champion))
        return [element("path", d="".join(lines), class_=name) for name, lines in drawn if lines]

    def nodes(self) -> list[Markup]:
        return [
            element(
                "g", element("title", self._title(place)), self._shape(place), self._badge(place)
            )
            for place in self._places.values()
        ]

    def numbers(self) -> list[Markup]:
        """Numbers over the champion's line, as many as stand clear of each other."""
        texts: list[Markup] = []
        free_from = 0.0
        for number in sorted(self._path):
            x, y = self._at(self._places[number])
            half = 3.6 * len(str(number)) + 2
            if x - half >= free_from:
                texts.append(element("text", number, x=x, y=y - 10, class_="middle small strong"))
                free_from = x + half
        return texts

    def _at(self, place: Place) -> tuple[float, float]:
        return MARGIN + self._step * (place.column + 0.5), MARGIN + LANE * (place.lane + 0.5)

    def _bend(self, parent: Place, child: Place) -> str:
        (x1, y1), (x2, y2) = self._at(parent), self._at(child)
        if y1 == y2:
            return f"M{x1:.1f} {y1:.1f}H{x2:.1f}"
        turn = x1 + self._step / 2
        radius = min(5.0, self._step / 4)
        return (
            f"M{x1:.1f} {y1:.1f}H{turn - radius:.1f}q{radius:.1f} 0 {radius:.1f} {radius:.1f}"
            f"V{y2 - radius:.1f}q0 {radius:.1f} {radius:.1f} {radius:.1f}H{x2:.1f}"
        )

    def _curve(self, parent: Place, child: Place) -> str:
        (x1, y1), (x2, y2) = self._at(parent), self._at(child)
        pull = max((x2 - x1) / 2, self._step / 2)
        bend = f"{x1 + pull:.1f} {y1:.1f} {x2 - pull:.1f} {y2:.1f}"
        return f"M{x1:.1f} {y1:.1f}C{bend} {x2:.1f} {y2:.1f}"

    def _shape(self, place: Place) -> list[Markup]:
        x, y = self._at(place)
        kernel = place.kernel
        if not kernel.passed:
            return [element("path", d=f"M{x - 2.5:.1f} {y - 2.5:.1f}l5 5m0-5l-5 5", class_="cross")]
        speedup = kernel.evaluation.speedup
        names = ["node"]
        if speedup is not None and speedup.value > 1:
            names.append("fast")
        if kernel.number in self._improved:
            names.append("new")
        radius = 5.0 if kernel.number in self._improved or kernel.number in self._path else 3.4
        shapes = [element("circle", cx=x, cy=y, r=radius, class_=" ".join(names))]
        if kernel.number == self._champion:
            shapes.append(element("circle", cx=x, cy=y, r=8.0, class_="ring"))
        return shapes

    def _badge(self, place: Place) -> Markup | None:
        x, y = self._at(place)
        if count := sum(place.hidden.values()):
            return element("text", f"+{count}", x=x + 4, y=y + 11, class_="small faint")
        return None

    @staticmethod
    def _title(place: Place) -> str:
        hidden = [
            f"{outcome.replace('_', ' ')} {place.hidden[outcome]}"
            for outcome in reversed(Outcome)
            if place.hidden.get(outcome)
        ]
        more = f"\nnot drawn, descended from here: {', '.join(hidden)}" if hidden else ""
        return describe(place.kernel) + more


def _legend(total: int, places: Mapping[int, Place]) -> Markup:
    text = (
        "One column per generation. The thick line leads from the seed to the champion; filled "
        "circles are faster than the fastest baseline, large ones became champion, crosses failed; "
        "dashed lines come from the second parent of a crossover."
    )
    if len(places) < total:
        text += (
            f" {len(places)} of {format_count(total, 'kernel')} are drawn; +n counts the others "
            "at the nearest ancestor that is."
        )
    return element("figcaption", element("p", text))
