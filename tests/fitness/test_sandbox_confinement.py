"""What a confined child cannot do. Every refusal has a counterpart that shows it can be done."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fitness.sandbox.limits import MAX_OUTPUT_BYTES, Limits, system_paths
from fitness.sandbox.watch import bound_bytes
from fitness.sandbox.zygote import INHERITED, PRESET, Zygote
from populations.errors import WorkerError, WorkerTimeout
from tests.fitness import sandbox_children

CHILDREN = sandbox_children.__name__
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)


@pytest.fixture(scope="module", params=[True, False], ids=["namespaces", "no namespaces"])
def zygote(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    os.environ["EVO_TEST_SECRET"] = "secret"
    try:
        zygote = Zygote(
            preload=(CHILDREN,), environment={"MARK": "given"}, namespaces=request.param
        )
    finally:
        del os.environ["EVO_TEST_SECRET"]
    with zygote:
        yield zygote


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to write in, beside `tmp_path`'s other contents."""
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def ask(zygote: Zygote, name: str, argument: Any, limits: Limits | None) -> Any:
    with zygote.spawn(f"{CHILDREN}:{name}", argument, limits=limits) as child:
        return child.channel.receive(30)


def attempt(zygote: Zygote, limits: Limits | None, **what: Any) -> dict[str, Any]:
    named = {name.replace("_", " "): value for name, value in what.items()}
    answer: dict[str, Any] = ask(zygote, "attempt", named, limits)
    return answer


def needs(zygote: Zygote, *layers: str) -> None:
    if missing := [name for name in layers if not zygote.layers()[name].on]:
        pytest.skip(f"without {', '.join(missing)}")


def test_it_writes_in_its_folder_only(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "landlock")
    other = folder.parent / "other"
    other.write_text("kept")
    what = {
        "write": str(folder.parent / "new"),
        "append": str(other),
        "remove": str(other),
        "make_folder": str(folder.parent / "made"),
        "shared_memory_file": f"evo-{os.getpid()}",
        "rename": [str(other), str(folder / "moved")],
        "link": [str(other), str(folder / "linked")],
    }
    refused = attempt(zygote, Limits(write=(folder,)), **what)
    assert set(refused.values()) <= {*REFUSED, errno.EXDEV}
    assert other.read_text() == "kept"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["other", "own"]
    allowed = {"write": str(folder / "new"), "make_folder": str(folder / "made")}
    more = {"run_program": None, "null_device": None, "read": str(other), "unix_pair": None}
    done = attempt(zygote, Limits(write=(folder,)), **allowed, **more)
    assert set(done.values()) == {"done"}
    assert (folder / "new").read_text() == "x"


def test_files_outside_keep_their_attributes(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "read-only-mounts")
    other = folder.parent / "other"
    other.write_text("kept")
    before = other.stat()
    what = {"change_mode": str(other), "change_times": str(other), "set_attribute": str(other)}
    refused = attempt(zygote, Limits(write=(folder,)), **what)
    assert set(refused.values()) <= set(REFUSED)
    assert (other.stat().st_mode, other.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_reading_can_be_narrowed(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "landlock")
    secret = folder.parent / "secret"
    secret.write_text("secret")
    (folder / "own").write_text("own")
    limits = Limits(read=(*system_paths(), folder), write=(folder,))
    assert attempt(zygote, limits, read=str(secret))["read"] in REFUSED
    assert attempt(zygote, limits, read=str(folder / "own"))["read"] == "done"
    assert attempt(zygote, Limits(write=(folder,)), read=str(secret))["read"] == "done"


def test_what_is_loaded_by_its_name_is_not_found(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "landlock")
    kept = folder.parent / "kept"
    (kept / "inner").mkdir(parents=True)
    (kept / "library").write_text("x")
    limits = Limits(read=(*system_paths(), folder), load=(kept,), write=(folder,))
    assert attempt(zygote, limits, read=str(kept / "library"))["read"] == "done"
    for name in (kept, kept / "inner", folder.parent):
        assert attempt(zygote, limits, list=str(name))["list"] in REFUSED
    assert attempt(zygote, limits, write=str(kept / "new"))["write"] in REFUSED
    assert attempt(zygote, limits, list=str(folder))["list"] == "done"


def test_what_is_not_there_need_not_be_read(zygote: Zygote, folder: Path, tmp_path: Path) -> None:
    absent, file, loop = tmp_path / "absent", tmp_path / "file", tmp_path / "loop"
    file.touch()
    loop.symlink_to(loop)
    limits = Limits(read=(absent, file / "below", loop, *system_paths()), write=(folder,))
    with zygote.spawn(f"{CHILDREN}:finish", 3, limits=limits) as child:
        assert child.wait(10).status == 3


def test_it_has_no_network(zygote: Zygote, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()[:2]
        what = {"connect": address, "datagram": address, "netlink": None}
        refused = attempt(zygote, Limits(write=(folder,)), **what)
        assert "done" not in refused.values()
        with socket.create_connection(address, timeout=2):
            pass


def test_it_reaches_no_service_of_the_machine(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "seccomp")
    name = str(folder / "service")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        (folder / "service").chmod(0o777)
        assert attempt(zygote, None, connect_path=name)["connect path"] == "done"
        told = attempt(zygote, Limits(write=(folder,)), connect_path=name)
        assert told["connect path"] == errno.EPERM


def test_nor_by_datagrams_which_need_no_connection(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "seccomp")
    shown, hidden = str(folder / "service"), f"\0evo-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless,
    ):
        server.bind(shown)
        nameless.bind(hidden)
        Path(shown).chmod(0o777)
        for how in ("datagram_to_path", "datagram_of_pair"):
            assert attempt(zygote, None, **{how: shown})[how.replace("_", " ")] == "done"
            for name in (shown, hidden):
                told = attempt(zygote, Limits(write=(folder,)), **{how: name})
                assert set(told.values()) == {errno.EPERM}


def test_files_in_memory_are_refused(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "seccomp")
    assert attempt(zygote, None, memory_file=None) == {"memory file": "done"}
    told = attempt(zygote, Limits(write=(folder,)), memory_file=None)
    assert told == {"memory file": errno.EPERM}
    # An accelerator's driver may need them.
    told = attempt(zygote, Limits(write=(folder,), devices=True), memory_file=None)
    assert told == {"memory file": "done"}


def test_its_folder_is_memory_of_a_fixed_size(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "private-folder")
    (folder / "inner").mkdir()
    (folder / "inner" / "link").symlink_to("/usr/lib")
    (folder / "file").write_text("not taken over")
    what = {"fill": str(folder), "list": str(folder / "inner")}
    what |= {"write": str(folder / "inner" / "new"), "read": str(folder / "file")}
    what["read_link"] = [str(folder / "inner" / "link"), "/usr/lib"]
    for size, filled in ((1 << 23, errno.ENOSPC), (1 << 27, "done")):
        limits = Limits(write=(folder, folder / "inner"), folder_bytes=size)
        told = attempt(zygote, limits, **{k: v for k, v in what.items() if k != "write"})
        assert told == {
            "fill": filled,
            "list": "done",
            "read": errno.ENOENT,
            "read link": "done",
        }
    limits = Limits(write=(folder, folder / "inner"), folder_bytes=1 << 23)
    assert attempt(zygote, limits, write=what["write"]) == {"write": "done"}
    # Nothing of it is on the disk.
    assert sorted(path.name for path in folder.iterdir()) == ["file", "inner"]
    assert [path.name for path in (folder / "inner").iterdir()] == ["link"]


def test_memory_of_all_its_processes_is_watched(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "memory-watch")
    limits = Limits(write=(folder,), memory_bytes=128 << 20)
    # Fifteen are more than that, and one is less.
    assert 100 << 20 < bound_bytes(128 << 20) < 1500 << 20
    child = zygote.spawn(f"{CHILDREN}:eat_together", (15, 100 << 20), limits=limits)
    child.channel.receive(10)
    assert child.wait(20).signal == signal.SIGKILL
    child.kill()
    assert "MiB of memory" in child.output()
    with zygote.spawn(f"{CHILDREN}:eat_together", (1, 100 << 20), limits=limits) as child:
        child.channel.receive(10)
        with pytest.raises(WorkerTimeout):
            child.wait(0.8)


def test_its_environment_is_given_not_inherited(zygote: Zygote, folder: Path) -> None:
    told = ask(zygote, "describe", None, Limits(write=(folder,)))
    environment = told["environment"]
    assert "secret" not in environment.values()
    assert environment["MARK"] == "given"
    assert environment.items() >= PRESET.items()
    assert set(environment) <= {*INHERITED, *PRESET, "MARK", "LC_CTYPE"}


def test_other_environments_stay_unread(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "landlock")
    name = f"/proc/{os.getpid()}/environ"
    assert attempt(zygote, Limits(write=(folder,)), read=name)["read"] != "done"
    assert Path(name).read_bytes()


def test_it_starts_with_nothing_open(zygote: Zygote, folder: Path) -> None:
    told = ask(zygote, "describe", None, Limits(write=(folder,)))
    # Standard streams and the channel.
    assert told["descriptors"] == [0, 1, 2, 3]
    assert told["stdin"] == "/dev/null"
    assert told["leader"]
    assert told["folder"] == str(folder)
    assert "torch" not in told["modules"]


def test_privileged_calls_are_refused(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "seccomp")
    what = {
        "trace": os.getpid(),
        "user_namespace": None,
        "mount": str(folder),
        "shared_segment": None,
    }
    refused = attempt(zygote, Limits(write=(folder,)), **what)
    assert set(refused.values()) <= {errno.EPERM, errno.ESRCH}
    assert refused["user namespace"] == refused["shared segment"] == errno.EPERM
    if zygote.layers()["user"].detail == "a number of its own":
        assert attempt(zygote, Limits(write=(folder,)), become_root=None)["become root"] != "done"


def test_it_cannot_signal_others(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "landlock")
    for pid in (os.getpid(), zygote.pid):
        result = attempt(zygote, Limits(write=(folder,)), signal=pid)["signal"]
        assert result in (errno.EPERM, errno.ESRCH)


def test_memory_is_limited(zygote: Zygote) -> None:
    small, large = Limits(memory_bytes=1 << 28), Limits(memory_bytes=1 << 40)
    assert ask(zygote, "eat", 1 << 30, small)["private"] == "refused"
    assert ask(zygote, "eat", 1 << 35, small)["shared"] == "refused"
    assert ask(zygote, "eat", 1 << 30, large) == {"private": "allocated", "shared": "allocated"}


def test_processes_are_limited(zygote: Zygote) -> None:
    needs(zygote, "user")  # without, the limit counts all processes of the user
    told = [ask(zygote, "bomb", None, Limits(processes=count)) for count in (8, 24)]
    assert {answer["error"] for answer in told} == {errno.EAGAIN}
    assert [answer["count"] for answer in told] == [7, 23]


def test_file_size_is_limited(zygote: Zygote, folder: Path) -> None:
    limits = Limits(write=(folder,), file_bytes=1 << 20)
    for name, bounds, result in (
        ("a", limits, errno.EFBIG),
        ("b", Limits(write=(folder,)), "done"),
    ):
        told = attempt(zygote, bounds, write_large=str(folder / name))
        assert told["write large"] == result
    assert (folder / "a").stat().st_size <= 1 << 20


def test_cpu_time_is_limited(zygote: Zygote) -> None:
    with zygote.spawn(f"{CHILDREN}:spin", None, limits=Limits(cpu_s=0.5)) as child:
        ending = child.wait(20)
    assert ending.signal in (signal.SIGKILL, signal.SIGXCPU)
    assert 0.5 < ending.cpu_s < 1.5


def test_our_own_processes_are_not_confined(zygote: Zygote, folder: Path) -> None:
    told = attempt(zygote, None, write=str(folder / "new"), run_program=None)
    assert set(told.values()) == {"done"}


def test_a_missing_folder_is_reported(zygote: Zygote, folder: Path) -> None:
    needs(zygote, "landlock")
    child = zygote.spawn(f"{CHILDREN}:describe", None, limits=Limits(write=(folder / "missing",)))
    with pytest.raises(WorkerError, match="missing"):
        child.wait(10)
    with pytest.raises(WorkerError, match="missing"):
        child.kill()


@pytest.mark.parametrize(
    "wrong",
    [
        {"processes": 0},
        {"cpu_s": -1.0},
        {"memory_bytes": 0},
        {"output_bytes": 1 << 30},
        {"folder_bytes": -1},
        {"folder_bytes": 1},
    ],
)
def test_limits_must_make_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**wrong)
    assert Limits(output_bytes=MAX_OUTPUT_BYTES).output_bytes == MAX_OUTPUT_BYTES


def test_system_paths_hold_no_secrets_and_no_folder_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packages" / "torch").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "packages"), *sys.path])
    paths = system_paths()
    assert tmp_path not in paths
    assert tmp_path / "packages" in paths
    root = Path(__file__).parents[2]
    assert root not in paths
    assert root / "fitness" in paths
    for secret in ("/etc/shadow", "/dev/shm", "/dev/sda"):
        assert not any(Path(secret).is_relative_to(path) for path in paths)


def test_system_paths_hold_the_interpreter_and_no_home() -> None:
    paths = system_paths(python=False)
    assert Path("/usr") in paths
    assert Path.home() not in paths
    assert Path("/") not in paths
    assert any(Path(sys.prefix).resolve().is_relative_to(p.resolve()) for p in system_paths())
