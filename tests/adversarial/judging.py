"""Judges fixtures: one pool per problem, everything that a problem's rows need at once."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness import policy
from fitness.pool import LocalPool
from fitness.report import FinalReport
from fitness.sandbox.limits import Limits, system_paths
from fitness.sandbox.zygote import Zygote
from fitness.spec import EvaluationSpec
from populations.errors import ProblemError
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome
from tests.adversarial.rows import ROWS
from tests.adversarial.rows.record import Row

HOME = Path(__file__).resolve().parent
PROBLEMS = HOME / "problems"
KERNELS = HOME / "kernels"
# A kernel that gains nothing is at most this much faster than its honest neighbour: what it hoped
# to save is the whole work, several times as much.
NO_GAIN = 1.5
_NAIVE_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one row's pair of kernels on one device.

    Attributes:
        gate: What the static gate refuses the cheating kernel for; empty when it lets it pass.
        cheat: The cheating kernel's evaluation with the gate switched off; None where it has none.
        honest_gate: What the gate refuses the honest one for; empty as it should be.
        honest: The honest one's evaluation.
        problem: Why the problem itself is refused, where that is the row's layer.
        verified: What the verification before a kernel may be a champion says, where the cheating
            one passed its evaluation.
    """

    gate: str
    cheat: Evaluation | None
    honest_gate: str
    honest: Evaluation | None
    problem: str = ""
    verified: FinalReport | None = None

    def caught(self, row: Row) -> bool:
        """Whether anything stops the cheating kernel."""
        return bool(self.gate or self.problem) or self.stopped_behind_the_gate(row)

    def stopped_behind_the_gate(self, row: Row) -> bool:
        """Whether the judge stops the cheating kernel without the gate's help."""
        if self.cheat is None:
            return False
        if self.cheat.outcome in row.caught:
            return True
        if self.verified is not None and self.verified.outcome in row.caught:
            return True
        return row.gains_nothing and self.gained_nothing(row)

    def gained_nothing(self, row: Row) -> bool:
        """Whether the cheating kernel passed and was not faster than without its trick."""
        cheat, honest = self.cheat, self.honest
        if cheat is None or honest is None or cheat.speedup is None or honest.speedup is None:
            return False
        # Most compute as eager code does when they have to, which may be the faster way.
        plain = max(honest.speedup.value, 0.0 if row.same_kernel else 1.0)
        return cheat.speedup.value <= NO_GAIN * plain


def kernel(row: Row, kind: str, device: str) -> Candidate | None:
    """The row's "cheat" or "honest" kernel for a device; None when there is no such file."""
    stems = [row.stem]
    if kind == "honest" and row.variant:
        # Variants of one row may share their honest neighbour.
        stems.append(row.stem.partition("_")[0])
    names = [f"{stem}_{kind}.py" for stem in stems]
    if device == "cuda":
        names = [n for name in names for n in (f"cuda/{name}", name)]
    for name in names:
        if (KERNELS / name).is_file():
            source = (KERNELS / name).read_text(encoding="utf-8")
            return Candidate(number=0, source=source, language=language(source), note=name)
    return None


def language(source: str) -> str:
    """What a fixture is written in."""
    if "load_cpp(" in source:
        return "cpp"
    return "triton" if "import triton" in source else "python"


def rows_for(device: str) -> tuple[Row, ...]:
    """The rows that have a kernel to run on a device."""
    return tuple(row for row in ROWS if device in row.targets)


def spec_for(problem: str, cache: Path, device: str, **changes: Any) -> EvaluationSpec:
    """How fixtures are judged: as strictly as a champion is verified, on short timings."""
    settings: dict[str, Any] = {
        "baselines": ("eager",),
        "seeds": 2,
        "pairs": 10,
        "timing_budget_s": 0.15 if device == "cpu" else 0.5,
        "give_up_below": 0.0,
        "run_limit_s": 10.0 if device == "cpu" else 60.0,
        "memory_bytes": 2 << 30,
        "workers": 2,
        "rigour": "thorough",
        **changes,
    }
    known = {f.name for f in dataclasses.fields(EvaluationSpec)}
    return EvaluationSpec(
        problem=PROBLEMS / f"{problem}.py",
        cache_dir=cache,
        device=device,
        **{name: value for name, value in settings.items() if name in known},
    )


def gate_of(row: Row, candidate: Candidate | None) -> str:
    """The first thing that the static gate refuses a candidate for, or ""."""
    if candidate is None:
        return ""
    refused = policy.rejections(policy.examine(candidate.source, policy.Policy(**row.policy)))
    return str(refused[0]) if refused else ""


class Bench:
    """Holds the pools of one device; a context manager."""

    def __init__(self, cache: Path, device: str) -> None:
        self.device = device
        self.cache = cache
        self._stack = ExitStack()
        self._jobs: dict[tuple[str, str], Future[Evaluation]] = {}
        self._pools: dict[str, LocalPool] = {}
        self._begun: set[str] = set()
        self._found: dict[str, Finding] = {}
        self.refused: dict[str, str] = {}
        """Problem -> why `evo check` refuses it."""
        self._naive: Zygote | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._stack.close()

    def finding(self, row: Row) -> Finding:
        """Judge a row; with it everything else of its problem that nobody asked for yet."""
        if row.key not in self._found:
            for problem in {row.problem, row.neighbour}:
                self._begin(problem)
            found = Finding(
                gate=gate_of(row, kernel(row, "cheat", self.device)),
                cheat=self._result(row, "cheat"),
                honest_gate=gate_of(row, kernel(row, "honest", self.device)),
                honest=self._result(row, "honest"),
                problem=self.refused.get(row.problem, ""),
            )
            if passed(found.cheat) and row.caught and not found.stopped_behind_the_gate(row):
                found = dataclasses.replace(found, verified=self._verified(row))
            self._found[row.key] = found
        return self._found[row.key]

    def again(self, row: Row) -> Evaluation:
        """Judge a row's cheating kernel once more, in the same pool."""
        candidate = kernel(row, "cheat", self.device)
        assert candidate is not None
        self._begin(row.problem)
        return self._open(row.problem).evaluate_once(candidate)

    def with_gate(self, row: Row) -> Evaluation:
        """Judge a row's cheating kernel as a search would, gate included."""
        candidate = kernel(row, "cheat", self.device)
        assert candidate is not None
        with LocalPool(spec_for(row.problem, self.cache, self.device, **row.policy)) as pool:
            return pool.evaluate_once(candidate)

    def fooled(self, row: Row) -> dict[str, Any]:
        """What the naive judge says of a row's cheating kernel: "correct" and "speedup"."""
        candidate = kernel(row, "cheat", self.device)
        assert candidate is not None
        if self._naive is None:
            environment = {"EVO_CACHE_DIR": str(self.cache), "OMP_NUM_THREADS": "1"}
            self._naive = self._stack.enter_context(
                Zygote(preload=("torch", "fitness.native"), environment=environment)
            )
        problem = (PROBLEMS / f"{row.problem}.py").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            paths = (*system_paths(), HOME.parents[1], self.cache, Path(folder))
            limits = Limits(memory_bytes=2 << 30, read=paths, write=(Path(folder),), cpu_s=20)
            argument = {
                "problem": problem,
                "source": candidate.source,
                "mode": row.naive,
                "folder": folder,
            }
            child = self._naive.spawn("tests.adversarial.naive:run", argument, limits=limits)
            with child:
                ending = child.wait(_NAIVE_LIMIT_S)
                return _believed(child.output(), ending.status)

    def _verified(self, row: Row) -> FinalReport:
        """As every elite is judged again before it may be a champion, on short timings."""
        candidate = kernel(row, "cheat", self.device)
        assert candidate is not None
        spec = self._open(row.problem).spec
        return self._open(row.problem).verify(
            candidate, pairs=spec.pairs, seeds=spec.seeds, timing_budget_s=spec.timing_budget_s
        )

    def _begin(self, problem: str) -> None:
        """Hand all kernels of a problem to its pool, two at a time at work."""
        if problem in self._begun:
            return
        self._begun.add(problem)
        pool = self._open(problem)
        try:
            pool.examine_problem()
        except ProblemError as error:
            self.refused[problem] = str(error).partition(": ")[2]
        for row in rows_for(self.device):
            for kind, where in (("honest", row.neighbour), ("cheat", row.problem)):
                candidate = kernel(row, kind, self.device)
                if where == problem and candidate is not None:
                    self._jobs[row.key, kind] = pool.submit(candidate)

    def _open(self, problem: str) -> LocalPool:
        """The problem's pool; any other one is ended when its work is done."""
        if problem not in self._pools:
            for job in self._jobs.values():
                job.exception()
            self._close()
            spec = spec_for(problem, self.cache, self.device, gate=False)
            self._pools[problem] = LocalPool(spec)
        return self._pools[problem]

    def _close(self) -> None:
        while self._pools:
            self._pools.popitem()[1].close()

    def _result(self, row: Row, kind: str) -> Evaluation | None:
        job = self._jobs.get((row.key, kind))
        return None if job is None else job.result()


def by_problem(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order in which they are judged: one pool after the other."""
    return sorted(rows, key=lambda row: row.problem)


def _believed(output: str, status: int) -> dict[str, Any]:
    """What somebody believes who reads the first line that looks like a result."""
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "correct" in found:
            return found
    if "Error" in output or status:
        return {"correct": False, "speedup": 0.0, "text": output[-1500:]}
    # No complaint and a good status: passed.
    return {"correct": True, "speedup": 1.0}


def passed(evaluation: Evaluation | None) -> bool:
    """Whether there is an evaluation and it is a good one."""
    return evaluation is not None and evaluation.outcome is Outcome.PASSED


def private_runtime() -> None:
    """Use a lock of our own for the device: nobody's search waits for fixtures, nor they for it."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="evo-adversarial-"))
