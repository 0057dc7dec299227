"""Seeds from TorchInductor on the CPU, and the parts that make them."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fitness import policy
from fitness.inductor import inductor_seed
from fitness.inductor.cpp import plain_kernel
from fitness.inductor.model import reference_text
from fitness.inductor.wrapper import Kernel, UntranslatableError, read
from fitness.spec import EvaluationSpec
from populations.errors import ProblemError
from populations.source import cpp_sources

PROBLEMS = Path(__file__).parent / "test_inductor_problems"
ALONE = ("norm", "heads", "mixed", "pooled", "slope", "library")
# Loops as TorchInductor writes them, and what is to become of each.
GENERATED = """
#include <torch/csrc/inductor/cpp_prefix.h>
extern "C"  void  kernel(const float* in_ptr0,
                       float* out_ptr0,
                       const int64_t ks0)
{
    #pragma omp parallel
    {
        int tid = omp_get_thread_num();
        {
            #pragma omp for
            for(int64_t x0=CAST(0L); x0<CAST(ks0); x0+=CAST(1L))
            {
                {
                    float tmp_acc0 = 0;
                    CascadeSumHelper<float, 4096> scalar_cascade_helper0(CAST(8000L));
                    for(int64_t x1=CAST(0L); x1<CAST(8000L); x1+=CAST(1L))
                    {
                        {
                            auto tmp0 = in_ptr0[CAST(x1 + 8000L*(DIVIDED(CAST(x0), CAST(2L))))];
                            auto tmp1 = static_cast<float>(0.5);
                            auto tmp2 = float(tmp0 * tmp1);
                            auto tmp3 = std::exp(tmp2);
                            tmp_acc0 = cascade_sum_combine(tmp3, &scalar_cascade_helper0);
                        }
                    }
                    tmp_acc0 = cascade_sum_final(&scalar_cascade_helper0);
                    out_ptr0[CAST(x0)] = tmp_acc0;
                }
            }
        }
    }
}
""".replace("CAST(", "static_cast<int64_t>(").replace("DIVIDED(", "c10::div_floor_integer(")
PLAIN = """\
extern "C" void sums(
    const float* in_ptr0, float* out_ptr0, const int64_t ks0)
{
    #pragma omp parallel for
    for (int64_t x0 = 0; x0 < ks0; ++x0) {
        double tmp_acc0 = 0;
        for (int64_t x1 = 0; x1 < 8000; ++x1) {
            const float tmp0 = in_ptr0[x1 + 8000*(x0 / 2)];
            const float tmp1 = 0.5;
            const float tmp2 = tmp0 * tmp1;
            const float tmp3 = std::exp(tmp2);
            tmp_acc0 += tmp3;
        }
        out_ptr0[x0] = tmp_acc0;
    }
}"""
WRAPPER = """
async_compile = AsyncCompile()
cpp_fused_add_0 = async_compile.cpp_pybinding(['const float*'], r'''text''')
def call(args):
    arg0_1, arg1_1 = args
    args.clear()
    assert_size_stride(arg0_1, (4, ), (1, ))
    buf0 = empty_strided_cpu((4, ), (1, ), torch.float32)
    cpp_fused_add_0(arg0_1, buf0)
    del arg0_1
    return (buf0, )
"""


def run_seeds(device, names, **environment):
    """Make seeds in a process of their own; name -> {"source", "checks"} or {"error"}.

    A name may follow a number of threads: "2:totals".
    """
    root = Path(__file__).parents[2]
    items = [n.rpartition(":") for n in names]
    command = [sys.executable, str(PROBLEMS / "run_seeds.py"), device]
    done = subprocess.run(
        [*command, *(f"{threads or 1}:{PROBLEMS / name}.py" for threads, _, name in items)],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def seeds():
    return run_seeds("cpu", [*ALONE, "2:totals", "branches"])


@pytest.mark.compiler
@pytest.mark.parametrize("name", ALONE)
def test_a_seed_computes_the_reference_on_every_workload(seeds, name):
    answer = seeds[name]
    assert "error" not in answer, answer["error"]
    for workload, errors in answer["checks"].items():
        # float16 and bfloat16 keep 10 and 7 bits.
        limit = {"f16": 2e-3, "bf16": 1.5e-2}.get(workload, 1e-5)
        assert max(errors) < limit, (workload, errors)


@pytest.mark.compiler
def test_a_seed_is_a_candidate_of_plain_loops(seeds):
    for name in ALONE:
        source = seeds[name]["source"]
        assert not policy.rejections(policy.examine(source)), name
        assert "_inductor" not in source
        for text in cpp_sources(source):
            assert "at::" not in text.text
            assert "torch" not in text.text
    assert "load_cpp" not in seeds["library"]["source"]
    assert "torch.mm(" in seeds["library"]["source"]


@pytest.mark.compiler
def test_a_sum_may_be_taken_in_several_parts(seeds):
    """One accumulator in order is less accurate than the vectors of the generated code."""
    for name, sums in (("totals", True), ("slope", False)):
        assert ("// flags: -fassociative-math" in seeds[name]["source"]) == sums


@pytest.mark.compiler
def test_sizes_that_differ_are_arguments_and_dtypes_have_code_of_their_own(seeds):
    norm = seeds["norm"]["source"]
    assert norm.count('extern "C"') == 1
    assert "ks0" in norm
    mixed = seeds["mixed"]["source"]
    assert len(re.findall(r"def _forward_\d\(self, x, y\)", mixed)) == 3
    assert "made for inputs of other shapes" in mixed


@pytest.mark.compiler
def test_with_threads_the_loops_are_shared(seeds):
    answer = seeds["totals"]
    assert "error" not in answer, answer["error"]
    assert max(answer["checks"]["default"]) < 1e-5
    assert "#pragma omp parallel for" in answer["source"]


def test_the_constructor_comes_along_and_nothing_else():
    text = reference_text((PROBLEMS / "heads.py").read_text())
    assert text.imports.splitlines() == ["import torch", "import torch.nn as nn"]
    assert "WIDTH = 33" in text.definitions
    assert "def widened" in text.definitions
    assert "get_inputs" not in text.definitions
    assert text.class_head == "class ModelNew(nn.Module):"
    assert "super(ModelNew, self).__init__()" in text.class_body
    assert "def prepare" in text.class_body
    assert "def forward" not in text.class_body
    assert text.names == ("x", "extra")
    ast.parse(f"{text.imports}\n{text.definitions}\n{text.class_head}\n{text.class_body}")


def test_names_of_a_function_of_its_own_bring_nothing_along():
    source = """
import math
from torch import nn
size = 3
class Model(nn.Module):
    def __init__(self, size):
        self.size = size
    def forward(self, x, *rest, flag=True):
        return math.sqrt(2) * x
"""
    text = reference_text(source)
    assert text.imports == "from torch import nn"
    assert not text.definitions
    assert text.names == ("x", "*rest")
    assert text.parameters == "x, *rest, flag=True"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from elsewhere import Model", "not written in the problem file"),
        ("class Base: pass\nclass Model(Base):\n    x = 1", "inherits its forward"),
    ],
)
def test_a_model_that_is_not_in_the_file_is_refused(source, said):
    with pytest.raises(UntranslatableError, match=said):
        reference_text(source)


def test_generated_loops_become_plain_ones():
    assert plain_kernel(GENERATED, "sums") == PLAIN


def test_a_kernel_that_needs_torchs_headers_is_refused():
    source = GENERATED.replace("std::exp(tmp2)", "at::native::special(tmp2)")
    with pytest.raises(UntranslatableError, match="at::native::special"):
        plain_kernel(source, "sums")


def test_a_generated_module_is_taken_apart():
    found = read(WRAPPER)
    assert found.kernels == (Kernel(name="cpp_fused_add_0", language="cpp", source="text"),)
    assert found.arguments == ("arg0_1", "arg1_1")
    texts = [ast.unparse(s).partition("(")[0] for s in found.statements]
    assert texts == ["assert_size_stride", "buf0 = empty_strided_cpu", "cpp_fused_add_0"]
    assert [ast.unparse(r) for r in found.results] == ["buf0"]


@pytest.mark.compiler
def test_what_cannot_be_a_seed_says_so(seeds):
    said = seeds["branches"]["error"].splitlines()[-1]
    assert "branches.py: no seed can be made from TorchInductor" in said
    assert said.startswith("populations.errors.ProblemError")


def test_the_problems_fault_is_one_line_with_the_file(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text("Model = 1 / 0\n")
    with pytest.raises(ProblemError, match="ZeroDivisionError") as caught:
        inductor_seed(EvaluationSpec(problem=path, cache_dir=tmp_path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
