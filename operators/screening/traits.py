"""Kernels of many structures as points of one space.

A kernel is described by its launch parameters and by the lines of its text. Lines that the same
kernels have and lack are one *trait*: an edit is one or a few of them, however long its text is,
and what two edits write only together is one as well. So what is learnt of an edit in one kernel
is known of all that have it, whoever made them and in whatever language.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from operators.tuning.space import Point, Space
from populations.parameters import Value, parameters, values, with_values

# Traits that tell kernels apart, at most: those that divide them most evenly come first.
MOST = 16


@dataclass(frozen=True)
class Frame:
    """What kernels are told apart by.

    Attributes:
        traits: A line of each trait.
        space: The traits, then the launch parameters of all kernels by name.
        elsewhere: Parameter -> what a kernel without it counts as having.
    """

    traits: tuple[str, ...]
    space: Space
    elsewhere: Mapping[str, Value]

    def point(self, source: str) -> Point:
        """Where a kernel stands that the frame was made for."""
        own, has = values(source), lines(source)
        return (
            *(trait in has for trait in self.traits),
            *(own.get(name, other) for name, other in self.elsewhere.items()),
        )


@lru_cache(maxsize=4096)
def lines(source: str) -> frozenset[str]:
    """The lines of a text without indentation, the values of launch parameters left out."""
    blank = with_values(source, {p.name: p.choices[0] for p in parameters(source)})
    return frozenset(bare for line in blank.splitlines() if (bare := line.strip()))


def frame(sources: Sequence[str]) -> Frame:
    """What tells these kernels apart; the order of the kernels does not matter."""
    traits = _traits(list(dict.fromkeys(map(lines, sources))))
    found: dict[str, dict[Value, None]] = {}
    for source in sources:
        for parameter in parameters(source):
            offered = dict.fromkeys((*parameter.choices, parameter.value))
            found.setdefault(parameter.name, {}).update(offered)
    choices = {name: _sorted(found[name]) for name in sorted(found)}
    # A line has no line break, so no trait is called like a parameter.
    marks: dict[str, tuple[Value, ...]] = {f"\n{trait}": (False, True) for trait in traits}
    elsewhere = {name: values[len(values) // 2] for name, values in choices.items()}
    return Frame(traits, Space({**marks, **choices}), elsewhere)


def _traits(texts: Sequence[frozenset[str]]) -> tuple[str, ...]:
    where: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        for line in text:
            where.setdefault(line, []).append(number)
    patterns: dict[tuple[int, ...], str] = {}
    for line, have in where.items():
        if len(have) < len(texts):
            pattern = tuple(have)
            patterns[pattern] = min(line, patterns.get(pattern, line))
    middle = len(texts) / 2
    ranked = sorted((abs(len(have) - middle), line) for have, line in patterns.items())
    return tuple(line for _, line in ranked[:MOST])


def _sorted(choices: Mapping[Value, None]) -> tuple[Value, ...]:
    if all(type(choice) in (int, float) for choice in choices):
        return tuple(sorted(choices))
    return tuple(sorted(choices, key=lambda choice: (type(choice).__name__, choice)))
