"""Limits of a CUDA multiprocessor by compute capability, and the occupancy that follows from them.

The numbers are those of the CUDA C++ Programming Guide, "Technical Specifications per Compute
Capability"; how registers and shared memory are given out is that of NVIDIA's occupancy calculator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WARP = 32
_REGISTERS = 65536
# Registers of a warp are given out in pieces of this size, warps on four schedulers.
_REGISTER_UNIT = 256
_SCHEDULERS = 4
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one multiprocessor holds.

    Attributes:
        warps: Resident warps.
        blocks: Resident blocks.
        shared_bytes: Shared memory of all resident blocks.
        block_shared_bytes: Shared memory that one block may have.
        reserved_bytes: Shared memory that every block costs beside its own.
        registers: 32-bit registers.
    """

    warps: int
    blocks: int
    shared_bytes: int
    block_shared_bytes: int
    reserved_bytes: int = _KIB
    registers: int = _REGISTERS


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a multiprocessor can be.

    Attributes:
        share: Resident warps over the most there can be, 0..1.
        blocks: Resident blocks; 0 when not even one fits.
        limited_by: "registers", "shared memory", "warps" or "blocks".
    """

    share: float
    blocks: int
    limited_by: str


_LIMITS = {
    (7, 0): Limits(64, 32, 96 * _KIB, 96 * _KIB, 0),
    (7, 5): Limits(32, 16, 64 * _KIB, 64 * _KIB, 0),
    (8, 0): Limits(64, 32, 164 * _KIB, 163 * _KIB),
    (8, 6): Limits(48, 16, 100 * _KIB, 99 * _KIB),
    (8, 7): Limits(48, 16, 164 * _KIB, 163 * _KIB),
    (8, 9): Limits(48, 24, 100 * _KIB, 99 * _KIB),
    (9, 0): Limits(64, 32, 228 * _KIB, 227 * _KIB),
    (10, 0): Limits(64, 32, 228 * _KIB, 227 * _KIB),
    (10, 3): Limits(64, 32, 228 * _KIB, 227 * _KIB),
    (12, 0): Limits(48, 24, 100 * _KIB, 99 * _KIB),
}


def limits_of(capability: tuple[int, int]) -> Limits | None:
    """The limits of a compute capability; None for one that is not known."""
    return _LIMITS.get(capability)


def occupancy(limits: Limits, *, registers: int, shared_bytes: int, warps: int) -> Occupancy:
    """How many blocks of a kernel fit on one multiprocessor, and what keeps out the next one.

    Args:
        limits: Of the device.
        registers: Of one thread; 0 when not known.
        shared_bytes: Of one block.
        warps: Of one block, at least 1.
    """
    possible = {"warps": limits.warps // warps, "blocks": limits.blocks}
    if registers:
        each = math.ceil(registers * WARP / _REGISTER_UNIT) * _REGISTER_UNIT
        fitting = limits.registers // _SCHEDULERS // each * _SCHEDULERS
        possible["registers"] = fitting // warps
    if shared_bytes:
        possible["shared memory"] = (
            0
            if shared_bytes > limits.block_shared_bytes
            else limits.shared_bytes // (shared_bytes + limits.reserved_bytes)
        )
    # Of equal limits the one that a kernel's author can change is named.
    order = ("registers", "shared memory", "warps", "blocks")
    name = min((n for n in order if n in possible), key=lambda n: possible[n])
    return Occupancy(possible[name] * warps / limits.warps, possible[name], name)
