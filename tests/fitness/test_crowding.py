"""A candidate answers for its own memory, and not for what others hold."""

import threading

import pytest
import torch

from fitness import crowding
from fitness.crowding import JUDGED_AGAIN, crowded, ran_out, with_room
from fitness.lease import DeviceLease
from populations.errors import WorkerError
from populations.outcome import Evaluation, Outcome, Speedup, Timing

OUT = "raised on workload 'default': OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(crowding, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(crowding, "_POLL_S", 0.01)


def free(monkeypatch, free_bytes, total_bytes=140 << 30):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free_bytes, total_bytes))


def test_a_full_device_is_not_the_candidates_fault(monkeypatch):
    free(monkeypatch, 100 << 20)
    assert isinstance(crowded("cuda:0", OUT), WorkerError)


def test_memory_that_comes_back_late_was_the_candidates(monkeypatch):
    seen = iter([100 << 20, 100 << 20, 139 << 30])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (next(seen), 140 << 30))
    assert crowded("cuda:0", OUT) is None


def test_an_empty_device_that_does_not_suffice_is(monkeypatch):
    free(monkeypatch, 139 << 30)
    assert crowded("cuda:0", OUT) is None


def test_a_small_device_is_full_later(monkeypatch):
    free(monkeypatch, 1 << 30, total_bytes=8 << 30)
    assert crowded("cuda:0", OUT) is None
    free(monkeypatch, 1 << 29, total_bytes=8 << 30)
    assert crowded("cuda:0", OUT) is not None


def test_other_faults_stay_what_they_are(monkeypatch):
    free(monkeypatch, 0)
    assert crowded("cuda:0", "raised: ValueError: x") is None
    assert crowded("cpu", OUT) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 cannot be multiplied"), False),
    ],
)
def test_lack_of_memory_is_known_by_type_or_by_words(error, expected):
    assert ran_out(error) is expected


LACKED = Evaluation(outcome=Outcome.RUNTIME_ERROR, diagnostics=OUT)
PASSED = Evaluation(
    outcome=Outcome.PASSED,
    timings=(Timing("w", "eager", 1.0, 1.0, Speedup(1.0, 1.0, 1.0), ()),),
    speedup=Speedup(1.0, 1.0, 1.0),
    details={"golden": "float64"},
)


class Answers:
    """Gives one after the other, and notes whether anybody else could be alive meanwhile."""

    def __init__(self, folder, *answers):
        self.answers = list(answers)
        self.other = DeviceLease("cuda:0-memory", folder)
        self.alone = []

    def __call__(self):
        entered = threading.Event()

        def enter():
            with self.other.shared():
                entered.set()

        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        self.alone.append(not entered.wait(0.03))
        return self.answers.pop(0)


def judge(folder, answers, device="cuda:0"):
    return with_room(device, DeviceLease("cuda:0-memory", folder), answers)


def test_whoever_lacked_memory_is_judged_again_alone(tmp_path, monkeypatch):
    free(monkeypatch, 100 << 20)
    answers = Answers(tmp_path, LACKED, PASSED)
    found = judge(tmp_path, answers)
    assert found.passed
    assert answers.alone == [False, True]
    assert found.details == {"golden": "float64", JUDGED_AGAIN: OUT}


def test_memory_that_is_free_again_may_have_been_a_neighbours(tmp_path, monkeypatch):
    free(monkeypatch, 139 << 30)
    assert judge(tmp_path, Answers(tmp_path, LACKED, PASSED)).passed


def test_whoever_lacks_memory_alone_is_at_fault(tmp_path, monkeypatch):
    free(monkeypatch, 139 << 30)
    found = judge(tmp_path, Answers(tmp_path, LACKED, LACKED))
    assert found.outcome is Outcome.RUNTIME_ERROR
    assert found.diagnostics == OUT


def test_a_device_that_strangers_fill_ends_the_run(tmp_path, monkeypatch):
    free(monkeypatch, 100 << 20)
    with pytest.raises(WorkerError, match="no memory left"):
        judge(tmp_path, Answers(tmp_path, LACKED, LACKED))


def test_another_fault_the_second_time_is_its_own(tmp_path, monkeypatch):
    free(monkeypatch, 100 << 20)
    wrong = Evaluation(outcome=Outcome.WRONG_VALUES, diagnostics="wrong")
    assert judge(tmp_path, Answers(tmp_path, LACKED, wrong)).outcome is Outcome.WRONG_VALUES
    assert judge(tmp_path, Answers(tmp_path, LACKED, "a repeat")) == "a repeat"


@pytest.mark.parametrize(
    ("answer", "device"),
    [
        (PASSED, "cuda:0"),
        (Evaluation(outcome=Outcome.RUNTIME_ERROR, diagnostics="x"), "cuda:0"),
        ("a repeat", "cuda:0"),
        (LACKED, "cpu"),
    ],
)
def test_all_others_are_judged_once(tmp_path, answer, device):
    assert judge(tmp_path, Answers(tmp_path, answer), device) is answer


def test_the_second_judgement_waits_until_other_candidates_have_ended(tmp_path, monkeypatch):
    free(monkeypatch, 139 << 30)
    neighbour, order = DeviceLease("cuda:0-memory", tmp_path), []

    def judged():
        order.append("judged")
        return LACKED if order == ["judged"] else PASSED

    with neighbour.shared():
        thread = threading.Thread(target=lambda: judge(tmp_path, judged), daemon=True)
        thread.start()
        thread.join(0.1)
        order.append("ended")
    thread.join(10)
    assert order == ["judged", "ended", "judged"]
