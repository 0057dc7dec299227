"""Load C++ from a string, without torch's headers: compiles in about a second, cached by content.

This module is complete in itself (standard library and torch): a champion's file carries a copy of
it in place of the import. The C++ text defines `extern "C"` functions that return nothing; calling
one converts tensors to data pointers, ints to `long long` and floats to `double`:

    kernels = load_cpp(SOURCE)
    kernels.conv1d(x, weight, bias, out, x.shape[0])

A first comment line `// flags: -mprefer-vector-width=512` adds compiler flags from a short list.

The compiled library lies in a folder that only its owner can write: `$EVO_CACHE_DIR`, or
`$XDG_CACHE_HOME/evo`, or `~/.cache/evo`. Its name is a digest of source, flags, compiler and
processor, so a file moved to another machine is compiled anew there, and a process that may only
read the folder finds what was compiled for it beforehand.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

# No -ffast-math: linking with it makes g++ add a start-up file that flushes subnormal numbers to
# zero for the whole process, which changes what every other code in it computes.
FLAGS = (
    "-O3",
    "-march=native",
    "-std=c++17",
    "-fPIC",
    "-shared",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fvisibility=default",
    "-Wl,-z,defs",
    "-Wl,-z,now",
)
# A flag that a source may ask for -> what the compiler is given.
EXTRA_FLAGS: dict[str, tuple[str, ...]] = {
    **{f"-mprefer-vector-width={bits}": () for bits in ("128", "256", "512", "none")},
    "-O1": (),
    "-O2": (),
    "-O3": (),
    "-funroll-loops": (),
    "-funroll-all-loops": (),
    "-fno-unroll-loops": (),
    "-fno-tree-vectorize": (),
    "-fno-tree-slp-vectorize": (),
    "-fno-tree-loop-vectorize": (),
    "-fvect-cost-model=dynamic": (),
    "-fvect-cost-model=unlimited": (),
    "-fvect-cost-model=cheap": (),
    "-fno-strict-aliasing": (),
    "-fomit-frame-pointer": (),
    "-fprefetch-loop-arrays": (),
    "-fno-prefetch-loop-arrays": (),
    "-ftree-loop-distribution": (),
    "-floop-interchange": (),
    "-floop-unroll-and-jam": (),
    "-fsplit-loops": (),
    "-funswitch-loops": (),
    "-fno-signed-zeros": (),
    "-freciprocal-math": (),
    # Sums may be reordered; compilers ignore it unless the sign of zero is given up too.
    "-fassociative-math": ("-fassociative-math", "-fno-signed-zeros"),
    "-ffp-contract=off": (),
    "-std=c++20": (),
}
COMPILE_LIMIT_S = 120.0
_FLAG_LINE = re.compile(r"\s*//\s*flags:(?P<flags>[^\n]*)")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class CppError(RuntimeError):
    """The C++ text cannot be used; the message is the compiler's, with line numbers of the text."""


class CppLibrary:
    """A loaded library: every `extern "C"` function is an attribute, looked up once."""

    def __init__(self, path: Path, source: str) -> None:
        self._library = ctypes.CDLL(str(path))
        self._plain_source = _COMMENT.sub(" ", source)
        self._path = path

    def __getattr__(self, name: str) -> Callable[..., None]:
        # Reached only while the attribute is missing: the bound function is kept on the instance.
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            function = self._library[name]
        except AttributeError:
            raise AttributeError(f'the C++ source has no extern "C" function {name!r}') from None
        bound = _bind(function, name, declared_kinds(self._plain_source, name))
        self.__dict__[name] = bound
        return bound


def load_cpp(source: str) -> CppLibrary:
    """Compile C++ text, unless the same text was compiled here before, and load it.

    Functions called on the result check their arguments: a tensor must be contiguous and in main
    memory (TypeError), and the number of arguments must be the declared one. An int given for a
    pointer is taken as an address, None as the null pointer. A call costs 1-2 us.

    Raises:
        CppError: The text does not compile, a flag is not on the list, there is no compiler, or
            the library is not in the cache and the cache cannot be written.
    """
    # torch brings its own OpenMP runtime under the system's name: loaded first, the library shares
    # its threads and obeys torch.set_num_threads.
    import torch  # noqa: F401

    path = library_path(source)
    if not path.exists():
        _compile_into_cache(source, path)
    try:
        return CppLibrary(path, source)
    except OSError as error:
        raise CppError(f"cannot load the compiled library: {error}") from error


def extra_flags(source: str) -> tuple[str, ...]:
    """Flags asked for by the source's first line `// flags: ...`, as the compiler gets them.

    Raises CppError naming the first flag that is not on the list.
    """
    match = _FLAG_LINE.match(source)
    flags: list[str] = []
    for flag in match["flags"].split() if match else ():
        if flag not in EXTRA_FLAGS:
            known = ", ".join(sorted(EXTRA_FLAGS))
            raise CppError(f"kernel.cpp:1: flag {flag} is not allowed; allowed are {known}")
        flags.extend(EXTRA_FLAGS[flag] or (flag,))
    return tuple(flags)


def compile_command(source: str, *, more: tuple[str, ...] = ()) -> list[str]:
    """The command that turns `kernel.cpp` into `kernel.so`, both in its working folder."""
    limit = "-ferror-limit=8" if "clang" in Path(compiler()).name else "-fmax-errors=8"
    flags = [*FLAGS, *extra_flags(source), *more, limit, "-fno-diagnostics-color"]
    return [compiler(), *flags, "kernel.cpp", "-o", "kernel.so"]


def library_path(source: str, *, base: Path | None = None) -> Path:
    """Where the library of this text lies, once compiled with today's compiler and processor.

    `base` takes the place of the folder that the environment names.
    """
    parts = (source, *FLAGS, *extra_flags(source), _compiler_identity(compiler()), _processor())
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    return cache_folder(base) / f"{digest}.so"


def compiler() -> str:
    """Path of the C++ compiler: `$CXX`, else g++, else clang++. CppError when there is none."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    for name in names:
        if found := shutil.which(name):
            return found
    raise CppError(f"no C++ compiler: {' or '.join(names)} not found (install g++ or set CXX)")


def cache_folder(base: Path | None = None) -> Path:
    """The folder of compiled libraries, in `base` if given; made with mode 0700 when missing.

    Raises CppError when it belongs to somebody else or others can write it: loading a library
    from there would run their code.
    """
    if base is None:
        caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
        base = Path(os.environ.get("EVO_CACHE_DIR") or f"{caches}/evo")
    return _checked_folder(f"{base}/cpp")


@lru_cache(maxsize=8)
def _checked_folder(name: str) -> Path:
    folder = Path(name).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError as error:
        raise CppError(f"cannot use the cache folder {folder}: {error.strerror}") from error
    # Root's folder is as good: whoever is root needs no trick.
    if facts.st_uid not in (os.geteuid(), 0) or facts.st_mode & 0o022:
        raise CppError(f"cache folder {folder} must be yours and writable by you alone")
    return folder


@lru_cache(maxsize=8)
def _compiler_identity(path: str) -> str:
    # Asking the compiler for its version would start a process in every runner.
    real = Path(path).resolve()
    facts = real.stat()
    return f"{real} {facts.st_size} {facts.st_mtime_ns}"


@lru_cache(maxsize=1)
def _processor() -> str:
    # -march=native depends on it. One processor's entry is enough, and the file of a large machine
    # takes long to read.
    text = ""
    try:
        with Path("/proc/cpuinfo").open(
            encoding="utf-8", errors="replace", buffering=4096
        ) as lines:
            for line in lines:
                if not line.strip():
                    break
                if line.startswith(("model name", "flags", "Features", "CPU part", "isa")):
                    text += line
    except OSError:
        pass
    return text


def _compile_into_cache(source: str, path: Path) -> None:
    command = compile_command(source)
    try:
        folder = tempfile.mkdtemp(prefix="build-", dir=path.parent)
    except OSError as error:
        raise CppError(
            f"not compiled beforehand, and the cache folder {path.parent} cannot be written"
        ) from error
    try:
        Path(folder, "kernel.cpp").write_text(source, encoding="utf-8")
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMPILE_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise CppError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
        # Renaming is atomic: another process sees no library or a whole one.
        Path(folder, "kernel.so").replace(path)
    except subprocess.TimeoutExpired as error:
        raise CppError(f"the compiler did not end within {COMPILE_LIMIT_S:.0f} s") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def declared_kinds(plain_source: str, name: str) -> str | None:
    """How each declared parameter is passed: p(ointer), i(nteger), f(loat), d(ouble).

    None when the definition is not found by its text (made by a macro); arguments are then passed
    by their Python type alone.
    """
    match = re.search(rf"\b{re.escape(name)}\s*\(([^()]*)\)\s*(?:noexcept\s*)?\{{", plain_source)
    if match is None:
        return None
    kinds = ""
    for parameter in match[1].split(",") if match[1].strip() not in ("", "void") else ():
        words = re.findall(r"\w+", parameter)
        if "*" in parameter or "[" in parameter:
            kinds += "p"
        elif "double" in words or "float" in words:
            kinds += "d" if "double" in words else "f"
        elif {"int", "long", "short", "char", "bool", "unsigned", "size_t"} & set(words) or any(
            re.fullmatch(r"u?int\w*_t|ptrdiff_t|ssize_t", word) for word in words
        ):
            kinds += "i"
        else:
            return None
    return kinds


_C_TYPES = {
    "p": ctypes.c_void_p,
    "i": ctypes.c_longlong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


def _bind(function: Any, name: str, kinds: str | None) -> Callable[..., None]:
    function.restype = None
    if kinds is None:
        return lambda *arguments: function(*[_by_type(a, name) for a in arguments])
    function.argtypes = [_C_TYPES[kind] for kind in kinds]
    # A function written for this signature: a general one would take twice as long per call.
    names = [f"a{i}" for i in range(len(kinds))]
    values = [
        f"{n}.data_ptr() if {n}.__class__ in tensors and {n}.is_contiguous() and {n}.is_cpu"
        f" else address({n}, name, {i})"
        if kind == "p"
        else n
        for i, (n, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    text = f"def call({', '.join(names)}):\n    function({', '.join(values)})\n"
    import torch

    scope: dict[str, Any] = {
        "function": function,
        "address": _address,
        "name": name,
        "tensors": frozenset((torch.Tensor, torch.nn.Parameter)),
    }
    exec(text, scope)
    bound: Callable[..., None] = scope["call"]
    bound.__name__ = bound.__qualname__ = name
    return bound


def _by_type(value: Any, name: str) -> Any:
    if isinstance(value, int):
        return ctypes.c_longlong(value)
    if isinstance(value, float):
        return ctypes.c_double(value)
    return ctypes.c_void_p(_address(value, name, None))


def _address(value: Any, name: str, position: int | None) -> int | None:
    where = name if position is None else f"{name}, argument {position + 1}"
    if value is None or (isinstance(value, int) and position is not None):
        return value
    if not hasattr(value, "data_ptr"):
        raise TypeError(f"{where}: a tensor is needed, but got {type(value).__name__}")
    if not value.is_cpu:
        raise TypeError(f"{where}: the tensor must be in main memory, but is on {value.device}")
    if not value.is_contiguous():
        raise TypeError(
            f"{where}: the tensor must be contiguous, but has shape {tuple(value.shape)} and "
            f"strides {value.stride()}; call .contiguous() first or pass .data_ptr() and strides"
        )
    pointer: int = value.data_ptr()
    return pointer
