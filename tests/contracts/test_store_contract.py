"""What every store keeps. A new one joins by standing in STORES."""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.errors import StoreError
from populations.kernel import Candidate, Kernel
from populations.outcome import Evaluation, Outcome, Speedup, Timing
from populations.pooling import pool
from populations.rows import Remeasurement, Trial
from populations.store import Store
from tests.contracts.samples import failed, passed, quick

STORES = [Store]

CANDIDATE = Candidate(
    number=0, source="x = 'größe'\0\r\n", language="cpp", operator="seed", note="první"
)
EVALUATION = Evaluation(
    outcome=Outcome.PASSED,
    checks_passed=3,
    checks_total=4,
    diagnostics="close, but passed",
    timings=(
        Timing("b8", "eager", 0.1, 0.3, Speedup(3.0, 2.5, 3.5), (0.1, 1 / 3, -5e-324, 1e300)),
        Timing("b32", "compiled", 1e-9, 1 / 7, Speedup(1.1, 1.0, 1.2), ()),
    ),
    speedup=Speedup(math.pi, math.e, math.tau),
    build_s=0.1 + 0.2,
    run_s=1e-17,
    device_s=2.5,
    details={"sandbox": ["netns", "seccomp"], "where": {"index": [0, 3], "error": 1 / 3}},
)


@pytest.fixture(params=STORES, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture
def store(kind, tmp_path):
    with kind.create(tmp_path, experiment="name = 'x'\n", fingerprint="f1") as made:
        yield made


def test_every_field_comes_back_from_a_store_opened_anew(kind, tmp_path):
    trial = Trial(0, "ab", {"TILE": 64, "FAST": True, "P": "tf32", "E": 1 / 3}, -1 / 3, "complete")
    child = Candidate(1, "y", "triton", "merge", (0,), "note")
    with kind.create(tmp_path, experiment="text", fingerprint="f1") as store:
        store.add_candidate(CANDIDATE)
        store.add_candidate(child)
        store.add_evaluation(0, EVALUATION)
        store.add_evaluation(1, failed())
        store.add_trial(trial)
        store.add_event("started", {"at": [1, 2.5, None]})
        store.set_meta("baselines", {"eager": 1 / 3})
    with kind.open(tmp_path, fingerprint="f1") as store:
        assert store.candidates() == [CANDIDATE, child]
        assert store.evaluations() == {0: EVALUATION, 1: failed()}
        assert store.evaluation(0) == EVALUATION
        assert [each.candidate for each in store.kernels()] == [CANDIDATE, child]
        assert store.trials() == [trial]
        assert [(e.kind, e.data) for e in store.events()] == [("started", {"at": [1, 2.5, None]})]
        assert store.meta("baselines") == {"eager": 1 / 3}
        assert store.meta("experiment") == "text"
        assert store.meta("fingerprint") == "f1"


def test_the_sample_sets_every_field_of_the_records():
    # Otherwise a field that a store forgot would come back as its default, unseen.
    plain = Evaluation(outcome=Outcome.REJECTED)
    unset = {
        f.name for f in fields(Evaluation) if getattr(EVALUATION, f.name) == getattr(plain, f.name)
    }
    assert not unset


finite = st.floats(allow_nan=False, allow_infinity=False)
ratios = st.lists(st.floats(min_value=1e-300, max_value=1e300), min_size=3, max_size=3).map(
    lambda r: Speedup(low=min(r), value=sorted(r)[1], high=max(r))
)


@quick
@given(samples=st.lists(finite, max_size=9).map(tuple), overall=ratios, seconds=finite)
def test_floats_are_exact(tmp_path_factory, samples, overall, seconds):
    timing = Timing("w", "b", seconds, seconds, overall, samples)
    evaluation = replace(EVALUATION, timings=(timing,), speedup=overall, build_s=seconds)
    with Store.create(tmp_path_factory.mktemp("run"), experiment="", fingerprint="") as store:
        store.add_candidate(CANDIDATE)
        store.add_evaluation(0, evaluation)
        assert store.evaluation(0) == evaluation


def test_nothing_is_stored_twice_and_nothing_without_its_candidate(store):
    store.add_candidate(CANDIDATE)
    with pytest.raises(StoreError):
        store.add_candidate(CANDIDATE)
    store.add_evaluation(0, EVALUATION)
    with pytest.raises(StoreError):
        store.add_evaluation(0, passed(9.0))
    with pytest.raises(StoreError):
        store.add_evaluation(1, EVALUATION)
    with pytest.raises(StoreError):
        store.add_trial(Trial(7, "ab", {}, None, "fail"))
    assert store.evaluations() == {0: EVALUATION}


def test_it_knows_what_is_pending_and_finds_by_digest(store):
    twin = replace(CANDIDATE, number=2, operator="tune", parents=(0,))
    store.add_candidate(CANDIDATE)
    store.add_candidate(Candidate(1, "y", "cpp"))
    store.add_candidate(twin)
    assert store.find(CANDIDATE.digest) is None
    assert store.evaluation(0) is None
    store.add_evaluation(2, passed(2.0))
    assert store.find(CANDIDATE.digest) == passed(2.0)
    store.add_evaluation(0, EVALUATION)
    assert store.find(CANDIDATE.digest) == EVALUATION
    assert [c.number for c in store.pending()] == [1]


def test_facts_may_change_and_unknown_ones_are_none(store):
    assert store.meta("spend") is None
    store.set_meta("spend", {"evaluations": 1})
    store.set_meta("spend", {"evaluations": 2})
    assert store.meta("spend") == {"evaluations": 2}


def test_text_that_utf8_cannot_hold_does_not_stop_a_run(store):
    store.add_candidate(CANDIDATE)
    store.add_evaluation(0, replace(failed(), diagnostics="bad \udcff byte"))
    assert store.evaluation(0) == replace(failed(), diagnostics="bad \\udcff byte")


def test_what_is_measured_again_is_kept_beside_the_first_and_pooled(kind, tmp_path):
    child = Candidate(1, "y", "cpp", "merge", (0,))
    with kind.create(tmp_path, experiment="", fingerprint="f1") as store:
        for candidate in (CANDIDATE, child):
            store.add_candidate(candidate)
            store.add_evaluation(candidate.number, passed(1.0 + candidate.number))
        store.add_remeasurement(Remeasurement(2, 1))
        store.add_remeasurement(Remeasurement(3, 0))
        store.add_remeasurement(Remeasurement(4, 1))
        store.add_evaluation(4, EVALUATION, kernel=1)
        store.add_evaluation(2, passed(3.0), kernel=1)
    with kind.open(tmp_path, fingerprint="f1") as store:
        assert store.remeasurements() == [
            Remeasurement(2, 1),
            Remeasurement(3, 0),
            Remeasurement(4, 1),
        ]
        assert store.remeasured() == {2: passed(3.0), 4: EVALUATION}
        # What was found first stays what it was.
        assert store.evaluations() == {0: passed(1.0), 1: passed(2.0)}
        assert store.find(child.digest) == passed(2.0)
        twice = pool([passed(2.0), passed(3.0)])
        thrice = pool([passed(2.0), passed(3.0), EVALUATION])
        assert store.history() == [
            Kernel(CANDIDATE, passed(1.0)),
            Kernel(child, passed(2.0)),
            Kernel(child, twice),
            Kernel(child, thrice),
        ]
        assert store.kernels() == [Kernel(CANDIDATE, passed(1.0)), Kernel(child, thrice)]
        assert store.lineage().get(1).evaluation == thrice
        assert store.pending() == []


def test_a_remeasurement_needs_its_kernel_and_comes_once(store):
    store.add_candidate(CANDIDATE)
    store.add_evaluation(0, passed(1.0))
    with pytest.raises(StoreError):
        store.add_remeasurement(Remeasurement(5, 4))
    store.add_remeasurement(Remeasurement(5, 0))
    with pytest.raises(StoreError):
        store.add_remeasurement(Remeasurement(5, 0))
    store.add_evaluation(5, passed(2.0), kernel=0)
    with pytest.raises(StoreError):
        store.add_evaluation(5, passed(2.0), kernel=0)
    with pytest.raises(StoreError):
        store.add_evaluation(6, passed(2.0), kernel=4)
    assert store.remeasured() == {5: passed(2.0)}


def test_the_lineage_is_rebuilt(store):
    store.add_candidate(CANDIDATE)
    store.add_candidate(Candidate(1, "y", "cpp", "merge", (0,)))
    store.add_candidate(Candidate(2, "z", "cpp", "merge", (0,)))
    store.add_evaluation(0, EVALUATION)
    store.add_evaluation(2, failed())
    lineage = store.lineage()
    assert list(lineage.kernels) == [0, 2]
    assert lineage.path(2) == [0, 2]
