"""The process that starts children, and their bookkeeping.

Our own processes are forked here, and confined ones too where there are no process namespaces;
where there are, a `Template` forks those.

One thread runs one loop over

    control sockets   one to the launcher and one to each judge; a message asks for a child
    status sockets    one per child, to its owner; a message or the owner's end asks for its death,
                      and what happened to the child is told here
    output pipes      one per child; emptied here, so that a child never waits for a reader
    pidfds            one per child; readable at its end

and, while confined children live, looks four times a second at how much memory each uses in all.

File descriptors are plain numbers here, not socket objects: a forked child has a copy of every
object of this process, and must not close anything when it drops one.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fitness.sandbox import holes, linux, pages, seccomp, startup, watch
from fitness.sandbox.confine import Layers
from fitness.sandbox.output import Excerpt
from fitness.sandbox.packets import receive, send
from fitness.sandbox.template import Ended, Template
from fitness.sandbox.watchdog import end_strays
from populations.errors import WorkerDied

_PIECE_BYTES = 1 << 18
_OWN_OUTPUT_BYTES = 64 * 1024
# What torch and all of ours take of the heap.
_IMPORTED_BYTES = 96 << 20


@dataclass(eq=False, slots=True)
class _Child:
    """One child's record, kept until its end is told."""

    pid: int
    handle: int
    status: int
    reader: int
    control: int | None
    owner: _Child | None
    alone: bool
    user: int | None
    output_limit: int
    memory_bytes: int = 0
    output: Excerpt = field(init=False)
    end: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.output = Excerpt(self.output_limit)


class Nursery:
    """Forks children and tells their owners how they end."""

    def __init__(
        self, *, control: int, layers: Layers, slots: Iterable[int], outer_proc: int
    ) -> None:
        """Prepare to serve.

        Args:
            control: Descriptor of the launcher's socket.
            layers: What confines children.
            slots: User numbers to give to children.
            outer_proc: Descriptor of the launcher's /proc, whose numbers the launcher knows.
        """
        self._outer_proc = outer_proc
        self._layers = layers
        self._free_users = list(slots)
        self._base = (0, 0)
        self._next_look_s = 0.0
        self._children: set[_Child] = set()
        self._selector = selectors.DefaultSelector()
        self._template: Template | None = None
        self._watch(control, lambda: self._request(control, None))
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)

    def preload(self, modules: Iterable[str]) -> None:
        """Import what children need. Nothing may compute here: see `zygote`."""
        with pages.large_heap(_IMPORTED_BYTES):
            self._import(modules)
            # Before the first fork: a child that began earlier would keep the small pages beside
            # the large ones, all 120 MB of them.
            for place in pages.large_page_ranges():
                pages.gather(*place)
        self._base = watch.resident()
        if self._layers.processes:
            self._template = Template(self._layers, self._outer_proc)

    def _import(self, modules: Iterable[str]) -> None:
        """Import them, and have all else as children are to find it."""
        # Next to nothing of what modules make is rubbish; looking for it takes a fifth of the time.
        gc.disable()
        for name in modules:
            importlib.import_module(name)
        faulthandler.enable()
        # Theirs too; a server that was started in the background ignores it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._layers.seccomp:
            for devices in (False, True):
                seccomp.program(devices=devices)
        if hasattr(sys.stdout, "reconfigure"):
            # What a child printed before it crashed shall not be lost in a buffer.
            sys.stdout.reconfigure(line_buffering=True)
        # The collector of a child would otherwise touch, and so copy, all pages of these modules.
        gc.freeze()
        gc.enable()
        holes.fill()

    def serve(self) -> None:
        """Serve until the launcher closes its socket; then every child has ended."""
        while True:
            for key, _ in self._selector.select(self._until_next_look_s()):
                # Handlers of one round may have ended what a later event of the round is about.
                if key.fd in self._selector.get_map():
                    key.data()
            if self._next_look_s and time.monotonic() >= self._next_look_s:
                self._look()

    def _until_next_look_s(self) -> float | None:
        if not any(child.memory_bytes for child in self._children):
            self._next_look_s = 0.0
            return None
        now = time.monotonic()
        self._next_look_s = self._next_look_s or now + watch.INTERVAL_S
        return max(0.0, self._next_look_s - now)

    def _look(self) -> None:
        """Kill every child whose processes use more than is theirs."""
        self._next_look_s = 0.0
        watched = {child.pid: child for child in self._children if child.memory_bytes}
        users = {pid: None if child.alone else child.user for pid, child in watched.items()}
        used = watch.used_bytes(self._parents(), users, self._base)
        for pid, child in watched.items():
            bound = watch.bound_bytes(child.memory_bytes)
            if used[pid] > bound and child.end is None:
                text = f"\n[killed: used {used[pid] >> 20} MiB of memory, {bound >> 20} allowed]\n"
                child.output.add(text.encode())
                self._kill(child)

    def _parents(self) -> list[int]:
        return [os.getpid(), *([self._template.pid] if self._template else [])]

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, handler)

    def _drop(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        os.close(descriptor)

    def _request(self, control: int, owner: _Child | None) -> None:
        message, descriptors = receive(control)
        if message and len(descriptors) == 2:
            self._start(json.loads(message), descriptors[0], descriptors[1], owner)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        if message:
            return
        if owner is None:
            self._shut_down()
        self._drop(control)
        if owner is not None:
            owner.control = None
        self._kill_owned(owner)

    def _start(
        self, request: dict[str, Any], channel: int, status: int, owner: _Child | None
    ) -> None:
        limits = request["limits"]
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        slot = limits is not None and self._layers.user == "slot"
        user = self._free_users.pop(0) if slot and self._free_users else None
        control: tuple[int, int] | None = None
        if request["zygote"]:
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            control = ends[0].detach(), ends[1].detach()
        plan = startup.Plan(
            entry=request["entry"],
            limits=limits,
            layers=self._layers,
            user=user,
            channel=channel,
            status=status,
            output=writer,
            outer_proc=self._outer_proc,
            control=control[1] if control else None,
        )
        try:
            pid = self._fork(plan)
        except OSError as error:
            send(status, json.dumps({"failed": f"fork: {error}"}).encode())
            for descriptor in (reader, writer, channel, status, *(control or ())):
                os.close(descriptor)
            self._release(user)
            return
        for descriptor in (writer, channel, *(control[1:] if control else ())):
            os.close(descriptor)
        child = _Child(
            pid=pid,
            handle=os.pidfd_open(pid),
            status=status,
            reader=reader,
            control=control[0] if control else None,
            owner=owner,
            alone=plan.alone,
            user=user,
            output_limit=_OWN_OUTPUT_BYTES if limits is None else limits["output_bytes"],
            memory_bytes=limits["memory_bytes"] if limits and self._layers.watched else 0,
        )
        self._children.add(child)
        self._watch(child.handle, lambda: self._ended(child))
        self._watch(status, lambda: self._told(child))
        self._watch(reader, lambda: self._read(child))
        if control:
            self._watch(control[0], lambda: self._request(control[0], child))

    def _fork(self, plan: startup.Plan) -> int:
        if not plan.alone or self._template is None:
            return os.fork() or startup.run(plan)
        with contextlib.suppress(WorkerDied):
            return self._template.fork(plan)
        # Ended by whoever ends processes where memory is short. What it had started is ours now,
        # and what it may have started just now is nobody's.
        self._template.renew()
        self._end_strays()
        try:
            return self._template.fork(plan)
        except WorkerDied as error:
            raise OSError(errno.ESRCH, str(error)) from error

    def _told(self, child: _Child) -> None:
        # Whatever it is, the owner's message or the owner's end: it asks for the child's death.
        if not receive(child.status)[0]:
            self._selector.unregister(child.status)
        self._kill(child)

    def _kill(self, child: _Child) -> None:
        if child.end is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.handle, signal.SIGKILL)
                if not child.alone:
                    os.killpg(child.pid, signal.SIGKILL)

    def _kill_owned(self, owner: _Child | None) -> None:
        for child in self._children:
            if child.owner is owner:
                self._kill(child)

    def _read(self, child: _Child) -> None:
        try:
            data = os.read(child.reader, _PIECE_BYTES)
        except BlockingIOError:
            return
        if child.output.add(data):
            with contextlib.suppress(OSError):
                # A child that writes much is read in larger pieces.
                fcntl.fcntl(child.reader, fcntl.F_SETPIPE_SZ, _PIECE_BYTES)
        if not data and child.reader in self._selector.get_map():
            self._selector.unregister(child.reader)

    def _ended(self, child: _Child) -> None:
        ended = self._reaped(child.pid)
        if not child.alone:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            self._end_strays()
        code = os.waitstatus_to_exitcode(ended.status)
        child.end = {
            "status": code if code >= 0 else 128 - code,
            "signal": max(0, -code),
            "cpu_s": ended.cpu_s,
            "max_rss_bytes": ended.max_rss_bytes,
        }
        self._drop(child.handle)
        if child.control is not None:
            self._drop(child.control)
        self._kill_owned(child)
        self._finish(child)

    def _end_strays(self) -> None:
        end_strays({child.pid for child in self._children} | {*self._parents()})

    def _reaped(self, pid: int) -> Ended:
        if self._template is not None:
            try:
                return self._template.reap(pid)
            except WorkerDied:
                # What it had started is this process's when it is gone for good, not before.
                with contextlib.suppress(OSError):
                    self._template.renew()
            except ChildProcessError:
                # Started here, or by one that has been renewed.
                pass
        _, status, usage = os.wait4(pid, 0)
        return Ended.of(status, usage)

    def _finish(self, child: _Child) -> None:
        if child.end is None or any(other.owner is child for other in self._children):
            return
        # All writers are gone: what is left in the pipe is all there will be.
        before = -1
        while before != (before := child.output.seen_bytes):
            self._read(child)
        self._children.remove(child)
        self._release(child.user)
        output = child.output.text()
        if child.end["signal"] == signal.SIGSEGV and b"Fatal Python error: Abort" in output:
            child.end |= {"signal": signal.SIGABRT, "status": 128 + signal.SIGABRT}
        send(child.status, json.dumps(child.end | {"output_bytes": len(output)}).encode())
        if output:
            send(child.status, output)
        self._drop(child.reader)
        self._drop(child.status)
        if child.owner is not None:
            self._finish(child.owner)

    def _release(self, user: int | None) -> None:
        if user is not None:
            self._free_users.append(user)

    def _shut_down(self) -> None:
        for child in self._children:
            self._kill(child)
        end_strays(set())
        os._exit(0)
