"""Which kernel `evo bench` measures."""

from __future__ import annotations

import pytest

from evo.bench import read_kernel
from evo.export import champion_text
from populations.errors import InputError
from tests.evo import samples, toy
from tests.evo.test_outputs import filled


def test_the_champion_of_a_run(tmp_path):
    with toy.create(tmp_path) as store:
        kernels = filled(store)
    passed = [kernel.candidate for kernel in kernels if kernel.passed]
    assert read_kernel(tmp_path) in passed


def test_a_run_without_a_champion(tmp_path):
    toy.create(tmp_path).close()
    with pytest.raises(InputError, match="has no champion yet"):
        read_kernel(tmp_path)


def test_neither_a_run_nor_a_file(tmp_path):
    with pytest.raises(InputError, match="neither a kernel's file nor a run directory"):
        read_kernel(tmp_path)
    with pytest.raises(InputError, match="neither"):
        read_kernel(tmp_path / "nowhere.py")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("import triton\nimport triton.language as tl\n", "triton"),
        ("from fitness.native import load_cpp\nkernels = load_cpp(SOURCE)\n", "cpp"),
        ("import torch\n", "python"),
    ],
)
def test_a_file_tells_its_language(tmp_path, text, language):
    (tmp_path / "kernel.py").write_text(text)
    made = read_kernel(tmp_path / "kernel.py")
    assert (made.language, made.source, made.note) == (language, text, "kernel.py")


def test_an_exported_champion_is_what_was_judged(tmp_path):
    kernel = samples.kernel(3, 1.4)
    text = champion_text(kernel, facts={})
    assert "subprocess" in text
    (tmp_path / "champion.py").write_text(text)
    made = read_kernel(tmp_path / "champion.py")
    assert made.language == "cpp"
    assert "from fitness.native import load_cpp" in made.source
    assert "subprocess" not in made.source
    compile(made.source, "champion.py", "exec")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "kernel.py").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_kernel(tmp_path / "kernel.py")
