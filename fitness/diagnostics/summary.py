"""An evaluation's diagnostics as text: for people, and for whoever is to write the next kernel.

Pure functions of records: what was found out stands in `Evaluation.details`:

    diagnostics   `cpp` (of `fitness.diagnostics.compiled`), `kernels` (of `.resources`), `counters`
                  (of a profiler, where one ran); once concluded, `bottleneck`, which follows from
                  what is found out about every kernel, and `profiled`, which the counters decide
    diagnosis     the lines of `lines` without a parent
    roofline      workload -> share of the roofline; `own_share` of a verification
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fitness.diagnostics import profiles, resources, traces
from fitness.diagnostics.bottleneck import Bottleneck, classify
from populations.outcome import Evaluation

MOST_LINES = 38
_SHARES_SHOWN = 6
_FAILED_LINES = 30
_TAKEN = ("registers", "spills", "wgmma", "tcgen05")


def summary(evaluation: Evaluation, parent: Evaluation | None = None) -> str:
    """What is known of a kernel beside its times, in fewer than 40 lines; may be empty.

    Args:
        evaluation: Of the kernel. One that did not pass has its own text, cut in the middle.
        parent: Of the kernel it was made from: what differs is said.
    """
    if not evaluation.passed:
        text = evaluation.diagnostics.strip().splitlines()
        half = _FAILED_LINES // 2
        cut = text if len(text) <= _FAILED_LINES else [*text[:half], "[...]", *text[-half:]]
        return "\n".join(cut)
    before = parent.details if parent is not None and parent.passed else {}
    return "\n".join(lines(evaluation.details, before))


def concluded(details: Mapping[str, Any]) -> dict[str, Any]:
    """What to add to the details of an evaluation once all is measured.

    Returns:
        `diagnostics` with the bottleneck in it, and `diagnosis`, its lines; empty where nothing was
        found out about the kernel.
    """
    known = _mapping(details.get("diagnostics"))
    if not known:
        return {}
    found = dict(known)
    # A policy may sort kernels by it: that must not hang on who was profiled.
    if every := {name: value for name, value in known.items() if name != "counters"}:
        found["bottleneck"] = diagnosed({**details, "diagnostics": every}).to_json()
    if _mapping(known.get("counters")).get("kernels"):
        found["profiled"] = diagnosed(details).to_json()
    return {"diagnostics": found, "diagnosis": lines({**details, "diagnostics": found})}


def diagnosed(details: Mapping[str, Any]) -> Bottleneck:
    """The bottleneck that an evaluation's details show."""
    return classify(counters_of(details))


def counters_of(details: Mapping[str, Any]) -> dict[str, Any]:
    """Counters of `fitness.diagnostics.bottleneck` from an evaluation's details."""
    known = _mapping(details.get("diagnostics"))
    found: dict[str, Any] = {}
    cpp = _mapping(known.get("cpp"))
    found |= {
        k: cpp[k] for k in ("scalar_loops", "vector_loops", "ordered_sums", "stack") if k in cpp
    }
    kernels = _kernels(known)
    if kernels:
        # Where it is not known which one runs longest, the one that asks for most is looked at.
        longest = _mapping(known.get("counters")).get("kernel")
        named = [k for k in kernels if k.get("name") == longest]
        main = max(named or kernels, key=lambda k: (k.get("spills") or 0, k.get("registers") or 0))
        found |= {k: main[k] for k in _TAKEN if main.get(k) is not None}
        if main.get("occupancy") is not None:
            found["theoretical_occupancy"] = main["occupancy"]
            found["limited_by"] = main.get("limited_by", "")
    own = _mapping(details.get("own_share"))
    if own and kernels:
        found |= traces.of_share(_mapping(next(iter(own.values()))))
    shares, counted = _shares(details), _mapping(known.get("counters"))
    # What was counted belongs to one workload; its share is to go with it.
    if (alone := str(counted.get("workload"))) in shares:
        shares = {alone: shares[alone]}
    if shares:
        product = math.prod(max(share, 1e-9) for share, _ in shares.values())
        found["roofline_share"] = product ** (1 / len(shares))
        bounds = {bound for _, bound in shares.values() if bound}
        if len(bounds) == 1:
            found["bound"] = bounds.pop()
    return {**found, **counted}


def lines(details: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[str]:
    """The summary of a kernel that passed, from its details and its parent's."""
    known = _mapping(details.get("diagnostics"))
    old = _mapping((before or {}).get("diagnostics"))
    found = [*_bottleneck(details, before or {}), *_roofline(details)]
    found += profiles.lines(_mapping(known.get("counters")), _mapping(details.get("roofline")))
    found += resources.lines(_kernels(known), _kernels(old))
    cpp, earlier = _mapping(known.get("cpp")), _mapping(old.get("cpp"))
    told = _texts(earlier, "loops") + _texts(earlier, "mix")
    for title, key in (("loops, as the compiler reports:", "loops"), ("instructions:", "mix")):
        texts = _texts(cpp, key)
        if not texts:
            continue
        found.append(title)
        # Where line numbers moved a line counts as changed, which is no harm.
        found += [f"  {text}{'' if not told or text in told else '  [new]'}" for text in texts]
    gone = [t for t in _texts(earlier, "mix") if t not in _texts(cpp, "mix")]
    found += [f"  parent had: {text}" for text in gone[:3]]
    return found[:MOST_LINES]


def _bottleneck(details: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    diagnosis = diagnosed(details)
    if not diagnosis.evidence:
        return []
    was = diagnosed(before) if before else None
    changed = (
        f" (parent: {was.kind})" if was and was.evidence and was.kind != diagnosis.kind else ""
    )
    first, *more = diagnosis.evidence
    return [f"bottleneck: {diagnosis.kind}{changed}: {first}", *(f"  {text}" for text in more)]


def _roofline(details: Mapping[str, Any]) -> list[str]:
    shares = list(_shares(details).items())
    if not shares:
        return []
    told = ", ".join(f"{name} {share:.0%}" for name, (share, _) in shares[:_SHARES_SHOWN])
    return [f"share of the roofline: {told}"]


def _shares(details: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Workload -> share of the roofline, and which side of it, as far as it is said."""
    found = {}
    for workload, facts in _mapping(details.get("roofline")).items():
        share = _mapping(facts).get("share")
        # Where the floor is only that of a launch there is nothing to take a share of.
        if isinstance(share, int | float) and 0 < share < 10:
            found[str(workload)] = float(share), str(_mapping(facts).get("bound") or "")
    return found


def _kernels(known: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    kernels = known.get("kernels")
    return [k for k in kernels if isinstance(k, Mapping)] if isinstance(kernels, list) else []


def _texts(known: Mapping[str, Any], key: str) -> list[str]:
    texts = known.get(key)
    return [str(text) for text in texts] if isinstance(texts, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
