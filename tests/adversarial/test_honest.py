"""The benchmark of honest kernels: its other forms compute the same, its sizes shrink."""

import pytest
import torch

from benchmarks.honest import _divided
from benchmarks.library_form import rewritten
from tests.adversarial.judging import PROBLEMS


@pytest.mark.parametrize("name", ["linear", "layernorm", "softmax", "blend"])
def test_another_form_computes_the_same(name):
    text = (PROBLEMS / f"{name}.py").read_text(encoding="utf-8")
    scope, other = {}, {}
    exec(text, scope)
    exec(rewritten(text), other)
    torch.manual_seed(0)
    inputs = scope["get_inputs"]()
    torch.manual_seed(0)
    reference = scope["Model"](*scope["get_init_inputs"]())
    torch.manual_seed(0)
    candidate = other["ModelNew"](*scope["get_init_inputs"]())
    with torch.no_grad():
        torch.testing.assert_close(candidate(*inputs), reference(*inputs))


def test_a_problem_with_nothing_to_replace_has_no_other_form():
    text = (PROBLEMS / "prefix.py").read_text(encoding="utf-8")
    assert rewritten(text) == ""


def test_sizes_are_divided_and_small_ones_kept():
    text = _divided("N = 4096 * 2\nCHANNELS = 3\ndef get_inputs():\n    return 4096\n", 16)
    assert text == "N = 256 * 2\nCHANNELS = 3\n\ndef get_inputs():\n    return 4096"
