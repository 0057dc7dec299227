from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitness.sandbox.channel import Channel, ForgedMessage, shared_memory
from populations.errors import WorkerDied, WorkerError, WorkerTimeout

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A judge's end, which does not trust the other, and a runner's end, which does."""
    one, other = socket.socketpair()
    judge, runner = Channel(one, trusted=False), Channel(other, trusted=True)
    yield judge, runner
    judge.close()
    runner.close()


def test_data_travels_both_ways(ends: Ends) -> None:
    judge, runner = ends
    message = {"text": "é\0", "numbers": [1, -2.5, None, True], "nested": {"a": []}}
    runner.send(message)
    judge.send(message)
    assert judge.receive(1) == runner.receive(1) == message


def test_messages_larger_than_the_socket_holds(ends: Ends) -> None:
    judge, runner = ends
    text = "x" * (4 << 20)
    sender = threading.Thread(target=runner.send, args=(text,))
    sender.start()
    assert judge.receive(10) == text
    sender.join()


def test_objects_travel_to_those_who_trust(ends: Ends) -> None:
    judge, runner = ends
    judge.send_trusted({(1, 2): Path("x")})
    assert runner.receive_trusted(1) == {(1, 2): Path("x")}


def test_a_judge_cannot_receive_objects(ends: Ends) -> None:
    judge, runner = ends
    runner.send_trusted([1])
    with pytest.raises(WorkerError, match="refused"):
        judge.receive_trusted(1)
    with pytest.raises(ForgedMessage):
        judge.receive(1)


def test_a_judge_cannot_receive_descriptors(ends: Ends) -> None:
    judge, runner = ends
    before = sorted(Path("/proc/self/fd").iterdir())
    runner.send_fds([0, 0, 0])
    with pytest.raises(WorkerError, match="refused"):
        judge.receive_fds(1)
    with pytest.raises(ForgedMessage):
        judge.receive(1)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_descriptors_travel_to_those_who_trust(ends: Ends) -> None:
    judge, runner = ends
    memory = shared_memory(4096)
    judge.send_fds([memory, 0])
    judge.send("after")
    received = runner.receive_fds(1)
    os.pwrite(memory, b"seen", 0)
    assert os.pread(received[0], 4, 0) == b"seen"
    assert not os.get_inheritable(received[0])
    assert runner.receive(1) == "after"
    for descriptor in (memory, *received):
        os.close(descriptor)


def test_shared_memory_cannot_be_shrunk() -> None:
    memory = shared_memory(4096)
    try:
        assert os.fstat(memory).st_size == 4096
        for size in (0, 8192):
            with pytest.raises(PermissionError):
                os.ftruncate(memory, size)
    finally:
        os.close(memory)


def test_silence_is_a_timeout_and_nothing_is_lost(ends: Ends) -> None:
    judge, runner = ends
    with pytest.raises(WorkerTimeout):
        judge.receive(0.02)
    raw = socket.socket(fileno=os.dup(runner.fileno()))
    raw.send(b"J" + struct.pack("!I", 7) + b"[1,2")
    with pytest.raises(WorkerTimeout):
        judge.receive(0.02)
    raw.send(b",3]")
    raw.close()
    assert judge.receive(1) == [1, 2, 3]


def test_dripping_bytes_do_not_extend_the_time(ends: Ends) -> None:
    judge, runner = ends
    raw = socket.socket(fileno=os.dup(runner.fileno()))
    stop = threading.Event()

    def drip() -> None:
        raw.send(b"J" + struct.pack("!I", 100000))
        while not stop.wait(0.01):
            raw.send(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(WorkerTimeout):
        judge.receive(0.2)
    stop.set()
    thread.join()
    raw.close()


def test_the_other_end_gone(ends: Ends) -> None:
    judge, runner = ends
    runner.send("last words")
    runner.close()
    assert judge.receive(1) == "last words"
    with pytest.raises(WorkerDied):
        judge.receive(1)
    with pytest.raises(WorkerDied):
        judge.send("anybody?")


def test_last_words_arrive_though_questions_were_left(ends: Ends) -> None:
    judge, runner = ends
    runner.send("last words")
    judge.send("a question that nobody reads")
    runner.close()
    assert judge.receive(1) == "last words"
    with pytest.raises(WorkerDied):
        judge.receive(1)


@pytest.mark.parametrize(
    "raw",
    [
        b"X" + struct.pack("!I", 2) + b"{}",
        b"J" + struct.pack("!I", 2) + b"{x",
        b"J" + struct.pack("!I", 0xFFFFFFFF),
        b"J" + struct.pack("!I", 5000) + b"9" * 5000,
        b"J" + struct.pack("!I", 200000) + b"[" * 200000,
        b"J" + struct.pack("!I", 4) + b'"\xff\xfe"',
    ],
    ids=["kind", "syntax", "length", "number", "depth", "encoding"],
)
def test_what_is_no_message_counts_as_forged(ends: Ends, raw: bytes) -> None:
    judge, runner = ends
    end = socket.socket(fileno=os.dup(runner.fileno()))
    thread = threading.Thread(target=end.sendall, args=(raw,))
    thread.start()
    with pytest.raises(ForgedMessage):
        judge.receive(5)
    thread.join()
    end.close()


def test_a_smaller_limit_can_be_set(ends: Ends) -> None:
    judge, runner = ends
    runner.send("x" * 100)
    with pytest.raises(ForgedMessage, match="at most 50"):
        judge.receive(1, limit_bytes=50)
