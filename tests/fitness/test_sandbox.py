"""The life of children: how they start, answer, end, and are ended."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitness.sandbox.channel import ForgedMessage
from fitness.sandbox.layers import NAMES
from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Spawner, Zygote
from populations.errors import WorkerDied, WorkerError, WorkerTimeout
from tests.fitness import sandbox_children

CHILDREN = sandbox_children.__name__


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "no namespaces"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    environment = {"MARK": "given", "OMP_NUM_THREADS": "2"}
    with Zygote(preload=(CHILDREN,), environment=environment, namespaces=request.param) as zygote:
        zygote.layers()
        yield zygote


def entry(name: str) -> str:
    return f"{CHILDREN}:{name}"


def processes(mark: str) -> list[int]:
    """Numbers of the processes with this text in their command."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                if mark.encode() in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
    return found


def descendants(root: int) -> set[int]:
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_bytes().rpartition(b")")[2].split()
                parents[int(path.name)] = int(fields[1])
            except OSError:
                continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def gone(pids: set[int], within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.01)
    return False


def test_a_child_answers_and_ends(zygote: Zygote) -> None:
    child = zygote.spawn(entry("answer"), {"a": [1]}, limits=Limits())
    told = child.channel.receive(10)
    assert told["argument"] == {"a": [1]}
    assert told["threads"] == 1
    ending = child.wait(10)
    assert (ending.status, ending.signal) == (0, 0)
    assert 0 < ending.cpu_s < 5
    assert ending.max_rss_bytes > 1 << 20
    assert child.kill() == ending
    assert child.output() == ""


def template_of(zygote: Zygote) -> int:
    everyone = {pid: Path(f"/proc/{pid}/comm").read_text() for pid in descendants(zygote.pid)}
    templates = [pid for pid, name in everyone.items() if name == "evo-template\n"]
    if not templates:
        assert not zygote.layers()["process-namespace"].on
        pytest.skip("the server forks by itself without process namespaces")
    (template,) = templates
    return template


def test_what_children_are_copies_of_keeps_nothing_of_theirs(zygote: Zygote) -> None:
    for _ in range(3):
        with zygote.spawn(entry("hang"), None, limits=Limits()) as child:
            assert child.channel.receive(10) == "hanging"
            # Standard ones, the nursery's socket, its process namespace, the launcher's /proc.
            assert open_files(template_of(zygote)) == 6


def test_children_outlive_what_they_are_copies_of(zygote: Zygote) -> None:
    with (
        zygote.spawn(entry("hang"), None, limits=Limits()) as first,
        zygote.spawn(entry("hang"), None, limits=Limits()) as second,
    ):
        assert [child.channel.receive(10) for child in (first, second)] == ["hanging"] * 2
        template = template_of(zygote)
        os.kill(template, signal.SIGKILL)
        assert first.kill().signal == signal.SIGKILL
        with zygote.spawn(entry("finish"), 3, limits=Limits()) as third:
            assert third.wait(10).status == 3
        assert second.kill().signal == signal.SIGKILL
    assert gone({template})


def test_children_that_end_with_what_they_are_copies_of(zygote: Zygote) -> None:
    for _ in range(10):
        with zygote.spawn(entry("hang"), None, limits=Limits()) as child:
            assert child.channel.receive(10) == "hanging"
            for pid in (child.pid, template_of(zygote)):
                os.kill(pid, signal.SIGKILL)
            assert child.wait(10).signal == signal.SIGKILL


def test_its_number_is_the_one_that_proc_shows(zygote: Zygote) -> None:
    with zygote.spawn(entry("hang"), None, limits=Limits()) as child:
        child.channel.receive(10)
        assert child.pid in descendants(zygote.pid)


def test_its_number_inside_is_the_one_that_our_processes_see(zygote: Zygote) -> None:
    with zygote.spawn(entry("answer"), None, limits=None) as child:
        assert child.pid_inside == child.channel.receive(10)["pid"]


def test_status_of_an_ending(zygote: Zygote) -> None:
    child = zygote.spawn(entry("finish"), 7, limits=Limits())
    assert (child.wait(10).status, child.wait(10).signal) == (7, 0)
    child.kill()


def test_an_exception_is_told_in_the_output(zygote: Zygote) -> None:
    child = zygote.spawn(entry("fail"), "the reason", limits=Limits())
    with pytest.raises(WorkerDied):
        child.channel.receive(10)
    assert child.kill().status == 1
    assert "RuntimeError: the reason" in child.output()


def test_an_unknown_entry_is_our_own_fault(zygote: Zygote) -> None:
    child = zygote.spawn(entry("nothing"), None, limits=Limits())
    with pytest.raises(WorkerError, match="nothing"):
        child.wait(10)
    with pytest.raises(WorkerError, match="nothing"):
        child.kill()


def test_a_hanging_child_is_killed(zygote: Zygote) -> None:
    child = zygote.spawn(entry("hang"), None, limits=Limits())
    assert child.channel.receive(10) == "hanging"
    with pytest.raises(WorkerTimeout):
        child.channel.receive(0.05)
    with pytest.raises(WorkerTimeout):
        child.wait(0.05)
    pid = child.pid
    start = time.monotonic()
    assert child.kill().signal == signal.SIGKILL
    assert time.monotonic() - start < 2
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("name", "ended_by"), [("crash", signal.SIGSEGV), ("abort", signal.SIGABRT)]
)
def test_a_crash_is_told_with_its_place(zygote: Zygote, name: str, ended_by: int) -> None:
    child = zygote.spawn(entry(name), None, limits=Limits())
    assert child.wait(10).signal == ended_by
    assert child.wait(0).status == 128 + ended_by
    child.kill()
    assert f"in {name}" in child.output()
    if name == "crash":
        assert child.output().startswith("before the crash")


def test_what_left_its_session_ends_with_it(zygote: Zygote) -> None:
    mark = uuid.uuid4().hex
    child = zygote.spawn(entry("breed"), mark, limits=Limits())
    child.channel.receive(20)
    # A shell about to start its `sleep` is seen twice for an instant.
    deadline = time.monotonic() + 10
    while len(processes(mark)) > 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(processes(mark)) == 2
    child.kill()
    assert processes(mark) == []


def test_a_gigabyte_of_output_costs_nobody_anything(zygote: Zygote) -> None:
    limits = Limits(output_bytes=10_000)
    with zygote.spawn(entry("print_much"), 1 << 30, limits=limits) as child:
        with zygote.spawn(entry("answer"), None, limits=Limits()) as other:
            other.channel.receive(10)
        assert child.channel.receive(60) == "printed"
        child.wait(10)
    text = child.output()
    assert 9_000 < len(text) <= 10_000
    assert text.startswith("first line\nxxx")
    assert text.endswith("xxxlast line\n")
    assert "bytes dropped" in text


def test_the_largest_output_arrives(zygote: Zygote) -> None:
    with zygote.spawn(entry("print_much"), 1 << 20, limits=Limits(output_bytes=1 << 17)) as child:
        child.wait(30)
    assert len(child.output()) > 130_000


def test_a_forged_object_does_nothing(zygote: Zygote, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    with zygote.spawn(entry("forge"), str(trap), limits=Limits()) as child:
        with pytest.raises(ForgedMessage):
            child.channel.receive(10)
        with pytest.raises(WorkerError, match="refused"):
            child.channel.receive_trusted(10)
    assert not trap.exists()


def test_an_endless_message_is_refused(zygote: Zygote) -> None:
    with (
        zygote.spawn(entry("flood"), None, limits=Limits()) as child,
        pytest.raises(ForgedMessage),
    ):
        child.channel.receive(10)


def test_a_judge_starts_runners(zygote: Zygote, tmp_path: Path) -> None:
    argument = {"entry": entry("hang"), "argument": None, "count": 2, "folder": str(tmp_path)}
    before = descendants(zygote.pid)
    with zygote.spawn(
        entry("judge"), argument | {"abandon": False}, limits=None, zygote=True
    ) as child:
        assert child.channel.trusted
        assert child.channel.receive(20) == ["hanging", "hanging"]
        assert len(descendants(zygote.pid) - before) == 3
        child.channel.send("go on")
        assert child.channel.receive(20) == [True, True, 9, 9]
    assert descendants(zygote.pid) == before


@pytest.mark.parametrize("abandon", [True, False])
def test_runners_end_with_their_judge(zygote: Zygote, tmp_path: Path, abandon: bool) -> None:
    argument = {"entry": entry("hang"), "argument": None, "count": 2, "folder": str(tmp_path)}
    before = descendants(zygote.pid)
    child = zygote.spawn(entry("judge"), argument | {"abandon": abandon}, limits=None, zygote=True)
    child.channel.receive(20)
    if abandon:
        assert child.wait(20).status == 3
    child.kill()
    assert descendants(zygote.pid) == before


def test_a_dropped_child_is_killed(zygote: Zygote) -> None:
    child = zygote.spawn(entry("hang"), None, limits=Limits())
    child.channel.receive(10)
    pid = child.pid
    child.channel.close()
    child._status.close()
    assert gone({pid})


def test_several_threads_may_start_children(zygote: Zygote) -> None:
    answers: list[int] = []

    def ask(number: int) -> None:
        for i in range(5):
            with zygote.spawn(entry("answer"), 10 * number + i, limits=Limits()) as child:
                answers.append(child.channel.receive(20)["argument"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(10 * n + i for n in range(4) for i in range(5))


def test_many_children_leave_nothing(zygote: Zygote) -> None:
    def state() -> tuple[int, int, set[int]]:
        inner = min(descendants(zygote.pid))
        resident = int(Path(f"/proc/{inner}/statm").read_text().split()[1])
        open_here, open_there = open_files(os.getpid()), open_files(inner)
        return resident, open_here + open_there, descendants(zygote.pid)

    def spawn(count: int) -> None:
        for number in range(count):
            with zygote.spawn(entry("answer"), number, limits=Limits()) as child:
                assert child.channel.receive(20)["argument"] == number

    spawn(50)
    gc.collect()
    before = state()
    spawn(200)
    deadline = time.monotonic() + 2
    # The last child's end is told an instant before its descriptors are closed there.
    while (after := state())[1] != before[1] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert after[1:] == before[1:]
    # Pages, 4 KiB each: a kilobyte a child would show.
    assert after[0] - before[0] < 50


@pytest.mark.parametrize("namespaces", [True, False])
def test_nothing_survives_the_launcher(namespaces: bool, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    script = f"""
from pathlib import Path
from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Zygote
zygote = Zygote(preload=(), environment={{}}, namespaces={namespaces})
held = zygote.spawn({entry("breed")!r}, {mark!r}, limits=Limits())
held.channel.receive(20)
nested = {{"entry": {entry("hang")!r}, "argument": None, "count": 2, "folder": {str(tmp_path)!r}}}
judge = zygote.spawn(
    {entry("judge")!r}, nested | {{"abandon": False}}, limits=None, zygote=True
)
judge.channel.receive(20)
print("ready", flush=True)
judge.channel.receive(100)
"""
    launcher = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"ready\n"
    below = descendants(launcher.pid)
    assert len(below) >= 7
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    assert gone(below)
    assert processes(mark) == []


def test_children_end_with_the_zygote() -> None:
    zygote = Zygote(preload=(), environment={})
    child = zygote.spawn(entry("hang"), None, limits=Limits())
    child.channel.receive(20)
    below = descendants(zygote.pid)
    zygote.close()
    zygote.close()
    assert gone(below, 0.5)
    with pytest.raises(WorkerDied):
        child.kill()
    with pytest.raises(WorkerDied, match="gone"):
        zygote.spawn(entry("hang"), None, limits=Limits())


def test_a_killed_zygote_is_reported() -> None:
    with Zygote(preload=(), environment={}) as zygote:
        child = zygote.spawn(entry("hang"), None, limits=Limits())
        child.channel.receive(20)
        below = descendants(zygote.pid)
        os.kill(zygote.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            child.channel.receive(20)
        with pytest.raises(WorkerDied):
            child.wait(20)
        child.channel.close()
        assert gone(below)


def test_a_missing_module_is_named() -> None:
    with Zygote(preload=("no_such_module",), environment={}) as zygote:
        with pytest.raises(WorkerDied, match="no_such_module"):
            zygote.layers()
        with pytest.raises(WorkerDied, match="no_such_module"):
            zygote.spawn(entry("hang"), None, limits=Limits())


def test_torch_computes_in_parallel_in_every_child() -> None:
    with Zygote(environment={"OMP_NUM_THREADS": "2"}) as zygote:
        for _ in range(2):
            with zygote.spawn(entry("compute"), 256, limits=Limits()) as child:
                assert child.channel.receive(60) == 256 * 256


def test_a_spawner_knows_the_layers(zygote: Zygote) -> None:
    assert isinstance(zygote, Spawner)
    layers = zygote.layers()
    assert tuple(layers) == NAMES
    assert layers["resource-limits"].on
    for name, layer in layers.items():
        assert layer.name == name
        # What is missing says why.
        assert layer.on or layer.detail
