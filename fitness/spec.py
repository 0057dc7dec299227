"""How to judge: one frozen record that a pool, its judges and their runners share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from populations.errors import ConfigError

# Baselines every problem has; the problem's own stand beside them, each as `name` (eager) and
# `name+compile`.
STANDARD_BASELINES = ("eager", "compile", "max-autotune-no-cudagraphs")
DEVICES = ("cpu", "cuda")
_CHOICES = {
    "rigour": ("search", "thorough"),
    "determinism": ("tolerance", "bitwise"),
    "held_out": ("report", "require", "ignore"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSpec:
    """What a pool needs to know. Picklable, and nothing in it needs torch.

    Attributes:
        problem: The problem file.
        cache_dir: Folder for everything that makes a second run start faster: compiled libraries
            and the compiled baselines. Made when missing.
        device: "cpu" or "cuda".
        device_index: Which CUDA device; 0 on the CPU.
        threads: Threads that a candidate and a baseline may compute with on the CPU.
        workloads: Names of the problem's workloads to judge; empty: all of them.
        baselines: Names of the baselines to measure; empty: all there are.
        seeds: Checks per workload, each with inputs from its own secret seed.
        pairs: Paired timings per workload, at least.
        timing_budget_s: Time for the pairs of one workload; when a pair is so slow that `pairs` of
            them do not fit, fewer are taken, but never less than 5.
        min_effect: The smallest relative difference worth knowing. Beyond `pairs`, timing goes on
            (up to 4 times as many, within the budget) only while the interval is wider than this.
        give_up_below: A candidate whose interval lies entirely below this speedup after 5 pairs is
            not timed further.
        build_limit_s: Time for a toolchain to build one candidate.
        run_limit_s: Time that a candidate's process may use for everything it is asked to do;
            waiting for the device lease does not count.
        memory_bytes: Memory that a candidate's process may use, beyond what torch maps already.
        processes: Processes and threads that a candidate may have.
        output_bytes: Captured output kept of one candidate, the last of it.
        workers: Judges at work at once.
        tf32: Whether float32 products may be computed in TF32, for the reference, the baselines
            and the candidates alike.
        interpret_triton: Judge Triton candidates on the CPU in Triton's interpreter, for their
            values alone: they are checked and their timings mean nothing.
        gate: Whether the static gate's rejections count. False is for tests alone: they measure
            that what the gate stops early would be caught without it.
        rigour: "search" asks what every candidate can be asked at little cost; "thorough" asks
            everything (`fitness.questions`): distributions, each argument, each entry of the
            state, held-out shapes.
        determinism: What two answers to the same inputs must be: "tolerance", both right, or
            "bitwise", equal. How far they differ is reported in any case.
        held_out: In a thorough evaluation, what a shape, or another value of a plain number, may do
            that was not asked for: with "report" a candidate may refuse it but not get it wrong,
            with "require" it must get it right, with "ignore" it is not asked.
        diagnose: Whether to find out why a kernel is slow, or where it is wrong
            (`fitness.diagnostics`): decides nothing, and costs about a build of each that passes.
        allow_packed_weights: Whether a candidate may keep what it made of its weights when it was
            constructed, so that changing them in place later goes unnoticed.
        allow_degenerate: Whether a problem is taken on that zeros, a constant or less than its
            inputs would solve (`fitness.degenerate`).
        allow_library_calls: Whether `forward` may leave products, convolutions and attention to
            torch, cuBLAS, cuDNN or BLAS; see `fitness.policy.Policy` for this and the next two.
        allow_torch_compute: Whether `forward` may compute on tensors with torch.
        allow_state: Whether one call of `forward` may leave something for the next.
        reuse_binaries: Whether a candidate that compiles to what was judged before is given that
            result (`fitness.binaries`).
    """

    problem: Path
    cache_dir: Path
    device: str = "cpu"
    device_index: int = 0
    threads: int = 1
    workloads: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    seeds: int = 2
    pairs: int = 12
    timing_budget_s: float = 0.5
    min_effect: float = 0.02
    give_up_below: float = 0.3
    build_limit_s: float = 60.0
    run_limit_s: float = 20.0
    memory_bytes: int = 8 << 30
    processes: int = 256
    output_bytes: int = 64 << 10
    workers: int = 2
    tf32: bool = False
    interpret_triton: bool = False
    gate: bool = True
    rigour: str = "search"
    determinism: str = "tolerance"
    held_out: str = "report"
    diagnose: bool = False
    allow_packed_weights: bool = False
    allow_degenerate: bool = False
    allow_library_calls: bool = True
    allow_torch_compute: bool = True
    allow_state: bool = True
    reuse_binaries: bool = False

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ConfigError(
                f"device must be one of {', '.join(DEVICES)}, but got {self.device!r}"
            )
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}, but got {getattr(self, name)!r}"
                )
        for name in ("threads", "seeds", "workers", "memory_bytes", "processes", "output_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, but got {getattr(self, name)}")
        for name in ("timing_budget_s", "build_limit_s", "run_limit_s", "min_effect"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be greater than 0, but got {getattr(self, name)}")
        if self.pairs < 5:
            raise ConfigError(f"pairs must be at least 5, but got {self.pairs}")
        if self.device_index < 0:
            raise ConfigError(f"device_index must be at least 0, but got {self.device_index}")
        if not 0 <= self.give_up_below < 1:
            raise ConfigError(
                f"give_up_below must be at least 0 and below 1, but got {self.give_up_below}"
            )
        for name in ("workloads", "baselines"):
            names = getattr(self, name)
            if len(set(names)) != len(names):
                raise ConfigError(f"{name} must not repeat a name, but got {', '.join(names)}")

    @property
    def torch_device(self) -> str:
        """The device's name in torch."""
        return "cpu" if self.device == "cpu" else f"cuda:{self.device_index}"
