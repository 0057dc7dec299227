"""What worked in a run becomes entries, which a later run finds, and first kernels."""

import math

import pytest

from operators.knowledge.library import champion, distill, first_individuals
from operators.knowledge.operations import operations_of
from operators.knowledge.recall import Entries, describe, knowledge
from operators.knowledge.records import content_digest
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome
from tests.operators.knowledge.samples import SETTING, best, grown, made, passed


def test_an_improvement_is_kept_with_where_it_held():
    lineage = grown(
        (passed(1.0), (), "", "a = 1\nb = 2\n"),
        (passed(1.5), (0,), "fused the\n two loops", "a = 1\nc = 3\n"),
    )
    (entry,) = distill(lineage, setting=SETTING)
    assert (entry.technique, entry.operator, entry.language) == (
        "fused the two loops",
        "rewrite",
        "triton",
    )
    assert entry.before == lineage.get(0).candidate.digest
    assert entry.after == lineage.get(1).candidate.digest
    assert entry.gains == {"small": 1.5, "large": 1.5}
    assert "-b = 2" in entry.diff
    assert "+c = 3" in entry.diff
    assert entry.setting == SETTING


def test_the_gains_interval_combines_both_measurements():
    lineage = grown((passed(1.0, 0.03), (), "", "a"), (passed(1.2, 0.04), (0,), "b", "b"))
    gain = distill(lineage, setting=SETTING)[0].gain
    assert gain.value == pytest.approx(1.2)
    down = math.hypot(-math.log(0.96), math.log(1.03))
    up = math.hypot(math.log(1.04), -math.log(0.97))
    assert gain.low == pytest.approx(1.2 * math.exp(-down))
    assert gain.high == pytest.approx(1.2 * math.exp(up))


@pytest.mark.parametrize(
    ("child", "why"),
    [
        (passed(1.04), "gains too little"),
        (passed(1.2, 0.2), "the interval holds 1"),
        (passed(0.8), "is slower"),
        (passed(1.5, baselines=("eager", "compile")), "was measured against something else"),
        (Evaluation(Outcome.WRONG_VALUES, 1, 3), "is wrong"),
    ],
)
def test_what_is_no_improvement_is_left_out(child, why):
    lineage = grown((passed(1.0, 0.08), (), "", "a"), (child, (0,), "b", "b"))
    assert not distill(lineage, setting=SETTING), why


def test_a_repaired_kernel_has_nothing_to_be_compared_with():
    lineage = grown(
        (Evaluation(Outcome.COMPILE_ERROR), (), "", "a"), (passed(2.0), (0,), "repaired", "b")
    )
    assert not distill(lineage, setting=SETTING)


def test_of_two_parents_the_faster_one_counts():
    lineage = grown(
        (passed(1.0), (), "", "a"),
        (passed(1.4), (), "", "b"),
        (passed(1.6), (0, 1), "merged 0 and 1", "c"),
        (passed(1.41), (0, 1), "merged 1 and 0", "d"),
    )
    (entry,) = distill(lineage, setting=SETTING)
    assert entry.before == lineage.get(1).candidate.digest
    assert entry.gain.value == pytest.approx(1.6 / 1.4)


def test_a_technique_is_kept_once_for_a_skeleton_and_the_surest_stays():
    source = "B = {}  # tune: 1, 2, 3\n"
    lineage = grown(
        (passed(1.0), (), "", source.format(1)),
        (passed(1.2), (0,), "B 1 -> 2", source.format(2)),
        (passed(1.4), (0,), "B 1 -> 3", source.format(3)),
        (passed(1.3), (0,), "unrolled", "other\n"),
    )
    assert [e.technique for e in distill(lineage, setting=SETTING)] == ["B 1 -> 3", "unrolled"]
    assert len(distill(lineage, setting=SETTING, most=1)) == 1
    assert not distill(lineage, setting=SETTING, least_gain=1.5)


def test_a_long_difference_is_cut():
    long = "".join(f"line {i} {'x' * 500}\n" for i in range(500))
    lineage = grown((passed(1.0), (), "", "a\n"), (passed(2.0), (0,), "y" * 5000, long))
    (entry,) = distill(lineage, setting=SETTING)
    assert len(entry.diff) < 20_000
    assert entry.diff.endswith("more lines")
    assert len(entry.technique) <= 300


def test_a_later_run_finds_entries_by_operation_shape_and_target():
    entries = Entries(
        [
            made("keep the weights in registers and walk over tiles"),
            made("walk over rows", problem="rmsnorm", operations=("normalisation",)),
            made("vectors of 16", target="AMD EPYC 9554", device="cpu", language="cpp"),
        ]
    )
    query = "convolution on NVIDIA H200, x 2x16x128, weights read many times"
    found = entries.search(query, filters={"hardware": "hopper", "language": "triton"}, count=5)
    assert found[0].title.startswith("What worked for conv1d: keep the weights")
    assert not [p for p in found if "vectors of 16" in p.text]
    found = entries.search(query, filters={"operation": "normalisation"}, count=5)
    assert [p.title for p in found] == ["What worked for rmsnorm: walk over rows"]
    assert not Entries([]).search(query, filters={}, count=5)


def test_documents_and_entries_answer_as_one():
    both = knowledge(entries=[made("split the tile against register spills")])
    names = [p.name for p in both.search("register spills", filters={}, count=4)]
    assert names[0] == "guidance/register-spills"
    assert names[1].startswith("library/conv1d/")
    assert all(not n.startswith("library/") for n in names[2:])


def test_an_entry_says_what_was_gained_where_and_from_which_kernels():
    text = describe(made("keep the weights"))
    for part in ("1.30x [1.20, 1.40]", "small 1.30x", "conv1d", "triton", "NVIDIA H200", "runs/1"):
        assert part in text
    assert "x 2x16x128" in text
    assert "b" * 16 in text
    assert "+b" in text


def test_earlier_champions_become_first_kernels():
    tuned = "B = {}  # tune: 1, 2\n"
    champions = [
        best("elsewhere", 9.0, target="NVIDIA B200"),
        best(tuned.format(1), 2.0),
        best(tuned.format(2), 3.0),
        best("second", 2.5),
        best("another problem", 9.0, content=content_digest("other")),
        best("another language", 9.0, language="cpp"),
    ]
    arguments = {"content": SETTING.content, "language": "triton", "target": "NVIDIA H200"}
    found = first_individuals(champions, **arguments)
    assert [c.source for c in found] == [tuned.format(2), "second", "elsewhere"]
    assert first_individuals(champions, **arguments, count=1) == found[:1]
    assert not first_individuals([], **arguments)


def test_a_kernel_that_failed_is_no_champion():
    kernel = Kernel(Candidate(0, "x", "triton"), Evaluation(Outcome.TIMEOUT))
    assert champion(kernel, setting=SETTING) is None


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("def f(x, w): return F.conv1d(x, w)", ("convolution",)),
        ("def f(x, w): return torch.softmax(x @ w, -1)", ("product", "softmax")),
        ("class M:\n  def __init__(s): s.n = nn.LayerNorm(4)", ("normalisation",)),
        ("def f(x): return x + 1", ("elementwise",)),
        ("def f(x): return x +", ()),
        ("def f(x):\n  '''softmax'''\n  return torch.searchsorted(x, x)", ("search",)),
    ],
)
def test_a_problems_operations_are_read_from_its_text(text, operations):
    assert operations_of(text) == operations
