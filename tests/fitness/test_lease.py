"""Who may use a device: many together, or one alone."""

import fcntl
import threading
import time

from fitness.lease import DeviceLease


def test_the_lease_is_shared_by_many_or_held_by_one(tmp_path):
    first, second = DeviceLease("cpu", tmp_path), DeviceLease("cpu", tmp_path)
    with first.shared(), second.shared():
        pass
    entered = threading.Event()

    def enter():
        with second.shared():
            entered.set()

    with first.exclusive(), DeviceLease("cuda:0", tmp_path).exclusive():
        waiting = threading.Thread(target=enter, daemon=True)
        waiting.start()
        assert not entered.wait(0.05)
    waiting.join(10)
    assert entered.is_set()
    assert first.exclusive_s >= 0.05


def test_whoever_waits_to_time_is_not_overtaken(tmp_path):
    inside, waiting, late = (DeviceLease("cpu", tmp_path) for _ in range(3))
    order = []

    def time_alone():
        with waiting.exclusive():
            order.append("exclusive")

    def check():
        with late.shared():
            order.append("shared")

    with inside.shared():
        threads = [threading.Thread(target=f, daemon=True) for f in (time_alone, check)]
        threads[0].start()
        while _free(tmp_path / "cpu.door"):
            time.sleep(0.001)
        threads[1].start()
        time.sleep(0.05)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["exclusive", "shared"]


def _free(path):
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
