"""The share of own kernels: names classified, answers doubted, candidates profiled."""

import os
import random

import pytest
import torch

from fitness.cases import CaseBank
from fitness.exchange import spec_of
from fitness.gate.names import KernelNames, kernel_names
from fitness.pool import PRELOAD, environment
from fitness.problem import Problem
from fitness.process import CandidateProcess
from fitness.profile import CALLS, base_name, kernel_class, own_share, share
from fitness.profiled import profile_calls
from fitness.runners import readable_paths
from fitness.sandbox.zygote import Zygote
from fitness.spec import EvaluationSpec
from fitness.toolchains import registry
from populations.kernel import Candidate

NAMES = KernelNames(frozenset({"rows_kernel", "scale", "sgemm_128"}), has_native=True)
PROBLEM = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x):
        return self.linear(x).relu()


def get_init_inputs():
    return [256]


def get_inputs():
    return [torch.randn(512, 256)]
"""
HEAD = """
import torch
from torch import nn
from fitness.native import load_cpp

SOURCE = r'''
#include <cmath>
extern "C" void relu(float* x, long long n) {
    for (long long i = 0; i < n; ++i) {
        // Slow enough to be seen.
        float v = x[i];
        for (int k = 0; k < 8; ++k) v = std::cos(v) + v * 0.5f;
        x[i] = x[i] > 0 ? x[i] : 0 * v;
    }
}
'''
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x):
"""
TRITON = """
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def halve(x, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + at, tl.maximum(tl.load(x + at, at < n), 0.0), at < n)


class ModelNew(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x):
        y = self.linear(x)
        halve[(triton.cdiv(y.numel(), 1024),)](y, y.numel(), BLOCK=1024)
        return y * 1.0
"""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rows_kernel", "own"),
        ("rows_kernel_0d1d2d", "own"),
        ("void scale<float, 128>(float const*, float*, int)", "own"),
        ("void (anonymous namespace)::scale<float>(float*)", "own"),
        ("sgemm_128", "own"),
        ("ampere_sgemm_128x64_tn", "library"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm>(Params)", "library"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", "library"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT", "library"),
        ("void cudnn::cnn::conv2d_grouped_direct_kernel<false>(int)", "library"),
        ("void cublasLt::splitKreduce_kernel<32, 16, int>(cublasSplitKParams<float>)", "library"),
        ("void gemv2T_kernel_val<int, float>(int)", "library"),
        ("void flash_fwd_kernel<Flash_fwd_kernel_traits<64>>(Flash_fwd_params)", "library"),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor>(int)",
            "torch",
        ),
        ("void at::native::(anonymous namespace)::reduce_kernel<512>(T)", "torch"),
        ("void at::native::gemm_like_name<int>(int)", "torch"),
        ("triton_poi_fused_add_relu_0", "torch"),
        ("Memcpy DtoD (Device -> Device)", "torch"),
        ("Memset (Device)", "torch"),
        ("void something_else<int>(int)", "own"),
    ],
)
def test_kernels_are_classified_by_their_names(name, found):
    assert kernel_class(name, NAMES) == found


def test_a_name_that_the_source_defines_is_its_own():
    named = KernelNames(frozenset({"triton_poi_fused_add_0"}))
    assert kernel_class("triton_poi_fused_add_0", named) == "own"
    cutlass = "void cutlass::device_kernel<Mine>(Params)"
    assert kernel_class(cutlass, KernelNames()) == "library"
    assert kernel_class(cutlass, KernelNames(uses_cutlass=True)) == "own"


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("kernel", "kernel"),
        ("void a::b::kernel<float>(int)", "kernel"),
        ("void (anonymous namespace)::kernel(int)", "kernel"),
        ("a::b<int>::kernel(int)", "b"),
        ("", ""),
    ],
)
def test_base_names(name, base):
    assert base_name(name) == base


def test_names_are_found_in_every_kind_of_source():
    names = kernel_names(
        """
@triton.autotune(configs=[], key=[])
@triton.jit
def tuned(x): pass
@jit
def plain(x): pass
def host(x): pass
CUDA = '''
template <int B> __global__ void __launch_bounds__(B, 2) scale(float* x) {}
extern "C" __global__ void
add(float* x) {}
__device__ void helper(float* x) {}
'''
"""
    )
    assert names.kernels == {"tuned", "plain", "scale", "add"}
    assert not names.has_native
    assert kernel_names("k = load_cpp(S)").any
    assert not kernel_names("def broken(:").any


def test_shares_add_up_and_the_longest_come_first():
    events = [["rows_kernel", 10, 600.0], ["ampere_sgemm", 5, 300.0], ["Memset (Device)", 5, 100.0]]
    facts = share({"events": events}, NAMES).facts()
    assert (facts["own_share"], facts["library_share"], facts["torch_share"]) == (0.6, 0.3, 0.1)
    assert facts["own_launches"] == 10 / CALLS
    assert facts["kernels"][0] == ["rows_kernel", "own", 600.0 / CALLS]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"events": None},
        {"events": [1, "x", [], ["a"], ["a", "b", "c"], ["a", 1, float("nan")]]},
        {"events": [["a", True, True], ["a", -1, -1.0], ["a", 1, float("inf")], ["a", 1, 1e300]]},
        {"events": [], "wall_us": "x", "own_us": []},
        {"events": {}, "wall_us": -1},
    ],
)
def test_an_answer_that_makes_no_sense_gives_no_share(answer):
    facts = share(answer, NAMES).facts()
    assert facts["own_share"] is None
    assert facts["reason"]


def test_an_answer_is_cut_to_a_size():
    events = [[f"k{i}" * 100, 1, 1.0] for i in range(1000)]
    facts = share({"events": events}, NAMES).facts()
    assert len(facts["kernels"]) == 8
    assert all(len(name) <= 80 for name, _, _ in facts["kernels"])


def profiled(model, x):
    descriptor = os.memfd_create("inputs")
    os.write(descriptor, x.numpy().tobytes())
    question = {"tree": {"tuple": [{"tensor": 0}]}, "specs": [spec_of(x).to_json()], "calls": CALLS}
    return profile_calls(model, question, descriptor, "cpu")


def test_torch_s_operators_are_told_apart_on_the_cpu():
    w = torch.randn(256, 256)
    facts = share(profiled(lambda x: torch.relu(x @ w), torch.randn(256, 256)), KernelNames())
    assert facts.own == 0
    facts = facts.facts()
    assert facts["library_share"] > 0.3
    assert facts["torch_share"] > 0
    assert facts["library_share"] + facts["torch_share"] == pytest.approx(1, abs=1e-3)
    assert facts["library_launches"] >= 1


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Profile a source in a confined process, as it is done after timing."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "problem.py").write_text(PROBLEM)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    problem = folder / "problem.py"
    spec = EvaluationSpec(problem=problem, cache_dir=folder / "cache", device=device, seeds=1)
    spec.cache_dir.mkdir()

    def run(source, language):
        candidate = Candidate(number=0, source=source, language=language)
        bank = CaseBank(Problem(spec.problem), spec, model_seed=1, rng=random.Random(1))
        case = bank.case(bank.workloads[0], 0)
        assert isinstance(registry.build(candidate, spec, zygote), registry.Built)
        with CandidateProcess(
            candidate, spec, zygote, seed=1, folder=folder, read=readable_paths(spec)
        ) as process:
            process.construct(bank.constants, case.dtype)
            return own_share(process, case)

    with Zygote(preload=PRELOAD, environment=environment(spec)) as zygote:
        yield run


@pytest.mark.compiler
def test_own_functions_in_cpp_are_measured(profile):
    if torch.cuda.is_available():
        pytest.skip("of the CPU")
    own = "        y = torch.empty_like(x).copy_(x)\n        kernels.relu(y, y.numel())\n"
    facts = profile(f"{HEAD}{own}        return y\n", "cpp")
    assert facts["own_share"] > 0.8, facts
    assert facts["own_launches"] == 1
    leaf = (
        "        y = self.linear(x)\n        for _ in range(20):\n            y = self.linear(y)\n"
    )
    leaf += "        kernels.relu(y, 1)\n        return y\n"
    facts = profile(f"{HEAD}{leaf}", "cpp")
    assert facts["own_share"] < 0.1, facts
    assert facts["library_share"] > 0.8


def test_a_candidate_that_fails_under_the_profiler_has_no_share(profile):
    body = "        if torch.autograd._profiler_enabled():\n            raise ValueError('seen')\n"
    source = HEAD.partition("from fitness")[0] + HEAD.partition("kernels = load_cpp(SOURCE)\n")[2]
    facts = profile(f"{source}{body}        return x\n", "python")
    assert facts["own_share"] is None
    assert "seen" in facts["reason"]


@pytest.mark.cuda
def test_kernels_on_a_device_are_told_apart(profile):
    facts = profile(TRITON, "triton")
    assert 0 < facts["own_share"] < 1, facts
    assert facts["own_launches"] == 1
    assert facts["library_launches"] >= 1
    assert facts["torch_launches"] >= 1
    assert "halve" in [name for name, _, _ in facts["kernels"]]
