"""A naive judge: one process, one seed, the same inputs for every call, one tolerance.

It is what the fixtures are shown to fool. It runs as the child of a confined process and says what
it finds in a line of JSON on its standard output, as such judges do.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

CALLS = 120


def run(channel: Any, argument: dict[str, Any]) -> None:
    """Judge one candidate.

    Args:
        channel: Not used: the result is printed.
        argument: `problem` and `source` are texts, `folder` a private one, `mode` is one of

            - plain: atol = rtol = 1e-4, the expected output is at hand while the candidate runs;
            - loose: atol = rtol = 1e-2;
            - nan: a NaN in the expected output stands for anything;
            - share: 99% of the values have to be right;
            - either: a value is right within one of both tolerances;
            - after: the reference runs after the candidate, on the same tensors;
            - late: the outputs are looked at after the reference has run;
            - together: both texts share one namespace, and the reference runs after the candidate
              was loaded;
            - mode: the environment says which phase it is;
            - listed: one input of several per call, all of them made beforehand.
    """
    os.chdir(argument["folder"])
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(json.dumps(_judge(argument["problem"], argument["source"], argument["mode"])), flush=True)


def _judge(problem: str, source: str, mode: str) -> dict[str, Any]:
    import torch

    scope = _module("problem", problem)
    os.environ["MODE"] = "check"
    torch.manual_seed(42)
    sets = [scope["get_inputs"]() for _ in range(CALLS if mode == "listed" else 1)]
    baseline_s = _median_s(_built(scope["Model"], scope), sets)
    if mode == "together":
        # What the reference is follows from the namespace that the candidate may have changed.
        exec(compile(source, str(Path("candidate.py").absolute()), "exec"), scope)
        new_class = scope["ModelNew"]
    else:
        new_class = _module("candidate", source)["ModelNew"]
    torch.manual_seed(42)
    inputs = [i.clone() for i in scope["get_inputs"]()]
    reference, new = _built(scope["Model"], scope), _built(new_class, scope)
    if mode == "after":
        output = new(*inputs)
        expected = reference(*inputs)
    else:
        # Whatever becomes of the reference's own output, a copy is kept.
        expected = reference(*inputs).clone()
        output = new(*inputs)
    if mode == "late":
        time.sleep(0.02)
    right = _right(mode, output, expected)
    del expected, output
    os.environ["MODE"] = "timed"
    return {"correct": right, "speedup": baseline_s / _median_s(new, [inputs, *sets[1:]])}


def _built(kind: Callable[..., Any], scope: dict[str, Any]) -> Any:
    import torch

    torch.manual_seed(42)
    return kind(*scope["get_init_inputs"]())


def _right(mode: str, output: Any, expected: Any) -> bool:
    import torch

    error, size = (output - expected).abs(), expected.abs()
    if mode == "nan":
        return bool(((error <= 1e-4 + 1e-4 * size) | expected.isnan()).all())
    if mode == "share":
        return float((error <= 1e-2 + 1e-2 * size).double().mean()) >= 0.99
    if mode == "either":
        return not bool(((error > 1e-2) & (error > 1e-2 * size)).any())
    tolerance = 1e-2 if mode in ("loose", "together") else 1e-4
    return torch.allclose(output, expected, atol=tolerance, rtol=tolerance)


def _median_s(model: Callable[..., Any], sets: list[list[Any]]) -> float:
    for number in range(10):
        model(*sets[number % len(sets)])
    times = []
    for number in range(CALLS):
        start = time.perf_counter_ns()
        model(*sets[number % len(sets)])
        times.append((time.perf_counter_ns() - start) / 1e9)
    return sorted(times)[len(times) // 2]


def _module(name: str, text: str) -> dict[str, Any]:
    path = Path(f"{name}.py").absolute()
    path.write_text(text, encoding="utf-8")
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module.__dict__
