"""Honest kernels of other people's problems: how many does the judge refuse?

`python -m benchmarks.honest CHECKOUT` takes the problems of levels 1 and 2 of a KernelBench
checkout (a work tree or a git directory), makes each small enough for this machine by dividing its
sizes, and judges up to three kernels that compute the very same function:

    eager    the reference itself, renamed
    library  its layers and functions expressed by others: a product by a sum, a softmax by parts
    fused    what TorchInductor makes of it

Every one of them is right, so whatever is not PASSED is a false alarm and is printed with its
reason. Results are kept line by line; what is in the file is not judged again.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import library_form
from fitness.inductor import inductor_seed
from fitness.pool import LocalPool
from fitness.spec import EvaluationSpec
from populations.errors import EvoError, ProblemError
from populations.kernel import Candidate
from populations.outcome import Evaluation

FORMS = ("eager", "library", "fused")
FAILED = "judge failed"
REFUSED = "problem refused"
# A problem is small enough when its inputs and one run of its reference are.
MOST_BYTES = 8 << 20
MOST_MS = 15.0
DIVISORS = (128, 64, 32, 16, 8, 4, 2, 1)
_SMALLEST = 24
_LOOK_LIMIT_S = 60.0
# Runs in a process of its own: the problem's text is other people's. From the smallest sizes up, so
# that nothing is ever made that is much too large.
_LOOK = """
import json, sys, time
import torch
torch.set_num_threads(1)

def facts(path, most_bytes):
    scope = {"__name__": "problem"}
    exec(compile(open(path).read(), path, "exec"), scope)
    torch.manual_seed(0)
    inputs = scope["get_inputs"]()
    tensors = [i for i in inputs if isinstance(i, torch.Tensor)]
    if sum(t.nbytes for t in tensors) > most_bytes:
        return most_bytes + 1, 0.0
    model = scope["Model"](*scope["get_init_inputs"]())
    with torch.no_grad():
        out, took = model(*inputs), []
        for _ in range(3):
            start = time.perf_counter()
            model(*inputs)
            # The least of them: a neighbour on the machine makes no problem larger.
            took.append(time.perf_counter() - start)
    outs = out if isinstance(out, (list, tuple)) else [out]
    tensors += [*model.state_dict().values(), *outs]
    return sum(t.nbytes for t in tensors), min(took) * 1e3

found = None
most_bytes, most_ms = float(sys.argv[1]), float(sys.argv[2])
for number, path in enumerate(sys.argv[3:]):
    try:
        size, took_ms = facts(path, most_bytes)
    except Exception:
        continue
    if size > most_bytes or took_ms > most_ms:
        break
    found = number
print(json.dumps(found))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge; returns 1 when there was a false alarm."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="evo-honest-") as folder:
        # Searches on this machine are not to wait for us, nor we for them.
        os.environ["XDG_RUNTIME_DIR"] = folder
        os.environ.setdefault("EVO_CACHE_DIR", f"{folder}/cache")
        return _run(options, Path(folder))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.honest", description=__doc__)
    parser.add_argument("checkout", type=Path, help="a KernelBench work tree or git directory")
    parser.add_argument("--problems", type=int, default=100, help="how many, levels in turn")
    parser.add_argument("--names", nargs="*", default=[], help="only those that contain one of it")
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=FORMS)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no problem after it")
    parser.add_argument("--json", type=Path, default=Path("runs/honest.jsonl"))
    parser.add_argument("--keep", type=Path, help="keep problems and kernels in this folder")
    return parser


def _run(options: argparse.Namespace, folder: Path) -> int:
    options.json.parent.mkdir(parents=True, exist_ok=True)
    known = {(e["problem"], e["form"]) for e in _read(options.json)}
    work, end, taken = options.keep or folder, time.monotonic() + options.minutes * 60, 0
    work.mkdir(parents=True, exist_ok=True)
    for name, text in _problems(options.checkout):
        if taken >= options.problems or time.monotonic() > end:
            break
        if options.names and not any(part in name for part in options.names):
            continue
        forms = [f for f in options.forms if (name, f) not in known]
        if not forms or (name, "") in known:
            taken += (name, "") not in known
            continue
        path, divisor = _small(name, text, work)
        if path is None:
            _keep(options.json, {"problem": name, "form": "", "outcome": "too large"})
            continue
        taken += 1
        for entry in _judged(path, forms, work):
            result: dict[str, Any] = {"problem": name, **entry, "divisor": divisor}
            # What our own machinery failed at is to be judged again.
            if entry["outcome"] != FAILED:
                _keep(options.json, result)
            print(_line(result), flush=True)
    return _summary(_read(options.json))


def _problems(checkout: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of the problems: the first of level 1, the first of level 2, and so on."""
    git = ["git", "--git-dir", str(checkout)]
    if (checkout / ".git").is_dir():
        git = ["git", "-C", str(checkout)]
    listed = _output([*git, "ls-tree", "-r", "--name-only", "HEAD"]).splitlines()
    levels = []
    for level in (1, 2):
        names = [n for n in listed if re.search(rf"KernelBench/level{level}/\d+_.*\.py$", n)]
        levels.append(sorted(names, key=lambda n: int(Path(n).name.partition("_")[0])))
    for pair in zip(*levels, strict=False):
        for name in pair:
            path = Path(name)
            yield f"{path.parent.name}/{path.stem}", _output([*git, "show", f"HEAD:{name}"])


def _small(name: str, text: str, work: Path) -> tuple[Path | None, int]:
    """Write the problem with the smallest divisor of its sizes that makes it small enough."""
    stem = re.sub(r"\W", "_", name)
    paths = [work / f"{stem}_by{divisor}.py" for divisor in DIVISORS]
    for path, divisor in zip(paths, DIVISORS, strict=True):
        path.write_text(_divided(text, divisor), encoding="utf-8")
    look = [sys.executable, "-c", _LOOK, str(MOST_BYTES), str(MOST_MS), *map(str, paths)]
    chosen = None
    with contextlib.suppress(subprocess.TimeoutExpired, IndexError, ValueError):
        done = subprocess.run(
            look, capture_output=True, text=True, timeout=_LOOK_LIMIT_S, check=False
        )
        chosen = json.loads(done.stdout.splitlines()[-1])
    for number, path in enumerate(paths):
        if number != chosen:
            path.unlink()
    return (None, 0) if chosen is None else (paths[chosen], DIVISORS[chosen])


def _divided(text: str, divisor: int) -> str:
    """A problem's text with the sizes at its top level divided; small ones stay."""
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and type(part.value) is int:
                    value = part.value
                    if value > _SMALLEST:
                        part.value = max(value // divisor, min(value, _SMALLEST // 3))
    return ast.unparse(tree)


def _judged(path: Path, forms: Sequence[str], work: Path) -> Iterator[dict[str, str]]:
    cache = Path(os.environ["EVO_CACHE_DIR"])
    settings: dict[str, Any] = {
        "baselines": ("eager",),
        "pairs": 5,
        "timing_budget_s": 0.05,
        "give_up_below": 0.0,
        "workers": 1,
        "rigour": "thorough",
        "allow_degenerate": True,
    }
    known = {f.name for f in dataclasses.fields(EvaluationSpec)}
    spec = EvaluationSpec(
        problem=path, cache_dir=cache, **{k: v for k, v in settings.items() if k in known}
    )
    with LocalPool(spec) as pool:
        if refused := pool.examine_problem().refused:
            # Where rounding or a constant decides, a right kernel cannot be told from a wrong one.
            text = "; ".join(refused)
            yield from ({"form": f, "outcome": REFUSED, "text": text} for f in forms)
            return
        for form in forms:
            start = time.monotonic()
            try:
                source = _source(form, path, spec)
                if not source:
                    yield {"form": form, "outcome": "no such form"}
                    continue
                (work / f"{path.stem}_{form}.kernel.txt").write_text(source, encoding="utf-8")
                language = "cpp" if "load_cpp(" in source else "python"
                evaluation = pool.evaluate_once(Candidate(0, source, language))
                found = {"outcome": str(evaluation.outcome), "text": evaluation.diagnostics[:1500]}
                found |= _facts(evaluation)
            except ProblemError as error:
                found = {"outcome": "no such form", "text": str(error)[:300]}
            except EvoError as error:
                found = {"outcome": FAILED, "text": str(error)[-1500:]}
            yield {"form": form, **found, "took_s": f"{time.monotonic() - start:.1f}"}


def _facts(evaluation: Evaluation) -> dict[str, str]:
    """The speedup, and what the gate had to say."""
    found = {}
    if evaluation.speedup is not None:
        found["speedup"] = f"{evaluation.speedup.value:.3f}"
    if noted := evaluation.details.get("policy"):
        found["policy"] = str(noted)[:400]
    return found


def _source(form: str, path: Path, spec: EvaluationSpec) -> str:
    text = path.read_text(encoding="utf-8")
    if form == "eager":
        return re.sub(r"\bModel\b", "ModelNew", text)
    return library_form.rewritten(text) if form == "library" else inductor_seed(spec)


def _line(entry: dict[str, Any]) -> str:
    text = " ".join(entry.get("text", "").split())[:160]
    return f"{entry['problem']:60} {entry['form']:8} {entry['outcome']:14} {text}"


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _keep(file: Path, entry: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")


def _summary(entries: Sequence[dict[str, Any]]) -> int:
    judged = [e for e in entries if e["outcome"] not in ("too large", "no such form", REFUSED)]
    refused = len({e["problem"] for e in entries if e["outcome"] == REFUSED})
    alarms = [e for e in judged if e["outcome"] != "passed"]
    counts = {form: sum(e["form"] == form for e in judged) for form in FORMS}
    listed = ", ".join(f"{count} {form}" for form, count in counts.items())
    problems = len({e["problem"] for e in judged})
    print(f"{len(judged)} honest kernels ({listed}) of {problems} problems")
    print(f"{refused} problems refused, because they tell no right kernel from a wrong one")
    print(f"{len(alarms)} false alarms")
    for entry in alarms:
        print(_line(entry))
    return 1 if alarms else 0


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
