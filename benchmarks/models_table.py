"""Models beside structural operators, from recorded runs: tables in Markdown.

Run as `python -m benchmarks.models_table RUN...`. For each problem: what each operator brought, all
its runs together; and the runs by who proposed in them (models, structural operators, both) after
equally many evaluations, that is as many as the shortest run of the problem has, or
`--evaluations`. Speedups are those measured in the search, with their intervals: the best of many,
so each is as lucky as the next.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evo.parts import SEED
from evo.tables import NOTHING, format_speedup
from evo.tally import Tally, tally
from populations.errors import EvoError
from populations.outcome import Speedup
from populations.store import Store

MODELS, STRUCTURAL, BOTH = "models", "structural", "both"
# Operators of neither kind, which every search has.
_COMMON = ("merge", "tune")


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded run.

    Attributes:
        name: Of its directory.
        problem: The problem file's stem.
        arm: Who proposed in it: MODELS, STRUCTURAL or BOTH.
        evaluations: Kernels judged, seeds among them.
        tallies: Each operator's balance, structural ones as one.
    """

    name: str
    problem: str
    arm: str
    evaluations: int
    tallies: tuple[Tally, ...]

    def total(self) -> Tally:
        """The balance of all that was proposed, seeds left out."""
        return together(self.name, (t for t in self.tallies if t.operator != SEED))


def read(directory: Path, evaluations: int | None = None) -> Run:
    """Read a run, or its first so many evaluations.

    Raises:
        StoreError: There is none.
    """
    with Store.open(directory, read_only=True) as store:
        experiment = tomllib.loads(store.meta("experiment"))
        asked = {proposal.operator for proposal in store.proposals()}
        own = tally(store, evaluations)
        count = len(store.kernels())
    structural = [t for t in own if t.operator not in (*asked, *_COMMON, SEED)]
    kept = [t for t in own if t not in structural]
    if structural:
        kept.append(together(STRUCTURAL, structural))
    arm = (BOTH if structural else MODELS) if asked else STRUCTURAL
    return Run(
        name=directory.resolve().name,
        problem=Path(experiment["problem"]["path"]).stem,
        arm=arm,
        evaluations=min(count, evaluations or count),
        tallies=tuple(kept),
    )


def together(name: str, tallies: Iterable[Tally]) -> Tally:
    """Several balances as one."""
    made = Tally(name)
    for one in tallies:
        for key in ("proposals", "candidates", "passed", "improved", "calls", "tokens", "cost_usd"):
            setattr(made, key, getattr(made, key) + getattr(one, key))
        made.best = _better(made.best, one.best)
        for reason, count in one.rejected.items():
            made.rejected[reason] = made.rejected.get(reason, 0) + count
    return made


def operator_table(runs: Sequence[Run]) -> list[str]:
    """What each operator brought in these runs together, the most used first."""
    names = dict.fromkeys(t.operator for run in runs for t in run.tallies if t.operator != SEED)
    found = [together(n, (t for r in runs for t in r.tallies if t.operator == n)) for n in names]
    found.sort(key=lambda t: (-t.proposals, t.operator))
    rows = [
        (
            f"`{t.operator}`" if t.calls else t.operator,
            str(t.proposals),
            _share(t.passed, t.proposals),
            _share(t.improved, t.proposals),
            format_speedup(t.best),
            ", ".join(
                f"{n} {reason.replace('_', ' ')}" for reason, n in sorted(t.rejected.items())
            ),
        )
        for t in found
    ]
    head = ("operator", "proposals", "valid", "faster than its parent", "best", "came to nothing")
    return _markdown(head, rows)


def arm_table(runs: Sequence[Run]) -> list[str]:
    """The runs after equally many evaluations, by who proposed."""
    rows = []
    for run in sorted(runs, key=lambda r: (r.arm, r.name)):
        total = run.total()
        seed = next((t for t in run.tallies if t.operator == SEED), None)
        rows.append(
            (
                run.arm,
                run.name,
                str(run.evaluations),
                _share(total.passed, total.proposals),
                _share(total.improved, total.proposals),
                format_speedup(seed.best if seed else None),
                format_speedup(total.best),
                f"{total.cost_usd:.2f}" if total.cost_usd else NOTHING,
            )
        )
    head = (
        "who proposes", "run", "evaluations", "valid", "faster than its parent", "seed", "best",
        "US dollars",
    )  # fmt: skip
    return _markdown(head, rows)


def report(directories: Sequence[Path], evaluations: int | None = None) -> str:
    """All tables of all problems, as Markdown.

    Raises:
        StoreError: A directory holds no run.
    """
    runs = [read(directory) for directory in directories]
    lines: list[str] = []
    for problem in sorted({run.problem for run in runs}):
        own = {d: r for d, r in zip(directories, runs, strict=True) if r.problem == problem}
        count = min(run.evaluations for run in own.values())
        count = min(count, evaluations or count)
        # Who proposes is a matter of the whole run, not of its first few kernels.
        cut = [replace(read(path, count), arm=run.arm) for path, run in own.items()]
        lines += [f"### {problem}", "", *operator_table([*own.values()]), ""]
        lines += [f"After {count} evaluations each:", "", *arm_table(cut), ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.models_table", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs")
    parser.add_argument("--evaluations", type=int, help="compare the runs after that many at most")
    options = parser.parse_args(arguments)
    try:
        print(report(options.runs, options.evaluations))
    except EvoError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _better(one: Speedup | None, other: Speedup | None) -> Speedup | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda speedup: speedup.value)


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if whole else NOTHING


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    sys.exit(main())
