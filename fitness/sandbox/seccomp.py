"""A filter of system calls: what no kernel needs, and what no other layer stops.

Refused with EPERM: sockets of any family but AF_UNIX, which CUDA opens one of, connecting them, and
datagrams, which need no connection (neither Landlock nor a network namespace hides a service of the
machine that listens at a path); files in memory, which no limit of a process counts;
namespaces and mounts; tracing and other processes' memory; kernel modules and programs; kernel-wide
settings; and what outlives a process outside files (System V memory and queues, keys, extended
attributes) and so could carry answers from one candidate to the next. io_uring is refused because
it would pass sockets by this filter.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from functools import lru_cache

from fitness.sandbox import linux

# Name -> number on x86-64 and on AArch64; None where the call does not exist.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "open_tree_attr": (467, 467),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "clone": (56, 220),
    "clone3": (435, 435),
}
_FOR_DRIVERS = ("memfd_create",)
_SPECIAL = ("socket", "socketpair", "clone", "clone3")
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag of clone(2)

_LOAD, _EQUAL, _AT_LEAST, _SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
_NUMBER, _ARCHITECTURE, _ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_AF_UNIX, _SOCK_DGRAM, _SOCK_RAW, _SOCK_KIND = 1, 2, 3, 0xF


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(*, devices: bool = False) -> None:
    """Filter this process's calls for ever. Needs no_new_privs. Raises OSError.

    Args:
        devices: Whether an accelerator's driver is to work, which may make files in memory.
    """
    code = program(devices=devices)
    filled = _Program(len(code) // 8, code)
    linux.prctl(linux.PR_SET_SECCOMP, linux.SECCOMP_MODE_FILTER, ctypes.addressof(filled))


@lru_cache(maxsize=2)
def program(*, devices: bool) -> bytes:
    """The filter for this processor, in the kernel's form. Raises OSError for an unknown one."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter for processor {machine}")
    column, architecture = _ARCHITECTURES[machine]
    special = {name: _REFUSED[name][column] for name in _SPECIAL}
    plain = [
        numbers[column]
        for name, numbers in _REFUSED.items()
        if name not in _SPECIAL and numbers[column] is not None
        if not (devices and name in _FOR_DRIVERS)
    ]
    refuse, allow = (_RETURN, _ERROR | errno.EPERM), (_RETURN, _ALLOW)
    # Every test jumps at most over the next instructions, so blocks can be put one after another.
    code: list[tuple[int, ...]] = [
        (_LOAD, _ARCHITECTURE),
        (_EQUAL, architecture, 1, 0),
        (_RETURN, _KILL),
        (_LOAD, _NUMBER),
        # x86-64 has a second numbering of the same calls.
        (_AT_LEAST, 0x40000000, 0, 1),
        refuse,
    ]
    for number in plain:
        code += [(_EQUAL, number or 0, 0, 1), refuse]
    # glibc falls back to clone(2), whose flags can be read here, when clone3 does not exist.
    code += [(_EQUAL, special["clone3"] or 0, 0, 1), (_RETURN, _ERROR | errno.ENOSYS)]
    for name in ("socket", "socketpair"):
        code += [(_EQUAL, special[name] or 0, 0, 9), (_LOAD, _ARGUMENT)]
        code += [(_EQUAL, _AF_UNIX, 1, 0), refuse, (_LOAD, _SECOND_ARGUMENT), (_AND, _SOCK_KIND)]
        # Of AF_UNIX, a raw socket is another name for datagrams.
        code += [(_EQUAL, _SOCK_DGRAM, 1, 0), (_EQUAL, _SOCK_RAW, 0, 1), refuse, allow]
    code += [(_EQUAL, special["clone"] or 0, 0, 3), (_LOAD, _ARGUMENT)]
    code += [(_SET, _NEW_NAMESPACES, 0, 1), refuse, allow]
    return b"".join(_instruction(*fields) for fields in code)


def _instruction(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", operation, if_true, if_false, value)
