"""A/A: one kernel against itself, two fresh processes each time, through the judge's own timing.

The way is that of a closing measurement, whose numbers are reported of a champion: on the CPU sixty
rounds in five draws, each with other processes. A search measures a kernel in one draw, and so does
`--pairs 12`. The true ratio is 1, so what is measured is the error of the measurement: how often
the 95% interval holds 1, how often the kernel would be called faster than itself by 1%, and how
much the reported speedup scatters. `odd` is the share of draws in which one of two processes was
slower than the other by 5% or more. On CUDA the median is also compared with Triton's `do_bench` on
the same kernel in the same state of the cache.
"""

from __future__ import annotations

import importlib.util
import math
import statistics as stdlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from populations.kernel import Candidate

if TYPE_CHECKING:
    from fitness.rounds import Draws

FOLDER = Path(__file__).parent / "itself"
PROBLEM = FOLDER / "problem.py"
KERNELS = {
    "cpu": (FOLDER / "kernel_cpp.py", "cpp"),
    "cuda": (FOLDER / "kernel_triton.py", "triton"),
}
# About 0.1 ms and 1 ms where a core of a server, or a GPU, computes it.
DEFAULT = {"cpu": "128k,512k", "cuda": "32M,256M"}
# A kernel called faster than itself by more than this is a false discovery.
FALSE_BY = 0.01
# Two processes of one kernel that are apart by more than this did not have the same luck.
ODD = 0.05
DO_BENCH_MS = 200


def measure(
    device: str,
    repetitions: int,
    workloads: Sequence[str] = (),
    *,
    threads: int = 1,
    pairs: int = 60,
) -> dict[str, Any]:
    """Measure every workload; the device is this machine's first.

    Args:
        device: "cpu" or "cuda".
        repetitions: How often two new processes are timed against each other.
        workloads: Names of the problem's workloads; empty: those of `DEFAULT`.
        threads: CPU threads of each process.
        pairs: Rounds of one measurement, at least; as many as in a closing measurement, whose
            numbers are what is reported of a champion.
    """
    from evo.experiment import cache_dir
    from fitness.pool import LocalPool
    from fitness.spec import EvaluationSpec

    file, language = KERNELS[device]
    candidate = Candidate(0, file.read_text(encoding="utf-8"), language, note=file.name)
    spec = EvaluationSpec(
        problem=PROBLEM,
        cache_dir=cache_dir(),
        device=device,
        threads=threads,
        workloads=tuple(workloads) or tuple(DEFAULT[device].split(",")),
        baselines=("eager",),
        workers=1,
        run_limit_s=60.0,
        pairs=pairs,
        timing_budget_s=2.0,
        give_up_below=0.0,
    )
    found: dict[str, Any] = {"device": device, "repetitions": repetitions, "pairs": spec.pairs}
    with LocalPool(spec) as pool:
        evaluation = pool.evaluate_once(candidate)
        if not evaluation.passed:
            raise RuntimeError(f"{file.name}: {evaluation.outcome}: {evaluation.diagnostics}")
        found["workloads"] = {
            t.workload: summary(list(pool.against_itself(candidate, t.workload, repetitions)))
            for t in evaluation.timings
        }
    if device == "cuda":
        for workload, numbers in found["workloads"].items():
            numbers["do_bench_ms"] = _do_bench_ms(file, workload)
    return found


def summary(measured: Sequence[Draws]) -> dict[str, Any]:
    """What many measurements of a ratio of 1 say, with the ratios themselves."""
    speedups = [rounds.speedup("control") for rounds in measured]
    values = [s.value for s in speedups]
    apart = [abs(each.speedup("control").log) for r in measured for each in r.rounds]
    return {
        "candidate_ms": stdlib.median(r.median_ms("candidate") for r in measured),
        "coverage": _share(s.low <= 1 <= s.high for s in speedups),
        "false_faster": _share(s.low > 1 + FALSE_BY for s in speedups),
        "variation": stdlib.stdev(values) / stdlib.mean(values) if len(values) > 1 else math.nan,
        "half_width": stdlib.median(math.sqrt(s.high / s.low) - 1 for s in speedups),
        "draws": len(measured[0].rounds),
        "odd": _share(a > math.log1p(ODD) for a in apart),
        "speedups": [[s.value, s.low, s.high] for s in speedups],
        "medians": [[r.median_ms(name) for name in r.names] for r in measured],
        "rounds": [r.facts() for r in measured],
        "log_ratios": [r.log_ratios("control") for r in measured],
    }


def _share(found: Iterator[bool]) -> float:
    each = list(found)
    return sum(each) / len(each)


def _do_bench_ms(file: Path, workload: str) -> float:
    """Triton's own benchmark of the kernel: median, second-level cache flushed before each call."""
    import torch
    from triton.testing import do_bench

    problem, kernel = _module(PROBLEM), _module(file)
    with torch.no_grad():
        model = kernel.ModelNew().cuda()
        inputs = [t.cuda() for t in problem.get_inputs(**problem.WORKLOADS[workload])]
        call: Callable[[], Any] = lambda: model(*inputs)  # noqa: E731 - it is handed on
        return float(do_bench(call, warmup=DO_BENCH_MS, rep=DO_BENCH_MS, return_mode="median"))


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
