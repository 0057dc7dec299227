"""From a seed and a handful of structural edits to every variant, and to every point of each.

An edit is one or more steps of the real structural operators, each with the note that it has to
have, so that it is made at the same place every time. A variant is the seed after a set of edits,
always made in the plan's order. So taking one edit more or less is a mutation that leads to another
variant, and choosing each edit from one of two variants is a crossover, as long as what an edit
needs is there.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from populations.kernel import Candidate
from populations.parameters import Value, parameters, with_values

# Seeds that are tried where a note is only part of what an operator would say.
_SEEDS = 8
_MARK = r"^(\s*{name}\b.*?(?:#|//)[ \t]*tune:).*$"


@dataclass(frozen=True, slots=True)
class Step:
    """One edit of one operator.

    Attributes:
        operator: Name of the operator.
        note: What the edit's note has to contain.
    """

    operator: str
    note: str


@dataclass(frozen=True, slots=True)
class Edit:
    """What can be done to a variant, or left undone.

    Attributes:
        name: Short and unique within the plan.
        steps: The operators' edits, in order; all of them must apply.
        needs: Names of edits without which this one makes no variant.
    """

    name: str
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """One landscape.

    Attributes:
        name: Of the landscape.
        problem: The problem file.
        workload: The one workload that is measured.
        seed: The seed's file.
        language: The seed's language.
        edits: In the order in which they are made.
        choices: Values of launch parameters in place of those that a seed or an operator marks.
        baselines: Which ones are measured; the fastest is what points are paired with.
        always: Names of edits that every variant has.
    """

    name: str
    problem: Path
    workload: str
    seed: Path
    language: str
    edits: tuple[Edit, ...]
    choices: Mapping[str, tuple[Value, ...]]
    baselines: tuple[str, ...]
    always: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """What it is measured on."""
        return "cpu" if self.language == "cpp" else "cuda"

    def digest(self, found: Sequence[Variant]) -> str:
        """Of everything that decides which points there are and what they are measured on."""
        content = {
            "problem": self.problem.read_text(encoding="utf-8"),
            "workload": self.workload,
            "sources": [variant.source for variant in found],
            "baselines": self.baselines,
        }
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Variant:
    """The seed after a set of edits.

    Attributes:
        number: Its place in the plan's list of variants.
        edits: Names of the edits made.
        source: The module, with the first value of every launch parameter.
    """

    number: int
    edits: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Point:
    """One kernel of a landscape.

    Attributes:
        variant: Number of its variant.
        values: Its launch parameters.
        source: The whole module.
        language: Of the kernel.
    """

    variant: int
    values: Mapping[str, Value]
    source: str
    language: str

    @property
    def digest(self) -> str:
        """As `Candidate.digest`."""
        return self.candidate(0).digest

    def candidate(self, number: int) -> Candidate:
        """The point as a candidate."""
        return Candidate(number=number, source=self.source, language=self.language)


class _Editor(Protocol):
    def apply(
        self, source: str, rng: random.Random, wanted: str | None = None
    ) -> tuple[str, str] | None: ...


def variants(plan: Plan) -> list[Variant]:
    """Every set of edits that applies, the seed first; two sets that agree in text count once."""
    operators = _operators(plan.language)
    made: dict[tuple[str, ...], str] = {(): plan.seed.read_text(encoding="utf-8")}
    for edit in plan.edits:
        for names, source in list(made.items()):
            if set(edit.needs) <= set(names):
                edited = _edited(edit, source, operators)
                if edited is not None:
                    made[*names, edit.name] = edited
        if edit.name in plan.always:
            made = {names: source for names, source in made.items() if edit.name in names}
    order = [edit.name for edit in plan.edits]
    found: dict[str, tuple[str, ...]] = {}
    for names in sorted(made, key=lambda names: [name in names for name in order]):
        found.setdefault(_narrowed(made[names], plan.choices), names)
    return [Variant(n, names, source) for n, (source, names) in enumerate(found.items())]


def keep(found: Sequence[Variant], path: Path) -> None:
    """Write variants to a file, for a machine that lacks what the operators import."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(variant) for variant in found], indent=1), encoding="utf-8")


def kept(path: Path) -> list[Variant]:
    """What `keep` wrote."""
    return [
        Variant(item["number"], tuple(item["edits"]), item["source"])
        for item in json.loads(path.read_text(encoding="utf-8"))
    ]


def points(plan: Plan, variant: Variant) -> Iterator[Point]:
    """The full product of a variant's launch parameters, in file order."""
    space = {p.name: p.choices for p in parameters(variant.source)}
    for chosen in product(*space.values()):
        values = dict(zip(space, chosen, strict=True))
        source = with_values(variant.source, values)
        yield Point(variant.number, values, source, plan.language)


def _edited(edit: Edit, source: str, operators: Mapping[str, _Editor]) -> str | None:
    for step in edit.steps:
        # Always the same place: the note decides; where several fit, the first seed to find one.
        tries = (
            operators[step.operator].apply(source, random.Random(seed), step.note)
            for seed in range(_SEEDS)
        )
        found = next((made for made in tries if made is None or step.note in made[1]), None)
        if found is None:
            return None
        source = found[0]
    return source


def _narrowed(source: str, choices: Mapping[str, tuple[Value, ...]]) -> str:
    """The source with other choices behind its marks, and values that are among them."""
    for name, values in choices.items():
        text = ", ".join(map(str, values))
        mark = re.compile(_MARK.format(name=rf"(?:[\w:<>]+[ \t]+)*{re.escape(name)}"), re.MULTILINE)
        source = mark.sub(rf"\g<1> {text}", source)
    moved = {p.name: choices[p.name][0] for p in parameters(source) if p.name in choices}
    source = with_values(source, moved)
    return with_values(
        source, {p.name: p.choices[0] for p in parameters(source) if p.value not in p.choices}
    )


def _operators(language: str) -> dict[str, Any]:
    from operators.registry import structural_operators

    return dict(structural_operators([language]))
