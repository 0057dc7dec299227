"""Lineages, entries and champions to test with."""

import math

from operators.knowledge.library import champion
from operators.knowledge.records import Champion, Entry, Setting, content_digest
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome, Speedup, Timing

SETTING = Setting(
    problem="conv1d",
    content=content_digest("class Model: ..."),
    device="cuda",
    target="NVIDIA H200",
    run="runs/1",
    operations=("convolution",),
    shapes={"small": "x 2x16x128"},
)


def passed(value: float, width: float = 0.01, *, baselines: tuple[str, ...] = ("eager", "eager")):
    speedup = Speedup(value, value * (1 - width), value * (1 + width))
    timings = tuple(
        Timing(name, baseline, 1.0 / value, 1.0, speedup, (math.log(value),))
        for name, baseline in zip(("small", "large"), baselines, strict=True)
    )
    return Evaluation(Outcome.PASSED, 3, 3, timings=timings, speedup=speedup)


def grown(*rows: tuple[Evaluation, tuple[int, ...], str, str]) -> Lineage:
    """A lineage of (evaluation, parents, note, source) in order."""
    lineage = Lineage()
    for number, (evaluation, parents, note, source) in enumerate(rows):
        operator = "rewrite" if parents else "seed"
        candidate = Candidate(number, source, "triton", operator, parents, note)
        lineage.add(Kernel(candidate, evaluation))
    return lineage


def made(technique: str, **changes: object) -> Entry:
    setting = {name: getattr(SETTING, name) for name in Setting.__dataclass_fields__}
    language = str(changes.pop("language", "triton"))
    return Entry(
        technique=technique,
        operator="rewrite",
        language=language,
        skeleton="s" + technique,
        before="b" * 16,
        after=content_digest(technique),
        gain=Speedup(1.3, 1.2, 1.4),
        gains={"small": 1.3},
        diff="-a\n+b",
        setting=Setting(**{**setting, **changes}),
    )


def best(source: str, value: float, **changes: str) -> Champion:
    language = changes.pop("language", "triton")
    setting = {name: getattr(SETTING, name) for name in Setting.__dataclass_fields__}
    kernel = Kernel(Candidate(0, source, language), passed(value))
    record = champion(kernel, setting=Setting(**{**setting, **changes}))
    assert record is not None
    return record
