"""Tables of runs with models: who brought what, and arms at equal numbers of evaluations."""

import shutil
from pathlib import Path

import pytest

from benchmarks import models_table
from populations.call import Answer, Call, Finish, Message
from populations.rows import Proposal, Rejection
from populations.store import Store
from tests.contracts.samples import kernel

RECORDING = Path(__file__).parents[2] / "experiments" / "results" / "conv1d_cpu_exchange"


def make(folder, kernels, *, asked=(), rejected=(), problem="conv.py"):
    folder.mkdir()
    experiment = f'[problem]\npath = "/somewhere/{problem}"\n'
    with Store.create(folder, experiment=experiment, fingerprint="x") as store:
        store.set_meta("experiment", experiment)
        for number, operator in asked:
            store.add_proposal(Proposal(number, operator, (0,), "m"))
            answer = Answer("text", Finish.COMPLETE, "m", tokens_in=1, tokens_out=1, cost_usd=0.5)
            store.add_call(Call(number, 0, operator, (Message("user", "?"),), answer))
        for number in rejected:
            store.add_rejection(Rejection(number, "gave_up", "no"))
        for made in kernels:
            store.add_candidate(made.candidate)
            store.add_evaluation(made.number, made.evaluation)
    return folder


@pytest.fixture
def runs(tmp_path):
    both = make(
        tmp_path / "both",
        [
            kernel(0, value=1.0),
            kernel(1, value=1.5, operator="tile", parents=(0,)),
            kernel(2, value=2.0, operator="edit", parents=(1,)),
            kernel(4, value=3.0, operator="edit", parents=(2,)),
        ],
        asked=[(2, "edit"), (3, "edit"), (4, "edit")],
        rejected=[3],
    )
    plain = make(
        tmp_path / "plain",
        [
            kernel(0, value=1.0),
            kernel(1, value=None, operator="tile", parents=(0,)),
            kernel(2, value=1.2, operator="unroll", parents=(0,)),
        ],
    )
    alone = make(
        tmp_path / "alone",
        [kernel(n, value=1.0 + n, operator="draft") for n in (1, 2, 3)],
        asked=[(n, "draft") for n in range(4)],
        rejected=[0],
    )
    return [both, plain, alone]


def rows(lines):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_arms_are_compared_after_equally_many_evaluations(runs):
    found = [models_table.read(path) for path in runs]
    assert [run.arm for run in found] == ["both", "structural", "models"]
    text = models_table.report(runs)
    assert "### conv" in text
    assert "After 3 evaluations each:" in text
    table = text.split("After 3 evaluations each:\n\n")[1].splitlines()
    both, models, structural = rows(table[:5])
    # The fourth kernel of `both`, its fastest, comes too late to count.
    assert both[0] == "both"
    assert both[2:4] == ["3", "2 (100%)"]
    assert both[6].startswith("2.00x")
    assert both[7] == "0.50"
    assert models[:5] == ["models", "alone", "3", "3 (75%)", "3 (75%)"]
    assert models[5] == "-"
    assert structural[:5] == ["structural", "plain", "3", "1 (50%)", "1 (50%)"]


def test_operators_of_all_runs_together(runs):
    found = models_table.operator_table([models_table.read(path) for path in runs])
    by_name = {row[0]: row[1:] for row in rows(found)}
    assert list(by_name) == ["`draft`", "`edit`", "structural"]
    assert by_name["`edit`"][:3] == ["3", "2 (67%)", "2 (67%)"]
    assert by_name["`edit`"][4] == "1 gave up"
    assert by_name["structural"][:3] == ["3", "2 (67%)", "2 (67%)"]


def test_problems_stand_apart_and_a_recording_has_its_table(runs, tmp_path, capsys):
    recording = shutil.copytree(RECORDING, tmp_path / "recording")
    assert models_table.main([str(path) for path in (*runs, recording)]) == 0
    text = capsys.readouterr().out
    assert text.index("### conv\n") < text.index("### conv1d\n")
    assert "| both | recording | 24 |" in text
    assert models_table.main([str(runs[0]), "--evaluations", "2"]) == 0
    assert "After 2 evaluations each:" in capsys.readouterr().out


def test_a_folder_without_a_run_is_told(tmp_path, capsys):
    assert models_table.main([str(tmp_path)]) == 2
    assert "run" in capsys.readouterr().err
