"""Nsight Compute's tables as counters: both forms of its CSV, condensed to the longest kernel.

`ncu --csv` writes one line per metric ("details" page and `--metrics`), `ncu --csv --page raw` one
line per kernel with a line of units under the header. The profiled program's own output and lines
with "==PROF==" stand before the table; numbers may have separators of thousands; what a device
cannot measure is "n/a". Profiled kernels are replayed with clocks held: their duration is for
comparing them with each other.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Asked of ncu; a device that lacks one says "n/a".
METRICS: Mapping[str, str] = {
    "gpu__time_duration.sum": "duration_us",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "sm_pct",
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": "memory_pct",
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": "dram_pct",
    "lts__throughput.avg.pct_of_peak_sustained_elapsed": "l2_pct",
    "l1tex__throughput.avg.pct_of_peak_sustained_elapsed": "l1_pct",
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed": "tensor_pct",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_pct",
    "sm__maximum_warps_per_active_cycle_pct": "theoretical_occupancy_pct",
    "launch__waves_per_multiprocessor": "waves",
    "launch__registers_per_thread": "registers",
    "launch__shared_mem_per_block": "shared_bytes",
    "launch__occupancy_limit_registers": "limit_registers",
    "launch__occupancy_limit_shared_mem": "limit_shared memory",
    "launch__occupancy_limit_warps": "limit_warps",
    "launch__occupancy_limit_blocks": "limit_blocks",
    "smsp__inst_executed.sum": "instructions",
    "smsp__sass_inst_executed_op_local_ld.sum": "local_loads",
    "smsp__sass_inst_executed_op_local_st.sum": "local_stores",
    "smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct": "load_efficiency_pct",
    "lts__t_sector_hit_rate.pct": "l2_hit_pct",
}
STALLS = (
    "long_scoreboard",
    "short_scoreboard",
    "barrier",
    "wait",
    "math_pipe_throttle",
    "mio_throttle",
    "lg_throttle",
    "no_instruction",
    "gmma",
)
_STALL = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
_STALLED = re.compile(
    r"^smsp__(?:average_)?warps?_issue_stalled_(\w+?)_per_(?:issue|warp)_active(?:\.\w+)*$"
)
# The same under the names of the "details" page, and older ones.
_LABELS = {
    "Duration": "duration_us",
    "gpu__time_duration.avg": "duration_us",
    "Compute (SM) Throughput": "sm_pct",
    "Compute (SM) [%]": "sm_pct",
    "Memory Throughput": "memory_pct",
    "DRAM Throughput": "dram_pct",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "dram_pct",
    "L2 Cache Throughput": "l2_pct",
    "L1/TEX Cache Throughput": "l1_pct",
    "Achieved Occupancy": "occupancy_pct",
    "Theoretical Occupancy": "theoretical_occupancy_pct",
    "Waves Per SM": "waves",
    "Registers Per Thread": "registers",
    "Block Limit Registers": "limit_registers",
    "Block Limit Shared Mem": "limit_shared memory",
    "Block Limit Warps": "limit_warps",
    "Block Limit SM": "limit_blocks",
    "L2 Hit Rate": "l2_hit_pct",
}
_FACTORS = {"n": 1e-3, "u": 1.0, "m": 1e3, "s": 1e6}


@dataclass(frozen=True, slots=True)
class Profiled:
    """One launch.

    Attributes:
        kernel: Its name.
        values: Numbers by the names of `METRICS`, and `stall_...`.
    """

    kernel: str
    values: Mapping[str, float]


def command(program: Sequence[str], *, kernels: str = "", launches: int = 8) -> list[str]:
    """The command that profiles a program; its table goes to standard output.

    Args:
        program: Program and arguments.
        kernels: Regular expression of kernels' names; empty: all.
        launches: How many are profiled; each is replayed a few times.
    """
    metrics = [*METRICS, *(_STALL.format(name) for name in STALLS)]
    some = ["--kernel-name", f"regex:{kernels}"] if kernels else []
    return [
        "ncu",
        "--csv",
        "--page",
        "raw",
        "--target-processes",
        "all",
        "--launch-count",
        str(launches),
        *some,
        "--metrics",
        ",".join(metrics),
        *program,
    ]


def parse(text: str) -> list[Profiled]:
    """Launches in what `ncu --csv` wrote, on either page; empty where there is no table."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.lstrip().startswith('"ID"')), None)
    if start is None:
        return []
    try:
        header, *body = (row for row in csv.reader(lines[start:]) if row)
    except csv.Error:
        return []
    if "Kernel Name" not in header:
        return []
    body = [row for row in body if len(row) > header.index("Kernel Name")]
    return list(_long(header, body) if "Metric Name" in header else _wide(header, body))


def counters(launches: Sequence[Profiled]) -> dict[str, Any]:
    """Counters of `fitness.diagnostics.bottleneck` for the kernel that takes longest in all.

    Args:
        launches: Of one call of a model, as `parse` found them.
    """
    total: dict[str, float] = {}
    for launch in launches:
        total[launch.kernel] = total.get(launch.kernel, 0.0) + launch.values.get("duration_us", 0.0)
    if not total:
        return {}
    name = max(total, key=lambda kernel: total[kernel])
    own = [launch.values for launch in launches if launch.kernel == name]
    mean = {key: _mean(v[key] for v in own if key in v) for key in own[0]}
    found: dict[str, Any] = {
        key: value
        for key, value in mean.items()
        if not key.startswith(("limit_", "stall_", "local_")) and not key.endswith("occupancy_pct")
    }
    found |= {"kernel": name, "device_us": sum(total.values()), "launches": len(launches)}
    for key in ("occupancy", "theoretical_occupancy"):
        if f"{key}_pct" in mean:
            found[key] = mean[f"{key}_pct"] / 100
    limits = {k.removeprefix("limit_"): v for k, v in mean.items() if k.startswith("limit_")}
    if limits:
        found["limited_by"] = min(limits, key=lambda key: limits[key])
    if "local_loads" in mean or "local_stores" in mean:
        found["local_instructions"] = mean.get("local_loads", 0.0) + mean.get("local_stores", 0.0)
    stalls = {k.removeprefix("stall_"): v for k, v in mean.items() if k.startswith("stall_")}
    return {**found, **({"stalls": stalls} if stalls else {})}


def _long(header: list[str], body: list[list[str]]) -> Iterator[Profiled]:
    """One line per metric."""
    at = {name: header.index(name) for name in ("ID", "Kernel Name", "Metric Name", "Metric Value")}
    unit = header.index("Metric Unit") if "Metric Unit" in header else None
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in body:
        if len(row) <= max(at.values()):
            continue
        values = found.setdefault((row[at["ID"]], row[at["Kernel Name"]]), {})
        given = row[unit] if unit is not None else ""
        _note(values, row[at["Metric Name"]], given, row[at["Metric Value"]])
    for (_, kernel), values in found.items():
        yield Profiled(kernel, values)


def _wide(header: list[str], body: list[list[str]]) -> Iterator[Profiled]:
    """One line per kernel; units stand in a line of their own, where there is no ID."""
    name = header.index("Kernel Name")
    units = body[0] if body and not body[0][0].strip() else [""] * len(header)
    for row in body:
        if not row[0].strip() or len(row) <= name:
            continue
        values: dict[str, float] = {}
        for metric, given, value in zip(header, units, row, strict=False):
            _note(values, metric, given, value)
        yield Profiled(row[name], values)


def _note(values: dict[str, float], metric: str, unit: str, text: str) -> None:
    key = METRICS.get(metric) or _LABELS.get(metric)
    if key is None and (match := _STALLED.match(metric)):
        key = f"stall_{match[1]}"
    if key is None:
        return
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        # "n/a", or empty.
        return
    if key == "memory_pct" and unit.endswith("/s"):
        # The page has two lines of this name; the other one is in bytes.
        return
    values[key] = value * _factor(key, unit)


def _factor(key: str, unit: str) -> float:
    unit = unit.strip()
    if key == "duration_us":
        # "ns", "nsecond", "us", "usecond", "ms", "s", "second".
        return 1e6 if unit.startswith("sec") else _FACTORS.get(unit[:1], 1e-3)
    if "byte" in unit and unit[:1] in "KM":
        return 1e3 if unit[0] == "K" else 1e6
    return 1.0


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
