"""What one child process may use."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

MAX_OUTPUT_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one confined child.

    A limit is enforced by the kernel, never by the child's good will. Which layers this machine
    offers is told by `Zygote.layers()`.

    Attributes:
        memory_bytes: What the child may allocate beyond what it starts with; a larger allocation
            fails inside it. Counted for each of its processes.
        processes: Processes and threads it may have at one time, itself included.
        file_bytes: Largest file it may write.
        cpu_s: CPU time of each of its processes; rounded up to whole seconds, killed beyond.
        open_files: File descriptors it may have open.
        read: Folders and files it may read; empty means everything that its user may read. Give
            `system_paths()` plus what the child needs to keep private files out of its sight.
        write: Folders it may write in. Everything else is read-only to it.
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
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    devices: bool = False
    output_bytes: int = 32 * 1024

    def __post_init__(self) -> None:
        numbers = (self.memory_bytes, self.processes, self.cpu_s, self.open_files)
        if min(numbers) <= 0 or self.file_bytes < 0:
            raise ValueError(f"limits must be positive, but got {self}")
        if not 0 <= self.output_bytes <= MAX_OUTPUT_BYTES:
            raise ValueError(
                f"output_bytes must be within 0..{MAX_OUTPUT_BYTES}, but got {self.output_bytes}"
            )


def system_paths(*, python: bool = True) -> tuple[Path, ...]:
    """What a program needs to read: the system and, with `python`, what Python imports from.

    Leaves out home folders, except where the interpreter or a package lies in one.
    """
    names = ["/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc", "/opt", "/proc", "/sys", "/dev"]
    names += ["/nix/store", "/run/opengl-driver", "/run/nvidia"]
    if python:
        names += [sys.prefix, sys.base_prefix, *(entry for entry in sys.path if entry)]
    paths = (Path(name).absolute() for name in dict.fromkeys(names))
    return tuple(path for path in paths if path.exists())
