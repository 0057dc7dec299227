"""What the children of the sandbox's tests do; each is an entry for `Zygote.spawn`."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fitness.sandbox.channel import Channel
from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Spawner


def answer(channel: Channel, argument: Any) -> None:
    channel.send({"argument": argument, "pid": os.getpid(), "threads": _threads()})


def echo(channel: Channel, argument: Any) -> None:
    while (message := channel.receive(20)) is not None:
        channel.send(message)


def finish(channel: Channel, argument: int) -> None:
    sys.exit(argument)


def fail(channel: Channel, argument: str) -> None:
    raise RuntimeError(argument)


def hang(channel: Channel, argument: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.send("hanging")
    while True:
        time.sleep(60)


def crash(channel: Channel, argument: Any) -> None:
    print("before the crash")
    ctypes.string_at(8)


def abort(channel: Channel, argument: Any) -> None:
    os.abort()


def spin(channel: Channel, argument: Any) -> None:
    while True:
        pass


def breed(channel: Channel, argument: str) -> None:
    """Leave processes that have left this one's session and group, each marked by its command."""
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                os.execv("/bin/sh", ["/bin/sh", "-c", f"while :; do sleep 100; done # {argument}"])
            time.sleep(100)
    # Told once the last generation runs under its mark.
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _marked(argument) < 2:
        time.sleep(0.01)
    channel.send(_marked(argument))
    time.sleep(100)


def bomb(channel: Channel, argument: Any) -> None:
    """Fork as often as allowed; tell how often that was."""
    count = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(100)
        except OSError as error:
            channel.send({"count": count, "error": error.errno})
            time.sleep(100)
        count += 1


def eat(channel: Channel, argument: int) -> None:
    """Allocate this many bytes in pieces and touch them, by private and by shared memory."""
    results = {}
    for name, flags in (("private", mmap.MAP_PRIVATE), ("shared", mmap.MAP_SHARED)):
        pieces = []
        try:
            while len(pieces) < argument >> 26:
                pieces += [mmap.mmap(-1, 1 << 26, flags | mmap.MAP_ANONYMOUS)]
            results[name] = "allocated"
        except (OSError, MemoryError):
            results[name] = "refused"
    channel.send(results)


def eat_together(channel: Channel, argument: tuple[int, int]) -> None:
    """Have this many processes of its own touch so many bytes each, and stay."""
    count, size = argument
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            held = b"x" * size
            time.sleep(len(held))
    channel.send("begun")
    time.sleep(100)


def print_much(channel: Channel, argument: int) -> None:
    """Print this many bytes between a first and a last line."""
    os.write(1, b"first line\n")
    piece = b"x" * (1 << 20)
    for _ in range(argument >> 20):
        os.write(1, piece)
    os.write(2, b"last line\n")
    channel.send("printed")


def describe(channel: Channel, argument: Any) -> None:
    """Tell what this process has: environment, descriptors, standard input, user, session."""
    os.environ.pop("TMPDIR", None)
    descriptors = sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())
    channel.send(
        {
            "environment": dict(os.environ),
            "descriptors": [d for d in descriptors if Path(f"/proc/self/fd/{d}").exists()],
            "stdin": str(Path("/proc/self/fd/0").readlink()),
            "user": os.getuid(),
            "leader": os.getsid(0) == os.getpid(),
            "folder": str(Path.cwd()),
            "modules": sorted(sys.modules),
        }
    )


def attempt(channel: Channel, argument: dict[str, Any]) -> None:
    """Try every named thing; tell for each "done" or the error's number."""
    results = {}
    for name, value in argument.items():
        try:
            _ATTEMPTS[name](value)
            results[name] = "done"
        except OSError as error:
            results[name] = error.errno
    channel.send(results)


def forge(channel: Channel, argument: str) -> None:
    """Send what a judge must not take: an object whose making leaves a file."""
    channel.send_trusted(_Trap(argument))
    time.sleep(20)


def flood(channel: Channel, argument: Any) -> None:
    """Announce a message of four gigabytes."""
    end = socket.socket(fileno=os.dup(channel.fileno()))
    end.setblocking(True)
    end.sendall(b"J\xff\xff\xff\xff" + b" " * 1000)
    time.sleep(20)


def judge(channel: Channel, argument: dict[str, Any], spawner: Spawner) -> None:
    """Start children of its own, and tell what they say; or end with them running."""
    folder = Path(argument["folder"])
    children = [
        spawner.spawn(argument["entry"], argument["argument"], limits=Limits(write=(folder,)))
        for _ in range(argument["count"])
    ]
    channel.send([child.channel.receive(20) for child in children])
    if argument["abandon"]:
        os._exit(3)
    channel.receive(20)
    seen = [Path(f"/proc/{child.pid}/stat").exists() for child in children]
    channel.send(seen + [child.kill().signal for child in children])


def compute(channel: Channel, argument: int) -> None:
    """A parallel region in torch, which hangs when the zygote has run one."""
    import torch

    torch.set_num_threads(2)
    x = torch.ones(argument, argument)
    channel.send(float((x @ x).sum() / argument))


def load(channel: Channel, argument: str) -> None:
    """Load C++ that was compiled beforehand, or fail to compile."""
    import torch

    from fitness.native import CppError, load_cpp

    x = torch.ones(8)
    try:
        load_cpp(argument).twice(x, 8)
    except CppError as error:
        channel.send(str(error))
    else:
        channel.send(x.tolist())


class _Trap:
    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.name),)


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _marked(mark: str) -> int:
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += mark.encode() in (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def _connect(address: tuple[str, int]) -> None:
    with socket.create_connection((address[0], address[1]), timeout=2):
        pass


def _connect_path(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(name)


def _datagram(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"x", (address[0], address[1]))


def _datagram_to_path(name: str, *, pair: bool) -> None:
    made = socket.socketpair if pair else lambda *kind: (socket.socket(*kind),)
    ends = made(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        ends[0].sendto(b"x", name)
    finally:
        for end in ends:
            end.close()


def _fill(folder: str) -> None:
    """Write 64 files of a mebibyte."""
    for number in range(64):
        Path(folder, f"fill-{number}").write_bytes(bytes(1 << 20))


def _same(found: object, expected: object) -> None:
    if found != expected:
        raise OSError(errno.EINVAL, f"{found!r} is not {expected!r}")


def _checked(*call: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, call[0])(*call[1:]) < 0:
        raise OSError(ctypes.get_errno(), call[0])


def _write_large(name: str) -> None:
    with Path(name).open("wb") as file:
        file.writelines(b"x" * (1 << 20) for _ in range(32))


_ATTEMPTS: dict[str, Callable[[Any], object]] = {
    "read": lambda name: Path(name).read_bytes(),
    "write": lambda name: Path(name).write_text("x"),
    "write large": _write_large,
    "append": lambda name: Path(name).open("a").close(),
    "remove": lambda name: Path(name).unlink(),
    "make folder": lambda name: Path(name).mkdir(),
    "change mode": lambda name: Path(name).chmod(0o777),
    "change times": os.utime,
    "set attribute": lambda name: os.setxattr(name, "user.note", b"x"),
    "link": lambda names: os.link(names[0], names[1]),
    "rename": lambda names: Path(names[0]).rename(names[1]),
    "connect": _connect,
    "connect path": _connect_path,
    "datagram": _datagram,
    "datagram to path": lambda name: _datagram_to_path(name, pair=False),
    "datagram of pair": lambda name: _datagram_to_path(name, pair=True),
    "memory file": lambda _: os.close(os.memfd_create("hidden")),
    "fill": _fill,
    "list": os.listdir,
    "read link": lambda names: _same(str(Path(names[0]).readlink()), names[1]),
    "netlink": lambda _: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "unix pair": lambda _: [end.close() for end in socket.socketpair()],
    "signal": lambda pid: os.kill(pid, 0),
    "trace": lambda pid: _checked("ptrace", 16, pid, 0, 0),
    "user namespace": lambda _: _checked("unshare", 0x10000000),
    "mount": lambda name: _checked("mount", b"none", name.encode(), b"tmpfs", 0, None),
    "shared segment": lambda _: _checked("shmget", 0x1234, 4096, 0o1666),
    "become root": lambda _: os.setuid(0),
    "run program": lambda _: subprocess.run(["/bin/true"], check=True),
    "null device": lambda _: Path("/dev/null").write_text("x"),
    "shared memory file": lambda name: Path("/dev/shm", name).write_text("x"),
}


def build(channel: Channel, argument: tuple[Any, Any]) -> None:
    """Build as a judge does: without a spawner."""
    from fitness.toolchains import registry

    result = registry.build(*argument)
    channel.send([type(result).__name__, result.cached])


def compute_on_device(channel: Channel, argument: Any) -> None:
    """Use CUDA for the first time in this process; tell what it took."""
    import torch

    start = time.perf_counter()
    try:
        total = float(torch.ones(1024, 1024, device="cuda").sum())
    except RuntimeError as error:
        channel.send({"error": str(error)[:300]})
    else:
        channel.send({"sum": total, "seconds": time.perf_counter() - start})


def launch_triton(channel: Channel, argument: str) -> None:
    """Compile and launch a Triton kernel with its cache and the compiler's files in this folder."""
    os.environ["TRITON_CACHE_DIR"] = os.environ["TMPDIR"] = tempfile.tempdir = argument
    import torch

    from tests.fitness.sandbox_triton import add

    start = time.perf_counter()
    try:
        x, y = torch.ones(4096, device="cuda"), torch.full((4096,), 2.0, device="cuda")
        out = torch.empty_like(x)
        add[(4,)](x, y, out, 4096, BLOCK=1024)
        answer = {"sum": float(out.sum()), "seconds": time.perf_counter() - start}
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        answer = {"error": repr(error)[:300]}
    channel.send(answer)


def prepared(channel: Channel, argument: int) -> None:
    """Set torch's threads as every child of ours does; tell them, and all that there are."""
    import torch

    torch.set_num_threads(argument)
    channel.send([torch.get_num_threads(), _threads()])


def places(channel: Channel, argument: int) -> None:
    """Make so many tuples of each length up to ten; tell on how many pages they lie."""
    made = [tuple([None] * length) for length in range(1, 11) for _ in range(argument)]
    channel.send(len({id(one) // mmap.PAGESIZE for one in made}))
