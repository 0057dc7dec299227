"""Start processes from one that has imported torch already: about 6 ms instead of 1.8 s.

A `Zygote` is a server process with an environment of its own. It imports what the children need,
computes nothing (a process that ran one parallel region forks children that hang in their first),
and forks on request. Children are confined by `Limits`, or are our own processes.

    with Zygote(environment={"OMP_NUM_THREADS": "1"}) as zygote:
        child = zygote.spawn("fitness.runner:main", argument, limits=Limits(write=(folder,)))
        answer = child.channel.receive(timeout_s=10)
        child.kill()

Nothing survives: a child's end ends all that it started, the zygote's end ends all children, and
the launching process's end, `kill -9` included, ends the zygote.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fitness.sandbox.channel import Channel
from fitness.sandbox.layers import Layer, from_json
from fitness.sandbox.limits import Limits
from populations.errors import WorkerDied, WorkerError, WorkerTimeout

# What a server takes over from the process that starts it; all else is given or absent.
INHERITED = (
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CXX",
    "EVO_CACHE_DIR",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
)
# With glibc's defaults an output of a megabyte is mapped and unmapped at every call, and page
# faults make eager code 1.4-3 times slower: speedups would be flattered.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "67108864",
}
# NumPy's library would start its threads at the import, before any fork.
PRESET = {**MALLOC, "OPENBLAS_NUM_THREADS": "1"}
_START_LIMIT_S = 120.0
_KILL_LIMIT_S = 30.0
_BOOT = (
    "import sys; sys.path[:] = sys.argv[2].split(chr(0x1f)); "
    "from fitness.sandbox.server import main; main(int(sys.argv[1]))"
)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended.

    Attributes:
        status: Its exit status; 0 proves nothing. 128 + `signal` when a signal ended it.
        signal: The signal that ended it, 0 when none did. A child of a process namespace that
            aborts is ended by signal 11; where its output tells so, 6 is given.
        cpu_s: CPU seconds of the child and of those of its own children that it waited for.
        max_rss_bytes: Its largest resident size, what it shares with the zygote included.
    """

    status: int
    signal: int
    cpu_s: float
    max_rss_bytes: int


class Child:
    """A running child, owned by whoever holds this object; `kill` it when done with it.

    A context manager that kills at its end. A child whose owner drops it or ends is killed too.

    Attributes:
        channel: Messages to and from it.
    """

    def __init__(self, channel: Channel, status: socket.socket, *, pid_name: str) -> None:
        self.channel = channel
        self._pid_name = pid_name
        self._status = status
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._pid_inside = 0
        self._exit: Exit | None = None
        self._failure: WorkerError | None = None
        self._output = ""

    @property
    def pid(self) -> int:
        """Its number in the /proc that the owner sees. Waits until the child has begun."""
        with self._lock:
            while self._pid is None:
                if self._exit is not None:
                    raise WorkerDied("a child ended before it began")
                self._advance(time.monotonic() + _START_LIMIT_S)
            return self._pid

    @property
    def pid_inside(self) -> int:
        """Its number in the /proc that other children of ours see. Waits like `pid`."""
        return self.pid and self._pid_inside

    def kill(self) -> Exit:
        """Kill it and everything it ever started; returns when all are gone. Callable twice."""
        if self._exit is None:
            # Refused when it has just ended by itself.
            with contextlib.suppress(OSError):
                self._status.send(b"kill")
        try:
            return self.wait(_KILL_LIMIT_S)
        finally:
            self.channel.close()

    def wait(self, timeout_s: float | None) -> Exit:
        """Wait for its end; None waits for ever. What it sent before can still be received.

        Raises:
            WorkerTimeout: It still runs.
            WorkerError: It could not be started or confined.
            WorkerDied: The zygote is gone, and with it the child.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            while self._exit is None:
                self._advance(deadline)
            return self._exit

    def output(self) -> str:
        """What it wrote to standard output and error, once `wait` or `kill` has returned.

        Of much, the first and the last part, `Limits.output_bytes` together.
        """
        return self._output

    def _advance(self, deadline: float | None) -> None:
        if self._failure is not None:
            raise self._failure
        event = _receive_json(self._status, deadline)
        if event is None:
            self._failure = WorkerDied("the zygote ended, and its children with it")
        elif "failed" in event:
            self._failure = WorkerError(f"a child could not be started: {event['failed']}")
        if event is None or self._failure is not None:
            self._status.close()
            raise self._failure or WorkerDied("")
        if "pid" in event:
            self._pid, self._pid_inside = event[self._pid_name], event["pid"]
        else:
            text = _receive(self._status, event["output_bytes"]) if event["output_bytes"] else b""
            self._output = text.decode(errors="replace")
            self._exit = Exit(
                status=event["status"],
                signal=event["signal"],
                cpu_s=event["cpu_s"],
                max_rss_bytes=event["max_rss_bytes"],
            )
            self._status.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


class Spawner:
    """What a process holds that may start children: the launcher's `Zygote`, or a judge's own.

    `spawn` may be called by several threads.
    """

    # Which of its numbers a child is known by here.
    _pid_name = "pid"

    def __init__(self, control: socket.socket, layers: Mapping[str, Layer] | None) -> None:
        self._control = control
        self._layers = layers

    def layers(self) -> Mapping[str, Layer]:
        """What confines children on this machine: name -> layer, all of `layers.NAMES`."""
        assert self._layers is not None  # noqa: S101 - a child is started after the detection
        return self._layers

    def spawn(
        self, entry: str, argument: object, *, limits: Limits | None, zygote: bool = False
    ) -> Child:
        """Start a child that calls `entry` ("module:function") and ends when it returns.

        Args:
            entry: Called as f(channel, argument), or f(channel, argument, spawner) with `zygote`.
            argument: Any object that pickle takes; sent over the channel.
            limits: What it may use; None for one of our own processes, which is not confined.
            zygote: Hand it a `Spawner` of its own, whose children end when it ends.

        Raises:
            WorkerDied: The zygote is gone.
        """
        if gone := self._why_gone():
            raise WorkerDied(gone)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status, status_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"entry": entry, "limits": limits and limits.to_json(), "zygote": zygote}
        with theirs, status_end:
            try:
                descriptors = [theirs.fileno(), status_end.fileno()]
                socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
            except OSError as error:
                ours.close()
                status.close()
                raise WorkerDied(self._why_gone() or "the zygote is gone") from error
        channel = Channel(ours, trusted=limits is None)
        child = Child(channel, status, pid_name=self._pid_name)
        # A child that could not be started says why when it is waited for.
        with contextlib.suppress(WorkerDied):
            channel.send_trusted(argument)
        return child

    def close(self) -> None:
        """End every child started from here."""
        self._control.close()

    def _why_gone(self) -> str:
        """Why no child can be started any more; "" as far as is known."""
        return ""


class Zygote(Spawner):
    """The server process, started at construction and ended by `close`."""

    _pid_name = "outer_pid"

    def __init__(
        self,
        *,
        preload: tuple[str, ...] = ("torch",),
        environment: Mapping[str, str],
        namespaces: bool = True,
    ) -> None:
        """Start the server; does not wait for its imports.

        Args:
            preload: Modules to import before the first fork.
            environment: Its environment, beside the names of `INHERITED` and the settings of
                `PRESET`, both of which it overrides.
            namespaces: False does without namespaces even where the kernel offers them.
        """
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(control, None)
        self._failure = ""
        self._lock = threading.Lock()
        root = str(Path(__file__).resolve().parents[2])
        path = [root, *(str(Path(p).absolute()) for p in sys.path if p and p != root)]
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with theirs:
            # Isolated mode: nothing but the given path and environment decides what is imported.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, str(theirs.fileno()), "\x1f".join(path)],
                env={**inherited, **PRESET, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
            )
        configuration = {"preload": preload, "namespaces": namespaces, "launcher": os.getpid()}
        # Refused when the server died at once; `layers` and `spawn` say so.
        with contextlib.suppress(OSError):
            control.send(json.dumps(configuration).encode())

    @property
    def pid(self) -> int:
        """Process number of the server's outer process, the parent of all others."""
        return self._process.pid

    def layers(self) -> Mapping[str, Layer]:
        """What confines children on this machine: name -> layer, all of `layers.NAMES`.

        Waits until the imports are done. Raises WorkerDied when they failed.
        """
        with self._lock:
            if self._layers is None and not self._failure:
                event = _receive_json(self._control, time.monotonic() + _START_LIMIT_S)
                if event is None or "failed" in event:
                    reason = event["failed"] if event else "it ended at its start"
                    self._failure = f"the zygote is gone: {reason}"
                else:
                    self._layers = from_json(event["layers"])
            if self._failure:
                raise WorkerDied(self._failure)
        return super().layers()

    def close(self) -> None:
        """End the server and every child; returns when all are gone. Callable twice."""
        super().close()
        try:
            self._process.wait(_KILL_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _why_gone(self) -> str:
        if not self._failure and self._process.poll() is not None:
            with contextlib.suppress(WorkerDied):
                self.layers()
            self._failure = self._failure or "the zygote is gone: it was ended"
        return self._failure


def _receive_json(end: socket.socket, deadline: float | None) -> dict[str, Any] | None:
    left = None if deadline is None else max(0.001, deadline - time.monotonic())
    try:
        end.settimeout(left)
        data = _receive(end, 1 << 16)
    except TimeoutError as error:
        raise WorkerTimeout("a child still runs") from error
    except OSError:
        return None
    message: dict[str, Any] | None = json.loads(data) if data else None
    return message


def _receive(end: socket.socket, size: int) -> bytes:
    try:
        return end.recv(size)
    except ConnectionResetError:
        # The other side closed with a message of ours unread; what it had sent comes after this.
        return end.recv(size)
