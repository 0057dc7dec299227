"""A run whose only operator asks a model: by a command, by files, over HTTP; and grown again."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from evo.signals import WAITING
from populations.statistics import Progress
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


def champion_of(kernels):
    progress = Progress()
    for kernel in kernels:
        progress.insert(kernel)
    return progress.champion


def test_the_champion_is_profiled_and_the_next_prompt_says_so(asked):
    folder, _ = asked
    with Store.open(folder / "runs/models", read_only=True) as store:
        kernels, calls = store.kernels(), store.calls()
    for kernel in (kernels[0], champion_of(kernels)):
        found = kernel.evaluation.details["diagnostics"]
        assert found["counters"]["own_share"] > 0, found
        assert {"kind", "evidence", "share"} == set(found["profiled"])
        assert len(kernel.evaluation.details["diagnosis"]) < 40
    (line,) = (t for t in kernels[0].evaluation.details["diagnosis"] if "profile of" in t)
    first = min(calls, key=lambda call: call.proposal)
    assert line in "\n".join(message.text for message in first.messages)
    report = (folder / "runs/models/report.html").read_text()
    assert "profile of a call on small: own" in report


@contextmanager
def copied(run, folder):
    """A run's database in another folder, to be changed there."""
    with (
        closing(sqlite3.connect(run / "run.db")) as old,
        closing(sqlite3.connect(folder / "run.db")) as copy,
        copy,
    ):
        old.backup(copy)
        yield copy


def test_profiles_are_no_part_of_the_lineage(asked, tmp_path):
    folder, _ = asked
    forgotten = 0
    with copied(folder / "runs/models", tmp_path) as copy:
        for key, text in copy.execute("SELECT rowid, details FROM evaluations").fetchall():
            details = json.loads(text)
            for name in ("counters", "profiled"):
                forgotten += details["diagnostics"].pop(name, None) is not None
            details.pop("diagnosis")
            values = (json.dumps(details), key)
            copy.execute("UPDATE evaluations SET details = ? WHERE rowid = ?", values)
    assert forgotten >= 2
    toml = folder / "models.toml"
    status, out, err = evo(tmp_path, toml, cwd=tmp_path, module="evo.replay")
    assert (status, err) == (0, ""), out
    assert "the same lineage of 4 kernels" in out


def test_the_run_is_grown_again_without_model_and_device(asked):
    folder, _ = asked
    (folder / "model.py").write_text("raise SystemExit('nobody is to be asked')")
    status, out, err = evo("runs/models", cwd=folder, module="evo.replay")
    assert (status, err) == (0, ""), out
    assert "the same lineage of 4 kernels" in out


def test_another_answer_is_another_lineage(asked, tmp_path):
    folder, _ = asked
    with copied(folder / "runs/models", tmp_path) as copy:
        copy.execute("UPDATE calls SET text = replace(text, 'a constant more', 'a lie')")
    status, out, _ = evo(tmp_path, folder / "models.toml", cwd=tmp_path, module="evo.replay")
    assert status == 1
    assert "differs" in out


def drafts(tmp_path, answer, **changes):
    """An experiment without seeds whose model is a program."""
    (tmp_path / "model.py").write_text(answer)
    command = json.dumps([sys.executable, str(tmp_path / "model.py")])
    text = TOML.read_text().replace('"scale.py', f'"{DATA}/scale.py')
    text = text.replace('cpp = "scale_cpp.py"\n', "").replace("draft = 0\n", "")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    toml = tmp_path / "drafts.toml"
    toml.write_text(f"{text}command = {command}\n")
    return toml


# Makes a kernel of nothing: the first answer holds none, and every third kernel is wrong.
DRAFT = f"""
import sys
from pathlib import Path
sys.stdin.read()
counter = Path(__file__).with_name("count")
number = int(counter.read_text()) + 1 if counter.exists() else 0
counter.write_text(str(number))
kernel = Path({str(DATA / "scale_cpp.py")!r}).read_text()
if number == 0:
    print("GIVE UP: too little is said")
else:
    kernel = kernel.replace('extern "C"', f'static const int seen_{{number}} = 0;\\nextern "C"', 1)
    if number % 3 == 1:
        kernel = kernel.replace("* sum", "+ sum")
    print(f"Rationale: plain loops\\n\\n```python\\n{{kernel}}```")
"""


def test_a_run_without_seeds_begins_with_drafts(tmp_path):
    few = {"evaluations = 4": "evaluations = 8", "finalists = 1": "finalists = 1\nin_flight = 2"}
    few["[operators.weights]"] = "[operators.weights]\ndraft = 0.05"
    toml = drafts(tmp_path, DRAFT, **few)
    status, out, err = evo("check", toml, cwd=tmp_path, module="evo")
    assert (status, err) == (0, ""), out
    said = r"^seed +none: models draft the first kernels, in cpp or python$"
    assert re.search(said, out, re.MULTILINE), out
    status, out, err = evo(toml, cwd=tmp_path)
    assert (status, err) == (0, ""), out
    directory = tmp_path / "runs/drafts"
    with Store.open(directory, read_only=True) as store:
        kernels, final = store.kernels(), store.meta("final")
        asked = {proposal.number: proposal.operator for proposal in store.proposals()}
    first = next(kernel.number for kernel in kernels if kernel.passed)
    assert first > 0
    assert {asked[n] for n in range(first)} == {"draft"}
    assert "rewrite" in asked.values()
    assert any(not kernel.passed for kernel in kernels)
    # The closing table has the first kernel that passed where a seed would be.
    assert final["champion"] is not None
    assert all(row["seed_ms"] for row in final["rows"])
    assert "from the first kernel" in (directory / "report.html").read_text()
    (tmp_path / "model.py").write_text("raise SystemExit('nobody is to be asked')")
    status, out, err = evo("runs/drafts", cwd=tmp_path, module="evo.replay")
    assert (status, err) == (0, ""), out
    assert "the same lineage of 8 kernels" in out


def test_drafts_that_all_come_to_nothing_end_the_run(tmp_path):
    toml = drafts(tmp_path, "print('No.')", **{"parallel = 1": "parallel = 8"})
    status, out, err = evo(toml, cwd=tmp_path)
    assert (status, err) == (0, ""), out
    assert "no kernel came of 60 proposals" in out
    assert counts(tmp_path / "runs/drafts")["evaluations"] == 0
    status, out, err = evo("report", "runs/drafts", cwd=tmp_path, module="evo")
    assert (status, err) == (0, ""), out
    status, out, err = evo(toml, "--resume", cwd=tmp_path)
    assert (status, err) == (0, ""), out
    assert "no kernel came of 60 proposals" in out


def test_without_seeds_somebody_must_draft(tmp_path):
    toml = drafts(tmp_path, "", **{"[operators.weights]": "[operators.weights]\ndraft = 0"})
    status, out, err = evo(toml, cwd=tmp_path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "without [seeds] the operator draft must not be off" in err


PYTHON = """
import sys
sys.stdin.read()
print('''Rationale: torch has it

```python
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.full((), factor))

    def forward(self, x):
        return x * x.sum(dim=1, keepdim=True) * self.factor
```''')
"""


def test_a_kernel_is_translated_to_another_language_of_the_experiment(tmp_path):
    toml = drafts(tmp_path, PYTHON, **{"translate = 0": "rewrite = 0"})
    text = toml.read_text().replace("[operators.weights]", "[operators.weights]\ndraft = 0")
    text = text.replace("[seeds]\n", f'[seeds]\ncpp = "{DATA}/scale_cpp.py"\n')
    text = text.replace("[target.cpu]\n", '[target.cpu]\nlanguages = ["python"]\n')
    toml.write_text(text.replace("evaluations = 4", "evaluations = 2"))
    status, out, err = evo(toml, cwd=tmp_path)
    assert (status, err) == (0, ""), out
    with Store.open(tmp_path / "runs/drafts", read_only=True) as store:
        _, made = store.kernels()
        asked = store.calls()[0].messages
    assert (made.candidate.operator, made.candidate.language) == ("translate", "python")
    assert made.candidate.parents == (0,)
    assert made.passed
    assert "which is in C++, again in Python" in " ".join(asked[1].text.split())


def test_what_compiles_to_the_same_code_is_not_measured_again(tmp_path):
    toml = drafts(
        tmp_path, MODEL, **{"finalists = 1": "finalists = 1\n[search.novelty]\nbinary = true"}
    )
    text = toml.read_text().replace("[seeds]\n", f'[seeds]\ncpp = "{DATA}/scale_cpp.py"\n')
    toml.write_text(text.replace("[operators.weights]", "[operators.weights]\ndraft = 0"))
    status, out, err = evo(toml, "--set", "budget.evaluations=3", cwd=tmp_path)
    assert (status, err) == (0, ""), out
    status, out, err = evo(toml, "--resume", cwd=tmp_path)
    assert (status, err) == (0, ""), out
    with Store.open(tmp_path / "runs/drafts", read_only=True) as store:
        seed, *others = store.kernels()
        told = [call.messages[-1].text for call in store.calls()]
    assert [k.evaluation.details.get("same_binary_as") for k in others] == [0] * 3
    assert {k.evaluation.timings for k in others} == {seed.evaluation.timings}
    assert len({k.source for k in others}) == 3
    assert any("compiled to the same code as kernel 0" in text for text in told)
    status, out, err = evo("runs/drafts", toml, cwd=tmp_path, module="evo.replay")
    assert (status, err) == (0, ""), out
    assert "the same lineage of 4 kernels" in out


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
