"""Say where an output is wrong, and how: positions, share, patterns, relation to what is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitness.diagnostics.places import first_places, places
from fitness.diagnostics.relations import relations

if TYPE_CHECKING:
    import torch


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
    facts: dict[str, Any] = {
        "output": number,
        "wrong_elements": count,
        "wrong_share": share,
        "shape": list(mask.shape),
    }
    if count == 0:
        # Every element is within its own limit, only their mean square is not.
        return f"output {number}: the error is too large on the whole", facts
    shape = list(mask.shape)
    lines = [f"output {number}: {count} of {total} elements are wrong ({share:.2%}) of {shape}"]
    first = first_places(mask)
    facts["first_wrong"] = first
    if want.numel() == mask.numel():
        for place in first:
            offset = _offset(place, tuple(mask.shape))
            lines.append(
                f"  at {place}: got {_show(got[offset].item())}, want {_show(want[offset].item())}"
            )
    if patterns := places(mask):
        facts["pattern"] = patterns
        lines.append("pattern: " + "; ".join(patterns))
    if said := _related(mask, want, got):
        facts["relation"] = said
        lines += said
    elif bool((got == 0).all()):
        lines.append("every element of the output is zero")
    return "\n".join(lines), facts


def _related(mask: torch.Tensor, want: torch.Tensor, got: torch.Tensor) -> list[str]:
    try:
        return relations(mask, want, got)
    except RuntimeError:
        # A large output may leave no memory to look closer, which is no reason not to judge it.
        return []


def _offset(place: list[int], shape: tuple[int, ...]) -> int:
    offset = 0
    for index, extent in zip(place, shape, strict=True):
        offset = offset * extent + index
    return offset


def _show(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)
