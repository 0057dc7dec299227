"""Both sides of the comparison as runs that `benchmarks.ablation.results` reads."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.ablation.runs import MEMORY, Run, Watch
from benchmarks.openevolve.operators import Even, even_operators
from benchmarks.openevolve.server import Model, Server
from evo.config import load_config
from evo.landscape import device_of, judge_of, landscape_of, seed_of
from populations.errors import WorkerError
from populations.kernel import Kernel
from populations.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments/landscape_conv1d.toml"
BARE, SCREENED, SERIAL = "_bare", "_screened", "_screened_serial"
OPENEVOLVE, OPENEVOLVE_DISTINCT = "openevolve", "openevolve_distinct"
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_LIMIT_S = 900


@dataclass(frozen=True, slots=True)
class Job:
    """One search of either side.

    Attributes:
        python: An interpreter that has `openevolve` and NumPy; None where none is asked for.
        table: The landscape's file.
        arm: `OPENEVOLVE_DISTINCT`, which tells `OPENEVOLVE` too, or as `even` has it.
        seed: As `even` and `openevolve` have it.
        evaluations: Likewise.
    """

    python: Path | None
    table: Path
    arm: str
    seed: int
    evaluations: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells its run from all others."""
        return self.table.stem, self.arm, self.seed, self.evaluations


def searched(job: Job) -> list[Run]:
    """Carry out one search in this process, OpenEvolve's with a server of its own."""
    if job.arm != OPENEVOLVE_DISTINCT:
        return [even(job.table, job.arm, job.seed, job.evaluations)]
    assert job.python is not None  # noqa: S101 - who made the job saw to it
    return list(openevolve(job.python, job.table, job.seed, job.evaluations))


def even(table: Path, arm: str, seed: int, evaluations: int) -> Run:
    """Our search with operators drawn evenly.

    Args:
        table: The landscape.
        arm: The policy; everything else has its default but that nothing is screened. With `BARE`
            behind it, a proposal is one edit, and a child keeps its parent's launch parameters
            rather than the best known. With `SCREENED` the default is screened as ever, and with
            `SERIAL` besides there is one proposal at a time, as OpenEvolve has it here.
        seed: Of the search.
        evaluations: The first kernel's included.
    """
    began, bare, serial = time.monotonic(), arm.endswith(BARE), arm.endswith(SERIAL)
    screened = serial or arm.endswith(SCREENED)
    policy = arm.removesuffix(BARE).removesuffix(SERIAL).removesuffix(SCREENED)
    settings = (
        f"evaluation.landscape={str(table)!r}",
        f"search.seed={seed}",
        f"budget.evaluations={evaluations}",
        f"search.policy={policy}",
        *(("search.edits=1",) if bare else ()),
        *(() if screened else ("search.screening=0",)),
        *(("search.in_flight=1",) if serial else ()),
    )
    config = load_config(EXPERIMENT, settings)
    landscape = landscape_of(config)
    assert landscape is not None  # noqa: S101 - it was named
    with (
        judge_of(config, device_of(config)) as pool,
        # No key switches it off: in a search there is no reason to.
        mock.patch("evo.proposing.inherit", _kept) if bare else nullcontext(),
        tempfile.TemporaryDirectory(prefix="evo-even-", dir=MEMORY) as folder,
        Store.create(Path(folder), experiment=config.text, fingerprint="even") as store,
    ):
        from evo.experiment import budget, build_search, in_flight, structural_names
        from evo.search import Search

        device = device_of(config)
        watch = Watch(landscape)
        operators = even_operators(landscape)
        credit: Any = Even(list(operators))
        parts = dataclasses.replace(
            build_search(config, device, pool, store, watch).parts,
            operators=operators,
            credit=credit,
            structural=structural_names(operators),
        )
        search = watch.search = Search(
            parts,
            budget=budget(config),
            seed=seed,
            in_flight=config.search.in_flight or in_flight(config, device),
            device=device,
            edits=config.search.edits,
            screening=config.search.screening,
        )
        first = seed_of(landscape)
        ended = search.run([Kernel(first, pool.evaluate_once(first))])
    return Run(
        landscape=table.stem,
        arm=arm,
        seed=seed,
        budget=evaluations,
        spent=watch.spent,
        champions=tuple(watch.champions),
        ended="" if watch.spent >= evaluations else ended,
        fingerprint="even",
        wall_s=round(time.monotonic() - began, 2),
    )


def _kept(source: str, *_: object) -> str:
    return source


def openevolve(python: Path, table: Path, seed: int, evaluations: int) -> Iterator[Run]:
    """One run of OpenEvolve, told twice: by its evaluations, and with repeated ones for nothing.

    Args:
        python: An interpreter that has `openevolve` and NumPy.
        table: The landscape.
        seed: Of its choices, of the model's, of the noise.
        evaluations: The first program's included.

    Raises:
        WorkerError: It failed.
    """
    from fitness.landscape.table import load

    landscape, began = load(table), time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="evo-openevolve-", dir=MEMORY) as name,
        Server(Model(landscape, seed)) as server,
    ):
        folder = Path(name)
        program, log = folder / "program.py", folder / "log.jsonl"
        program.write_text(landscape.source(landscape.seed), encoding="utf-8")
        words = [server.url, program, folder / "out", evaluations - 1, seed]
        done = subprocess.run(
            [str(python), str(_HERE / "driver.py"), *map(str, words)],
            env={
                **os.environ,
                "PYTHONPATH": str(_ROOT),
                "LANDSCAPE": str(table),
                "LANDSCAPE_SEED": str(seed),
                "LANDSCAPE_LOG": str(log),
                "NO_PROXY": "127.0.0.1",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        if done.returncode or not log.exists():
            raise WorkerError(f"OpenEvolve: {done.stderr[-2000:] or done.stdout[-2000:]}")
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    wall_s = round(time.monotonic() - began, 2)
    for arm in (OPENEVOLVE, OPENEVOLVE_DISTINCT):
        champions, spent = _champions(lines, distinct=arm == OPENEVOLVE_DISTINCT)
        yield Run(
            landscape=table.stem,
            arm=arm,
            seed=seed,
            budget=evaluations,
            spent=spent,
            champions=champions,
            ended="" if spent >= evaluations else "iterations",
            fingerprint="even",
            wall_s=wall_s,
        )


def _champions(
    lines: Sequence[Mapping[str, Any]], *, distinct: bool
) -> tuple[tuple[tuple[int, int], ...], int]:
    """Whom it names after how many evaluations, and how many there were in all.

    Its best program is the one with the highest score; of equals the first.
    """
    champions: list[tuple[int, int]] = []
    best, known, count = 0.0, set(), 0
    for number, line in enumerate(lines, 1):
        known.add(line["digest"])
        count = len(known) if distinct else number
        if line["score"] > best:
            best = line["score"]
            if not champions or champions[-1][1] != line["row"]:
                champions.append((count, line["row"]))
    return tuple(champions), count
