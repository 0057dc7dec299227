from pathlib import Path

import pytest
import torch

from fitness.problem import Problem, describe, examine
from populations.errors import ProblemError

PROBLEMS = Path(__file__).parent / "problems"
GOOD = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.linear = nn.Linear(n, n)

    def forward(self, x):
        return self.linear(x)

def get_inputs(rows=2):
    return [torch.randn(rows, 4)]

def get_init_inputs():
    return [4]
"""


def write(tmp_path, text):
    path = tmp_path / "problem.py"
    path.write_text(text)
    return path


def test_plain_kernelbench_file(tmp_path):
    facts = examine(write(tmp_path, GOOD))
    assert [w.name for w in facts.workloads] == ["default"]
    assert facts.workloads[0].inputs == ("float32[2, 4]",)
    assert facts.workloads[0].dtype == "float32"
    assert facts.parameters == 20
    assert facts.outputs == ("float32[2, 4]",)
    assert facts.baselines == ("eager", "compile", "max-autotune-no-cudagraphs")


def test_described_in_a_process_of_its_own():
    facts = describe(PROBLEMS / "conv1d.py")
    assert [w.name for w in facts.workloads] == ["B2", "B8"]
    assert facts.baselines[-2:] == ("conv2d", "conv2d+compile")


def test_a_problem_that_kills_its_process_is_one_line(tmp_path):
    path = write(tmp_path, GOOD + "\nimport os\nos._exit(7)\n")
    with pytest.raises(ProblemError, match="ended with 7") as caught:
        describe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def get_inputs", "def other", "get_inputs"),
        ("def get_init_inputs", "def other", "get_init_inputs"),
        ("class Model", "class Other", "Model"),
        ("torch.randn(rows, 4)", "1 / 0", "ZeroDivisionError"),
        ("[torch.randn(rows, 4)]", "torch.randn(rows, 4)", "list"),
        ("[torch.randn(rows, 4)]", "[object()]", "object"),
        ("return [4]", "return [4, 5]", "Model raised TypeError"),
        ("self.linear(x)", "self.linear(x[:, :3])", "forward"),
        ("return self.linear(x)", "return 3", "tensor"),
        ("import torch\n", "import no_such_module\n", "no_such_module"),
        ("class Model", "class class Model", "problem.py:5"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(tmp_path, old, new, said):
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ProblemError) as caught:
        examine(path)
    text = str(caught.value)
    assert str(path) in text
    assert said in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("WORKLOADS = {}", "WORKLOADS"),
        ("WORKLOADS = {'a': 3}", "WORKLOADS['a']"),
        ("WORKLOADS = {'a': {'columns': 3}}", "columns"),
        ("BASELINES = {'eager': Model}", "BASELINES['eager']"),
        ("BASELINES = {'b': 3}", "BASELINES['b']"),
        ("LAYOUTS = 'some'", "LAYOUTS"),
        ("HELD_OUT = {}", "HELD_OUT"),
        ("HELD_OUT = {'tail': {'columns': 3}}", "HELD_OUT['tail']"),
        ("TOLERANCE = 'tight'", "TOLERANCE"),
        ("TOLERANCE = (1e-3, -1.0)", "TOLERANCE"),
    ],
)
def test_optional_names_are_checked(tmp_path, line, said):
    with pytest.raises(ProblemError) as caught:
        examine(write(tmp_path, GOOD + line))
    assert said in str(caught.value)


def test_missing_file():
    with pytest.raises(ProblemError, match="no such"):
        describe(Path("/nowhere/problem.py"))


def test_inputs_follow_the_seed_and_the_workload(tmp_path):
    problem = Problem(write(tmp_path, GOOD + "WORKLOADS = {'a': {}, 'b': {'rows': 5}}"))
    (first,), (same,), (other,) = (problem.inputs("a", s) for s in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert problem.inputs("b", 1)[0].shape == (5, 4)


def test_baselines_share_the_references_state():
    problem = Problem(PROBLEMS / "conv1d.py")
    model, flat = problem.model(3), problem.model(3, "conv2d")
    x = torch.randn(2, 32, 64)
    torch.testing.assert_close(model(x), flat(x))


def test_models_are_cast_only_when_all_inputs_agree(tmp_path):
    problem = Problem(write(tmp_path, GOOD))
    half, single = torch.ones(1).half(), torch.ones(1)
    assert problem.shared_dtype([half, torch.ones(1).int(), None, 3]) is torch.float16
    assert problem.shared_dtype([half, single]) is None
    assert problem.shared_dtype([torch.ones(1).int()]) is None


def test_tolerance_by_dtype(tmp_path):
    problem = Problem(
        write(tmp_path, GOOD + "TOLERANCE = {torch.float16: {'atol': 1e-2, 'rtol': 0}}")
    )
    assert problem.tolerances == {"float16": (1e-2, 0.0)}
    with pytest.raises(ProblemError, match="B17"):
        problem.selected(("B17",), "workload")


def test_held_out_shapes_come_from_integer_arguments(tmp_path):
    problem = Problem(write(tmp_path, GOOD + "WORKLOADS = {'a': {'rows': 12}, 'b': {'rows': 2}}"))
    assert [s.name for s in problem.held_out_shapes("a")] == ["rows=1", "rows=11", "rows=13"]
    assert [s.name for s in problem.held_out_shapes("b")] == ["rows=1", "rows=3"]
    shape = problem.held_out_shapes("a")[1]
    assert problem.inputs_with({"rows": 12} | dict(shape.arguments), 1, "")[0].shape == (11, 4)


def test_held_out_shapes_of_a_plain_file_are_its_first_rows(tmp_path):
    problem = Problem(write(tmp_path, GOOD.replace("rows=2", "").replace("rows, 4", "9, 4")))
    assert [(s.name, s.rows) for s in problem.held_out_shapes("default")] == [
        ("first rows: 1", 1),
        ("first rows: 7", 7),
    ]


def test_held_out_shapes_of_the_file_come_first(tmp_path):
    problem = Problem(write(tmp_path, GOOD + "HELD_OUT = {'tail': {'rows': 13}}"))
    (shape,) = problem.held_out_shapes("default")
    assert (shape.name, shape.arguments) == ("tail", {"rows": 13})
