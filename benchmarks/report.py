"""Results as a table for people: what was measured, what is wanted, and whether it is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import aa, stages, tuning
from evo.tables import text_table

RATE_PER_S = 50.0
KEPT_RATE = 0.8
CPU_S = 0.03
ABOVE_TORCH_MB = 120.0
IMPORT_S = 0.3
RESUME_S = 1.0
COVERAGE = 0.93
FALSE_FASTER = 0.01
# Of the reported speedup, for kernels that take at least about a millisecond.
VARIATION = {"cpu": 0.03, "cuda": 0.01}
LONG_MS = 0.7
ASK_S = 0.05
INSERT_S = 0.001
# Of Triton's do_bench.
APART = 0.03
_MB = 1 << 20
_TUNERS = ("tpe", "expected", "elites", "neighbours")


@dataclass(frozen=True, slots=True)
class Line:
    """One measured number; `wanted` and `reached` are empty where there is no bar."""

    what: str
    value: str
    wanted: str = ""
    reached: bool | None = None


def table(results: Mapping[str, Any]) -> str:
    """All results there are, one line each."""
    header = ("what", "measured", "wanted", "")
    body = [
        (line.what, line.value, line.wanted, {True: "yes", False: "NO", None: ""}[line.reached])
        for line in lines(results)
    ]
    return text_table(header, body)


def lines(results: Mapping[str, Any]) -> Iterator[Line]:
    """One line per number, in the order of measuring."""
    for found in results.get("rate", ()):
        yield from _rate(found)
    if found := results.get("memory"):
        yield from _memory(found)
    if found := results.get("startup"):
        for name in ("python", "import", "help"):
            best, median = found[name]["best_s"], found[name]["median_s"]
            text = f"{best:.3f} s, median {median:.3f} s"
            bar = (f"<= {IMPORT_S:g} s", best <= IMPORT_S) if name != "python" else ("", None)
            yield Line({"python": "python itself", "help": "--help"}.get(name, name), text, *bar)
    if found := results.get("aa"):
        yield from _aa(found)
    if found := results.get("stages"):
        yield from _stages(found)
    if found := results.get("tuning"):
        yield from _tuning(found)
    if found := results.get("store"):
        yield from _store(found)
    if found := results.get("noise"):
        yield from _noise(found)
    if found := results.get("resume"):
        for name in ("submitted", "evaluated"):
            best, median = found[name]["best_s"], found[name]["median_s"]
            yield Line(
                f"--resume with {found['kernels']} to first {name}",
                f"{best:.2f} s, median {median:.2f} s",
                f"<= {RESUME_S:g} s",
                best <= RESUME_S,
            )


def _tuning(found: Mapping[str, Any]) -> Iterator[Line]:
    for name, numbers in found.items():
        points, near = numbers["points"], numbers["near"]
        text = f"{numbers['best']:.3g}x, {near} within {tuning.NEAR:.0%}"
        yield Line(f"{name}: the best of {points} points", text)
        bar = numbers.get("exhaustive", {}).get("regret_median")
        for sampler in (s for s in tuning.SAMPLERS if s in numbers):
            seen = numbers[sampler]
            if sampler != "exhaustive":
                median, p90 = seen["trials_to_near_median"], seen["trials_to_near_p90"]
                yield Line(
                    f"{sampler}: trials to {tuning.NEAR:.0%} of it",
                    f"median {median / points:.1%}, p90 {p90 / points:.1%}",
                    f"p90 <= {tuning.SHARE:.0%}" if sampler != "random" else "",
                    p90 <= numbers["trials"] if sampler != "random" else None,
                )
            most = None if bar is None else bar + tuning.NEAR
            yield Line(
                f"{sampler}: champion behind it by",
                f"median {seen['regret_median']:.2%}, p90 {seen['regret_p90']:.2%}",
                "" if most is None or sampler not in _TUNERS else f"median <= {most:.2%}",
                seen["regret_median"] <= most if most and sampler in _TUNERS else None,
            )


def _store(found: Mapping[str, Any]) -> Iterator[Line]:
    count = found["kernels"]
    for what, spent in found["insert"].items():
        median, p99 = spent["median_s"], spent["p99_s"]
        text = f"{1e3 * median:.2f} ms, 99% within {1e3 * p99:.2f} ms"
        bar = (f"<= {1e3 * INSERT_S:g} ms", median <= INSERT_S)
        yield Line(f"{count} kernels: insert of a {what}", text, *bar)
    for what, spent in found["ask"].items():
        best, median = spent["best_s"], spent["median_s"]
        text = f"{1e3 * best:.1f} ms, median {1e3 * median:.1f} ms"
        bar = (f"<= {1e3 * ASK_S:g} ms", best <= ASK_S)
        yield Line(f"  {what} ({spent['rows']} rows)", text, *bar)
        yield Line("    from the disk", f"{1e3 * spent['from_disk_s']:.1f} ms")
    for what, bar_s in (("ancestors", ASK_S), ("children", ASK_S), ("add", INSERT_S)):
        spent_s = found["lineage"][f"{what}_s"]
        text, bar = f"{1e3 * spent_s:.3f} ms", (f"<= {1e3 * bar_s:g} ms", spent_s <= bar_s)
        yield Line(f"  lineage in memory: {what}", text, *bar)
    kb, source_kb = found["bytes"] / 1e3, found["source_bytes"] / 1e3
    yield Line("  file per kernel", f"{kb:.1f} kB, of it source {source_kb:.1f} kB")
    yield Line("    compressed, a source would be", f"{found['compressed']:.0%}")


def _noise(found: Mapping[str, Any]) -> Iterator[Line]:
    for again, seen in found["remeasure"].items():
        gain, low, high = (value - 1 for value in seen["gain"])
        yield Line(
            f"measured again at most {again} times: champion, true speedup",
            f"{seen['champion']:.3f}x, {gain:+.1%} [{low:+.1%}, {high:+.1%}] of never",
        )
        yield Line("  believed", f"{seen['believed'] - 1:+.1%} off")
        yield Line("  searches that end on an outlier", f"{seen['steered']:.1%}")
        yield Line("  proposals from an outlier", f"{seen['misled']:.1%}")
        yield Line("  evaluations spent on it", f"{seen['again']:.0%}")


def _aa(found: Mapping[str, Any]) -> Iterator[Line]:
    count = found["repetitions"]
    for workload, seen in found["workloads"].items():
        ms = seen["candidate_ms"]
        yield Line(f"{found['device']}, {workload}: {count} times against itself", f"{ms:.3g} ms")
        yield Line(
            "  intervals that hold 1",
            f"{seen['coverage']:.1%}",
            f">= {COVERAGE:.0%}",
            seen["coverage"] >= COVERAGE,
        )
        yield Line(
            "  called faster by 1%",
            f"{seen['false_faster']:.1%}",
            f"<= {FALSE_FASTER:.0%}",
            seen["false_faster"] <= FALSE_FASTER,
        )
        bar = VARIATION[found["device"]]
        long = ms >= LONG_MS
        yield Line(
            "  coefficient of variation",
            f"{seen['variation']:.2%}",
            f"<= {bar:.0%}" if long else "",
            seen["variation"] <= bar if long else None,
        )
        yield Line("  half-width of the interval", f"{seen['half_width']:.2%}")
        if "odd" in seen:
            text = f"{seen['draws']} a measurement, {seen['odd']:.1%} of them off by {aa.ODD:.0%}"
            yield Line("  pairs of processes", text)
        if (theirs := seen.get("do_bench_ms")) is not None:
            apart = abs(ms / theirs - 1)
            yield Line(
                "  do_bench",
                f"{theirs:.4g} ms, {apart:.1%} apart",
                f"<= {APART:.0%}",
                apart <= APART,
            )


def _stages(found: Mapping[str, Any]) -> Iterator[Line]:
    for kind, bar in (("passed", stages.PASSED_S), ("wrong", stages.REJECTED_S), ("refused", 0.0)):
        seen = found[kind]
        device_s = seen["device_s"]
        yield Line(
            f"{found['device']}, {kind}: lease of one judgement",
            f"{device_s:.3f} s",
            f"<= {bar:g} s",
            device_s <= bar,
        )
        for stage, spent in seen["stages"].items():
            text = f"{spent['device_s']:.3f} s of {spent['wall_s']:.3f} s"
            yield Line(f"  {stage}", text)


def _rate(found: Mapping[str, Any]) -> Iterator[Line]:
    count = found["candidates"]
    others = f"others had {found['others_share']:.0%} of the processors"
    rates = {int(judged): rate for judged, rate in found["rates"].items()}
    yield Line(
        f"{count} candidates",
        f"{rates[count]:.1f}/s ({others})",
        f">= {RATE_PER_S:g}/s",
        rates[count] >= RATE_PER_S,
    )
    if 250 in rates and count > 250:
        kept = rates[count] / rates[250]
        yield Line(
            "  rate against that at 250", f"{kept:.2f}", f">= {KEPT_RATE}", kept >= KEPT_RATE
        )
    yield Line(
        "  CPU per candidate", f"{found['cpu_s']:.4f} s", f"<= {CPU_S} s", found["cpu_s"] <= CPU_S
    )
    if "python_s" in found:
        yield Line("  Python itself begins in", f"{1e3 * found['python_s']:.1f} ms")
    for part, cost in found["cpu_s_by_part"].items():
        text = f"{1e3 * cost['user']:.1f} ms user, {1e3 * cost['system']:.1f} ms system"
        yield Line(f"    {part}", text)


def _memory(found: Mapping[str, Any]) -> Iterator[Line]:
    for name in ("torch", "before_search", "peak"):
        seen = found[name]
        parts = ", ".join(
            f"{part} {seen[part] / _MB:.0f}" for part in ("anonymous", "file", "shared")
        )
        label = {"torch": "torch alone", "before_search": "memory before the search"}
        text = f"{seen['total'] / _MB:.0f} MB ({parts}; {seen['processes']} processes)"
        yield Line(label.get(name, "memory at its peak"), text)
    above = found["above_torch"] / _MB
    yield Line(
        "  above torch", f"{above:.0f} MB", f"<= {ABOVE_TORCH_MB:g} MB", above <= ABOVE_TORCH_MB
    )
