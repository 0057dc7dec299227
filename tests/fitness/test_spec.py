import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fitness.spec import EvaluationSpec
from populations.errors import ConfigError


def make(**changes):
    return EvaluationSpec(**{"problem": Path("p.py"), "cache_dir": Path("c"), **changes})


def test_survives_pickling():
    spec = make(workloads=("a", "b"), threads=3)
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"device": "tpu"}, "device"),
        ({"threads": 0}, "threads"),
        ({"seeds": 0}, "seeds"),
        ({"pairs": 4}, "pairs"),
        ({"timing_budget_s": 0.0}, "timing_budget_s"),
        ({"run_limit_s": float("nan")}, "run_limit_s"),
        ({"give_up_below": 1.0}, "give_up_below"),
        ({"device_index": -1}, "device_index"),
        ({"rigour": "some"}, "rigour"),
        ({"determinism": "perhaps"}, "determinism"),
        ({"held_out": "always"}, "held_out"),
        ({"workloads": ("a", "a")}, "workloads"),
    ],
)
def test_bad_value_is_named(changes, named):
    with pytest.raises(ConfigError, match=named) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_names_the_device_as_torch_does():
    assert make().torch_device == "cpu"
    assert make(device="cuda", device_index=2).torch_device == "cuda:2"


def test_search_side_imports_no_torch():
    code = (
        "import sys, fitness.pool, fitness.spec, fitness.problem, fitness.replay, fitness.report;"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
