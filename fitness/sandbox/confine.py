"""Take rights away from the calling process, for good: the layers, in the order of use.

Each layer is tried once per server, in a process of its own (`detect`); children then get every
layer that worked, and a child in which one of those fails does not start. No layer needs to be
perfect: a namespace stops what Landlock cannot see, limits stop what neither sees.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass

from fitness.sandbox import landlock, linux, mounts, seccomp
from fitness.sandbox.landlock import device_groups
from fitness.sandbox.layers import NAMES, Layer
from fitness.sandbox.limits import Limits

# Address space for thread stacks, libraries and other things that are no memory yet.
_ADDRESS_SLACK_BYTES = 16 * 1024**3
# Why a layer is not used anywhere, or what it needs.
_NEVER = {
    "cgroup": "left out: moving a process into a control group waits for a grace period of the "
    "kernel, 6 to 20 ms where a whole start takes 7; memory-watch stands in",
    "memory-watch": "needs process-namespace, or user numbers to give away",
}


@dataclass(frozen=True, slots=True)
class Layers:
    """What this machine offers, in the form in which a child is confined by it.

    Attributes:
        processes: Own process namespaces: the end of a child is the end of all its descendants.
        network: An empty network namespace.
        user: "slot" where each child can be given a user number of its own, "nested" where each
            can have a user namespace of its own; either makes the process limit its own.
        mounts: Whether a child can have a view of the file system of its own.
        folder: Whether its first writable folder can be memory of a fixed size.
        landlock: Version of Landlock's interface, 0 without.
        seccomp: Whether system calls can be filtered.
        watched: Whether all processes of a child can be told from others, to add up what they use.
        others: Processes and threads that the user had at the start, for the limit without `user`.
        missing: Layer -> why this machine refuses it.
    """

    processes: bool
    network: bool
    user: str
    mounts: bool
    folder: bool
    landlock: int
    seccomp: bool
    watched: bool
    others: int
    missing: dict[str, str]

    def describe(self) -> dict[str, Layer]:
        """For people and for `[sandbox] require`: name -> layer, in the order of `NAMES`."""
        users = {"slot": "a number of its own", "nested": "a namespace of its own"}
        details = {"user": users.get(self.user, ""), "landlock": f"version {self.landlock}"}
        found = {
            "process-namespace": self.processes,
            "network-namespace": self.network,
            "user": bool(self.user),
            "read-only-mounts": self.mounts,
            "private-folder": self.folder,
            "landlock": self.landlock > 0,
            "seccomp": self.seccomp,
            "resource-limits": True,
            "memory-watch": self.watched,
            "cgroup": False,
        }
        missing = {**_NEVER, **self.missing}
        return {
            name: Layer(
                name,
                on=found[name],
                detail=(details if found[name] else missing).get(name, ""),
            )
            for name in NAMES
        }


def confine(limits: Limits, layers: Layers, *, user: int | None) -> None:
    """Confine this process for ever. Raises OSError when a layer is refused.

    Args:
        limits: What remains allowed.
        layers: The layers to use.
        user: The user number set aside for this child, with `layers.user == "slot"`.
    """
    with contextlib.suppress(OSError):
        # When memory runs out in spite of all limits, candidates go first.
        _write("/proc/self/oom_score_adj", "1000")
    # Within the zygote's namespaces the right to mount is there, and ends with a further one.
    nested, rights = layers.user == "nested", layers.network
    if nested and not rights:
        enter_user_namespace()
    if layers.mounts:
        size_bytes = limits.folder_bytes if layers.folder else 0
        mounts.restrict(limits.write, processes=layers.processes, folder_bytes=size_bytes)
    if nested and rights:
        enter_user_namespace()
    if layers.user == "slot":
        become(user, limits, landlock=layers.landlock > 0)
    _limit_resources(limits, others=0 if layers.user else layers.others)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if layers.landlock:
        landlock.restrict(
            layers.landlock,
            read=limits.read,
            load=limits.load,
            write=limits.write,
            devices=limits.devices,
        )
    if layers.user != "slot":
        # With a number of its own a child has given up all but reading already.
        linux.set_capabilities(())
    if layers.seccomp:
        seccomp.install(devices=limits.devices)


def enter_user_namespace() -> None:
    """Move to a new user namespace with this process's own user and group alone."""
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER)
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def detect(candidates: dict[str, Callable[[], None]]) -> dict[str, str]:
    """Try each action in a forked process. Returns name -> "" when it worked, or the reason."""
    return {name: _try(action) for name, action in candidates.items()}


def _try(action: Callable[[], None]) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os.write(writer, b"+")
        except BaseException as error:  # noqa: BLE001 - a forked process must not return
            os.write(writer, str(error).encode()[:500] or b"failed")
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 512)
    os.close(reader)
    os.waitpid(pid, 0)
    return "" if answer == b"+" else answer.decode(errors="replace") or "the process died"


def become(user: int | None, limits: Limits, *, landlock: bool) -> None:
    """Change to this user number and give it the folders of `limits`. Raises OSError.

    Args:
        user: The number, or None when all are in use.
        limits: What this process may use.
        landlock: Whether Landlock will keep files from being written.
    """
    if user is None:
        raise OSError("no user number is free")
    for folder in limits.write:
        os.chown(folder, user, user)
    linux.prctl(linux.PR_SET_KEEPCAPS, 1)
    # Device nodes may be for a group alone.
    os.setgroups(device_groups() if limits.devices else [])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # Reading what root may read stays possible, within this user namespace: the interpreter and
    # the libraries may lie in root's home folder.
    kept = linux.CAP_DAC_READ_SEARCH
    try:
        linux.set_capabilities((kept,))
    except PermissionError:
        # Root of a container may lack this right, and have one that includes it.
        if not landlock:
            raise
        kept = linux.CAP_DAC_OVERRIDE
        linux.set_capabilities((kept,))
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_RAISE, kept)


def _limit_resources(limits: Limits, *, others: int) -> None:
    private_bytes, address_bytes = _memory_in_use()
    cpu_s = math.ceil(limits.cpu_s)
    values = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_NPROC: limits.processes + others,
        resource.RLIMIT_DATA: private_bytes + limits.memory_bytes,
        resource.RLIMIT_MEMLOCK: 64 * 1024,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if not limits.devices:
        address_limit = address_bytes + limits.memory_bytes + _ADDRESS_SLACK_BYTES
        values[resource.RLIMIT_AS] = address_limit
    for kind, value in values.items():
        _, hard = resource.getrlimit(kind)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def _memory_in_use() -> tuple[int, int]:
    descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    fields = os.read(descriptor, 256).split()
    os.close(descriptor)
    page_bytes = resource.getpagesize()
    # Field 5 is "data + stack": what RLIMIT_DATA counts, within the size of the stack.
    return int(fields[5]) * page_bytes, int(fields[0]) * page_bytes


def _write(name: str, text: str) -> None:
    # Plain calls: every object used here for the first time costs a copied page.
    descriptor = os.open(name, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
