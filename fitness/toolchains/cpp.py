"""C++ in strings: compiled before the candidate runs, in a confined process, cached by content.

The library is put where `fitness.native.load_cpp` looks for it. A candidate's process may only read
that folder, so it finds what was compiled here and can neither add nor change anything.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from fitness import native
from fitness.sandbox.limits import Limits, system_paths
from fitness.sandbox.zygote import Spawner, Zygote
from fitness.toolchains.python import syntax_fault
from fitness.toolchains.toolchain import BuildFailure, BuildSettings, Built
from populations.errors import WorkerTimeout
from populations.kernel import Candidate
from populations.source import cpp_sources

TEXT_LIMIT = 4000
_PROCESSES = 32
_LIBRARY_BYTES = 64 * 1024**2
_OUTPUT_BYTES = 64 * 1024
_LOCKS = 64
_SOURCE_FAULT = re.compile(r"kernel\.cpp:\d+:(\d+:)? (fatal )?error:|undefined reference")


class CppToolchain:
    """Compiles the strings that a candidate hands to `load_cpp`."""

    def __init__(self) -> None:
        self._own: Zygote | None = None
        self._lock = threading.Lock()

    def describe(self) -> str:
        """The compiler's path, or that there is none."""
        try:
            return f"C++ compiler {native.compiler()}"
        except native.CppError as error:
            return str(error)

    def is_available(self) -> bool:
        """Whether there is a compiler."""
        try:
            native.compiler()
        except native.CppError:
            return False
        return True

    def can_build(self, language: str) -> bool:
        """For "cpp"."""
        return language == "cpp"

    def build(
        self, candidate: Candidate, settings: BuildSettings, spawner: Spawner | None = None
    ) -> Built | BuildFailure:
        """Compile every C++ string of the candidate, unless the same text was compiled before."""
        texts = _texts(candidate)
        if isinstance(texts, BuildFailure):
            return texts
        files: list[Path] = []
        cached, remarks = True, ""
        for text in texts:
            result = self._build_one(text, settings, spawner)
            if isinstance(result, BuildFailure):
                return result
            files += result.files
            cached = cached and result.cached
            remarks += result.text
        return Built(text=remarks, files=tuple(files), cached=cached)

    def close(self) -> None:
        """End the process that a build without a spawner started. Callable twice."""
        with self._lock:
            if self._own is not None:
                self._own.close()
            self._own = None

    def _build_one(
        self, text: str, settings: BuildSettings, spawner: Spawner | None
    ) -> Built | BuildFailure:
        try:
            library = native.library_path(text, base=settings.cache_dir)
        except native.CppError as error:
            return BuildFailure(str(error))
        if (known := _known(library)) is not None:
            return known
        with _locked(library):
            # Another process may have built it while this one waited.
            if (known := _known(library)) is not None:
                return known
            with _work_folder(library.parent) as folder:
                status, remarks = self._compile(text, folder, settings, spawner)
                if status is None:
                    return BuildFailure(remarks)
                if status == 0:
                    _keep(folder / "kernel.so", library)
                    return Built(text=remarks, files=(library,))
                if _SOURCE_FAULT.search(remarks):
                    # Not the fault of a full disk or of a compiler that was killed.
                    _write(library.with_suffix(".refused"), remarks)
                return BuildFailure(remarks or f"the compiler ended with status {status}")

    def _compile(
        self,
        text: str,
        folder: Path,
        settings: BuildSettings,
        spawner: Spawner | None,
    ) -> tuple[int | None, str]:
        """Returns the compiler's status, None past the time limit, and what it wrote."""
        (folder / "kernel.cpp").write_text(text, encoding="utf-8", errors="replace")
        command = native.compile_command(text)
        limits = Limits(
            memory_bytes=settings.memory_bytes,
            processes=_PROCESSES,
            file_bytes=_LIBRARY_BYTES,
            cpu_s=settings.build_limit_s * 2,
            read=(*system_paths(python=False), *_compiler_folders(command[0]), folder),
            write=(folder,),
            output_bytes=_OUTPUT_BYTES,
        )
        argument = {"command": command, "folder": str(folder)}
        spawner = spawner or self._own_spawner()
        with spawner.spawn("fitness.toolchains.command:run", argument, limits=limits) as child:
            try:
                ending = child.wait(settings.build_limit_s)
            except WorkerTimeout:
                return None, f"the compiler did not end within {settings.build_limit_s:g} s"
            return ending.status, trimmed(child.output())

    def _own_spawner(self) -> Spawner:
        with self._lock:
            if self._own is None:
                # Nothing preloaded: a small process, forked in a millisecond.
                self._own = Zygote(preload=(), environment={})
                atexit.register(self.close)
            return self._own


def trimmed(text: str, limit: int = TEXT_LIMIT) -> str:
    """A compiler's text without what says nothing, cut to a length fit for a prompt."""
    lines = [line for line in text.splitlines() if "compilation terminated" not in line]
    text = "\n".join(lines).strip()
    if len(text) <= limit:
        return text
    return text[:limit].rpartition("\n")[0] + "\n[...]"


def _texts(candidate: Candidate) -> list[str] | BuildFailure:
    if fault := syntax_fault(candidate.source):
        return BuildFailure(fault)
    with warnings.catch_warnings():
        # A doubtful escape in a string is no reason to refuse a kernel.
        warnings.simplefilter("ignore")
        texts = [source.text for source in cpp_sources(candidate.source)]
    if not texts and "load_cpp(" in candidate.source:
        return BuildFailure(
            "load_cpp must be given the name of a string constant of this module: "
            'SOURCE = r"""...""" at the top level, then load_cpp(SOURCE)'
        )
    return texts


def _known(library: Path) -> Built | BuildFailure | None:
    if library.exists():
        return Built(files=(library,), cached=True)
    try:
        refused = library.with_suffix(".refused").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return BuildFailure(refused, cached=True)


@contextlib.contextmanager
def _locked(library: Path) -> Iterator[None]:
    """Hold the lock that all processes share for this library (and a few others)."""
    number = int(library.stem, 16) % _LOCKS
    descriptor = os.open(library.parent / f"lock-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(made: Path, library: Path) -> None:
    """Put a copy in the cache: the file itself belongs to the user that compiled it."""
    descriptor = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source:
        _write(library, source.read())


def _write(target: Path, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=target.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    # Renaming is atomic: another process sees no file or a whole one.
    Path(name).replace(target)


def _compiler_folders(path: str) -> tuple[Path, ...]:
    """Where the compiler and what it needs may lie: the trees that hold its folder of programs."""
    return tuple(dict.fromkeys((Path(path).parents[1], Path(path).resolve().parents[1])))
