"""The few functions needed of the driver's management library (NVML), whose interface is stable.

The judge's own process asks it about the device, whoever uses that. Nothing here raises: what a
machine does not tell is left out.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

# NVML_GPU_UTILIZATION_SAMPLES
_UTILISATION = 1
# nvmlValueType_t -> the member of the union that holds it; drivers tell percent as unsigned int.
_VALUES = {0: "double", 1: "uint", 2: "ulong", 3: "ulonglong"}
_MOST_PERCENT = 100.0


class _Value(ctypes.Union):
    _fields_ = (
        ("double", ctypes.c_double),
        ("uint", ctypes.c_uint),
        ("ulong", ctypes.c_ulong),
        ("ulonglong", ctypes.c_ulonglong),
    )


class _Sample(ctypes.Structure):
    _fields_ = (("stamp_us", ctypes.c_ulonglong), ("value", _Value))


class Nvml:
    """One device, as the library knows it."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:
        """Use a library that is initialised, and its handle of the device; `open` finds both."""
        self._library = library
        self._handle = handle

    @classmethod
    def open(cls, device: str) -> Nvml | None:
        """Connect to torch's device; None where the library or the device is not to be had."""
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
            handle = ctypes.c_void_p()
            if library.nvmlInit_v2() != 0:
                return None
            uuid = uuid_of(device)
            found = (
                library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle))
                if uuid
                else library.nvmlDeviceGetHandleByIndex_v2(index_of(device), ctypes.byref(handle))
            )
        except (OSError, AttributeError):
            return None
        if found != 0:
            library.nvmlShutdown()
            return None
        return cls(library, handle)

    def sample(self) -> dict[str, float]:
        """The numbers that the device tells of this moment (`fitness.telemetry.Record`)."""
        found: dict[str, float] = {}
        small, large = ctypes.c_uint(), ctypes.c_ulonglong()
        for name, function, arguments, value, scale in (
            ("sm_mhz", "nvmlDeviceGetClockInfo", (1,), small, 1.0),
            ("memory_mhz", "nvmlDeviceGetClockInfo", (2,), small, 1.0),
            ("temperature_c", "nvmlDeviceGetTemperature", (0,), small, 1.0),
            ("power_w", "nvmlDeviceGetPowerUsage", (), small, 1e-3),
            ("reasons", "nvmlDeviceGetCurrentClocksThrottleReasons", (), large, 1.0),
        ):
            ask = getattr(self._library, function, None)
            if ask and ask(self._handle, *arguments, ctypes.byref(value)) == 0:
                found[name] = value.value * scale
        return found

    def utilisation(self) -> list[tuple[float, float]]:
        """The driver's latest samples of how busy the device was, the oldest first.

        Each is a pair: when it was taken (seconds since the epoch), and the share, 0 to 1, of the
        time since the one before in which any kernel of any process ran. Empty where the driver
        tells none, as on a part of a device (MIG).
        """
        ask = getattr(self._library, "nvmlDeviceGetSamples", None)
        kind, count = ctypes.c_uint(), ctypes.c_uint()
        asked = (self._handle, _UTILISATION, ctypes.c_ulonglong(0), ctypes.byref(kind))
        # Without room for samples it tells how many there may be.
        if not ask or ask(*asked, ctypes.byref(count), None) != 0 or not count.value:
            return []
        room = (_Sample * count.value)()
        if ask(*asked, ctypes.byref(count), room) != 0 or kind.value not in _VALUES:
            return []
        member = _VALUES[kind.value]
        found = [(s.stamp_us / 1e6, float(getattr(s.value, member))) for s in room[: count.value]]
        return sorted((at_s, v / 100) for at_s, v in found if at_s and 0 <= v <= _MOST_PERCENT)


@lru_cache(maxsize=8)
def nvml(device: str) -> Nvml | None:
    """A device's library, opened once per process: it takes longer than the shortest timing."""
    return Nvml.open(device)


def uuid_of(device: str) -> str:
    """The device's own name: numbers are torch's, which may see fewer devices than there are."""
    import torch

    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return f"GPU-{uuid}" if uuid else ""


def index_of(device: str) -> int:
    """The number of a device such as "cuda:1"; 0 where it has none."""
    return int(device.partition(":")[2] or 0)
