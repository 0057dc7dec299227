from dataclasses import replace

import pytest

from fitness.replay import Recorded
from populations.errors import WorkerError
from populations.kernel import Candidate
from populations.outcome import Evaluation, Outcome

KNOWN = Candidate(number=0, source="a", language="python")


def test_answers_by_digest_alone():
    evaluation = Evaluation(Outcome.WRONG_VALUES, checks_passed=1, checks_total=4)
    recorded = Recorded({KNOWN.digest: evaluation}.get)
    again = Candidate(number=7, source="a", language="python", operator="tune", parents=(3,))
    assert recorded.submit(again).result(timeout=0) is evaluation


def test_a_candidate_never_evaluated_is_our_error():
    recorded = Recorded({}.get)
    with pytest.raises(WorkerError, match=KNOWN.digest):
        recorded.submit(KNOWN).result(timeout=0)


def test_closed_twice_and_cancelled_afterwards():
    recorded = Recorded({}.get)
    recorded.close()
    recorded.close()
    assert recorded.submit(KNOWN).cancelled()


def test_what_was_measured_again_is_told_by_its_number():
    first, second = Evaluation(Outcome.REJECTED), Evaluation(Outcome.TIMEOUT)
    recorded = Recorded({KNOWN.digest: first}.get, {9: second}.get)
    assert recorded.submit(KNOWN).result() is first
    assert recorded.submit(replace(KNOWN, number=9)).result() is second
