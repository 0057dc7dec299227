"""What the compiler says of a C++ candidate: which loops it vectorised, and what they are made of.

One more compilation of the same text with the same flags, to assembly, in a confined process; the
time is that of the build without the linker. What comes of it is kept by content.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fitness import native
from fitness.diagnostics import assembly, vectorisation
from fitness.sandbox.limits import Limits, system_paths
from fitness.sandbox.zygote import Spawner
from fitness.toolchains.toolchain import BuildSettings
from populations.errors import WorkerTimeout
from populations.kernel import Candidate
from populations.source import cpp_sources

# Raised when what is kept changes its form or its wording.
_VERSION = 1
NUMBERS = ("scalar_loops", "vector_loops", "ordered_sums", "stack")
_LISTING = "kernel.s"
_REPORT = "report.txt"
_READ_BYTES = 4 << 20
_FILE_BYTES = 64 << 20
_OUTPUT_BYTES = 128 << 10
_PROCESSES = 32
# A report is worth no longer wait, whatever building may take.
_LIMIT_S = 10.0


def examine(candidate: Candidate, settings: BuildSettings, spawner: Spawner) -> dict[str, Any]:
    """Compile each C++ text of a candidate once more and condense what the compiler says.

    Args:
        candidate: One that was built before.
        settings: Cache and limits.
        spawner: Starts the confined compiler.

    Returns:
        JSON-able: `loops` and `mix`, lines of text; numbers of loops: `scalar_loops`,
        `vector_loops`, and of those `ordered_sums`; `stack`, vector accesses to the stack within
        innermost loops. Empty where there is no C++,
        no compiler, or it does not end in time; nothing is raised for what the text does.
    """
    try:
        texts = [source.text for source in cpp_sources(candidate.source)]
    except (SyntaxError, ValueError):
        return {}
    found = [facts for text in texts if (facts := _known(text, settings, spawner))]
    if not found:
        return {}
    lists = {key: [line for facts in found for line in facts[key]] for key in ("loops", "mix")}
    numbers = {key: sum(facts[key] for facts in found) for key in NUMBERS}
    return {**lists, **numbers}


def _known(text: str, settings: BuildSettings, spawner: Spawner) -> dict[str, Any]:
    try:
        library = native.library_path(text, base=settings.cache_dir)
    except native.CppError:
        return {}
    kept = library.with_suffix(f".v{_VERSION}.json")
    with suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return facts
    with _folder(library.parent) as folder:
        if not _compile(text, folder, settings, spawner):
            return {}
        report, listing = (_read(folder / name) for name in (_REPORT, _LISTING))
    facts = condensed(report, listing, text)
    _keep(kept, json.dumps(facts))
    return facts


def condensed(report: str, listing: str, text: str) -> dict[str, Any]:
    """The facts of `examine` for one C++ text, from the compiler's report and listing."""
    loops = vectorisation.inner_loops(report, text)
    mixes = assembly.inner_loops(listing)
    return {
        "loops": vectorisation.condense(loops, text),
        "mix": assembly.condense(mixes),
        "scalar_loops": sum(not loop.width for loop in loops),
        "vector_loops": sum(bool(loop.width) for loop in loops),
        "ordered_sums": sum(loop.in_order for loop in loops),
        "stack": sum(mix.stack for mix in mixes),
    }


def _compile(text: str, folder: Path, settings: BuildSettings, spawner: Spawner) -> bool:
    (folder / vectorisation.FILE).write_text(text, encoding="utf-8", errors="replace")
    program = native.compiler()
    more = ("-S", "-g1", *vectorisation.flags(Path(program).name, _REPORT))
    command = [*native.compile_command(text, more=more)[:-1], _LISTING]
    limits = Limits(
        memory_bytes=settings.memory_bytes,
        processes=_PROCESSES,
        file_bytes=_FILE_BYTES,
        cpu_s=_LIMIT_S * 2,
        read=(*system_paths(python=False), *_trees(program), folder),
        write=(folder,),
        output_bytes=_OUTPUT_BYTES,
    )
    argument = {"command": command, "folder": str(folder)}
    with spawner.spawn("fitness.toolchains.command:run", argument, limits=limits) as child:
        try:
            ending = child.wait(min(settings.build_limit_s, _LIMIT_S))
        except WorkerTimeout:
            return False
        if "clang" in Path(program).name:
            (folder / _REPORT).write_text(child.output(), encoding="utf-8")
        return ending.status == 0


def _read(file: Path) -> str:
    """The beginning of a file that a confined process wrote; "" for anything that is no file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as source:
        return source.read(_READ_BYTES).decode(errors="replace")


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(target: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=target.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    # Renaming is atomic: another process sees no file or a whole one.
    Path(name).replace(target)


def _trees(program: str) -> tuple[Path, ...]:
    """Where the compiler's parts may lie: the trees that hold its folder of programs."""
    return tuple(dict.fromkeys((Path(program).parents[1], Path(program).resolve().parents[1])))
