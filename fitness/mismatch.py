"""Say where an output is wrong: first positions, share, and the pattern along each dimension."""

from __future__ import annotations

from typing import Any

import torch

# Positions and values shown.
SHOWN = 4


def describe_mismatch(
    mask: torch.Tensor, want: torch.Tensor, got: torch.Tensor, number: int
) -> tuple[str, dict[str, Any]]:
    """Describe the wrong elements of one output.

    Args:
        mask: True where wrong, in the output's shape.
        want: Right values, flat (two per element for complex outputs, which are not shown).
        got: The candidate's values, flat.
        number: Which output it is.

    Returns:
        Text of a few lines, and the same as JSON-able facts.
    """
    count, total = int(mask.sum()), max(mask.numel(), 1)
    share = count / total
    facts: dict[str, Any] = {"output": number, "wrong_elements": count, "wrong_share": share}
    if count == 0:
        # Every element is within its own limit, only their mean square is not.
        return f"output {number}: the error is too large on the whole", facts
    lines = [f"output {number}: {count} of {total} elements are wrong ({share:.2%})"]
    places = mask.nonzero()[:SHOWN].tolist()
    facts["first_wrong"] = places
    if want.numel() == mask.numel():
        for place in places:
            offset = _offset(place, tuple(mask.shape))
            lines.append(
                f"  at {place}: got {_show(got[offset].item())}, want {_show(want[offset].item())}"
            )
    if patterns := list(_patterns(mask, count)):
        facts["pattern"] = patterns
        lines.append("pattern: " + "; ".join(patterns))
    if bool((got == 0).all()):
        lines.append("every element of the output is zero")
    elif got.is_floating_point() and bool(torch.isnan(got).any()):
        lines.append(f"{int(torch.isnan(got).sum())} elements are not a number")
    return "\n".join(lines), facts


def _offset(place: list[int], shape: tuple[int, ...]) -> int:
    offset = 0
    for index, extent in zip(place, shape, strict=True):
        offset = offset * extent + index
    return offset


def _show(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _patterns(mask: torch.Tensor, count: int) -> Any:
    if count == mask.numel():
        return
    for dimension in range(mask.dim()):
        extent = mask.shape[dimension]
        others = [d for d in range(mask.dim()) if d != dimension]
        touched = (mask.any(dim=others) if others else mask).nonzero().flatten().tolist()
        if extent < 2 or len(touched) == extent:
            if pattern := _periodic(mask, dimension, others):
                yield pattern
            continue
        yield f"along dimension {dimension} (extent {extent}) only {_range(touched, extent)}"


def _range(touched: list[int], extent: int) -> str:
    first, last = touched[0], touched[-1]
    if len(touched) == 1:
        edge = " (the last)" if first == extent - 1 else " (the first)" if first == 0 else ""
        return f"index {first}{edge}"
    if touched == [0, extent - 1]:
        return f"the edges, 0 and {last}"
    if len(touched) == last - first + 1:
        tail = ", the tail" if last == extent - 1 else ""
        return f"indices {first} to {last}{tail}"
    step = touched[1] - touched[0]
    if touched == list(range(first, last + 1, step)):
        return f"every {step}th index from {first} on"
    return f"{len(touched)} indices, the first {touched[:SHOWN]}"


def _periodic(mask: torch.Tensor, dimension: int, others: list[int]) -> str:
    """A dimension whose indices are all touched, but some far more often: a tile's edge, say."""
    extent = mask.shape[dimension]
    if extent < 4 or not others:
        return ""
    rate = mask.sum(dim=others)
    most = int(rate.max())
    often = (rate >= most / 2).nonzero().flatten().tolist()
    if len(often) * 2 > extent or int(rate.median()) * 4 > most:
        return ""
    return f"along dimension {dimension} (extent {extent}) mostly {_range(often, extent)}"
