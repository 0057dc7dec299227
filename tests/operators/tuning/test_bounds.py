import pytest

from operators.tuning.bounds import bounds_of, lacked_resources
from operators.tuning.shared import shared_memory
from operators.tuning.space import space_of
from populations.outcome import Evaluation, Outcome
from populations.parameters import with_values
from tests.contracts.samples import kernel
from tests.operators.tuning.samples import LIMIT, TILES, judged, log_speedup, needed

SPACE = space_of([kernel(0, TILES)])


def at(number, **new):
    return judged(number, with_values(TILES, new))


def failing(text, outcome=Outcome.COMPILE_ERROR):
    return kernel(0, TILES, evaluation=Evaluation(outcome, diagnostics=text))


@pytest.mark.parametrize(
    "text",
    [
        "OutOfResources: out of resource: shared memory, Required: 294912, Hardware limit: 232448.",
        "triton.runtime.errors.OutOfResources: out of resource: threads, Required: 2048",
        "CUDA error: too many resources requested for launch",
        "ptxas error   : Entry function 'k' uses too much shared data (0x20000 bytes, 0xc000 max)",
    ],
)
def test_a_lack_of_resources_is_told_from_other_failures(text):
    assert lacked_resources(failing(text))
    assert lacked_resources(failing(text, Outcome.RUNTIME_ERROR))
    assert not lacked_resources(failing(text, Outcome.WRONG_VALUES))


@pytest.mark.parametrize(
    "text",
    ["error: expected ';'", "CUDA out of memory. Tried to allocate 2 GiB", "illegal memory access"],
)
def test_other_failures_say_nothing_of_larger_points(text):
    assert not lacked_resources(failing(text))
    bounds = bounds_of(SPACE, [failing(text)])
    assert all(map(bounds.likely, SPACE.points()))


def test_a_point_that_needs_no_less_is_unlikely():
    study = [at(0), at(1, BLOCK_M=256, BLOCK_K=128, STAGES=2)]
    assert not study[1].passed
    bounds = bounds_of(SPACE, study)
    assert not bounds.likely((256, 128, 2, 4, "plain"))
    assert not bounds.likely((256, 256, 4, 8, "plain"))
    # Smaller somewhere, or another category.
    for point in [
        (128, 256, 4, 8, "plain"),
        (256, 128, 1, 8, "plain"),
        (256, 128, 2, 2, "plain"),
        (256, 256, 4, 8, "fused"),
    ]:
        assert bounds.likely(point)


def test_a_larger_point_that_ran_contradicts():
    splits = "SPLITS = 1  # tune: 1, 2, 4\nBLOCK = 64  # tune: 64, 128\n"
    text = "out of resource: shared memory, Required: 300000"
    failed = kernel(0, splits, evaluation=Evaluation(Outcome.RUNTIME_ERROR, diagnostics=text))
    space = space_of([failed])
    assert not bounds_of(space, [failed]).likely((4, 64))
    ran = kernel(1, with_values(splits, {"SPLITS": 2}))
    assert bounds_of(space, [failed, ran]).likely((4, 64))


def test_what_a_parent_s_skeleton_showed_counts_where_it_has_the_same_parameters():
    failed = at(1, BLOCK_M=256, BLOCK_K=256)
    assert not bounds_of(SPACE, [at(0)], [failed]).likely((256, 256, 3, 4, "plain"))
    other = kernel(2, "BLOCK_M = 256  # tune: 256\n", evaluation=failed.evaluation)
    assert bounds_of(SPACE, [at(0)], [other]).likely((256, 256, 3, 4, "plain"))


def study_of(points, shared=True):
    study = []
    for number, point in enumerate(points):
        found = at(number, **dict(zip(SPACE.names, point, strict=True)))
        if found.passed and shared:
            details = {"diagnostics": {"kernels": [{"shared_bytes": needed_of(point)}]}}
            log = log_speedup(SPACE.named(point))
            assert log is not None
            evaluation = found.evaluation
            evaluation = Evaluation(
                evaluation.outcome,
                4,
                4,
                timings=evaluation.timings,
                speedup=evaluation.speedup,
                details=details,
            )
            found = kernel(number, found.source, evaluation=evaluation)
        study.append(found)
    return study


def needed_of(point):
    return needed(SPACE.named(point))


POINTS = [
    (16, 16, 1, 2, "plain"),
    (64, 16, 1, 4, "plain"),
    (32, 64, 2, 2, "fused"),
    (128, 32, 3, 8, "plain"),
    (64, 64, 4, 4, "plain"),
    (256, 256, 2, 4, "plain"),
    (16, 256, 3, 8, "fused"),
]


def test_shared_memory_is_estimated_from_siblings():
    estimate = shared_memory(SPACE, study_of(POINTS), {})
    assert estimate is not None
    assert estimate.limit_bytes == LIMIT
    assert dict(zip(("M", "K", "S", "W"), estimate.powers, strict=True)) == pytest.approx(
        {"M": 1, "K": 1, "S": 1, "W": 0}, abs=0.02
    )
    wrong = [
        point
        for point in SPACE.points()
        if estimate.fits(point) is not (needed_of(point) <= LIMIT * 1.1)
    ]
    assert wrong == []


def test_no_estimate_from_little_or_from_what_it_does_not_explain():
    assert shared_memory(SPACE, study_of(POINTS[:5]), {"shared_memory": LIMIT}) is None
    assert shared_memory(SPACE, study_of(POINTS[:5], shared=False), {}) is None
    odd = study_of(POINTS)
    details = {"diagnostics": {"kernels": [{"shared_bytes": 7}, {"shared_bytes": None}, "?"]}}
    odd[0] = kernel(0, odd[0].source, evaluation=_with(odd[0].evaluation, details))
    assert shared_memory(SPACE, odd, {}) is None


def _with(evaluation, details):
    return Evaluation(
        evaluation.outcome,
        4,
        4,
        timings=evaluation.timings,
        speedup=evaluation.speedup,
        details=details,
    )
