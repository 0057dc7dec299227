"""The rule accepts what an honest kernel computes and refuses what a cheap one does."""

import pytest
import torch

from fitness.correctness import compare_structure, compare_values, expect
from fitness.exchange import TensorSpec, flatten, spec_of
from fitness.problem import Problem
from fitness.reference import Reference, round_mantissa
from populations.errors import WorkerError
from populations.outcome import Outcome

MATMUL = """
import torch
from torch import nn

class Model(nn.Module):
    def forward(self, a, b):
        return a @ b

def get_inputs():
    return [{a}, {b}]

def get_init_inputs():
    return []
"""
INPUTS = {
    "centred": ("torch.randn(48, 512)", "torch.randn(512, 64)"),
    # Every product is positive: rounding averages away in the sum.
    "positive": ("torch.rand(48, 512)", "torch.rand(512, 64)"),
}


@pytest.fixture(params=INPUTS)
def case(request, tmp_path):
    path = tmp_path / "problem.py"
    a, b = INPUTS[request.param]
    path.write_text(MATMUL.format(a=a, b=b))
    return Judged(Problem(path))


class Judged:
    def __init__(self, problem, dtype=None):
        self.inputs = problem.inputs("default", 5)
        if dtype is not None:
            self.inputs = [t.to(dtype) for t in self.inputs]
        reference = Reference(problem, "cpu", seed=1)
        self.result = reference.run(self.inputs, None)
        self.expected = [
            expect(n, g, exact=problem.exact, tolerances=problem.tolerances)
            for n, g in zip(self.result.native, self.result.golden, strict=True)
        ]
        self.lowered = lambda: reference.lowered(self.inputs, None)

    def judge(self, *outputs):
        return compare_values(self.expected, outputs, self.lowered)


def sequential(a, b, dtype=torch.float32):
    """One accumulator per output, in the plainest order."""
    out = torch.zeros(a.shape[0], b.shape[1], dtype=dtype)
    for k in range(a.shape[1]):
        out += a[:, k : k + 1].to(dtype) * b[k].to(dtype)
    return out


def test_another_summation_order_passes(case):
    a, b = case.inputs
    assert case.judge(sequential(a, b)).outcome is Outcome.PASSED
    assert case.judge(sequential(a.flip(1), b.flip(0))).outcome is Outcome.PASSED


@pytest.mark.parametrize(("bits", "nearest"), [(10, True), (10, False), (7, True)])
def test_a_float32_problem_is_not_computed_in_less(case, bits, nearest):
    a, b = (round_mantissa(t, bits, nearest=nearest) for t in case.inputs)
    verdict = case.judge(sequential(a, b))
    assert verdict.outcome is Outcome.WRONG_VALUES


def test_a_downgrade_is_named_where_its_error_is_small(tmp_path):
    path = tmp_path / "problem.py"
    # 2,048 positive products: the error is close to that of an honest sum.
    path.write_text(MATMUL.format(a="torch.rand(32, 2048)", b="torch.rand(2048, 64)"))
    case = Judged(Problem(path))
    a, b = case.inputs
    low = [round_mantissa(t, 10, nearest=True) for t in (a, b)]
    verdict = case.judge((low[0].double() @ low[1].double()).float())
    assert verdict.outcome is Outcome.WRONG_VALUES
    assert "10 bits" in verdict.text
    assert case.judge(sequential(a, b)).outcome is Outcome.PASSED


def split(tensor, bits, parts):
    """What adds up to a tensor, each part of few bits."""
    found = []
    for _ in range(parts):
        found.append(round_mantissa(tensor, bits, nearest=True))
        tensor = tensor - found[-1]
    return found


def in_products(a, b, bits, parts, last):
    """A product of split factors without the products of their smallest parts."""
    pairs = [(i, j) for i in range(parts) for j in range(parts) if i + j <= last]
    of_a, of_b = split(a, bits, parts), split(b, bits, parts)
    return sum(of_a[i].double() @ of_b[j].double() for i, j in pairs).float()


@pytest.mark.parametrize("shape", [(48, 64, 64), (32, 2048, 64), (200, 288, 96)])
def test_three_products_of_bfloat16_parts_are_less_than_float32(tmp_path, shape):
    rows, inner, columns = shape
    path = tmp_path / "problem.py"
    a, b = f"torch.randn({rows}, {inner})", f"torch.randn({inner}, {columns})"
    path.write_text(MATMUL.format(a=a, b=b))
    case = Judged(Problem(path))
    a, b = case.inputs
    verdict = case.judge(in_products(a, b, bits=7, parts=2, last=1))
    assert verdict.outcome is Outcome.WRONG_VALUES
    assert "two parts" in verdict.text
    # Six products of three parts, and three of parts in TF32, are as good as float32.
    assert case.judge(in_products(a, b, bits=7, parts=3, last=2)).outcome is Outcome.PASSED
    assert case.judge(in_products(a, b, bits=10, parts=2, last=1)).outcome is Outcome.PASSED


def test_a_tolerance_does_not_excuse_less_precision(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(MATMUL.format(a="torch.randn(48, 64)", b="torch.randn(64, 64)"))
    path.write_text(path.read_text() + "\nTOLERANCE = (1e-1, 1e-1)\n")
    case = Judged(Problem(path))
    a, b = case.inputs
    assert case.judge((a.half() @ b.half()).float()).outcome is Outcome.WRONG_VALUES
    assert case.judge(case.result.native[0] + 1e-2 * torch.rand(48, 64)).outcome is Outcome.PASSED


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(tmp_path, dtype):
    path = tmp_path / "problem.py"
    path.write_text(MATMUL.format(a="torch.randn(48, 512)", b="torch.randn(512, 64)"))
    case = Judged(Problem(path), dtype)
    a, b = case.inputs
    assert case.judge(sequential(a, b).to(dtype)).outcome is Outcome.PASSED
    accumulated_in_half = sequential(a, b, dtype)
    assert case.judge(accumulated_in_half).outcome is Outcome.WRONG_VALUES


def test_a_single_wrong_element_is_found_and_placed(case):
    out = case.result.native[0].clone()
    out[7, 63] *= 1.001
    verdict = case.judge(out)
    assert verdict.outcome is Outcome.WRONG_VALUES
    assert verdict.details["first_wrong"] == [[7, 63]]
    assert verdict.details["wrong_elements"] == 1


def test_zeros_do_not_pass_however_small_the_output(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(MATMUL.format(a="1e-9 * torch.rand(4, 8)", b="1e-9 * torch.rand(8, 4)"))
    case = Judged(Problem(path))
    verdict = case.judge(torch.zeros(4, 4))
    assert verdict.outcome is Outcome.WRONG_VALUES
    assert "zero" in verdict.text


def test_a_device_may_take_denormal_numbers_as_zero(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(MATMUL.format(a="1e-20 * torch.rand(4, 8)", b="1e-20 * torch.rand(8, 4)"))
    case = Judged(Problem(path))
    assert 0 < case.result.native[0].max() < torch.finfo(torch.float32).tiny
    assert case.judge(torch.zeros(4, 4)).outcome is Outcome.PASSED
    assert case.judge(torch.full((4, 4), 1e-35)).outcome is Outcome.WRONG_VALUES


def test_not_a_number_is_wrong_only_where_the_reference_has_none():
    native = torch.tensor([1.0, float("nan"), float("inf"), 2.0])
    expected = [expect(native, native.double(), exact=False, tolerances={})]
    assert compare_values(expected, [native.clone()]).outcome is Outcome.PASSED
    for place, value in ((0, float("nan")), (2, float("-inf")), (1, 0.0), (3, float("inf"))):
        wrong = native.clone()
        wrong[place] = value
        verdict = compare_values(expected, [wrong])
        assert verdict.outcome is Outcome.WRONG_VALUES
        assert verdict.details["first_wrong"] == [[place]]


def test_integers_are_equal_or_wrong():
    native = torch.arange(10)
    expected = [expect(native, None, exact=False, tolerances={})]
    assert compare_values(expected, [native.clone()]).outcome is Outcome.PASSED
    wrong = native.clone()
    wrong[9] = 0
    verdict = compare_values(expected, [wrong])
    assert verdict.outcome is Outcome.WRONG_VALUES
    assert "index 9 (the last)" in verdict.text


def test_exact_problems_need_the_same_bits_but_for_nan():
    native = torch.tensor([0.1, float("nan")])
    expected = [expect(native, native.double(), exact=True, tolerances={})]
    assert compare_values(expected, [native.clone()]).outcome is Outcome.PASSED
    off = torch.nextafter(native, torch.tensor(1.0))
    assert compare_values(expected, [off]).outcome is Outcome.WRONG_VALUES


def test_complex_outputs():
    native = torch.randn(6, dtype=torch.complex64)
    golden = native.to(torch.complex128)
    expected = [expect(native, golden, exact=False, tolerances={})]
    assert compare_values(expected, [native.clone()]).outcome is Outcome.PASSED
    wrong = native.clone()
    wrong[4] = wrong[4].conj()
    verdict = compare_values(expected, [wrong])
    assert verdict.details["first_wrong"] == [[4]]


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        (torch.zeros(2, 3), None),
        (torch.zeros(3, 2), Outcome.WRONG_SHAPE),
        (torch.zeros(2, 3).double(), Outcome.WRONG_DTYPE),
        ((torch.zeros(2, 3), torch.zeros(1)), Outcome.WRONG_SHAPE),
        ([torch.zeros(2, 3)], Outcome.WRONG_SHAPE),
        (None, Outcome.WRONG_SHAPE),
    ],
)
def test_structure(output, outcome):
    tree, tensors = flatten(output)
    verdict = compare_structure(
        {"tensor": 0}, [TensorSpec("float32", (2, 3))], tree, [spec_of(t) for t in tensors]
    )
    assert (verdict and verdict.outcome) is outcome


def test_structure_made_up_by_the_other_side_is_only_data():
    want = [TensorSpec("float32", (2, 3))]
    deep: dict = {"tensor": 0}
    for _ in range(5000):
        deep = {"list": [deep]}
    for tree in (None, 3, {"tensor": 0, "x": 1}, {"list": 4}, deep, {"dict": [[1]]}):
        verdict = compare_structure({"tensor": 0}, want, tree, want)
        assert verdict is not None
        assert verdict.outcome is Outcome.WRONG_SHAPE
        assert len(verdict.text) < 1000


def test_patterns_say_where():
    native = torch.randn(4, 8, 32)
    expected = [expect(native, native.double(), exact=False, tolerances={})]

    def said(change):
        out = native.clone()
        change(out)
        return compare_values(expected, [out]).text

    assert "indices 30 to 31, the tail" in said(lambda o: o[:, :, 30:].add_(1))
    assert "dimension 1 (extent 8) only index 2" in said(lambda o: o[:, 2].add_(1))
    assert "the edges, 0 and 31" in said(lambda o: o[:, :, ::31].add_(1))
    assert "every 4th index from 3 on" in said(lambda o: o[:, :, 3::4].add_(1))


def test_models_that_name_a_dtype_are_still_golden(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(
        MATMUL.format(a="torch.randn(8, 64).bfloat16()", b="torch.randn(64, 8).bfloat16()").replace(
            "return a @ b",
            "wide = a.float() @ b.to(torch.float32)\n        return wide.to(torch.bfloat16)",
        )
    )
    case = Judged(Problem(path))
    assert case.result.method == "float64"
    exact = case.inputs[0].double() @ case.inputs[1].double()
    assert torch.equal(case.result.golden[0], exact)


def test_models_that_cannot_do_float64_fall_back(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(
        MATMUL.format(a="torch.randn(8, 64)", b="torch.randn(64, 8)").replace(
            "return a @ b", "assert a.dtype == torch.float32\n        return a @ b"
        )
    )
    assert Judged(Problem(path)).result.method == "native"


@pytest.mark.parametrize("error", ["torch.OutOfMemoryError('x')", "RuntimeError('out of memory')"])
def test_a_lack_of_memory_is_no_reason_to_fall_back(tmp_path, error):
    path = tmp_path / "problem.py"
    path.write_text(
        MATMUL.format(a="torch.randn(8, 64)", b="torch.randn(64, 8)").replace(
            "return a @ b",
            f"if a.dtype == torch.float64:\n            raise {error}\n        return a @ b",
        )
    )
    with pytest.raises(WorkerError, match="cpu has no memory left for the reference in float64"):
        Judged(Problem(path))


def test_inputs_that_the_reference_changes_are_known(tmp_path):
    path = tmp_path / "problem.py"
    path.write_text(
        MATMUL.format(a="torch.randn(8, 64)", b="torch.randn(64, 8)").replace(
            "return a @ b", "b.relu_()\n        return a @ b"
        )
    )
    assert Judged(Problem(path)).result.changed == (1,)


def test_rounding_a_mantissa():
    x = torch.tensor([1.0 + 2**-11, 1.0 + 3 * 2**-11, -(1.0 + 2**-10), float("inf"), 0.0])
    near = round_mantissa(x, 10, nearest=True)
    assert near.tolist() == [1.0, 1.0 + 2**-9, -(1.0 + 2**-10), float("inf"), 0.0]
    down = round_mantissa(x, 10, nearest=False)
    assert down.tolist() == [1.0, 1.0 + 2**-10, -(1.0 + 2**-10), float("inf"), 0.0]
