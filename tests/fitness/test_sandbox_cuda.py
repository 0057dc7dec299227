"""Confinement on a machine with a CUDA device."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitness.pool import LocalPool
from fitness.sandbox.limits import Limits, system_paths
from fitness.sandbox.zygote import Zygote
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome
from tests.fitness import sandbox_children

CHILDREN = sandbox_children.__name__

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no CUDA device"),
]


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "no namespaces"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    preload = ("torch", "triton") if importlib.util.find_spec("triton") else ("torch",)
    environment = {"OMP_NUM_THREADS": "1"}
    with Zygote(preload=preload, environment=environment, namespaces=request.param) as zygote:
        yield zygote


def limits(folder: Path, *, devices: bool) -> Limits:
    return Limits(
        memory_bytes=16 << 30,
        processes=256,
        read=(*system_paths(), Path(sandbox_children.__file__).parents[2], folder),
        write=(folder,),
        devices=devices,
    )


def test_a_confined_child_computes_on_the_device(zygote: Zygote, tmp_path: Path) -> None:
    for _ in range(2):
        with zygote.spawn(
            f"{CHILDREN}:compute_on_device", None, limits=limits(tmp_path, devices=True)
        ) as child:
            assert child.channel.receive(60)["sum"] == 1024 * 1024


def test_our_own_processes_compute_on_the_device(zygote: Zygote) -> None:
    with zygote.spawn(f"{CHILDREN}:compute_on_device", None, limits=None) as child:
        assert child.channel.receive(60)["sum"] == 1024 * 1024


def test_a_triton_kernel_is_compiled_in_confinement(zygote: Zygote, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    with zygote.spawn(
        f"{CHILDREN}:launch_triton", str(tmp_path), limits=limits(tmp_path, devices=True)
    ) as child:
        assert child.channel.receive(120).get("sum") == 3 * 4096
    assert any(tmp_path.rglob("*.cubin"))


def test_without_devices_there_is_none(zygote: Zygote, tmp_path: Path) -> None:
    if not zygote.layers()["landlock"].on:
        pytest.skip("without Landlock")
    with zygote.spawn(
        f"{CHILDREN}:compute_on_device", None, limits=limits(tmp_path, devices=False)
    ) as child:
        assert "error" in child.channel.receive(60)


# A judge's candidates on a device: what is wrong with a kernel is one outcome and stays its own.

ILLEGAL = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def kernel(a, b, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    {body}
    tl.store(out + at, tl.load(a + at, mask) + tl.load(b + at, mask), mask)


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty_like(a)
        kernel[(2,)](a, b, out, a.numel(), BLOCK=128)
        return out
"""
EAGER = """
import os
import time

import torch
from torch import nn

KEPT = []


class ModelNew(nn.Module):
    def forward(self, a, b):
        {body}
        return a + b
"""
RUN_LIMIT_S = 10.0
BEYOND_S = 2.0
_HOLD = "KEPT.append(torch.empty(80 << 30, dtype=torch.uint8, device='cuda').fill_(1))"


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPool]:
    spec = EvaluationSpec(
        problem=Path(__file__).parent / "problems" / "add.py",
        cache_dir=tmp_path_factory.mktemp("cache"),
        device="cuda",
        baselines=("eager",),
        pairs=5,
        timing_budget_s=0.05,
        run_limit_s=RUN_LIMIT_S,
        workers=1,
        gate=False,
    )
    with LocalPool(spec) as pool:
        assert honest(pool).passed
        yield pool


def judged(pool: LocalPool, source: str, language: str = "python") -> Evaluation:
    """Judge in time; then an honest kernel passes, and the device holds no more than before."""
    before, start = held_mib(), time.monotonic()
    evaluation = pool.evaluate_once(Candidate(0, source, language))
    assert time.monotonic() - start < RUN_LIMIT_S + BEYOND_S
    after = honest(pool)
    assert after.passed, after.diagnostics
    assert held_mib() < before + 1024
    return evaluation


def honest(pool: LocalPool) -> Evaluation:
    return pool.evaluate_once(Candidate(0, EAGER.format(body="pass"), "python"))


def held_mib() -> int:
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    if chosen := os.environ.get("CUDA_VISIBLE_DEVICES"):
        query += ["-i", chosen]
    return sum(map(int, subprocess.check_output(query, text=True).split()))


@pytest.mark.parametrize(
    "body",
    [
        "tl.store(out + (at.to(tl.int64) << 40), 1.0)",
        "tl.store(a - ((at.to(tl.int64) + 1) << 41), 1.0)",
    ],
)
def test_an_illegal_access_is_its_own_fault(judges: LocalPool, body: str) -> None:
    pytest.importorskip("triton")
    evaluation = judged(judges, ILLEGAL.replace("{body}", body), "triton")
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "illegal memory access" in evaluation.diagnostics


def test_a_device_assert_is_its_own_fault(judges: LocalPool) -> None:
    body = "a[torch.full((8,), 1 << 40, device='cuda')] + b[:8]"
    evaluation = judged(judges, EAGER.format(body=body))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "device-side assert" in evaluation.diagnostics


def test_a_kernel_that_does_not_end_is_ended(judges: LocalPool) -> None:
    pytest.importorskip("triton")
    body = "while tl.load(a, volatile=True) == tl.load(a, volatile=True):\n        pass"
    evaluation = judged(judges, ILLEGAL.replace("{body}", body), "triton")
    assert evaluation.outcome is Outcome.TIMEOUT
    assert f"no answer within {RUN_LIMIT_S:g} s" in evaluation.diagnostics


def test_memory_of_the_device_is_given_back(judges: LocalPool) -> None:
    # Two of them would not fit: the second finds what the first one held.
    for ending in ("pass", "time.sleep(60)", "os.abort()"):
        evaluation = judged(judges, EAGER.format(body=f"KEPT or {_HOLD}; {ending}"))
        assert "out of memory" not in evaluation.diagnostics.lower()


def test_more_memory_than_the_device_has_is_refused(judges: LocalPool) -> None:
    body = "KEPT.append(torch.empty(1 << 40, dtype=torch.uint8, device='cuda'))"
    evaluation = judged(judges, EAGER.format(body=body))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "out of memory" in evaluation.diagnostics.lower()


def test_memory_of_the_host_is_bounded_beside_the_device(judges: LocalPool) -> None:
    # Address space is not limited here; memory is.
    evaluation = judged(judges, EAGER.format(body="KEPT.append(bytearray(30 << 30))"))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    if judges.layers()["memory-watch"].on:
        shared = "import mmap; m = mmap.mmap(-1, 30 << 30); "
        shared += "[m.write(bytes(1 << 26)) for _ in range(480)]"
        evaluation = judged(judges, EAGER.format(body=shared))
        # Whichever limit comes first: pages are made at a few gigabytes a second.
        assert evaluation.outcome in {Outcome.RUNTIME_ERROR, Outcome.TIMEOUT}
        if evaluation.outcome is Outcome.RUNTIME_ERROR:
            assert "MiB of memory" in evaluation.diagnostics
