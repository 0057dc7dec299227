"""What kernels use of a multiprocessor, and how that differs from a parent's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitness.diagnostics.device import Limits, occupancy

_MOST = 8
_NAME_LENGTH = 60
# What is taken of an answer -> the largest number that can be true.
_NUMBERS = {
    "registers": 255,
    "spills": 1 << 16,
    "shared_bytes": 1 << 20,
    "num_warps": 64,
    "num_stages": 64,
    "wgmma": 1 << 20,
    "tcgen05": 1 << 20,
    "mma": 1 << 20,
    "tma": 1 << 20,
    "async_copies": 1 << 20,
    "barriers": 1 << 20,
    "atomics": 1 << 20,
    "load_bytes": 32,
    "store_bytes": 32,
}
_COMPARED = ("registers", "spills", "shared_bytes", "num_warps", "num_stages", "occupancy")


def checked(answer: Any, limits: Limits | None) -> list[dict[str, Any]]:
    """Take from a candidate's answer what can be true, and add the occupancy.

    Args:
        answer: A list of dictionaries as `fitness.diagnostics.loaded.kernels` makes them, or
            anything else.
        limits: Of the device; None: no occupancy.
    """
    found = []
    for item in (answer if isinstance(answer, list) else [])[:_MOST]:
        if not isinstance(item, dict):
            continue
        kernel: dict[str, Any] = {"name": str(item.get("name", ""))[:_NAME_LENGTH]}
        for name, most in _NUMBERS.items():
            value = item.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
                kernel[name] = value
        constants = item.get("constants")
        if isinstance(constants, dict):
            kernel["constants"] = {
                str(k)[:_NAME_LENGTH]: v
                for k, v in list(constants.items())[:_MOST]
                if isinstance(v, int) and abs(v) < 1 << 40
            }
        found.append({**kernel, **_occupancy(kernel, limits)})
    return found


def _occupancy(kernel: Mapping[str, Any], limits: Limits | None) -> dict[str, Any]:
    if limits is None or not kernel.get("num_warps") or "registers" not in kernel:
        return {}
    full = occupancy(
        limits,
        registers=kernel["registers"],
        shared_bytes=kernel.get("shared_bytes", 0),
        warps=kernel["num_warps"],
    )
    return {
        "occupancy": round(full.share, 4),
        "blocks": full.blocks,
        "limited_by": full.limited_by,
    }


def lines(own: Sequence[Mapping[str, Any]], parent: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each kernel, with what is different from the parent's kernel of that name.

    Kernels without a namesake are compared with the parent's only kernel, where it has one.
    """
    named = {str(k.get("name")): k for k in parent}
    alone = parent[0] if len(parent) == len(own) == 1 else None
    return [_line(k, named.get(str(k.get("name")), alone)) for k in own[:_MOST]]


def _line(kernel: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    def value(name: str, text: str) -> str:
        now = kernel.get(name)
        if now is None:
            return ""
        shown = f"{now:.0%}" if name == "occupancy" else str(now)
        old = before.get(name) if before and name in _COMPARED else None
        if old is None or old == now:
            return f"{shown} {text}"
        return f"{shown} {text} (parent {f'{old:.0%}' if name == 'occupancy' else old})"

    parts = [
        value("registers", "registers"),
        value("spills", "spilled words a thread") if _either("spills", kernel, before) else "",
        value("shared_bytes", "B shared memory"),
        value("num_warps", "warps"),
        value("num_stages", "stages"),
        value("occupancy", "occupancy"),
    ]
    if kernel.get("limited_by") and kernel.get("occupancy", 1.0) < 1.0:
        parts[-1] += f", limited by {kernel['limited_by']}"
    for name, text in (("wgmma", "wgmma"), ("tcgen05", "tcgen05"), ("mma", "mma.sync")):
        if kernel.get(name):
            parts.append(f"tensor cores ({text})")
    if "load_bytes" in kernel:
        parts.append(f"global loads of up to {kernel['load_bytes']} B a thread")
    if constants := kernel.get("constants"):
        parts.append(" ".join(f"{k}={v}" for k, v in constants.items()))
    return f"{kernel.get('name') or 'kernel'}: " + ", ".join(p for p in parts if p)


def _either(name: str, *kernels: Mapping[str, Any] | None) -> bool:
    return any(k and k.get(name) for k in kernels)
