"""The zygote's own side: an outer process that watches, an inner one that starts all others.

The outer process holds nothing but a watch (`watchdog`): when the launcher is gone it ends the
inner one. That (`nursery`) is the first process of its own process namespace, so its end is the end
of all.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from fitness.sandbox import landlock, linux, mounts, namespaces, seccomp, watch, watchdog
from fitness.sandbox.confine import Layers, become, detect, enter_user_namespace
from fitness.sandbox.layers import to_json
from fitness.sandbox.limits import Limits
from fitness.sandbox.nursery import Nursery

_CONFIGURATION_BYTES = 1 << 16


def main(control: int) -> NoReturn:
    """Run a zygote that obeys the socket with this descriptor; does not return."""
    configuration = json.loads(os.read(control, _CONFIGURATION_BYTES))
    refused = namespaces.enter() if configuration["namespaces"] else "switched off"
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    inner = os.fork()
    if inner == 0:
        try:
            _serve(control, configuration["preload"], refused)
        except BaseException as error:  # noqa: BLE001 - a forked process must not return
            _tell(control, {"failed": f"{type(error).__name__}: {error}"[:2000]})
        finally:
            os._exit(1)
    watchdog.become(inner, control, configuration["launcher"])


def _serve(control: int, preload: list[str], refused: str) -> None:
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    outer_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not refused:
        mounts.own_processes()
    slots = namespaces.user_slots()
    layers = _layers(refused, slots)
    nursery = Nursery(control=control, layers=layers, slots=slots, outer_proc=outer_proc)
    nursery.preload(preload)
    _tell(control, {"layers": to_json(layers.describe())})
    nursery.serve()


def _layers(refused: str, slots: range) -> Layers:
    def try_slot() -> None:
        become(slots[0] if slots else None, Limits(), landlock=True)

    def try_mounts() -> None:
        if user == "nested" and refused:
            enter_user_namespace()
        mounts.restrict((), processes=False)

    def try_folder() -> None:
        if user == "nested" and refused:
            enter_user_namespace()
        mounts.restrict((Path(folder),), processes=False, folder_bytes=1 << 20)

    def try_landlock() -> None:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        landlock.restrict(landlock.version(), read=(), write=(), devices=False)

    def try_seccomp() -> None:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.install()

    users = detect({"slot": try_slot, "nested": enter_user_namespace})
    user = next((name for name, reason in users.items() if not reason), "")
    missing = detect({"read-only-mounts": try_mounts, "landlock": try_landlock})
    missing |= detect({"seccomp": try_seccomp})
    with tempfile.TemporaryDirectory(prefix="evo-") as folder:
        missing |= detect({"private-folder": try_folder})
    missing |= {"user": users["nested"]}
    missing |= {"process-namespace": refused, "network-namespace": refused}
    processes = not refused and not missing["read-only-mounts"]
    return Layers(
        processes=processes,
        network=not refused,
        user=user,
        mounts=not missing["read-only-mounts"],
        folder=not missing["private-folder"],
        landlock=0 if missing["landlock"] else landlock.version(),
        seccomp=not missing["seccomp"],
        watched=(processes or user == "slot") and watch.possible(),
        others=0 if user else _tasks_of_user(),
        missing={name: reason for name, reason in missing.items() if reason},
    )


def _tasks_of_user() -> int:
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == os.geteuid():
                count += sum(1 for _ in (entry / "task").iterdir())
    return count


def _tell(control: int, event: dict[str, Any]) -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(control)) as end:
        end.send(json.dumps(event).encode())
