"""CUDA without a device: compilers' figures, profilers' tables, occupancy.

`ptxas` and `cuobjdump` wrote the samples here themselves (CUDA 13.0, sm_90a); those of Nsight
Compute and of the torch profiler are put together from their documentation.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.diagnostics import loaded, ncu, ptxas, resources, traces
from fitness.diagnostics.bottleneck import classify
from fitness.diagnostics.device import limits_of, occupancy
from fitness.pool import LocalPool
from fitness.profiled import launches as launches_of
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate

HOPPER = limits_of((9, 0))
assert HOPPER is not None
PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z5scaleILi128EEvPKfPfi' for 'sm_90a'
ptxas info    : Function properties for _Z5scaleILi128EEvPKfPfi
    256 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 35 registers, used 1 barriers, 256 bytes cumulative stack size, 512 bytes smem
ptxas info    : Compile time = 28.501 ms
ptxas info    : Function properties for _Z4slowf
    0 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Compiling entry function '_Z6spillyPKfPf' for 'sm_90a'
ptxas info    : Function properties for _Z6spillyPKfPf
    280 bytes stack frame, 544 bytes spill stores, 572 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 280 bytes cumulative stack size
ptxas info    : Compile time = 17.066 ms
"""
USAGE = """
Resource usage:
 Common:
  GLOBAL:0
 Function _Z5scaleILi128EEvPKfPfi:
  REG:35 STACK:256 SHARED:1536 LOCAL:0 CONSTANT[0]:548 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _Z6spillyPKfPf:
  REG:64 STACK:280 SHARED:0 LOCAL:0 CONSTANT[0]:544 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
RAW = """\
a line that the program printed
==PROF== Connected to process 4711 (/usr/bin/python3)
==PROF== Profiling "rows_kernel" - 0: 0%....50%....100% - 12 passes
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",\
"Grid Size","Device","CC","gpu__time_duration.sum",\
"sm__throughput.avg.pct_of_peak_sustained_elapsed",\
"gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed","launch__registers_per_thread",\
"launch__occupancy_limit_registers","launch__occupancy_limit_warps",\
"sm__maximum_warps_per_active_cycle_pct","smsp__inst_executed.sum",\
"smsp__sass_inst_executed_op_local_ld.sum","lts__t_sector_hit_rate.pct",\
"smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio",\
"smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio"
"","","","","","","","","","","",\
"ns","%","%","register/thread","block","block","%","inst","inst","%","inst","inst"
"0","4711","python3","127.0.0.1","rows_kernel","1","7","(256, 1, 1)","(4,096, 1, 1)","0","9.0",\
"81,024","31.5","87.25","40","6","8","75","1,204,000","0","n/a","7.5","0.5"
"1","4711","python3","127.0.0.1","fill","1","7","(256, 1, 1)","(16, 1, 1)","0","9.0",\
"2,016","1.5","7.25","16","16","8","100","1,000","0","50","1.5","0.5"
"""
LONG = """\
==PROF== Disconnected from process 4711
"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",\
"Grid Size","Device","CC","Section Name","Metric Name","Metric Unit","Metric Value"
"""
for metric in (
    '"Duration","us","412.5"',
    '"Compute (SM) Throughput","%","71.0"',
    '"Memory Throughput","%","45.1"',
    '"Memory Throughput","Gbyte/s","800.1"',
    '"Registers Per Thread","register/thread","168"',
    '"Achieved Occupancy","%","18.2"',
):
    LONG += f'"0","1","p","h","gemm","1","7","(384, 1, 1)","(132, 1, 1)","0","9.0","s",{metric}\n'


def test_what_ptxas_says() -> None:
    scale, spilly = ptxas.parse_verbose(PTXAS)
    assert scale["registers"] == 35
    assert (scale["shared_bytes"], scale["barriers"]) == (512, 1)
    # The function that it calls reports spills of its own, which are not the kernel's.
    assert scale["spills"] == 0
    assert (spilly["spills"], spilly["spill_store_bytes"]) == (143, 544)
    assert spilly["architecture"] == "sm_90a"
    remark = "ptxas info    : (C7511) Potential Performance Loss: wgmma.mma_async instructions are"
    assert (
        "serialized" in ptxas.parse_verbose(f"{PTXAS}{remark} serialized due to x")[1]["remarks"][0]
    )
    assert ptxas.parse_verbose("") == []


def test_what_cuobjdump_says() -> None:
    scale, spilly = ptxas.parse_usage(USAGE)
    assert (scale["registers"], scale["shared_bytes"]) == (35, 1536)
    assert (spilly["name"], spilly["stack_bytes"]) == ("_Z6spillyPKfPf", 280)
    assert [k["name"] for k in ptxas.readable([scale, spilly])] in (
        ["scale<128>", "spilly"],
        # Without c++filt names stay as they are.
        ["_Z5scaleILi128EEvPKfPfi", "_Z6spillyPKfPf"],
    )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        # As NVIDIA's occupancy calculator says for 9.0.
        ((32, 0, 8), (1.0, 8, "registers")),
        ((64, 0, 8), (0.5, 4, "registers")),
        ((255, 0, 8), (0.125, 1, "registers")),
        ((128, 0, 4), (0.25, 4, "registers")),
        ((32, 100 * 1024, 4), (0.125, 2, "shared memory")),
        ((32, 232448, 8), (0.125, 1, "shared memory")),
        ((32, 232449, 8), (0.0, 0, "shared memory")),
        ((16, 0, 1), (0.5, 32, "blocks")),
        ((0, 0, 32), (1.0, 2, "warps")),
    ],
)
def test_occupancy(asked, found) -> None:
    registers, shared, warps = asked
    full = occupancy(HOPPER, registers=registers, shared_bytes=shared, warps=warps)
    assert (full.share, full.blocks, full.limited_by) == found
    assert limits_of((3, 0)) is None


def kernel(**changes):
    return {
        "name": "rows", "registers": 40, "spills": 0, "shared_bytes": 2048, "num_warps": 4,
        "num_stages": 3, "load_bytes": 16, "constants": {"BLOCK": 1024}, **changes,
    }  # fmt: skip


def test_a_kernel_beside_its_parents() -> None:
    (own,) = resources.checked([kernel(registers=255, spills=12)], HOPPER)
    (parent,) = resources.checked([kernel()], HOPPER)
    (line,) = resources.lines([own], [parent])
    assert line.startswith("rows: 255 registers (parent 40), 12 spilled words a thread (parent 0)")
    assert "2048 B shared memory, 4 warps, 3 stages" in line
    assert "12% occupancy (parent 75%), limited by registers" in line
    assert "BLOCK=1024" in line
    # Renamed, but the only one on both sides.
    assert "(parent 40)" in resources.lines([{**own, "name": "other"}], [parent])[0]
    assert "parent" not in resources.lines([own], [])[0]
    assert "spilled" not in resources.lines([parent], [])[0]


def test_only_what_can_be_true_is_taken() -> None:
    odd = [
        None, 3, {"name": 4, "registers": -1, "spills": True, "shared_bytes": 1 << 60},
        kernel(name="x" * 999, registers="many", constants={"A": 1 << 99, "B": 2, "C": "no"}),
    ]  # fmt: skip
    first, second = resources.checked(odd, HOPPER)
    assert first == {"name": "4"}
    assert len(second["name"]) == 60
    assert "registers" not in second
    assert "occupancy" not in second
    assert second["constants"] == {"B": 2}
    assert resources.checked("nonsense", HOPPER) == []
    assert len(resources.checked([kernel()] * 99, None)) == 8
    assert resources.lines([first], []) == ["4: "]


def test_the_raw_page_of_ncu() -> None:
    rows, fill = ncu.parse(RAW)
    assert (rows.kernel, fill.kernel) == ("rows_kernel", "fill")
    assert rows.values["duration_us"] == pytest.approx(81.024)
    assert "l2_hit_pct" not in rows.values
    found = ncu.counters([rows, fill])
    assert found["kernel"] == "rows_kernel"
    assert found["launches"] == 2
    assert found["device_us"] == pytest.approx(83.04)
    assert found["theoretical_occupancy"] == 0.75
    assert found["limited_by"] == "registers"
    assert found["local_instructions"] == 0
    assert found["stalls"] == {"long_scoreboard": 7.5, "barrier": 0.5}
    diagnosis = classify(found)
    assert diagnosis.kind == "memory"
    assert "device memory is 87% busy" in diagnosis.evidence[0]


def test_the_other_page_of_ncu() -> None:
    (gemm,) = ncu.parse(LONG)
    assert gemm.values["memory_pct"] == 45.1
    found = ncu.counters([gemm])
    assert (found["duration_us"], found["registers"]) == (412.5, 168)
    assert found["occupancy"] == pytest.approx(0.182)
    assert classify(found).kind == "compute"


@pytest.mark.parametrize(
    "text", ["", "==ERROR== No access", '"ID"', '"ID","a"\n"0"', '"ID","x","y","z","w"\n']
)
def test_without_a_table_there_are_no_counters(text) -> None:
    assert ncu.counters(ncu.parse(text)) == {}


@given(st.text(alphabet='"ID,Kernel Name\n0159.%', max_size=200))
def test_odd_tables_do_no_harm(text) -> None:
    ncu.counters(
        ncu.parse('"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n' + text)
    )


def test_the_command_asks_for_what_is_parsed() -> None:
    command = ncu.command(["python3", "x.py"], kernels="rows", launches=3)
    assert command[0] == "ncu"
    assert command[-2:] == ["python3", "x.py"]
    assert "regex:rows" in command
    metrics = command[command.index("--metrics") + 1].split(",")
    assert set(ncu.METRICS) < set(metrics)
    assert sum("stalled" in name for name in metrics) == len(ncu.STALLS)


def test_counters_of_a_profile() -> None:
    facts = {
        "own_share": 0.9, "own_launches": 1.0, "library_launches": 0.0, "torch_launches": 5.0,
        "kernels": [["rows", "own", 9.0], ["at::fill", "torch", 1.0]],
    }  # fmt: skip
    found = traces.of_share(facts, call_ms=0.030)
    assert found == {"kernel": "rows", "device_us": 10.0, "launches": 6.0, "call_us": 30.0}
    assert classify(found).kind == "launch"
    assert traces.of_share({"own_share": None, "reason": "x"}) == {}


def test_counters_of_a_trace() -> None:
    arguments = {
        "registers per thread": 255, "shared memory": 4096, "blocks per SM": 0.24,
        "warps per SM": 1.9, "grid": [32, 1, 1], "block": [256, 1, 1],
        "est. achieved occupancy %": 3,
    }  # fmt: skip
    events = [
        {"ph": "X", "cat": "kernel", "name": "rows", "dur": 50.0, "args": arguments},
        {"ph": "X", "cat": "kernel", "name": "rows", "dur": 52.0, "args": arguments},
        {"ph": "X", "cat": "cpu_op", "name": "aten::add", "dur": 5.0},
        {"ph": "X", "cat": "kernel", "name": "odd"},
        "odd",
    ]
    found = traces.of_trace({"traceEvents": events}, calls=2, call_ms=0.052)
    assert (found["device_us"], found["launches"], found["registers"]) == (51.0, 1.0, 255.0)
    assert found["occupancy"] == 0.03
    assert classify(found).kind == "occupancy"
    assert traces.of_trace({}, 1) == {}
    for odd in (3, "x", [3], [{"cat": "kernel", "name": 1, "dur": 2.0, "args": [3]}]):
        assert "registers" not in traces.of_trace({"traceEvents": odd}, 1)


def test_of_a_trace_only_launches_are_kept() -> None:
    arguments = {"registers per thread": 40, "stream": 7, "grid": [1, 1, 1]}
    event = {"ph": "X", "cat": "kernel", "name": "n" * 999, "dur": 5.0, "ts": 1, "args": arguments}
    trace = {"traceEvents": [{"ph": "M", "name": "process_name"}, *[event] * 999]}
    kept = launches_of(trace)
    assert len(kept) == 256
    assert kept[0] == {
        "cat": "kernel", "name": "n" * 240, "dur": 5.0, "args": {"registers per thread": 40}
    }  # fmt: skip
    assert traces.of_trace({"traceEvents": kept}, 1)["registers"] == 40


needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
TRITON = """
import triton
import triton.language as tl


@triton.autotune(configs=[triton.Config({}, num_warps=4)], key=["n"], do_bench=lambda *_: 1)
@triton.heuristics({"EVEN": lambda args: False})
@triton.jit
def double(x, y, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, 2 * tl.load(x + at, at < n), at < n)


@triton.jit
def never(x):
    pass
"""


@needs_triton
def test_what_compiled_kernels_say(tmp_path, monkeypatch) -> None:
    """Compiled for a device that is not here; the driver's figures are then missing."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "candidate.py"
    path.write_text(TRITON)
    spec = importlib.util.spec_from_file_location("candidate_of_a_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = module.double.fn.fn
    compiled = triton.compile(
        ASTSource(
            function,
            {"x": "*fp32", "y": "*fp32", "n": "i32", "BLOCK": "constexpr", "EVEN": "constexpr"},
            constexprs={(3,): 1024, (4,): False},
            attrs={(0,): [["tt.divisibility", 16]], (1,): [["tt.divisibility", 16]],
                   (2,): [["tt.divisibility", 16]]},
        ),
        target=GPUTarget("cuda", 90, 32),
        options={"num_warps": 4, "num_stages": 2},
    )  # fmt: skip
    # Where a launch puts it.
    caches = defaultdict(lambda: ({}, {}, None, None, None))
    caches[0][0]["key"] = compiled
    monkeypatch.setattr(function, "device_caches", caches)
    (facts,) = loaded.kernels(module)
    assert facts["name"] == "double"
    assert (facts["num_warps"], facts["num_stages"], facts["shared_bytes"]) == (4, 2, 0)
    assert facts["constants"] == {"BLOCK": 1024}
    assert facts["load_bytes"] == 16
    assert facts["registers"] is None
    # As the driver would have told.
    compiled.n_regs, compiled.n_spills = 24, 0
    (told,) = resources.checked(loaded.kernels(module), HOPPER)
    assert (told["registers"], told["occupancy"]) == (24, 1.0)


@pytest.mark.cuda
@needs_triton
def test_a_launched_kernel_knows_its_registers(tmp_path) -> None:
    """Not run yet where there was no device."""
    import torch

    path = tmp_path / "candidate.py"
    path.write_text(TRITON)
    spec = importlib.util.spec_from_file_location("candidate_on_a_device", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x = torch.ones(4096, device="cuda")
    module.double.fn[(4,)](x, torch.empty_like(x), 4096, BLOCK=1024)
    torch.cuda.synchronize()
    limits = limits_of(torch.cuda.get_device_capability())
    (facts,) = resources.checked(loaded.kernels(module), limits)
    assert 0 < facts["registers"] <= 255
    assert facts["spills"] == 0
    assert limits is None or 0 < facts["occupancy"] <= 1


PROFILED = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2


WORKLOADS = {"small": {"n": 1 << 10}, "large": {"n": 1 << 26}}


def get_inputs(n=1 << 10):
    return [torch.randn(n)]


def get_init_inputs():
    return []
"""
RELU2 = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def relu2_kernel(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, 2 * tl.maximum(tl.load(x + at, at < n), 0), at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        relu2_kernel[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), BLOCK=1024)
        return out
"""
# The same, and a kernel of torch's beside it.
COPIED = RELU2.replace("return out", "return out.clone()")


@pytest.mark.cuda
@needs_triton
def test_an_elite_is_profiled(tmp_path) -> None:
    (tmp_path / "problem.py").write_text(PROFILED)
    spec = EvaluationSpec(
        problem=tmp_path / "problem.py",
        cache_dir=tmp_path / "cache",
        device="cuda",
        baselines=("eager",),
        pairs=10,
        run_limit_s=60.0,
        workers=1,
        diagnose=True,
    )
    with LocalPool(spec) as pool:
        first = pool.evaluate_once(Candidate(number=0, source=COPIED, language="triton"))
        second = pool.evaluate_once(Candidate(number=1, source=RELU2, language="triton"))
        slower = pool.evaluate_once(Candidate(number=2, source=f"{COPIED}# ", language="triton"))
    for evaluation, launches in ((first, 2), (second, 1)):
        assert evaluation.passed, evaluation.diagnostics
        known = evaluation.details["diagnostics"]
        counters = known["counters"]
        assert counters["workload"] == "large", counters
        assert counters["launches"] == pytest.approx(launches)
        assert counters["device_us"] > 50
        assert "relu2_kernel" in [name for name, _, _ in counters["kernels"]]
        profiled, lines = known["profiled"], evaluation.details["diagnosis"]
        assert profiled["evidence"], known
        assert 0 < profiled["share"] < 1.5
        assert len(lines) < 40
        assert any(line.startswith("profile of a call on large: own") for line in lines), lines
        assert any("achieved at least" in line and "TB/s" in line for line in lines), lines
        assert evaluation.details["stages"]["profile"]["wall_s"] < 6
    found = second.details["diagnostics"]
    # 0.5 GB are moved in one kernel of its own: what is there to wait for is the memory.
    assert found["counters"]["own_share"] == 1.0
    assert found["counters"]["registers"] > 0
    assert found["profiled"]["kind"] == "memory", found
    assert 0.2 < first.details["diagnostics"]["counters"]["torch_share"] < 0.8
    assert slower.passed
    assert "counters" not in slower.details["diagnostics"]


def test_without_triton_there_is_nothing_to_look_at(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    assert loaded.kernels(ModuleType("m")) == []
