"""Seeds from TorchInductor for CUDA: made without a device, run in Triton's interpreter."""

import ast
from pathlib import Path

import pytest

from fitness.inductor.triton import definitions, translate
from fitness.inductor.wrapper import Kernel, UntranslatableError, read
from populations.parameters import parameters
from tests.fitness.test_inductor import run_seeds

pytest.importorskip("triton")
SAMPLES = Path(__file__).parent / "test_inductor_samples"
NAMES = ("norm", "heads", "totals")


@pytest.fixture(scope="module")
def seeds():
    return run_seeds("cuda", NAMES, TRITON_INTERPRET="1")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_computes_the_reference_on_every_workload(seeds, name):
    answer = seeds[name]
    assert "error" not in answer, answer["error"]
    for workload, errors in answer["checks"].items():
        assert max(errors) < 1e-5, (workload, errors)


def test_a_seed_has_marked_launch_parameters_and_nothing_private(seeds):
    for name in NAMES:
        source = seeds[name]["source"]
        assert "_inductor" not in source
        found = {p.name.rpartition("_")[0] for p in parameters(source)}
        assert {"XBLOCK", "NUM_WARPS"} <= found, (name, found)
        for parameter in parameters(source):
            assert parameter.value in parameter.choices
            assert all(type(c) is int and c > 0 for c in parameter.choices)


def sample(name):
    return read((SAMPLES / f"{name}_cuda_torch211.txt").read_text())


def test_kernels_of_another_version_are_understood():
    generated = sample("lin")
    kernels = [translate(k, f"kernel_{i}", i) for i, k in enumerate(generated.kernels)]
    text = definitions(kernels)
    functions = [n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    assert functions == [
        "maximum",
        "max_along",
        "kernel_0",
        "kernel_1",
        "kernel_2",
        "fold",
    ]
    for private in ("triton_helpers", "libdevice", "tl_math", "triton_heuristics"):
        assert private not in text
    assert [k.is_folded for k in kernels] == [False, False, True]


def test_a_size_that_a_kernel_knows_is_not_passed():
    (kernel,) = sample("norm").kernels
    found = translate(kernel, "norm", 0)
    head = found.definitions.splitlines()[1]
    assert head == "def norm(in_ptr0, in_ptr1, in_ptr2, out_ptr2, xnumel, XBLOCK: tl.constexpr):"
    arguments = [ast.Name(n) for n in ("x", "weight", "bias", "out", "rows", "hundred")]
    assert found.launch(arguments) == (
        "norm[(triton.cdiv(rows, XBLOCK_0),)]"
        "(x, weight, bias, out, rows, XBLOCK=XBLOCK_0, num_warps=NUM_WARPS_0)"
    )
    assert found.parameters[0].startswith("XBLOCK_0 = 8  # tune: 1, 2, 4, 8, 16")


def test_an_extent_of_one_has_no_choice_of_a_block():
    generated = sample("lin")
    total = translate(generated.kernels[1], "total", 1)
    # The sum of everything is not masked along x.
    assert ("XBLOCK", "1") in total.keywords
    assert not any(line.startswith("XBLOCK_1") for line in total.parameters)


def test_a_special_launch_is_refused():
    (kernel,) = sample("norm").kernels
    source = kernel.source.replace("Grid1D", "SplitScanGrid")
    with pytest.raises(UntranslatableError, match="SplitScanGrid"):
        translate(Kernel(name="k", language="triton", source=source), "k", 0)
