"""A candidate's process before there is a candidate in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from fitness.bench import settings_of
from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Child, Exit, Spawner
from fitness.spec import EvaluationSpec

# For what a candidate's toolchain writes; it is memory, and a judge's whole share of the disk.
FOLDER_BYTES = 512 << 20
# Starting a process takes milliseconds, on a crowded machine seconds.
_START_LIMIT_S = 60.0


class Vacancy:
    """A confined process that no candidate has been in yet; one candidate may take it over."""

    def __init__(
        self, spec: EvaluationSpec, spawner: Spawner, *, folder: Path, read: tuple[Path, ...] = ()
    ) -> None:
        """Start it; the arguments are those of `CandidateProcess`."""
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        folders = [self.folder]
        if spec.device == "cuda":
            folders.append(self.folder / "triton_cache_dir")
            _link_launchers(spec.cache_dir / "triton", folders[-1])
        limits = Limits(
            memory_bytes=spec.memory_bytes,
            processes=spec.processes,
            cpu_s=spec.run_limit_s * (spec.threads + 1) + 10,
            read=(*read, self.folder) if read else (),
            # By their names, which only whoever has the source can tell: others' are not for it.
            load=(library_folder(spec),) if read else (),
            write=tuple(folders),
            folder_bytes=FOLDER_BYTES,
            devices=spec.device == "cuda",
            output_bytes=spec.output_bytes,
        )
        argument = {"settings": settings_of(spec), "folder": str(self.folder)}
        self.child: Child = spawner.spawn("fitness.runner:run", argument, limits=limits)

    def settle(self) -> None:
        """Wait until it waits for its candidate. Raises WorkerError where it could not begin."""
        self.child.channel.send({"do": "settle", "nonce": ""})
        self.child.channel.receive(_START_LIMIT_S)

    def end(self) -> Exit:
        """Kill it and remove its folder."""
        try:
            return self.child.kill()
        finally:
            # It may have left anything here; whatever cannot be removed is of no harm.
            shutil.rmtree(self.folder, ignore_errors=True)


def library_folder(spec: EvaluationSpec) -> Path:
    """Where candidates' compiled C++ lies (`fitness.native.cache_folder`)."""
    return spec.cache_dir / "cpp"


def _link_launchers(cache: Path, folder: Path) -> None:
    """Show a candidate the parts of Triton's cache that are the same for every kernel.

    They were compiled by our own processes, and only reading them is allowed. Without them every
    candidate would wait for a C compiler.
    """
    folder.mkdir()
    for pattern in ("*/cuda_utils*.so", "*/__triton_launcher*.so"):
        for library in cache.glob(pattern):
            with suppress(FileExistsError):
                (folder / library.parent.name).symlink_to(library.parent)


def work_folder() -> Path:
    """A new private folder for one judge's candidates; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix=f"evo-{os.getpid()}-"))
