"""Floors: what must be moved and computed, and that only the impossible is called impossible."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fitness import ceilings, dependence, roofline
from fitness.ceilings import Ceilings, Level
from fitness.dependence import Moved, moved_bytes
from fitness.problem import Problem
from fitness.roofline import ALGORITHM, LAUNCH, Cost, Roofline, check, floor_of
from fitness.spec import EvaluationSpec
from populations.outcome import Speedup, Timing

DEVICE = Ceilings(
    "a device",
    (Level("L2", 1e6, 100e9), Level("memory", math.inf, 10e9)),
    {"float32": 1e12, "tf32": 4e12, "float64": 0.5e12, "bfloat16": 8e12},
    launch_ms=0.002,
)
PROBLEM = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, a, b):
        return a + b


def get_inputs(n=256):
    return [torch.randn(n, n), torch.randn(n, n)]


def get_init_inputs():
    return []
"""


def floor(cost, *, warm=True, margin=1.0):
    return floor_of(cost, DEVICE, warm=warm, margin=margin)


def timing(candidate_ms, baseline_ms=100.0, workload="w"):
    ratio = baseline_ms / candidate_ms
    speedup = Speedup(ratio, ratio, ratio)
    return Timing(workload, "eager", candidate_ms, baseline_ms, speedup, (speedup.log,))


def test_what_fits_into_a_cache_counts_with_its_speed():
    assert floor(Cost(0.4e6, 0.4e6)).limit_ms == pytest.approx(0.8e6 / 100e9 * 1e3)


def test_beyond_a_warm_cache_only_the_rest_comes_from_memory():
    assert floor(Cost(8e6, 3e6)).limit_ms == pytest.approx((11e6 - 1e6) / 10e9 * 1e3)


def test_with_a_cold_cache_reads_come_from_memory_and_writes_may_stay():
    assert floor(Cost(5e6, 0.9e6), warm=False).limit_ms == pytest.approx(5e6 / 10e9 * 1e3)
    assert floor(Cost(5e6, 3e6), warm=False).limit_ms == pytest.approx(7e6 / 10e9 * 1e3)


def test_a_launch_takes_its_time_unless_nothing_is_written():
    assert floor(Cost(0.0, 4.0), warm=False).limit_ms == pytest.approx(0.002 / LAUNCH)
    assert floor(Cost(0.0, 4.0), warm=False).roofline_ms == pytest.approx(0.002)
    assert floor(Cost(0.0, 0.0), warm=False).limit_ms == 0.0


@pytest.mark.parametrize(
    ("dtype", "rate"), [("float32", 4e12), ("bfloat16", 8e12), ("float64", 0.5e12)]
)
def test_operations_count_with_the_fastest_unit_and_a_better_algorithm(dtype, rate):
    found = floor(Cost(0.0, 4.0, 1e12, dtype))
    assert found.roofline_ms == pytest.approx(1e12 / rate * 1e3)
    assert found.limit_ms == pytest.approx(1e12 / rate * 1e3 / ALGORITHM)
    assert floor(Cost(0.0, 0.0, 1e12, "int32")).limit_ms == 0.0


def test_the_margin_lowers_the_limit_and_not_the_roofline():
    wide, exact = floor(Cost(8e6, 3e6), margin=1.5), floor(Cost(8e6, 3e6))
    assert wide.roofline_ms == exact.roofline_ms
    assert wide.limit_ms == pytest.approx(exact.limit_ms / 1.5)
    assert wide.facts(2 * wide.roofline_ms)["share"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("cost", "bound"),
    [
        (Cost(8e6, 3e6), "memory"),
        (Cost(8e6, 3e6, 1e12, "float32"), "compute"),
        (Cost(0.0, 4.0), "launch"),
    ],
)
def test_the_side_of_the_roofline_is_told(cost, bound):
    assert floor(cost, warm=False).facts(1.0)["bound"] == bound


def test_faster_than_the_floor_is_said_with_the_arithmetic():
    floors = {"w": floor(Cost(8e6, 3e6), margin=1.25)}
    text = check([timing(0.5, workload="other"), timing(0.1)], floors)
    assert text.startswith("workload 'w': 0.1 ms per call is faster than this device can be: ")
    assert "11 MB" in text
    assert "10 GB/s" in text
    assert "with a margin of 1.25 at least 0.8 ms" in text
    assert check([timing(0.81)], floors) == ""


def test_a_floor_that_a_baseline_breaks_too_is_wrong():
    floors = {"w": floor(Cost(8e6, 3e6))}
    assert check([timing(0.1, baseline_ms=1.01)], floors)
    assert check([timing(0.1, baseline_ms=0.99)], floors) == ""


def moved(forward, *inputs):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

    Model.forward = staticmethod(forward)
    return moved_bytes(Model(), inputs, "cpu")


A, B = torch.randn(100, 10), torch.randn(100, 10)
INDEX = torch.tensor([1, 5, 7])


@pytest.mark.parametrize(
    ("forward", "inputs", "expected"),
    [
        (lambda a, b: a * b, (A, B), Moved(8000, 4000)),
        (lambda a, b: a[:10] * b[:10], (A, B), Moved(800, 400)),
        (lambda a, b: a + 0 * b, (A, B), Moved(4000, 4000)),
        (lambda a, i: a[i], (A, INDEX), Moved(120, 120)),
        (lambda a: a.triu() @ a.t(), (A.triu(),), Moved(55 * 4, 100 * 100 * 4)),
        (lambda a: a > 0, (A,), Moved(0, 1000)),
        (lambda a: a.sum(1, keepdim=True).expand(100, 50), (A,), Moved(4000, 400)),
        # Constant but for rounding: what it moves is not provable.
        (lambda a: a.softmax(-1).sum(-1), (A,), Moved(0, 400)),
        (lambda a: a.mul_(2).clone(), (A,), Moved(4000, 4000)),
        # A view moves nothing.
        (lambda a: a.t(), (A,), None),
        (lambda a: (a * 2, a[3]), (A,), None),
    ],
)
def test_bytes_that_have_to_be_moved(forward, inputs, expected):
    before = [t.clone() for t in inputs]
    assert moved(forward, *inputs) == expected
    assert all(torch.equal(b, t) for b, t in zip(before, inputs, strict=True))


def test_inputs_too_large_to_differentiate_do_not_count(monkeypatch):
    monkeypatch.setattr(dependence, "_memory_bytes", lambda _: 1000)
    assert moved(lambda a, b: a * b, A, B) == Moved(0, 4000)


def test_what_no_gradient_is_known_of_does_not_count():
    def forward(a):
        return torch.from_numpy(a.detach().numpy().copy())

    assert moved(forward, A) == Moved(0, 4000)


def problem(tmp_path, more=""):
    file = tmp_path / "problem.py"
    file.write_text(PROBLEM + more)
    return Problem(file)


def test_the_problems_own_cost_comes_first(tmp_path):
    stated = "\n\ndef get_cost(inputs):\n    return {'bytes': 1e6, 'flops': 5.0}\n"
    cost = roofline.cost_of(
        problem(tmp_path, stated), "default", lambda _: 300, device="cpu", model_seed=1
    )
    assert cost == Cost(1e6 - 300, 300, 5.0, "float32", "get_cost")
    found = roofline.cost_of(problem(tmp_path), "default", lambda _: 0, device="cpu", model_seed=1)
    assert found == Cost(2 * 4 * 256**2, 4 * 256**2, source="gradient")


def spec(tmp_path, **changes):
    return EvaluationSpec(problem=tmp_path / "problem.py", cache_dir=tmp_path, **changes)


def test_without_ceilings_there_are_no_floors(tmp_path):
    floors = Roofline(problem(tmp_path), spec(tmp_path), model_seed=1)
    assert floors.floors(["default"], lambda _: 0) == {}


def test_a_second_look_at_the_device_raises_its_ceilings(tmp_path, monkeypatch):
    slow = replace(DEVICE, launch_ms=0.0)
    keep(tmp_path, monkeypatch, slow)
    floors = Roofline(problem(tmp_path), spec(tmp_path), model_seed=1)
    before = floors.floors(["default"], lambda _: 0)
    assert before["default"].source == "gradient"
    faster = replace(slow, levels=tuple(replace(v, bytes_per_s=1e12) for v in slow.levels))
    monkeypatch.setattr("fitness.ceilings_cpu.measure", lambda _: faster)
    after = floors.measured_again(before, lambda _: 0)
    assert after["default"].limit_ms == pytest.approx(before["default"].limit_ms / 10)
    # What was the best once stays the best.
    monkeypatch.setattr("fitness.ceilings_cpu.measure", lambda _: slow)
    assert ceilings.measured(spec(tmp_path)).levels == faster.levels
    assert floors.measured_again(before, lambda _: 0) == after


def keep(tmp_path, monkeypatch, found):
    monkeypatch.setattr("fitness.ceilings_cpu.measure", lambda _: found)
    ceilings.measured(spec(tmp_path))


def test_ceilings_are_kept_by_device_and_thread_count(tmp_path, monkeypatch):
    keep(tmp_path, monkeypatch, DEVICE)
    assert ceilings.kept(spec(tmp_path)) == DEVICE
    monkeypatch.setattr(ceilings, "processor_name", lambda: "another")
    assert ceilings.kept(spec(tmp_path)) is None
    (file,) = (tmp_path / "ceilings").iterdir()
    assert json.loads(file.read_text())["device"] == "a device"


def test_a_file_that_is_spoilt_is_as_good_as_none(tmp_path, monkeypatch):
    keep(tmp_path, monkeypatch, DEVICE)
    (file,) = (tmp_path / "ceilings").iterdir()
    file.write_text('{"device": 3}')
    assert ceilings.kept(spec(tmp_path)) is None


@pytest.mark.compiler
def test_this_processor_is_measured():
    import os

    found = ceilings.measured(
        EvaluationSpec(problem=Path("p"), cache_dir=Path(os.environ["EVO_CACHE_DIR"]), threads=1)
    )
    rates = [level.bytes_per_s for level in found.levels]
    # A neighbour may slow down one of them: near and far are told apart all the same.
    assert rates[0] > 2 * rates[-1] > 1e9
    assert [level.name for level in found.levels][-1] == "memory"
    sizes = [level.capacity_bytes for level in found.levels]
    assert sizes == sorted(sizes)
    assert math.isinf(sizes[-1])
    assert found.flops_per_s["float32"] > 1.5 * found.flops_per_s["float64"] > 1e9
    assert found.launch_ms == 0.0
