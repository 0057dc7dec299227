"""What every test shares: markers that skip, a cache and a lock of its own."""

from __future__ import annotations

import importlib.util
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from evo.device import compiler, missing_for_cuda
from fitness.pool import LocalPool

# Property tests draw the same examples on every run, and a busy machine does not fail them.
settings.register_profile("gate", deadline=None, derandomize=True, database=None)
settings.load_profile("gate")
# Whoever is started in the background ignores Ctrl-C, and so would the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {
        "cuda": missing_for_cuda(),
        "compiler": "" if compiler() else "no C++ compiler on this machine",
        "postgres": missing_for_postgres(),
        "graphviz": "" if shutil.which("dot") else "no Graphviz on this machine",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def missing_for_postgres() -> str:
    """Why no PostgreSQL server can be started and asked, or ""."""
    if not shutil.which("initdb"):
        return "no PostgreSQL server on this machine"
    return "" if importlib.util.find_spec("psycopg") else "psycopg is not installed"


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled code is kept for the session, and nobody's own cache is touched."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVO_CACHE_DIR", str(folder))
        patch.setenv("EVO_LIBRARY_DIR", str(tmp_path_factory.mktemp("library")))
        # The device's lock is one for the whole machine: a test must not wait for somebody's run.
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def one_measurement_of_the_device(cache_dir: Path) -> Iterator[None]:
    """What the processor can do is measured by the first pool; the others are told."""
    measure, ours = LocalPool._know_the_device, cache_dir / "ceilings"

    def know(pool: LocalPool) -> None:
        theirs = pool.spec.cache_dir / "ceilings"
        if ours.is_dir() and not theirs.exists():
            shutil.copytree(ours, theirs)
        measure(pool)
        if theirs.is_dir() and theirs != ours:
            shutil.copytree(theirs, ours, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalPool, "_know_the_device", know)
        yield
