from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitness import native
from fitness.sandbox.limits import Limits, system_paths
from fitness.sandbox.zygote import Zygote
from fitness.toolchains import registry
from fitness.toolchains.cpp import CppToolchain, trimmed
from fitness.toolchains.toolchain import BuildFailure, Built
from populations.errors import DeviceError
from populations.kernel import Candidate
from tests.fitness import sandbox_children

CHILDREN = sandbox_children.__name__


@dataclass(frozen=True)
class Settings:
    cache_dir: Path
    build_limit_s: float = 30.0
    memory_bytes: int = 2 << 30


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "cache")


@pytest.fixture(scope="module")
def toolchain() -> Iterator[CppToolchain]:
    toolchain = CppToolchain()
    yield toolchain
    toolchain.close()


def cpp(*texts: str) -> Candidate:
    lines = ["from fitness.native import load_cpp"]
    for number, text in enumerate(texts):
        lines += [f'S{number} = r"""{text}"""', f"k{number} = load_cpp(S{number})"]
    return Candidate(number=0, source="\n".join(lines) + "\n", language="cpp")


TWICE = 'extern "C" void twice(float* x, long n) { for (long i = 0; i < n; i++) x[i] *= 2; }'


@pytest.mark.compiler
def test_built_where_the_loader_looks(toolchain: CppToolchain, settings: Settings) -> None:
    result = toolchain.build(cpp(TWICE, "// a second one\n" + TWICE), settings)
    assert isinstance(result, Built)
    assert not result.cached
    expected = [TWICE, "// a second one\n" + TWICE]
    paths = [native.library_path(text, base=settings.cache_dir) for text in expected]
    assert list(result.files) == paths
    assert all(path.read_bytes()[:4] == b"\x7fELF" for path in paths)
    again = toolchain.build(cpp(TWICE), settings)
    assert again == Built(files=(paths[0],), cached=True)
    names = {path.name.split("-")[0] for path in (settings.cache_dir / "cpp").iterdir()}
    assert names == {paths[0].name, paths[1].name, "lock"}


@pytest.mark.compiler
def test_a_confined_runner_finds_it_and_cannot_add(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    environment = {"EVO_CACHE_DIR": str(settings.cache_dir)}
    limits = Limits(read=(*system_paths(), settings.cache_dir, folder), write=(folder,))
    with Zygote(preload=("torch",), environment=environment) as zygote:
        built = registry.build(cpp(TWICE), settings, zygote)
        assert isinstance(built, Built)
        with zygote.spawn(f"{CHILDREN}:load", TWICE, limits=limits) as child:
            assert child.channel.receive(30) == [2.0] * 8
        other = TWICE.replace("2", "3")
        with zygote.spawn(f"{CHILDREN}:load", other, limits=limits) as child:
            assert "cannot be written" in child.channel.receive(30)
        # The loader compiles the same text to the same place outside.
    assert built.files[0].exists()


@pytest.mark.compiler
def test_a_refused_source_is_remembered(toolchain: CppToolchain, settings: Settings) -> None:
    wrong = "\nint f() {\n  return missing; }"
    first = toolchain.build(cpp(wrong), settings)
    assert isinstance(first, BuildFailure)
    assert "kernel.cpp:3:10: error:" in first.text
    assert "missing" in first.text
    assert not first.cached
    assert toolchain.build(cpp(wrong), settings) == BuildFailure(first.text, cached=True)


@pytest.mark.compiler
def test_a_flag_outside_the_list(toolchain: CppToolchain, settings: Settings) -> None:
    result = toolchain.build(cpp("// flags: -ffast-math\n" + TWICE), settings)
    assert isinstance(result, BuildFailure)
    assert "-ffast-math is not allowed" in result.text


@pytest.mark.compiler
def test_the_compiler_sees_no_other_files(
    toolchain: CppToolchain, settings: Settings, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret line\n")
    result = toolchain.build(cpp(f'#include "{secret}"\n'), settings)
    assert isinstance(result, BuildFailure)
    assert "a secret line" not in result.text
    assert str(secret) in result.text


SLOW = """
template <int N, int M> struct A {
    static constexpr unsigned v = A<N - 1, M>::v + A<N - 1, M + 1>::v;
};
template <int M> struct A<0, M> { static constexpr unsigned v = M; };
extern "C" void f(long* x) { x[0] = A<600, 0>::v; }
"""


@pytest.mark.compiler
def test_a_compiler_that_does_not_end_is_killed(
    toolchain: CppToolchain, settings: Settings
) -> None:
    hurried = Settings(settings.cache_dir, build_limit_s=0.5)
    start = time.monotonic()
    result = toolchain.build(cpp(SLOW), hurried)
    assert result == BuildFailure("the compiler did not end within 0.5 s")
    assert time.monotonic() - start < 3
    # Not remembered: with more time it may succeed.
    assert not list((settings.cache_dir / "cpp").glob("*.refused"))
    assert not list((settings.cache_dir / "cpp").glob("build-*"))


@pytest.mark.compiler
def test_a_compiler_without_memory_is_a_failure(
    toolchain: CppToolchain, settings: Settings
) -> None:
    poor = Settings(settings.cache_dir, memory_bytes=20 << 20)
    result = toolchain.build(cpp(SLOW), poor)
    assert isinstance(result, BuildFailure)
    assert result.text
    assert not list((settings.cache_dir / "cpp").glob("*.refused"))


@pytest.mark.compiler
def test_equal_sources_are_compiled_once(toolchain: CppToolchain, settings: Settings) -> None:
    results: list[Built | BuildFailure] = []
    threads = [
        threading.Thread(target=lambda: results.append(toolchain.build(cpp(TWICE), settings)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(r, Built) and r.cached for r in results) == [False, True, True]


@pytest.mark.compiler
def test_a_judge_may_build(settings: Settings) -> None:
    """In a child of a zygote, which starts a zygote of its own for the compiler."""
    with (
        Zygote(preload=(), environment={}) as zygote,
        zygote.spawn(f"{CHILDREN}:build", (cpp(TWICE), settings), limits=None) as child,
    ):
        assert child.channel.receive(30) == ["Built", False]
        assert child.wait(20).status == 0


def test_a_string_that_cannot_be_found(toolchain: CppToolchain, settings: Settings) -> None:
    source = "from fitness.native import load_cpp\nk = load_cpp('int x;')\n"
    result = toolchain.build(Candidate(number=0, source=source, language="cpp"), settings)
    assert isinstance(result, BuildFailure)
    assert "name of a string constant" in result.text


def test_nothing_to_compile(toolchain: CppToolchain, settings: Settings) -> None:
    plain = Candidate(number=0, source="import torch\n", language="cpp")
    assert toolchain.build(plain, settings) == Built(cached=True)


@pytest.mark.parametrize("language", ["cpp", "triton", "python"])
def test_broken_python_is_refused_with_its_line(language: str, settings: Settings) -> None:
    broken = Candidate(number=0, source="x = 1\ndef f(:\n", language=language)
    result = registry.build(broken, settings)
    assert isinstance(result, BuildFailure)
    assert result.text.startswith("kernel.py:2:7:")
    deep = Candidate(number=0, source="(" * 300 + ")" * 300, language=language)
    assert isinstance(registry.build(deep, settings), BuildFailure)
    doubtful = Candidate(number=0, source='x = "\\d"\n', language=language)
    assert isinstance(registry.build(doubtful, settings), Built)


def test_every_language_has_its_toolchain() -> None:
    for language in ("cpp", "triton", "python"):
        toolchain = registry.toolchain_for(language)
        assert toolchain.can_build(language)
        assert toolchain.describe()
    assert sum(t.can_build("cpp") for t in registry.toolchains()) == 1
    with pytest.raises(DeviceError, match="'fortran'"):
        registry.toolchain_for("fortran")


def test_a_missing_compiler_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(DeviceError, match="no C\\+\\+ compiler"):
        registry.toolchain_for("cpp")


def test_long_texts_are_cut_at_a_line() -> None:
    text = "\n".join(f"kernel.cpp:{i}: error" for i in range(1000))
    cut = trimmed(text, 100)
    assert len(cut) < 110
    assert cut.endswith("error\n[...]")
    assert trimmed("short\ncompilation terminated.\n") == "short"
