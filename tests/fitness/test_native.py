from __future__ import annotations

import ast
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fitness import native
from fitness.native import CppError, load_cpp

pytestmark = pytest.mark.compiler

SOURCE = r"""
#include <cstdint>
extern "C" void axpy(const float* __restrict x, float* y, float a, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}
extern "C" {
void scale(double* y, double factor, long long n) { for (int i = 0; i < n; i++) y[i] *= factor; }
void zero(void) {}
/* void scale(float* wrong) {} */
void fill(float y[], int n, bool up, unsigned char step)
{ for (int i = 0; i < n; i++) y[i] = up ? i * step : -i; }
}
#define MADE(name) extern "C" void name(float* y, double a, long long n) { y[0] = a + n; }
MADE(made)
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("EVO_CACHE_DIR", str(folder))
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def kernels(cache: Path) -> native.CppLibrary:
    return load_cpp(SOURCE)


def test_arguments_reach_the_function(kernels: native.CppLibrary) -> None:
    x, y = torch.arange(4.0), torch.ones(4)
    kernels.axpy(x, y, 0.5, 4)
    assert y.tolist() == [1.0, 1.5, 2.0, 2.5]
    wide = torch.ones(3, dtype=torch.float64)
    kernels.scale(wide, 3, 2)
    assert wide.tolist() == [3.0, 3.0, 1.0]
    kernels.zero()
    kernels.fill(y, 4, True, 2)
    assert y.tolist() == [0, 2, 4, 6]
    kernels.fill(torch.nn.Parameter(y), 2, False, 0)
    assert y.tolist() == [0, -1, 4, 6]


def test_a_function_that_a_macro_defines(kernels: native.CppLibrary) -> None:
    y = torch.zeros(1)
    kernels.made(y, 1.5, 3)
    assert y.item() == 4.5


def test_large_numbers_and_addresses(kernels: native.CppLibrary) -> None:
    y = torch.zeros(2, dtype=torch.float64)
    kernels.made(torch.zeros(1), 0.0, 2**40)
    kernels.scale(y.data_ptr() + 8, 2.0, 1)
    kernels.axpy(None, None, 1.0, 0)


def test_a_function_is_looked_up_once(kernels: native.CppLibrary) -> None:
    assert kernels.axpy is kernels.axpy
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = kernels.nothing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(4, 4).t(), torch.ones(16), 1.0, 16), r"argument 1: .*contiguous.*\(1, 4\)"),
        ((torch.ones(4), [1.0], 1.0, 1), "argument 2: a tensor is needed, but got list"),
        ((torch.ones(4), torch.ones(4, device="meta"), 1.0, 1), "argument 2: .*on meta"),
        ((torch.ones(4), torch.ones(4), 1.0), "missing 1 required"),
        ((torch.ones(4), torch.ones(4), 1.0, 1, 2), "takes 4 positional arguments"),
    ],
)
def test_wrong_arguments_are_named(
    kernels: native.CppLibrary, arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        kernels.axpy(*arguments)
    with pytest.raises(TypeError, match="contiguous"):
        kernels.made(torch.ones(4, 4).t(), 1.0, 1)


def test_a_number_of_the_wrong_kind(kernels: native.CppLibrary) -> None:
    with pytest.raises(Exception, match="argument 4"):
        kernels.axpy(torch.ones(1), torch.ones(1), 1.0, 1.5)


def test_declared_kinds() -> None:
    text = "void f(const float* x, int64_t n, float a, double b, uint8_t c[4], std::size_t s) {"
    assert native.declared_kinds(text, "f") == "pifdpi"
    assert native.declared_kinds("void g() noexcept {", "g") == ""
    assert native.declared_kinds("void g(void)\n{", "g") == ""
    assert native.declared_kinds("void h(Thing t) {", "h") is None
    assert native.declared_kinds("f(1);", "f") is None


def test_the_compiler_speaks_with_line_numbers() -> None:
    with pytest.raises(CppError, match=r"kernel.cpp:2:\d+: error: .*missing"):
        load_cpp('extern "C" void f() {\n  missing(); }')
    with pytest.raises(CppError, match="undefined reference to `elsewhere"):
        load_cpp('void elsewhere();\nextern "C" void f() { elsewhere(); }')


def test_the_same_text_is_compiled_once(cache: Path) -> None:
    source = 'extern "C" void once(long n) { (void)n; }'
    load_cpp(source).once(1)
    path = native.library_path(source)
    assert path.parent == cache / "cpp"
    stamp = path.stat().st_mtime_ns
    start = time.perf_counter()
    load_cpp(source)
    assert time.perf_counter() - start < 0.05
    assert path.stat().st_mtime_ns == stamp
    assert not list(path.parent.glob("build-*"))


def test_flags_are_part_of_the_identity() -> None:
    text = 'extern "C" void f() {}'
    paths = {native.library_path(prefix + text) for prefix in ("", "// flags: -O2\n", "\n")}
    assert len(paths) == 3
    assert native.extra_flags("// flags: -O2 -funroll-loops\nint x;") == ("-O2", "-funroll-loops")
    assert native.extra_flags("int x;\n// flags: -O2") == ()
    assert "-fno-signed-zeros" in native.extra_flags("// flags: -fassociative-math\n")


@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-I/etc"])
def test_other_flags_are_refused(flag: str) -> None:
    with pytest.raises(CppError, match=f"flag {flag} is not allowed"):
        load_cpp(f"// flags: -O2 {flag}\n" + 'extern "C" void f() {}')


def test_subnormal_numbers_survive() -> None:
    """-ffast-math would flush them to zero for the whole process."""
    source = '// flags: -fassociative-math -freciprocal-math\nextern "C" void f() {}'
    script = (
        "import torch; from fitness.native import load_cpp\n"
        f"load_cpp({source!r}).f()\n"
        "print((torch.tensor(1e-39) * 1.0).item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(native.__file__).parents[1],
    )
    assert math.isclose(float(done.stdout), 1e-39, rel_tol=1e-5)


def test_openmp_obeys_torch() -> None:
    source = r"""
#include <omp.h>
extern "C" void team(long long* out) {
    #pragma omp parallel
    {
        #pragma omp single
        out[0] = omp_get_num_threads();
    }
}"""
    kernels, out = load_cpp(source), torch.zeros(1, dtype=torch.int64)
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            kernels.team(out)
            assert out.item() == count
    finally:
        torch.set_num_threads(before)


def test_a_call_is_cheap(kernels: native.CppLibrary) -> None:
    x, y = torch.ones(4), torch.ones(4)
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(1000):
            kernels.axpy(x, y, 1.0, 0)
        best = min(best, time.perf_counter() - start)
    # Measured: 1.0 us. The bound leaves room for a slow machine.
    assert best / 1000 < 5e-6


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cpp"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CppError, match="writable by you alone"):
        native.library_path("int x;", base=tmp_path)
    folder.chmod(0o700)
    native._checked_folder.cache_clear()
    assert native.library_path("int x;", base=tmp_path).parent == folder


def test_a_folder_is_made_private(tmp_path: Path) -> None:
    assert native.cache_folder(tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EVO_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.cache_folder() == tmp_path / "evo" / "cpp"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert native.cache_folder() == tmp_path / "home" / ".cache" / "evo" / "cpp"


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(CppError, match="no C\\+\\+ compiler: /no/such/compiler not found"):
        load_cpp("int x;")


def test_two_processes_at_once(cache: Path) -> None:
    source = 'extern "C" void both(long n) { (void)n; }  // two processes'
    # Without torch, which takes longer to import than this takes.
    script = (
        "from fitness import native\n"
        f"source = {source!r}\n"
        "native._compile_into_cache(source, native.library_path(source))"
    )
    root = Path(native.__file__).parents[1]
    started = [subprocess.Popen([sys.executable, "-c", script], cwd=root) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    load_cpp(source).both(1)
    assert not list((cache / "cpp").glob("build-*"))


def test_the_module_stands_alone() -> None:
    tree = ast.parse(Path(native.__file__).read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module).split(".")[0])
    assert names <= {*sys.stdlib_module_names, "torch"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys, fitness.native; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(native.__file__).parents[1],
        env={"PATH": os.environ["PATH"]},
    )
    assert done.stdout == "False\n"
