"""A run whose only operator asks a model: by a command, by files, over HTTP; and grown again."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from pathlib import Path

import pytest

from evo.signals import WAITING
from populations.store import Store
from tests.evo.test_cli import DATA, evo
from tests.operators.llm.server import LocalServer, says

pytestmark = pytest.mark.compiler
TOML = DATA / "models.toml"
# Finds the kernel in a prompt, and answers with one that differs in a comment of its C++.
MODEL = r"""
import re, sys
prompt = sys.stdin.read()
blocks = re.findall(r"^(`{3,})[a-z]*\n(.*?)^\1 *$", prompt, re.M | re.S)
kernel = next(text for _, text in reversed(blocks) if "class ModelNew" in text)
number = len(prompt)
changed = kernel.replace('extern "C"', f'static const int seen_{number} = 0;\nextern "C"', 1)
print(f"Rationale: a constant more\n\n```python\n{changed}```")
"""


def answer_to(prompt: str) -> str:
    """What `MODEL` says."""
    blocks = re.findall(r"^(`{3,})[a-z]*\n(.*?)^\1 *$", prompt, re.MULTILINE | re.DOTALL)
    kernel = next(text for _, text in reversed(blocks) if "class ModelNew" in text)
    named = f'static const int seen_{len(prompt)} = 0;\nextern "C"'
    changed = kernel.replace('extern "C"', named, 1)
    return f"Rationale: a constant more\n\n```python\n{changed}```"


def counts(directory: Path) -> dict[str, int]:
    with Store.open(directory, read_only=True) as store:
        return {
            "evaluations": len(store.evaluations()),
            "proposals": len(store.proposals()),
            "calls": len(store.calls()),
            "passed": sum(kernel.passed for kernel in store.kernels()),
        }


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A run whose model is a program, and what it said."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "model.py").write_text(MODEL)
    command = json.dumps([sys.executable, str(folder / "model.py")])
    toml = folder / "models.toml"
    text = TOML.read_text().replace('"scale', f'"{DATA}/scale')
    toml.write_text(f"{text}command = {command}\n")
    status, out, err = evo(toml, cwd=folder)
    assert (status, err) == (0, ""), out
    return folder, out


def test_a_program_answers(asked):
    folder, out = asked
    found = counts(folder / "runs/models")
    assert found["evaluations"] == found["passed"] == 4
    assert found["proposals"] >= 3
    assert "champion" in out


def test_the_run_is_grown_again_without_model_and_device(asked):
    folder, _ = asked
    (folder / "model.py").write_text("raise SystemExit('nobody is to be asked')")
    status, out, err = evo("runs/models", cwd=folder, module="evo.replay")
    assert (status, err) == (0, ""), out
    assert "the same lineage of 4 kernels" in out


def test_another_answer_is_another_lineage(asked, tmp_path):
    folder, _ = asked
    with sqlite3.connect(folder / "runs/models/run.db") as old:
        copy = sqlite3.connect(tmp_path / "run.db")
        old.backup(copy)
    copy.execute("UPDATE calls SET text = replace(text, 'a constant more', 'a lie')")
    copy.commit()
    copy.close()
    status, out, _ = evo(tmp_path, folder / "models.toml", cwd=tmp_path, module="evo.replay")
    assert status == 1
    assert "differs" in out


def test_the_report_says_what_each_operator_brought(asked):
    folder, _ = asked
    status, out, _ = evo("report", "runs/models", cwd=folder, module="evo")
    assert status == 0
    assert re.search(r"^rewrite +\d+ +3 +3 \(100%\)", out, re.MULTILINE), out


def test_a_run_ends_when_it_waits_and_goes_on_with_answers_from_elsewhere(tmp_path):
    status, out, err = evo(TOML, cwd=tmp_path)
    assert (status, err) == (WAITING, ""), out
    directory = tmp_path / "runs/models"
    assert counts(directory)["evaluations"] == 1
    for _ in range(6):
        for prompt in (directory / "exchange").glob("*.prompt.md"):
            answer = prompt.with_name(prompt.name.replace(".prompt.", ".answer."))
            if not answer.exists():
                answer.write_text(answer_to(prompt.read_text()))
        status, out, err = evo(TOML, "--resume", cwd=tmp_path)
        assert err == "", out
        if status == 0:
            break
        assert status == WAITING, out
    assert status == 0
    assert counts(directory)["evaluations"] == 4
    status, out, _ = evo("runs/models", TOML, cwd=tmp_path, module="evo.replay")
    assert (status, "the same lineage of 4 kernels" in out) == (0, True)


def test_a_server_answers_and_its_key_is_in_no_file(tmp_path):
    key = "sk-do-not-show-0123456789"
    with LocalServer(lambda request: says(answer_to(request.text))) as server:
        toml = tmp_path / "server.toml"
        text = TOML.read_text().replace('"scale', f'"{DATA}/scale').partition("[[models]]")[0]
        toml.write_text(
            f'{text}[[models]]\nname = "local"\nbase_url = "{server.url}"\n'
            'api_key_env = "TESTED_KEY"\nprice_in = 1.0\nprice_out = 2.0\nparallel = 2\n'
        )
        status, out, err = evo(toml, cwd=tmp_path, TESTED_KEY=key)
        assert (status, err) == (0, ""), out
        sent = [request.headers["authorization"] for request in server.requests]
    assert set(sent) == {f"Bearer {key}"}
    assert "US dollars; stopped" in out
    assert counts(tmp_path / "runs/server")["evaluations"] == 4
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes(), path


def test_a_missing_key_is_told_before_anything_is_written(tmp_path):
    toml = tmp_path / "keyless.toml"
    text = TOML.read_text().replace('"scale', f'"{DATA}/scale').partition("[[models]]")[0]
    toml.write_text(f'{text}[[models]]\nname = "far"\napi_key_env = "NO_SUCH_KEY"\n')
    status, out, err = evo(toml, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "NO_SUCH_KEY" in err
    assert not (tmp_path / "runs").exists()
