"""From the file of results to the compressed table that is shipped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.landscape.lattice import Plan, Variant
from benchmarks.landscape.records import pooled, read
from fitness.landscape.table import save
from populations.errors import ConfigError
from populations.outcome import Outcome
from populations.parameters import Value, parameters

# Of a header, what is not said elsewhere in the table.
_PROVENANCE = (
    "digest",
    "problem",
    "problem_digest",
    "pairs",
    "seed",
    "command",
    "date",
    "machine",
    "baselines_ms",
    "confinement",
    "clocks_before",
    "clocks_after",
)
_TEXT = 200


def pack(plan: Plan, found: Sequence[Variant], file: Path, out: Path) -> int:
    """Write the table of a plan's results.

    Args:
        plan: What was measured.
        found: Its variants.
        file: The results.
        out: The table's file.

    Returns:
        The number of points.

    Raises:
        ConfigError: The results are of other variants than these.
    """
    header, records = read(file)
    if header.get("digest") != plan.digest(found):
        raise ConfigError(f"{file}: measured with digest {header.get('digest')}, not the plan's")
    records.sort(key=lambda r: (r.variant, [str(v).rjust(12) for v in r.values.values()]))
    choices = _choices(found)
    outcomes = [str(outcome) for outcome in Outcome]
    texts = list(dict.fromkeys(r.text[:_TEXT] for r in records))
    single = max((len(r.log_ratios) for r in records), default=0)
    records = pooled(records)
    rounds = max((len(r.log_ratios) for r in records), default=0)
    about = {
        "name": plan.name,
        "language": plan.language,
        "device": plan.device,
        "workload": plan.workload,
        "baseline": min(header["baselines_ms"], key=header["baselines_ms"].__getitem__),
        "edits": [
            {
                "name": edit.name,
                "operators": [step.operator for step in edit.steps],
                "needs": edit.needs,
            }
            for edit in plan.edits
        ],
        "variants": [{"edits": v.edits, "source": v.source} for v in found],
        "parameters": choices,
        "outcomes": outcomes,
        "texts": texts,
        # Of one measurement; a point that was measured several times has more.
        "rounds": single,
        "provenance": {key: header[key] for key in _PROVENANCE if key in header},
    }
    arrays: dict[str, Sequence[Any]] = {
        "variant": [r.variant for r in records],
        "choice": [_chosen(r.values, choices) for r in records],
        "outcome": [outcomes.index(r.outcome) for r in records],
        "text": [texts.index(r.text[:_TEXT]) for r in records],
        "candidate_ms": [r.candidate_ms for r in records],
        "baseline_ms": [r.baseline_ms for r in records],
        "log_ratios": [
            [*r.log_ratios, *[math.nan] * (rounds - len(r.log_ratios))] for r in records
        ],
        "build_s": [r.build_s for r in records],
        "device_s": [r.device_s for r in records],
    }
    save(out, about, arrays)
    return len(records)


def _choices(found: Sequence[Variant]) -> dict[str, list[Value]]:
    choices: dict[str, dict[Value, None]] = {}
    for variant in found:
        for parameter in parameters(variant.source):
            choices.setdefault(parameter.name, {}).update(dict.fromkeys(parameter.choices))
    return {name: list(values) for name, values in choices.items()}


def _chosen(values: Mapping[str, Value], choices: Mapping[str, list[Any]]) -> list[int]:
    return [choices[name].index(values[name]) if name in values else -1 for name in choices]
