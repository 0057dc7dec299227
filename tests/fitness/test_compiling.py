"""While a candidate compiles, others may have the device."""

import fcntl
import os
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from fitness.compiling import ASIDE, BACK, Compiling
from fitness.lease import DeviceLease
from fitness.process import CandidateProcess, Fault
from fitness.sandbox.channel import Channel
from fitness.spec import EvaluationSpec
from populations.kernel import Candidate
from populations.outcome import Outcome

triton = pytest.importorskip("triton.compiler")


@pytest.fixture
def lease(tmp_path):
    found = DeviceLease("cuda:0", tmp_path)
    yield found
    found.close()


def free(folder):
    """Whether somebody else could have the device alone right now."""
    descriptor = os.open(folder / "cuda-0.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_shared_hold_is_given_back_and_taken_again(lease, tmp_path):
    with lease.shared():
        assert not free(tmp_path)
        with lease.aside():
            assert free(tmp_path)
            held = lease.held_s
            time.sleep(0.02)
            assert lease.held_s == held
        assert not free(tmp_path)
        time.sleep(0.02)
        assert lease.held_s >= held + 0.02
    assert free(tmp_path)


def test_whoever_times_or_holds_nothing_gives_nothing_back(lease, tmp_path):
    with lease.exclusive():
        with lease.aside():
            assert not free(tmp_path)
        assert not free(tmp_path)
    with lease.aside():
        assert free(tmp_path)
    with lease.exclusive(), lease.aside():
        assert not free(tmp_path)


class Forked:
    """In place of a candidate's process: a thread at the other end of its channel."""

    def __init__(self, behave):
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours, trusted=False)
        self.pid = os.getpid()
        self.end = Channel(theirs, trusted=True)
        self.thread = threading.Thread(target=behave, args=(self.end,), daemon=True)
        self.thread.start()

    def wait(self, _limit_s):
        return SimpleNamespace(signal=0, status=0)

    def kill(self):
        self.thread.join()
        self.channel.close()
        self.end.close()
        return self.wait(0)

    def output(self):
        return ""


def process(behave, lease, tmp_path, limit_s=5.0):
    spec = EvaluationSpec(problem=tmp_path, cache_dir=tmp_path, run_limit_s=limit_s)
    spawner = SimpleNamespace(spawn=lambda *_, **__: Forked(behave))
    candidate = Candidate(0, "", "triton")
    return CandidateProcess(candidate, spec, spawner, seed=0, folder=tmp_path, aside=lease.aside)


def soon_free(folder):
    """The same, a moment later at most."""
    until_s = time.monotonic() + 2
    while not free(folder) and time.monotonic() < until_s:
        time.sleep(0.001)
    return free(folder)


def test_the_judge_leaves_the_device_while_a_candidate_compiles(lease, tmp_path, monkeypatch):
    seen = []

    def compile_(what):
        if what == "kernel":
            # Within another: announced once.
            triton.compile("its helper")
        seen.append((what, soon_free(tmp_path)))
        return what

    def behave(end):
        monkeypatch.setattr(triton, "compile", compile_)
        compiling = Compiling(end)
        nonce = end.receive(5)["nonce"]
        with compiling.announced(nonce):
            assert triton.compile("kernel") == "kernel"
            seen.append(("after", free(tmp_path)))
        end.send({"nonce": nonce, "kernels": []})

    with process(behave, lease, tmp_path) as candidate, lease.shared():
        assert candidate.resources()["kernels"] == []
    assert seen == [("its helper", True), ("kernel", True), ("after", False)]


def test_what_nobody_asked_for_is_not_announced(lease, tmp_path, monkeypatch):
    seen = []

    def behave(end):
        monkeypatch.setattr(triton, "compile", lambda _what: seen.append(free(tmp_path)))
        compiling = Compiling(end)
        nonce = end.receive(5)["nonce"]
        triton.compile("kernel")
        with compiling.announced(nonce):
            other = threading.Thread(target=triton.compile, args=("of a thread's",))
            other.start()
            other.join()
        end.send({"nonce": nonce})

    with process(behave, lease, tmp_path) as candidate, lease.shared():
        candidate.resources()
    assert seen == [False, False]


def test_a_compilation_that_fails_takes_the_device_back(lease, tmp_path, monkeypatch):
    seen = []

    def broken(_what):
        seen.append(soon_free(tmp_path))
        raise ValueError("no such instruction")

    def behave(end):
        monkeypatch.setattr(triton, "compile", broken)
        compiling = Compiling(end)
        nonce = end.receive(5)["nonce"]
        with compiling.announced(nonce):
            for _ in range(2):
                with pytest.raises(ValueError, match="no such"):
                    triton.compile("kernel")
                seen.append(free(tmp_path))
        end.send({"nonce": nonce})

    with process(behave, lease, tmp_path) as candidate, lease.shared():
        candidate.resources()
    assert seen == [True, False, True, False]


@pytest.mark.parametrize(
    "messages",
    [
        [{ASIDE: "another"}],
        [{ASIDE: None}, {BACK: "another"}],
        [{BACK: None}],
        [{ASIDE: None}, {ASIDE: None}],
    ],
)
def test_a_message_that_is_not_due_is_an_answer_of_its_own_making(messages, lease, tmp_path):
    def behave(end):
        nonce = end.receive(5)["nonce"]
        for message in messages:
            end.send({key: value or nonce for key, value in message.items()})

    with process(behave, lease, tmp_path) as candidate, lease.shared():
        with pytest.raises(Fault, match="its own making") as caught:
            candidate.resources()
        assert caught.value.outcome is Outcome.CHEATED
        assert not free(tmp_path)


def test_a_compiler_without_end_is_a_time_out(lease, tmp_path):
    def behave(end):
        nonce = end.receive(5)["nonce"]
        end.send({ASIDE: nonce})
        time.sleep(0.4)

    with process(behave, lease, tmp_path, limit_s=0.2) as candidate, lease.shared():
        with pytest.raises(Fault) as caught:
            candidate.resources()
        assert caught.value.outcome is Outcome.TIMEOUT


def test_many_compilations_accuse_nobody_and_give_the_device_back_so_often_at_most(lease, tmp_path):
    given_back = []

    @contextmanager
    def counted():
        given_back.append(True)
        with lease.aside():
            yield

    def behave(end):
        nonce = end.receive(5)["nonce"]
        for _ in range(300):
            end.send({ASIDE: nonce})
            end.send({BACK: nonce})
            assert end.receive(5) == {BACK: nonce}
        end.send({"nonce": nonce, "kernels": []})

    with process(behave, lease, tmp_path) as candidate, lease.shared():
        candidate._aside = counted
        assert candidate.resources()["kernels"] == []
    assert len(given_back) == 32
