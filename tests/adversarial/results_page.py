"""What is kept of a judged row, and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fitness.report import FinalReport
from populations.outcome import Evaluation, Outcome
from tests.adversarial.judging import HOME, Finding, passed
from tests.adversarial.rows import ROWS
from tests.adversarial.rows.record import Row

RESULTS = HOME / "results"
PAGE = HOME.parents[1] / "docs" / "trust.md"
DEVICES = ("cpu", "cuda")
_TITLES = {
    "A": "The output is not computed",
    "B": "The work is real, but not where the clock looks",
    "C": "The clock or the harness is edited",
    "D": "Correct only on what is checked",
    "E": "Not the asked work",
}
_TEXT_LIMIT = 150
_HEAD = """# What the judge was tried with

Every row is a known way to fool a judge of kernels, written as a kernel of our own, and beside it
an honest kernel that looks like it and is right. This page is made by `python -m
tests.adversarial`, which judges all of them; rows for a device that the last machine did not have
keep the result of the machine that had one. How each trick would win stands in
`tests/adversarial/rows/`.

*Gate* says whether the static gate refuses the text. *Behind it* says what stopped the same kernel
with the gate switched off: the gate is a tripwire, what lies behind it is the wall. A kernel that
"gains nothing" returned right values and was measured no faster than without its trick. Rows of
group E are decided by an experiment's policies, from the text alone; they are judged with
`allow_library_calls` and `allow_torch_compute` off.
"""


def record(row: Row, found: Finding) -> dict[str, Any]:
    """JSON-able: what became of one row."""
    return {
        "caught": found.caught(row) if found.cheat or found.problem else None,
        "behind_the_gate": found.stopped_behind_the_gate(row),
        "gate": found.gate,
        "problem": found.problem,
        "cheat": _evaluation(found.cheat),
        "verified": _report(found.verified),
        "honest_gate": found.honest_gate,
        "honest": _evaluation(found.honest),
    }


def alarm(entry: Mapping[str, Any]) -> bool:
    """Whether a recorded row's honest kernel did not pass."""
    honest = entry["honest"]
    return bool(entry["honest_gate"]) or honest is None or honest["outcome"] != Outcome.PASSED


def _evaluation(evaluation: Evaluation | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    lines = evaluation.diagnostics.splitlines() or [""]
    return {
        "outcome": str(evaluation.outcome),
        "text": lines[0][:400],
        "speedup": evaluation.speedup.value if passed(evaluation) and evaluation.speedup else None,
    }


def _report(report: FinalReport | None) -> dict[str, str] | None:
    if report is None:
        return None
    lines = report.diagnostics.splitlines() or [""]
    return {"outcome": str(report.outcome), "text": lines[0][:400]}


def load(device: str) -> dict[str, Any]:
    """The last recorded results of a device; empty without any."""
    path = RESULTS / f"{device}.json"
    if not path.is_file():
        return {"machine": {}, "rows": {}}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def save(device: str, machine: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """Keep a device's results; rows that were not judged now keep what they had."""
    RESULTS.mkdir(exist_ok=True)
    keys = [row.key for row in ROWS if device in row.targets]
    every = {**load(device)["rows"], **rows}
    content = {"machine": dict(machine), "rows": {k: every[k] for k in keys if k in every}}
    text = json.dumps(content, indent=1, sort_keys=False)
    (RESULTS / f"{device}.json").write_text(text + "\n", encoding="utf-8")


def write_page() -> None:
    """Write docs/trust.md from all recorded results."""
    PAGE.write_text(page({device: load(device) for device in DEVICES}), encoding="utf-8")


def page(recorded: Mapping[str, Mapping[str, Any]]) -> str:
    """The page's text."""
    parts = [_HEAD]
    for device, content in recorded.items():
        parts.append(_summary(device, content))
    for letter, title in _TITLES.items():
        parts.append(f"\n## {letter}. {title}\n")
        parts.append("| row | trick | target | gate | behind it | honest neighbour |")
        parts.append("|---|---|---|---|---|---|")
        for row in ROWS:
            if row.row[0] == letter:
                parts += [_line(row, device, recorded[device]) for device in DEVICES]
    return "\n".join(part for part in parts if part) + "\n"


def _summary(device: str, content: Mapping[str, Any]) -> str:
    rows = content["rows"]
    if not rows:
        return f"\n**{device}**: not judged yet."
    tried = [entry for entry in rows.values() if entry["caught"] is not None]
    caught = sum(entry["caught"] for entry in tried)
    walled = sum(e["behind_the_gate"] for k, e in rows.items() if k in _walled())
    walls = sum(k in _walled() for k in rows)
    right = sum(not alarm(entry) for entry in rows.values())
    machine = ", ".join(str(v) for v in content["machine"].values())
    return (
        f"\n**{device}** ({machine}): {caught} of {len(tried)} cheating kernels caught, {walled} "
        f"of the {walls} that a judge can stop without the gate were stopped so; {right} of "
        f"{len(rows)} honest neighbours passed."
    )


def _walled() -> set[str]:
    return {row.key for row in ROWS if not row.by_gate_alone}


def _line(row: Row, device: str, content: Mapping[str, Any]) -> str:
    trick = f"{row.name}: {row.trick[0].lower()}{row.trick[1:]}"
    if device in row.absent:
        return f"| {row.key} | {trick} | {device} | | *cannot apply*: {row.absent[device]} | |"
    entry = content["rows"].get(row.key)
    if entry is None:
        return f"| {row.key} | {trick} | {device} | | *not judged yet* | |"
    gate = "refused" if entry["gate"] else "passes"
    honest = "**refused or wrong**" if alarm(entry) else "passed"
    cells = (row.key, trick, device, gate, _behind(row, entry), honest)
    return f"| {' | '.join(cells)} |"


def _behind(row: Row, entry: Mapping[str, Any]) -> str:
    if entry["problem"]:
        return f"the problem is refused: {_cell(entry['problem'])}"
    if entry["cheat"] is None:
        return "no cheating kernel"
    if row.by_gate_alone:
        return "only its text tells" if entry["gate"] else "**open**"
    if not entry["behind_the_gate"]:
        reason = f": {row.open_behind}" if row.open_behind else ""
        return f"**the gate alone**{reason}" if entry["gate"] else "**open**"
    stopped = _stopped(entry["cheat"], entry["verified"])
    return f"{stopped}; **not every time**: {row.open_behind}" if row.open_behind else stopped


def _stopped(cheat: Mapping[str, Any], verified: Mapping[str, Any] | None) -> str:
    if verified is not None and verified["outcome"] != Outcome.PASSED:
        return f"verification, {verified['outcome']}: {_cell(verified['text'])}"
    if cheat["outcome"] == Outcome.PASSED:
        return f"gains nothing: measured {cheat['speedup']:.2f} times the baseline's speed"
    return f"{cheat['outcome']}: {_cell(cheat['text'])}"


def _cell(text: str) -> str:
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 3] + "..."


def summary_line(row: Row, entry: Mapping[str, Any]) -> str:
    """One line for whoever waits while rows are judged."""
    cheat, honest = entry["cheat"], entry["honest"]
    state = {True: "caught", False: "OPEN", None: "-"}[entry["caught"]]
    wall = "" if row.by_gate_alone or entry["behind_the_gate"] or not cheat else " (gate alone)"
    shown = f"{cheat['outcome']} {cheat['text'][:80]}" if cheat else entry["problem"][:90]
    alarmed = f"  FALSE ALARM: {entry['honest_gate'] or honest}" if alarm(entry) else ""
    return f"{row.key:14} {state}{wall}: {shown}{alarmed}"
