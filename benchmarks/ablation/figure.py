"""Anytime curves as SVG: no library, the same text for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

# Okabe and Ito's colours, which most people can tell apart; a second round is dashed.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 190, 34, 46
_LABEL_GAP = 15.0


def figure(title: str, curves: Mapping[str, Sequence[float]]) -> str:
    """Lines of a share of the best known over evaluations, the latter on a logarithmic scale.

    Args:
        title: Above the figure.
        curves: Label -> what was found after 1, 2, ... evaluations, 0 to 1.
    """
    length = max(len(curve) for curve in curves.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(title)}</text>',
        *_grid(length),
    ]
    ends = _spread({name: _y(curve[-1]) for name, curve in curves.items()})
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = "" if number < len(_COLOURS) else ' stroke-dasharray="5 3"'
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="1.6"{dash} '
            f'points="{_points(curve, length)}"/>'
        )
        x = _WIDTH - _RIGHT + 6
        parts.append(
            f'<text x="{x}" y="{ends[name] + 4:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    parts.append("</svg>\n")
    return "\n".join(parts)


def _grid(length: int) -> list[str]:
    right, low = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 0.95, 1.0):
        y, dash = _y(share), ' stroke-dasharray="2 3"' if share == 0.95 else ""
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"{dash}/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    for at in (at for at in (1, 2, 5, 10, 20, 50, 100, 200, 400, 1000) if at <= length):
        x = _x(at, length)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{low}" stroke="#eee"/>'
            f'<text x="{x:.1f}" y="{low + 16}" text-anchor="middle">{at}</text>'
        )
    middle = (_LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">evaluations; '
        f"champion's true speedup as a share of the best known, median over seeds</text>"
    )
    return parts


def _points(curve: Sequence[float], length: int) -> str:
    """Steps, a point only where the value changes."""
    found, before = [], None
    for at, value in enumerate(curve, 1):
        if value != before:
            if before is not None:
                found.append((at, before))
            found.append((at, value))
            before = value
    found.append((len(curve), curve[-1]))
    return " ".join(f"{_x(at, length):.1f},{_y(value):.1f}" for at, value in found)


def _x(at: int, length: int) -> float:
    share = math.log(at) / math.log(max(length, 2))
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(share, 1.0)


def _spread(places: Mapping[str, float]) -> dict[str, float]:
    """Labels pushed apart, in the order of their lines."""
    found: dict[str, float] = {}
    last = -math.inf
    for name, y in sorted(places.items(), key=lambda item: item[1]):
        last = max(y, last + _LABEL_GAP)
        found[name] = last
    over = last - (_HEIGHT - _BOTTOM)
    return {name: y - max(over, 0.0) for name, y in found.items()}
