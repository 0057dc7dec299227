"""Which device there is, found out without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evo import device
from evo.device import choose_device, compiler, missing_for_cuda, threads
from evo.facts import machine_facts
from populations.errors import DeviceError

FILE = Path("e.toml")


@pytest.fixture
def cuda(monkeypatch):
    """Pretend that a CUDA device is there, or what is missing for it."""

    def pretend(missing: str = "") -> None:
        monkeypatch.setattr(device, "missing_for_cuda", lambda: missing)

    return pretend


def test_auto_takes_cuda_where_it_is(cuda, monkeypatch):
    cuda()
    monkeypatch.setenv("CXX", "/nowhere/g++")  # not needed there
    assert choose_device("auto", FILE) == "cuda"
    assert choose_device("cuda", FILE) == "cuda"


@pytest.mark.compiler
def test_auto_takes_the_cpu_elsewhere(cuda):
    cuda("no CUDA driver on this machine")
    assert choose_device("auto", FILE) == "cpu"
    assert choose_device("cpu", FILE) == "cpu"


def test_what_is_missing_is_told(cuda, monkeypatch):
    cuda("no CUDA driver on this machine")
    with pytest.raises(DeviceError, match=r'e\.toml: \[target\] device = "cuda": no CUDA driver'):
        choose_device("cuda", FILE)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert compiler() is None
    with pytest.raises(DeviceError, match=r"C\+\+ compiler is needed, but none is installed"):
        choose_device("auto", FILE)


def test_torch_for_the_cpu_is_told_from_torch_for_cuda(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(device.importlib.util, "find_spec", lambda _: Spec())
    for line, expected in (
        ("cuda: Optional[str] = None", False),
        ("cuda: str | None = '13.0'", True),
        ("cuda = '12.8'", True),
    ):
        (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\nhip = None\n")
        assert device._torch_has_cuda() is expected


def test_the_real_torch_is_read_rightly():
    torch = pytest.importorskip("torch")
    assert device._torch_has_cuda() is (torch.version.cuda is not None)
    assert (missing_for_cuda() == "") is torch.cuda.is_available()


def test_looking_leaves_no_torch_behind():
    code = (
        "import sys; from evo.device import *; missing_for_cuda(); compiler(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads():
    assert threads(3) == 3
    assert threads(0) == len(os.sched_getaffinity(0))


@pytest.mark.compiler
def test_the_machines_facts_are_text():
    facts = machine_facts("cpu", threads=2)
    assert all(isinstance(text, str) and text and "\n" not in text for text in facts.values())
    assert {"device", "threads", "evo", "python", "torch", "compiler"} <= set(facts)
    assert facts["threads"] == "2"
