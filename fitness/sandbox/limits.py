"""What one child process may use."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_OUTPUT_BYTES = 128 * 1024
_SYSTEM = (
    *("/usr", "/bin", "/lib", "/lib64", "/lib32", "/opt", "/proc", "/sys"),
    *("/nix/store", "/run/opengl-driver", "/run/nvidia"),
)
# Of /etc: what the loader, the C library and CUDA look up. Each path costs a child 30 microseconds.
_SETTINGS = (
    *("ld.so.cache", "passwd", "group", "nsswitch.conf", "localtime", "static"),
    *("nvidia", "nvidia-container-runtime", "OpenCL", "vulkan", "cufile.json"),
)
# Others can be written to besides: see `landlock`.
_DEVICES = ("random", "urandom")
# A folder with one of these in it is no project's own.
_PACKAGES = ("torch", "triton", "numpy")
_PATHS = ("read", "load", "write")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one confined child.

    A limit is enforced by the kernel, never by the child's good will. Which layers this machine
    offers is told by `Zygote.layers()`.

    Attributes:
        memory_bytes: What the child may use beyond what it starts with. A larger allocation fails
            inside it; that is counted for each of its processes. When all of them together use
            half as much again and a gibibyte, it is killed within a moment (layer "memory-watch").
        processes: Processes and threads it may have at one time, itself included.
        file_bytes: Largest file it may write.
        cpu_s: CPU time of each of its processes; rounded up to whole seconds, killed beyond.
        open_files: File descriptors it may have open.
        read: Folders and files it may read; empty means everything that its user may read. Give
            `system_paths()` plus what the child needs to keep private files out of its sight.
        load: Folders whose files it may read too, each by its name: what else lies there is not to
            be found. Where the layer "landlock" is missing, it is.
        write: Folders it may write in. Everything else is read-only to it.
        folder_bytes: Size of the first of them, which is then memory: empty at the start but for
            the folders and links in it, full at this size, and gone at the end. 0: the folder as it
            lies on the disk, without a bound; so it is where the layer "private-folder" is missing.
        devices: Whether it may use the accelerator's device nodes. Address space is then not
            limited, because a CUDA context reserves more of it than the machine has memory.
        output_bytes: How much of its standard output and error is kept, half of it from the
            beginning and half from the end; the rest is dropped without holding the child up. At
            most 128 KiB.
    """

    memory_bytes: int = 4 * 1024**3
    processes: int = 64
    file_bytes: int = 256 * 1024**2
    cpu_s: float = 60.0
    open_files: int = 256
    read: tuple[Path | str, ...] = ()
    load: tuple[Path | str, ...] = ()
    write: tuple[Path | str, ...] = ()
    folder_bytes: int = 0
    devices: bool = False
    output_bytes: int = 32 * 1024

    def __post_init__(self) -> None:
        numbers = (self.memory_bytes, self.processes, self.cpu_s, self.open_files)
        if min(numbers) <= 0 or min(self.file_bytes, self.folder_bytes) < 0:
            raise ValueError(f"limits must be positive, but got {self}")
        if self.folder_bytes and not self.write:
            raise ValueError("folder_bytes must be 0 without a folder to write in")
        if not 0 <= self.output_bytes <= MAX_OUTPUT_BYTES:
            raise ValueError(
                f"output_bytes must be within 0..{MAX_OUTPUT_BYTES}, but got {self.output_bytes}"
            )

    def to_json(self) -> dict[str, Any]:
        """As something that JSON takes, with absolute paths."""
        # Not `asdict`: it copies every path deeply, which takes longer than all else here.
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**plain, **{name: _names(getattr(self, name)) for name in _PATHS}}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Limits:
        """What `to_json` made; paths stay names, which a child has cheaper than objects."""
        names = {name: tuple(plain[name]) for name in _PATHS}
        return cls(**{**plain, **names})


def system_paths(*, python: bool = True) -> tuple[Path, ...]:
    """What a program needs to read: the system and, with `python`, what Python imports from.

    Leaves out home folders, except where the interpreter or a package lies in one, the system's
    secrets and disks (a child of root's may read what root may), and the folder that a command was
    called in, which Python puts on its path and where a problem and its results may lie. Of this
    project, the packages that a runner imports are shown.
    """
    names = [*_SYSTEM, *(f"/etc/{name}" for name in _SETTINGS), *(f"/dev/{n}" for n in _DEVICES)]
    if python:
        packages = (entry for entry in sys.path if entry and _holds_packages(Path(entry)))
        root = Path(__file__).resolve().parents[2]
        own = [str(root / name) for name in ("fitness", "populations")]
        names += [sys.prefix, sys.base_prefix, *packages, *own]
    paths = (Path(name).absolute() for name in dict.fromkeys(names))
    return _outermost([path for path in paths if path.exists()])


@lru_cache(maxsize=64)
def _names(paths: tuple[Path | str, ...]) -> list[str]:
    return [str(Path(path).absolute()) for path in paths]


def _outermost(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Without those that lie in another one, links followed."""
    real = {path: path.resolve() for path in paths}
    places = set(real.values())
    kept = {place: path for path, place in reversed(real.items())}
    return tuple(path for place, path in kept.items() if not places & set(place.parents))[::-1]


def _holds_packages(entry: Path) -> bool:
    """Whether an entry of Python's path is one that packages are installed in."""
    if entry.name in ("site-packages", "dist-packages") or entry.is_file():
        return True
    inside = any(entry.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix))
    return inside or any((entry / name).is_dir() for name in _PACKAGES)
