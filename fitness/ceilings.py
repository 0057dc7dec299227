"""What this device can do at best: bytes per second by level of memory, operations per second.

Measured once per device and thread count in a process of our own, in well under a second, and kept
in the cache folder. Every number is the best of many short trials, and a later measurement only
ever raises it: a ceiling that is too low would call an honest kernel impossible, one that is too
high only lets a slow liar pass to the other checks.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.device_facts import device_facts
from populations.errors import WorkerError

if TYPE_CHECKING:
    from fitness.sandbox.channel import Channel
    from fitness.spec import EvaluationSpec

# Raised when what is measured changes: older files are then not read.
_VERSION = 1
_FOLDER = "ceilings"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of memory.

    Attributes:
        name: "L1", "L2", "L3" or "memory".
        capacity_bytes: What it holds for all threads together; infinite for memory.
        bytes_per_s: Bytes read and written per second at best, all threads together.
    """

    name: str
    capacity_bytes: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The best seen of one device.

    Attributes:
        device: Its name.
        levels: The levels of its memory, the nearest (and fastest) first, main memory last.
        flops_per_s: Dtype ("float32", "tf32", ...) -> floating-point operations per second.
        launch_ms: The shortest time that two events around one small kernel showed; 0 on the CPU.
    """

    device: str
    levels: tuple[Level, ...]
    flops_per_s: Mapping[str, float]
    launch_ms: float = 0.0

    def better(self, other: Ceilings) -> Ceilings:
        """For every number the better one; the levels of both must be the same."""
        levels = tuple(
            Level(
                a.name, max(a.capacity_bytes, b.capacity_bytes), max(a.bytes_per_s, b.bytes_per_s)
            )
            for a, b in zip(self.levels, other.levels, strict=True)
        )
        names = dict.fromkeys([*self.flops_per_s, *other.flops_per_s])
        flops = {n: max(self.flops_per_s.get(n, 0.0), other.flops_per_s.get(n, 0.0)) for n in names}
        launch_ms = min(self.launch_ms, other.launch_ms)
        return Ceilings(self.device, levels, flops, launch_ms)

    def to_json(self) -> dict[str, Any]:
        """As JSON: the capacity of main memory is null there."""
        plain = asdict(self)
        plain["levels"] = [
            [v.name, None if math.isinf(v.capacity_bytes) else v.capacity_bytes, v.bytes_per_s]
            for v in self.levels
        ]
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ceilings:
        """Read what `to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
        levels = tuple(
            Level(str(name), math.inf if size is None else float(size), float(rate))
            for name, size, rate in data["levels"]
        )
        flops = {str(name): float(rate) for name, rate in data["flops_per_s"].items()}
        return cls(str(data["device"]), levels, flops, float(data["launch_ms"]))


def kept(spec: EvaluationSpec) -> Ceilings | None:
    """What is known of the device of `spec`; None when it was never measured."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return Ceilings.from_json(json.loads(_file(spec).read_text(encoding="utf-8")))
    return None


def measured(spec: EvaluationSpec) -> Ceilings:
    """Measure here and now, keep the better of old and new, and return that.

    The device must be leased; the process must be one that may compute.
    """
    if spec.device == "cpu":
        from fitness.ceilings_cpu import measure
    else:
        from fitness.ceilings_cuda import measure
    found = measure(spec)
    before = kept(spec)
    if before is not None and [v.name for v in before.levels] == [v.name for v in found.levels]:
        found = found.better(before)
    file = _file(spec)
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as draft:
        json.dump(found.to_json(), draft, indent=1)
    # Renaming is atomic: another process sees no file or a whole one.
    Path(name).replace(file)
    return found


def serve(channel: Channel, argument: Mapping[str, Any]) -> None:
    """Measure in our own process, unless it was done before.

    Answers with `error`, why it failed, or "", and `lines`, what the device is, for people.

    Args:
        channel: To the pool.
        argument: `spec` (an `EvaluationSpec`).
    """
    from fitness.bench import prepare, settings_of

    spec: EvaluationSpec = argument["spec"]
    text, lines, facts = "", list[str](), dict[str, int]()
    try:
        facts = device_facts(spec)
        if kept(spec) is None:
            prepare(settings_of(spec))
            measured(spec)
        lines = [*_properties(spec), *described(kept(spec))]
    except Exception as error:  # noqa: BLE001 - without ceilings one check is missing, no more
        text = f"{type(error).__name__}: {error}"
    with suppress(WorkerError):
        channel.send_trusted({"error": text, "lines": lines, "facts": facts})


def described(ceilings: Ceilings | None) -> list[str]:
    """The ceilings in lines for people; none for a device that was never measured."""
    if ceilings is None:
        return []
    lines = []
    for level in ceilings.levels:
        size = (
            "" if math.isinf(level.capacity_bytes) else f" ({level.capacity_bytes / 2**20:.3g} MiB)"
        )
        lines.append(f"{level.name}{size}: {level.bytes_per_s / 1e9:.4g} GB/s measured")
    lines += [
        f"{name}: {rate / 1e9:.4g} GFLOP/s measured" for name, rate in ceilings.flops_per_s.items()
    ]
    if ceilings.launch_ms:
        lines.append(f"shortest launch: {ceilings.launch_ms * 1e3:.3g} us")
    return lines


def _properties(spec: EvaluationSpec) -> list[str]:
    """What a CUDA device says of itself."""
    if spec.device == "cpu":
        return []
    import torch

    found = torch.cuda.get_device_properties(spec.torch_device)
    lines = [
        f"compute capability: {found.major}.{found.minor}",
        f"streaming multiprocessors: {found.multi_processor_count}",
        f"second-level cache: {found.L2_cache_size / 2**20:.4g} MiB",
        f"memory: {found.total_memory / 2**30:.4g} GiB",
    ]
    for label, name, unit, scale in (
        ("shared memory of a block at most", "shared_memory_per_block_optin", "KiB", 1024),
        ("shared memory of a multiprocessor", "shared_memory_per_multiprocessor", "KiB", 1024),
        ("registers of a multiprocessor", "regs_per_multiprocessor", "", 1),
        ("threads of a multiprocessor at most", "max_threads_per_multi_processor", "", 1),
    ):
        if value := getattr(found, name, 0):
            lines.append(f"{label}: {value / scale:.6g} {unit}".rstrip())
    return lines


def _file(spec: EvaluationSpec) -> Path:
    key = "\0".join([str(_VERSION), spec.device, *_identity(spec)])
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return spec.cache_dir / _FOLDER / f"{spec.device}-{name}.json"


def _identity(spec: EvaluationSpec) -> list[str]:
    """What tells one device from another, as far as its speed goes."""
    if spec.device == "cpu":
        cores = len(os.sched_getaffinity(0))
        return [processor_name(), str(min(spec.threads, cores)), str(cores)]
    import torch

    found = torch.cuda.get_device_properties(spec.torch_device)
    # Slices of a device (MIG) share its name and not its speed.
    return [found.name, str(found.multi_processor_count), str(found.total_memory)]


def processor_name() -> str:
    """The processor's name as the kernel knows it; the machine's kind where it does not say."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
