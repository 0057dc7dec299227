"""Confinement on a machine with a CUDA device."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitness.sandbox.limits import Limits, system_paths
from fitness.sandbox.zygote import Zygote
from tests.fitness import sandbox_children

CHILDREN = sandbox_children.__name__

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no CUDA device"),
]


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "no namespaces"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    preload = ("torch", "triton") if importlib.util.find_spec("triton") else ("torch",)
    environment = {"OMP_NUM_THREADS": "1"}
    with Zygote(preload=preload, environment=environment, namespaces=request.param) as zygote:
        yield zygote


def limits(folder: Path, *, devices: bool) -> Limits:
    return Limits(
        memory_bytes=16 << 30,
        processes=256,
        read=(*system_paths(), Path(sandbox_children.__file__).parents[2], folder),
        write=(folder,),
        devices=devices,
    )


def test_a_confined_child_computes_on_the_device(zygote: Zygote, tmp_path: Path) -> None:
    for _ in range(2):
        with zygote.spawn(
            f"{CHILDREN}:compute_on_device", None, limits=limits(tmp_path, devices=True)
        ) as child:
            assert child.channel.receive(60)["sum"] == 1024 * 1024


def test_our_own_processes_compute_on_the_device(zygote: Zygote) -> None:
    with zygote.spawn(f"{CHILDREN}:compute_on_device", None, limits=None) as child:
        assert child.channel.receive(60)["sum"] == 1024 * 1024


def test_a_triton_kernel_is_compiled_in_confinement(zygote: Zygote, tmp_path: Path) -> None:
    pytest.importorskip("triton")
    with zygote.spawn(
        f"{CHILDREN}:launch_triton", str(tmp_path), limits=limits(tmp_path, devices=True)
    ) as child:
        assert child.channel.receive(120)["sum"] == 3 * 4096
    assert any(tmp_path.rglob("*.cubin"))


def test_without_devices_there_is_none(zygote: Zygote, tmp_path: Path) -> None:
    if not str(zygote.layers()["landlock"]).startswith("version"):
        pytest.skip("without Landlock")
    with zygote.spawn(
        f"{CHILDREN}:compute_on_device", None, limits=limits(tmp_path, devices=False)
    ) as child:
        assert "error" in child.channel.receive(60)
