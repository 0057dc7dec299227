"""The first steps of a forked child: descriptors, signals, confinement, then its entry function."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from fitness.sandbox import linux
from fitness.sandbox.channel import Channel
from fitness.sandbox.confine import Layers, confine
from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Spawner

FAILED_STATUS = 125
_CHANNEL, _STATUS, _CONTROL, _FIRST_FREE = 3, 4, 5, 6
# Above every number that a process with few open files has in use.
_ASIDE = 100


class Plan(NamedTuple):
    """What a child is to be.

    Attributes:
        entry: "module:function".
        limits: What it may use, as `Limits.to_json` tells it; None for one of our own processes.
        layers: What confines it.
        user: The user number set aside for it, or None.
        channel: Descriptor of its channel.
        status: Descriptor by which a failed start is told to the owner.
        output: Descriptor for standard output and error.
        outer_proc: Descriptor of the launcher's /proc.
        control: Descriptor for requests of its own, or None.
    """

    entry: str
    limits: Mapping[str, Any] | None
    layers: Layers
    user: int | None
    channel: int
    status: int
    output: int
    outer_proc: int
    control: int | None

    @property
    def alone(self) -> bool:
        """Whether it is the first process of a process namespace of its own.

        Our own processes are not: they look at those of candidates in /proc.
        """
        return self.limits is not None and self.layers.processes


def run(plan: Plan) -> NoReturn:
    """Become the child; called in the forked process and never returns."""
    try:
        # In a namespace of its own the child has other numbers, and the launcher yet others.
        numbers = {
            "pid": int(os.readlink("/proc/self")),  # noqa: PTH115 - plain calls: what is new costs
            "outer_pid": int(os.readlink("self", dir_fd=plan.outer_proc)),
        }
        _take_descriptors(plan)
        os.setsid()
        if not plan.alone:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        _tell(numbers)
        linux.be_called("evo-" + plan.entry.partition(":")[0].rpartition(".")[2])
        # Our own code: it may lie where the child will not be able to read.
        module, _, name = plan.entry.partition(":")
        entry = getattr(sys.modules.get(module) or importlib.import_module(module), name)
        # The server's words name its folders.
        sys.argv = [""]
        if plan.limits is not None:
            limits = Limits.from_json(plan.limits)
            confine(limits, plan.layers, user=plan.user)
            _settle(limits)
        os.close(_STATUS)
    except BaseException as error:  # noqa: BLE001 - a forked process must not return
        _tell({"failed": f"{type(error).__name__}: {error}"[:2000]})
        os._exit(FAILED_STATUS)
    # Held here to the very end: its closing tells the owner that all has been said and printed.
    channel = Channel(socket.socket(fileno=_CHANNEL), trusted=True)
    status = 1
    try:
        _call(entry, channel, plan)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - the end of a process: told on its standard error
        traceback.print_exc()
    finally:
        _flush()
        os._exit(status & 0xFF)


def _call(entry: Callable[..., object], channel: Channel, plan: Plan) -> None:
    argument = channel.receive_trusted(None)
    if plan.control is None:
        entry(channel, argument)
    else:
        control = socket.socket(fileno=_CONTROL)
        entry(channel, argument, Spawner(control, plan.layers.describe()))


def _settle(limits: Limits) -> None:
    if limits.write:
        # Relative names and temporary files go where writing is allowed.
        folder = str(limits.write[0])
        os.chdir(folder)
        os.environ["TMPDIR"] = folder


def _take_descriptors(plan: Plan) -> None:
    wanted = [(plan.channel, _CHANNEL), (plan.status, _STATUS)]
    if plan.control is not None:
        wanted.append((plan.control, _CONTROL))
    # Standard input is the null device already: the server's own.
    os.dup2(plan.output, 1)
    os.dup2(plan.output, 2)
    if any(source < _FIRST_FREE for source, _ in wanted):
        # Set aside first: a target number may be another one's source.
        wanted = [(fcntl.fcntl(s, fcntl.F_DUPFD_CLOEXEC, _ASIDE), t) for s, t in wanted]
    for source, target in wanted:
        os.dup2(source, target, inheritable=False)
    linux.close_from(_FIRST_FREE if plan.control is not None else _CONTROL)


def _tell(event: dict[str, Any]) -> None:
    os.write(_STATUS, json.dumps(event).encode())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Closed or replaced by the child: what it did not write is lost.
            continue
