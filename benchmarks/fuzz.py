"""`python -m benchmarks.fuzz [COUNT]`: sources that no operator writes, through the real judge.

Random bytes and characters, and the shipped seeds cut short, spliced with each other and changed at
random. A candidate may be wrong in any way; the judges must say how, and live. Nothing is replaced:
the gate, the compiler, the confinement and the comparison are those of a run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import trivial
from benchmarks.tree import RUNNER, tree
from evo.experiment import evaluation_spec
from evo.tables import text_table
from fitness.pool import LocalPool
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome

SEEDS = Path(__file__).resolve().parents[1] / "experiments" / "seeds"
_IN_FLIGHT = 32
_RUN_LIMIT_S = 2.0
_BUILD_LIMIT_S = 20.0
_LONGEST = 2000
# Text that has a meaning wherever it lands.
_PIECES = tuple("()[]{}:,.;*@#\"'\\\n\t\r\0\x0c") + (  # noqa: RUF005 - shorter so
    *("    ", '"""', "\ud800", "\U0010ffff", "é", "class ", "def ", "lambda: ", "return ", ":="),
    *("None", "0", "-1", "1e999", "10**9", "torch", "nn.Module", "self", "**", "float('nan')"),
    *("raise SystemExit", "import os", "1 / 0", "while 1: pass", "yield", "await ", "del self"),
    *("torch.empty(1 << 40)", "a.resize_(0)", "a.t_()", "#include <cmath>", "#pragma omp for"),
)
Maker = Callable[[random.Random], tuple[str, str]]


def _bytes(rng: random.Random) -> tuple[str, str]:
    data = rng.randbytes(rng.randrange(_LONGEST))
    if rng.random() < 0.5:
        return data.decode(errors="surrogateescape"), "python"
    # One that gets further: everything printable, or inside a string.
    text = data.decode("latin-1")
    return (text if rng.random() < 0.5 else f"TEXT = {text!r}\n{_trivial()[0]}"), "python"


def _characters(rng: random.Random) -> tuple[str, str]:
    last = rng.choice([0x7F, 0x2FF, 0xFFFF, 0x10FFFF])
    text = "".join(chr(rng.randint(0, last)) for _ in range(rng.randrange(_LONGEST)))
    return text, rng.choice(["python", "cpp", "triton"])


def _pieces(rng: random.Random) -> tuple[str, str]:
    return "".join(rng.choices(_PIECES, k=rng.randrange(300))), "python"


def _nested(rng: random.Random) -> tuple[str, str]:
    depth = rng.choice([10, 100, 1000, 10_000, 100_000])
    left, right = rng.choice([("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("a.", "a")])
    source, language = _trivial()
    return source.replace("torch.add(a, b)", f"{left * depth}a{right * depth}"), language


def _truncated(rng: random.Random) -> tuple[str, str]:
    source, language = _seed(rng)
    return source[: rng.randrange(len(source))], language


def _spliced(rng: random.Random) -> tuple[str, str]:
    (first, language), (second, other) = _seed(rng), _seed(rng)
    begin, end = rng.randrange(len(first)), rng.randrange(len(second))
    return first[:begin] + second[end:], rng.choice([language, other])


def _changed(rng: random.Random) -> tuple[str, str]:
    return _mutated(*_seed(rng), rng)


def _changed_trivial(rng: random.Random) -> tuple[str, str]:
    return _mutated(*_trivial(), rng)


# Kind of source -> (how one is made, share of all).
KINDS: dict[str, tuple[Maker, float]] = {
    "bytes": (_bytes, 0.15),
    "characters": (_characters, 0.1),
    "pieces": (_pieces, 0.1),
    "nested": (_nested, 0.05),
    "truncated": (_truncated, 0.15),
    "spliced": (_spliced, 0.15),
    "changed": (_changed, 0.1),
    "changed trivial": (_changed_trivial, 0.2),
}


def sources(count: int, rng: random.Random) -> Iterator[tuple[str, Candidate]]:
    """So many candidates, each with its kind."""
    names, shares = list(KINDS), [share for _, share in KINDS.values()]
    for number in range(count):
        kind = rng.choices(names, shares)[0]
        source, language = KINDS[kind][0](rng)
        yield kind, Candidate(number, source, language)


def measure(count: int, seed: int = 0, *, gate: bool = True) -> dict[str, Any]:
    """Judge so many sources, all of them behind the static gate unless `gate` is False.

    Returns:
        JSON-able: `outcomes` and `by_kind` (kind -> outcome -> number), `accused` (whom the judge
        holds for a cheat, which no source here means to be: number, kind, diagnostics), `failures`
        (of ours: number, kind and what was raised), `processes_lost` (of judges and baselines),
        `longest_s` (the slowest verdict's own time) and `wall_s`.
    """
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    failures: list[dict[str, Any]] = []
    accused: list[dict[str, Any]] = []
    longest_s = 0.0
    rng = random.Random(seed)
    with _pool(gate=gate) as pool:
        before = _settled(pool)
        start = time.monotonic()
        for kind, candidate, future in _judged(pool, sources(count, rng)):
            if error := future.exception():
                failures.append({"number": candidate.number, "kind": kind, "error": str(error)})
                continue
            evaluation = future.result()
            counts[kind][str(evaluation.outcome)] += 1
            longest_s = max(longest_s, evaluation.run_s)
            if evaluation.outcome is Outcome.CHEATED:
                text = evaluation.diagnostics
                accused.append({"number": candidate.number, "kind": kind, "text": text})
        wall_s = time.monotonic() - start
        lost = len(before - _processes())
    total = sum(counts.values(), Counter())
    return {
        "sources": count,
        "seed": seed,
        "gate": gate,
        "outcomes": dict(total.most_common()),
        "by_kind": {kind: dict(found.most_common()) for kind, found in counts.items()},
        "accused": accused,
        "failures": failures,
        "processes_lost": lost,
        "longest_s": longest_s,
        "wall_s": wall_s,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print the counts; returns 1 when the judge failed on any, 0 otherwise."""
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the sources")
    parser.add_argument("--no-gate", action="store_true", help="run what the gate would refuse")
    parser.add_argument("--json", type=Path, help="where the counts go")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="evo-fuzz-") as folder:
        # Nobody else's turn at timing is waited for, and nobody's cache is filled.
        os.environ["XDG_RUNTIME_DIR"] = os.environ["EVO_CACHE_DIR"] = folder
        found = measure(options.count, options.seed, gate=not options.no_gate)
    outcomes = list(found["outcomes"])
    rows = [
        (kind, *(str(by.get(outcome, 0)) for outcome in outcomes))
        for kind, by in {**found["by_kind"], "all": found["outcomes"]}.items()
    ]
    print(text_table(("", *outcomes), rows))
    print(f"{found['sources']} sources in {found['wall_s']:.0f} s, none longer than ", end="")
    print(f"{found['longest_s']:.1f} s; {len(found['failures'])} failures of the judge, ", end="")
    print(f"{found['processes_lost']} of its processes lost")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(bool(found["failures"] or found["processes_lost"]))


def _pool(*, gate: bool) -> LocalPool:
    spec = evaluation_spec(trivial.config(), "cpu")
    limits = {"run_limit_s": _RUN_LIMIT_S, "build_limit_s": _BUILD_LIMIT_S}
    return LocalPool(replace(spec, pairs=5, timing_budget_s=0.01, gate=gate, **limits))


def _settled(pool: LocalPool) -> set[int]:
    """Have every judge at work once; the processes that there are then."""
    source, language = _trivial()
    futures = [pool.submit(Candidate(n, source, language)) for n in range(4 * pool.spec.workers)]
    for future in futures:
        if not future.result().passed:
            raise RuntimeError(f"the trivial kernel: {future.result().diagnostics}")
    return _processes()


def _processes() -> set[int]:
    """The server, the baselines and the judges; no candidate is at work."""
    found = tree(os.getpid())
    return {pid for pid, process in found.items() if process.name != RUNNER} - {os.getpid()}


def _judged(
    pool: LocalPool, candidates: Iterator[tuple[str, Candidate]]
) -> Iterator[tuple[str, Candidate, Future[Evaluation]]]:
    """Keep some in flight; yields each when it is done."""
    under_way: dict[Future[Evaluation], tuple[str, Candidate]] = {}
    for kind, candidate in candidates:
        under_way[pool.submit(candidate)] = kind, candidate
        while len(under_way) >= _IN_FLIGHT:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                yield *under_way.pop(future), future
    for future in wait(under_way).done:
        yield *under_way[future], future


def _trivial() -> tuple[str, str]:
    return (trivial.EXPERIMENT.parent / "seed.py").read_text(encoding="utf-8"), "python"


def _seed(rng: random.Random) -> tuple[str, str]:
    """One of the shipped seeds, or the trivial one, with its language."""
    files = [*sorted(SEEDS.glob("*_cpp.py")), *sorted(SEEDS.glob("*_triton.py")), None]
    file = rng.choice(files)
    if file is None:
        return _trivial()
    return file.read_text(encoding="utf-8"), file.stem.rpartition("_")[2]


def _mutated(source: str, language: str, rng: random.Random) -> tuple[str, str]:
    """A few changes anywhere: of characters, of pieces, of lines."""
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(source) + 1)
        length = rng.choice([0, 1, 1, 2, 8])
        kind = rng.randrange(5)
        if kind == 0:
            source = source[:at] + source[at + length :]
        elif kind == 1:
            source = source[:at] + rng.choice(_PIECES) + source[at + length :]
        elif kind == 2:
            source = source[:at] + chr(rng.randint(0, 0x17F)) + source[at + 1 :]
        else:
            lines = source.split("\n")
            one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            if kind == 3:
                lines[one], lines[other] = lines[other], lines[one]
            else:
                lines[one : one + 1] = rng.choice([[], [lines[one]] * 2, [lines[other]]])
            source = "\n".join(lines)
    return source, language


if __name__ == "__main__":
    sys.exit(main())
