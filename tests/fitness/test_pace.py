"""Batches asked for over a socket of their own."""

import math
import os
import threading

import pytest

from fitness.pace import Answer, Pacemaker, Request, Silence, Way, follow


def test_pace_carries_batches_until_it_is_ended():
    pacemaker = Pacemaker()
    seen = []

    def batch(request):
        seen.append(request)
        return Answer([0.25] * request.calls, launch_ms=1.5, late=True, samples=(7.0, math.inf))

    follower = threading.Thread(target=follow, args=(pacemaker.theirs.detach(), batch), daemon=True)
    follower.start()
    request = Request(3, 2, 9, 0.5, 0.1, secret=2**64 - 1, sample=6, way=Way.BARE)
    answer = pacemaker.batch(request, 10.0)
    assert answer == Answer([0.25, 0.25], 1.5, True, (7.0, math.inf))
    assert seen == [request]
    pacemaker.close()
    follower.join(10)
    assert not follower.is_alive()


def test_pace_brings_the_thread_to_a_processor_and_does_not_keep_it_there(monkeypatch):
    every = os.sched_getaffinity(0)
    pacemaker, moves, kept, real = Pacemaker(), [], [], os.sched_setaffinity

    def noted(who, processors):
        moves.append(set(processors))
        real(who, processors)

    def batch(request):
        kept.append(os.sched_getaffinity(0))
        return Answer([1.0])

    monkeypatch.setattr(os, "sched_setaffinity", noted)
    follower = threading.Thread(target=follow, args=(pacemaker.theirs.detach(), batch), daemon=True)
    follower.start()
    there, nowhere = max(every), max(every) + 1000
    for processor in (-1, there, nowhere):
        pacemaker.batch(Request(0, 1, processor=processor), 5.0)
    pacemaker.close()
    follower.join(10)
    assert moves == [{there}, every]
    assert kept == [every] * 3


def test_pace_believes_nothing_that_does_not_fit():
    pacemaker = Pacemaker()
    pacemaker.theirs.send(b"\0" * 27)
    with pytest.raises(Silence):
        pacemaker.batch(Request(0, 1), 1.0)
    with pytest.raises(Silence):
        pacemaker.batch(Request(0, 1), 0.01)
    pacemaker.close()
