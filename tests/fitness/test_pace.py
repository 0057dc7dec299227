"""Asking for batches: who is brought to a processor is not kept there."""

from __future__ import annotations

import os
import threading

from fitness.clocks import bring
from fitness.pace import Answer, Pacemaker, Request, follow
from fitness.sandbox.linux import current_processor


def test_whoever_is_brought_somewhere_is_free_again():
    home, pacemaker = os.sched_getaffinity(0), Pacemaker()
    seen, begun, numbers = [], threading.Event(), []

    def batch(request):
        seen.append(os.sched_getaffinity(0))
        return Answer([1.0] * request.calls)

    def serve():
        numbers.append(threading.get_native_id())
        begun.set()
        follow(os.dup(pacemaker.theirs.fileno()), batch, home)
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=serve)
    thread.start()
    assert begun.wait(5)
    request = Request(subject=0, calls=1, processor=max(home))
    # Answered, so that what follows finds it waiting.
    assert pacemaker.batch(request, 5.0).times_ms == [1.0]
    bring(numbers[0], max(home))
    assert pacemaker.batch(request, 5.0).times_ms == [1.0]
    bring(numbers[0], max(home))
    assert os.sched_getaffinity(numbers[0]) == {max(home)}
    # Gone before it asks again.
    pacemaker.close()
    thread.join(5)
    assert seen == [home] * 3


def test_nobody_is_kept_on_a_processor_that_is_not_its_own():
    home, pacemaker = os.sched_getaffinity(0), Pacemaker()
    descriptor = os.dup(pacemaker.theirs.fileno())
    thread = threading.Thread(target=lambda: follow(descriptor, lambda _: Answer([1.0]), home))
    thread.start()
    elsewhere = max(home) + 1000
    request = Request(subject=0, calls=1, processor=max(home))
    assert pacemaker.batch(request, 5.0).times_ms == [1.0]
    bring(thread.native_id, max(home))
    request = request._replace(processor=elsewhere)
    assert pacemaker.batch(request, 5.0).times_ms == [1.0]
    assert os.sched_getaffinity(thread.native_id) == home
    pacemaker.close()
    thread.join(5)


def test_whoever_is_brought_somewhere_before_it_follows_is_free_again_too():
    home, pacemaker = os.sched_getaffinity(0), Pacemaker()
    descriptor = os.dup(pacemaker.theirs.fileno())
    seen = []

    def batch(request):
        seen.append((os.sched_getaffinity(0), current_processor()))
        return Answer([1.0])

    def serve():
        # As the judge does that asks for the first batch while the last question is answered.
        bring(threading.get_native_id(), min(home))
        follow(descriptor, batch, home)

    thread = threading.Thread(target=serve)
    thread.start()
    asked = [min(home), max(home)] * 5
    for processor in asked:
        pacemaker.batch(Request(subject=0, calls=1, processor=processor), 5.0)
    pacemaker.close()
    thread.join(5)
    assert [affinity for affinity, _ in seen] == [home] * len(asked)
    # Nothing keeps it there, but seldom anything calls it away so soon.
    assert sum(at == wanted for (_, at), wanted in zip(seen, asked, strict=True)) > len(asked) / 2


def test_bringing_what_is_gone_does_nothing():
    bring(2**22 - 1, 0)
