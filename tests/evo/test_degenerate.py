"""`evo check` refuses a degenerate problem before anything is measured, unless it is allowed."""

import pytest

from evo.check import check
from evo.config import load_config
from evo.experiment import evaluation_spec
from populations.errors import ConfigError, ProblemError

PROBLEM = """
import torch
from torch import nn

class Model(nn.Module):
    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)).mean(-1)

def get_inputs():
    return [torch.randn(6, 50)]

def get_init_inputs():
    return []
"""
EXPERIMENT = """
[problem]
path = "problem.py"

[target]
device = "cpu"
threads = 1

[seeds]
cpp = "seed.py"

[budget]
evaluations = 3
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("EVO_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "problem.py").write_text(PROBLEM)
    (tmp_path / "seed.py").write_text("raise SystemExit\n")
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT)
    return path


def test_refused_with_the_reason_and_the_way_round_it(experiment, capsys):
    with pytest.raises(ProblemError, match="made of rounding") as caught:
        check(experiment, [])
    assert "[evaluation] allow_degenerate = true" in str(caught.value)
    assert "baselines" not in capsys.readouterr().out


def test_policies_of_the_file_reach_the_judge(experiment):
    spec = evaluation_spec(load_config(experiment, []), "cpu")
    assert (spec.determinism, spec.held_out) == ("tolerance", "report")
    assert not spec.allow_degenerate
    assert not spec.allow_packed_weights
    config = load_config(
        experiment,
        [
            "evaluation.allow_degenerate=true",
            "evaluation.allow_packed_weights=true",
            'evaluation.determinism="bitwise"',
            'evaluation.held_out="require"',
        ],
    )
    spec = evaluation_spec(config, "cpu")
    assert (spec.determinism, spec.held_out) == ("bitwise", "require")
    assert spec.allow_degenerate
    assert spec.allow_packed_weights


def test_an_unknown_policy_is_refused(experiment):
    with pytest.raises(ConfigError, match="held_out"):
        load_config(experiment, ['evaluation.held_out="perhaps"'])
