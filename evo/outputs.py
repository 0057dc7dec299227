"""The files of a run, written from its store: champion, report and lineage.

`evo report DIRECTORY` writes them again; a run that is still going may be looked at so.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.budget import Spent
from evo.config import Config
from evo.events import (
    BaselinesMeasured,
    Event,
    Finished,
    Judged,
    Message,
    Observer,
    Remeasured,
    Resumed,
    Started,
)
from evo.tables import PROVISIONAL, WorkloadRow, format_count, workload_rows
from populations.errors import EvoError, StoreError
from populations.kernel import Kernel
from populations.outcome import Speedup

if TYPE_CHECKING:
    from evo.report import RunData
    from populations.store import Store

CHAMPION = "champion.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo report`; returns its exit status."""
    parser = argparse.ArgumentParser(prog="evo report", description=__doc__)
    parser.add_argument("directory", type=Path, help="a run directory, as runs/conv1d")
    options = parser.parse_args(arguments)
    from evo.signals import guarded

    return guarded(lambda: report(options.directory))


def report(directory: Path) -> int:
    """Write the files of a run, whether it has ended or not; say what each operator brought."""
    from evo.tally import table, tally
    from populations.store import Store

    with Store.open(directory, read_only=True) as store:
        files = write_outputs(store, directory)
        print(f"{table(tally(store))}\n")
        if again := len(store.remeasured()):
            print(f"{format_count(again, 'evaluation')} measured a kernel again\n")
        for what, path in files.items():
            print(f"{what:10} {path}")
    return 0


def write_outputs(store: Store, directory: Path) -> dict[str, str]:
    """Write champion.py, report.html, lineage.graphml and lineage.json.

    Returns:
        What it is -> its path as a person would type it; "champion" only when a kernel passed.
    """
    from evo.report import write_report

    data = run_data(store)
    lineage = data.history.lineage if data.history else store.lineage()
    files = {"report": "report.html", "lineage": "lineage.graphml", "store": "run.db"}
    try:
        write_report(data, directory / files["report"])
        lineage.write_graphml(directory / files["lineage"])
        lineage.write_json(directory / "lineage.json")
        if data.best is None:
            # One that the search had kept fell when it was measured again.
            (directory / CHAMPION).unlink(missing_ok=True)
        else:
            files = {"champion": CHAMPION, **files}
            write_champion(
                store,
                directory,
                data.best,
                speedup=data.headline,
                table=data.table,
                provisional=data.provisional,
            )
    except OSError as error:
        raise StoreError(f"{directory}: cannot be written: {error.strerror}") from error
    return {what: str(directory / name) for what, name in files.items()}


def write_champion(
    store: Store,
    directory: Path,
    champion: Kernel,
    *,
    speedup: Speedup | None,
    table: Sequence[WorkloadRow],
    provisional: bool,
) -> None:
    """Write `champion.py`, a plain file that needs torch (and Triton) only.

    A champion of a search that still runs is provisional, and the file says so: only one that was
    judged again, with other seeds and more questions, is final.

    Raises what `evo.export.export_champion` raises.
    """
    from evo.export import export_champion

    facts = {"computes": store.meta("name") or "", "made by": reproduce(store)}
    if provisional:
        facts["standing"] = PROVISIONAL.strip(" ()")
    facts |= store.meta("facts") or {}
    export_champion(champion, directory / CHAMPION, facts=facts, speedup=speedup, table=table)


class ChampionFile:
    """Keeps `champion.py` fresh while a search runs, so that a killed run leaves its best kernel.

    An observer in front of another one, which it tells everything, and once what went wrong.
    """

    def __init__(self, store: Store, directory: Path, then: Observer) -> None:
        self._store = store
        self._directory = directory
        self._then = then
        self._said = False

    def notify(self, event: Event) -> None:
        """Write the file when there is a new champion; pass the event on."""
        match event:
            case Judged(is_best=True):
                self._write(event.kernel)
            case Remeasured(champion=Kernel() as champion) if (
                event.is_new or champion.number == event.kernel.number
            ):
                self._write(champion)
            case Resumed() if event.improvements:
                (champion,) = [k for k in event.kernels if k.number == event.improvements[-1]]
                self._write(champion)
        self._then.notify(event)

    def _write(self, champion: Kernel) -> None:
        evaluation = champion.evaluation
        baselines = self._store.meta("baselines") or {}
        table = workload_rows(baselines, self._store.evaluation(0), evaluation)
        try:
            write_champion(
                self._store,
                self._directory,
                champion,
                speedup=evaluation.speedup,
                table=table,
                provisional=True,
            )
        except (EvoError, OSError) as error:
            if not self._said:
                self._then.notify(Message(f"{CHAMPION} cannot be written: {error}"))
            self._said = True


def reproduce(store: Store) -> str:
    """The command that makes a run like this one."""
    words = ["python", "-m", "evo.run", store.meta("path") or store.meta("name") or ""]
    for override in store.meta("overrides") or ():
        words += ["--set", override]
    return shlex.join(words)


def run_data(store: Store) -> RunData:
    """Gather what the report shows; of a run that still goes, what there is."""
    from evo.report import RunData
    from populations.analysis.history import read_history

    # Read before the kernels: what is named here is then among them.
    final = store.meta("final") or {}
    reason = store.meta("reason") or "still running, or ended without a word"
    baselines = store.meta("baselines") or {}
    facts = store.meta("facts") or {}
    experiment = tomllib.loads(store.meta("experiment"))
    history = store.history()
    kernels = list({kernel.number: kernel for kernel in history}.values())
    passed = {kernel.number for kernel in kernels if kernel.passed}
    improvements = [number for number in improvements_of(history) if number in passed]
    champion = final.get("champion", improvements[-1] if improvements else None)
    best = next((k for k in kernels if k.number == champion), None)
    rows = tuple(row_of(row) for row in final.get("rows", ())) or workload_rows(
        baselines,
        kernels[0].evaluation if kernels and kernels[0].passed else None,
        best.evaluation if best else None,
    )
    return RunData(
        experiment=store.meta("name") or "",
        random_seed=experiment["search"]["seed"],
        device=facts.get("device", ""),
        reason=reason,
        spent=Spent(
            evaluations=len(history),
            wall_s=store.meta("wall_s") or 0.0,
            device_s=sum(kernel.evaluation.device_s for kernel in kernels),
            cost_usd=sum(call.answer.cost_usd for call in store.calls()),
            since_best=len(history) - 1 - improvements[-1] if improvements else len(history),
        ),
        kernels=tuple(kernels),
        improvements=tuple(improvements),
        champion=champion,
        speedup=Speedup(*final["speedup"]) if final.get("speedup") else None,
        table=rows,
        baselines=baselines,
        config=store.meta("experiment"),
        facts={str(k): str(v) for k, v in facts.items()},
        reproduce=reproduce(store),
        history=read_history(store, history),
    )


def announce(config: Config, store: Store, directory: Path, observer: Observer) -> None:
    """Tell that a run begins, and its baselines, from what its store holds."""
    from evo.experiment import budget, workers

    baselines, facts = store.meta("baselines"), store.meta("facts")
    observer.notify(
        Started(
            experiment=config.name,
            directory=str(directory),
            device=store.meta("target"),
            device_name=facts["device"],
            threads=int(facts["threads"]),
            budget=budget(config),
            workers=workers(config, store.meta("target")),
            workloads=tuple(baselines),
        )
    )
    observer.notify(BaselinesMeasured(baselines))


def finish(store: Store, directory: Path, observer: Observer) -> None:
    """Write the files and tell how the run ended."""
    files = write_outputs(store, directory)
    data = run_data(store)
    champion = data.best
    if champion is not None:
        # What is told of it is the closing measurement, not the one that made it champion.
        evaluation = dataclasses.replace(champion.evaluation, speedup=data.headline)
        champion = dataclasses.replace(champion, evaluation=evaluation)
    observer.notify(
        Finished(
            reason=data.reason,
            champion=champion,
            table=data.table,
            spent=data.spent,
            files=files,
            provisional=data.provisional,
        )
    )


def improvements_of(history: Sequence[Kernel]) -> list[int]:
    """Numbers of the kernels that became champion, in order, by the search's own rule.

    `history` is that of the store: kernels come again when they have been measured again, and one
    may become champion a second time.
    """
    from populations.statistics import Progress

    progress, known, improvements = Progress(), set(), []
    for kernel in history:
        take = progress.remeasured if kernel.number in known else progress.insert
        known.add(kernel.number)
        if take(kernel) and progress.champion is not None:
            improvements.append(progress.champion.number)
    return improvements


def row_of(data: Mapping[str, Any]) -> WorkloadRow:
    """A row of the closing table from its stored form; the inverse of `plain_row`."""
    speedup = data["speedup"]
    return WorkloadRow(**{**data, "speedup": Speedup(*speedup) if speedup else None})


def plain_row(row: WorkloadRow) -> dict[str, Any]:
    """A row of the closing table as JSON-able data."""
    plain = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    speedup = row.speedup
    plain["baselines_ms"] = dict(row.baselines_ms)
    plain["speedup"] = [speedup.value, speedup.low, speedup.high] if speedup else None
    return plain
