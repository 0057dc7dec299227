"""What `evo doctor` says, and what follows from it: `[sandbox] require`."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evo.config import load_config
from evo.confinement import require_layers
from evo.doctor import Finding, doctor, examine
from evo.settings import SandboxConfig
from fitness.sandbox import zygote
from fitness.sandbox.layers import MEANING, NAMES, Layer
from populations.errors import ConfigError, DeviceError, WorkerDied

ROOT = Path(__file__).resolve().parents[2]
TOML = Path(__file__).parent / "data" / "scale.toml"


def command(*arguments: str | Path, cwd: Path, module: str = "evo", **environment: str):
    """Run a command as a person does; returns (exit status, output, errors)."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def findings() -> list[Finding]:
    return list(examine())


def only(findings: list[Finding], topic: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.topic == topic}


def test_every_topic_is_looked_at(findings):
    topics = list(dict.fromkeys(finding.topic for finding in findings))
    assert topics == ["machine", "packages", "confinement", "cuda", "counters", "cache", "lock"]
    assert all(finding.text for finding in findings)
    assert only(findings, "packages")["torch"].ok
    assert only(findings, "counters").keys() == {"perf", "nvml"}


def test_its_layers_are_the_ones_that_may_be_required(findings):
    found = only(findings, "confinement")
    assert tuple(found) == NAMES == tuple(MEANING)
    assert found["resource-limits"].ok
    # What is missing says why; what is there says what for.
    for name, finding in found.items():
        assert (f"against {MEANING[name]}" in finding.text) is finding.ok


def test_the_command_needs_nothing_and_writes_nothing(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    cache = tmp_path / "cache"
    status, out, err = command("doctor", cwd=place, EVO_CACHE_DIR=str(cache))
    assert (status, err) == (0, "")
    assert f"{cache}, not there yet" in out
    for name in NAMES:
        assert f"\n  {name} " in out
    assert not list(place.iterdir())
    assert not cache.exists()


def test_for_machines(tmp_path):
    status, out, err = command("--json", cwd=tmp_path, module="evo.doctor")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert {tuple(item) for item in found} == {("topic", "name", "ok", "text")}
    assert {item["name"] for item in found if item["topic"] == "confinement"} == set(NAMES)


def test_torch_is_not_imported():
    code = (
        "import sys, evo.doctor; list(evo.doctor.examine());"
        "print({'torch', 'numpy', 'optuna', 'sqlalchemy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_what_is_missing_is_no_failure(monkeypatch, capsys, tmp_path):
    def broken(self):
        raise WorkerDied("the zygote is gone: for a test")

    monkeypatch.setattr(zygote.Zygote, "layers", broken)
    monkeypatch.setenv("CXX", "/nowhere/g++")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor(as_json=True) == 0
    found = {(f["topic"], f["name"]): f for f in json.loads(capsys.readouterr().out)}
    assert found["confinement", "process"]["text"] == "the zygote is gone: for a test"
    assert found["machine", "compiler"]["ok"] is False
    assert found["machine", "compiler"]["text"] == "install g++, or set CXX"


def test_a_lock_in_use_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "evo").mkdir(mode=0o700)
    for name in ("cpu", "cuda-0"):
        (tmp_path / "evo" / f"{name}.lock").touch()
    with (tmp_path / "evo" / "cpu.lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        found = only(list(examine()), "lock")
        assert found["cpu"].text == "in use by a search"
    assert found["cuda-0"].text == "free"
    assert only(list(examine()), "lock")["cpu"].text == "free"


def test_a_layer_says_what_it_is():
    assert str(Layer("landlock", on=True, detail="version 7")) == "landlock (version 7)"
    assert str(Layer("seccomp", on=True)) == "seccomp"
    assert str(Layer("seccomp", on=False, detail="refused")) == "no seccomp (refused)"


# What an experiment requires.


def machine(*missing: str) -> dict[str, Layer]:
    return {
        name: Layer(name, name not in missing, f"no {name} in this test" * (name in missing))
        for name in NAMES
    }


def test_what_is_required_must_be_there():
    config = load_config(TOML, ['sandbox.require=["seccomp", "landlock", "user"]'])
    require_layers(config, machine)
    require_layers(config, lambda: machine("cgroup"))
    with pytest.raises(DeviceError) as caught:
        require_layers(config, lambda: machine("landlock", "user", "cgroup"))
    assert str(caught.value) == (
        f"{TOML}: [sandbox] require: this machine does not offer landlock (no landlock in this "
        f"test); user (no user in this test)"
    )
    assert caught.value.exit_status == 2


def test_nothing_is_asked_for_when_nothing_is_required():
    def asked() -> dict[str, Layer]:
        raise AssertionError("asked")

    assert load_config(TOML).sandbox == SandboxConfig()
    require_layers(load_config(TOML), asked)


def test_unknown_layers_are_told_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        load_config(TOML, ['sandbox.require=["seccomp", "landlok"]'])
    assert str(caught.value) == (
        f'{TOML}: [sandbox] require has no "landlok" to choose; did you mean "landlock"?'
    )
    with pytest.raises(ConfigError, match="known: process-namespace, "):
        load_config(TOML, ['sandbox.require=["zzz"]'])
    with pytest.raises(ConfigError, match="must be a list of names"):
        load_config(TOML, ["sandbox.require=landlock"])


@pytest.mark.compiler
def test_verify_refuses_by_an_option(tmp_path):
    kernel, problem = TOML.with_name("scale_cpp.py"), TOML.with_name("scale.py")
    arguments = (kernel, "--problem", problem, "--device", "cpu", "--json", "out.json")
    for layers, words in (
        ("seccomp,cgroup", "--require: this machine does not offer cgroup ("),
        ("secomp", '--require: there is no layer "secomp"; did you mean "seccomp"?'),
    ):
        status, out, err = command(
            *arguments, "--require", layers, cwd=tmp_path, module="evo.verify"
        )
        assert (status, out) == (2, "")
        assert err.startswith(f"evo: {words}")
        assert err.count("\n") == 1
        assert not list(tmp_path.iterdir())


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("evo.run", [TOML]),
        ("evo.check", [TOML]),
        ("evo.bench", [TOML.with_name("scale_cpp.py"), "--experiment", TOML]),
    ],
)
def test_every_command_refuses_to_run_with_less(tmp_path, module, arguments):
    # No machine offers this one.
    status, out, err = command(
        *arguments, "--set", 'sandbox.require=["cgroup"]', cwd=tmp_path, module=module
    )
    assert status == 2
    assert err.startswith(f"evo: {TOML}: [sandbox] require: this machine does not offer cgroup (")
    assert err.count("\n") == 1
    assert "baselines" not in out
    assert not list(tmp_path.iterdir())
