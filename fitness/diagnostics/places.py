"""Where the wrong elements of an output lie, in the words of somebody who writes kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Positions and indices shown.
SHOWN = 4
_TILES = (256, 128, 64, 32, 16, 8)
_SCAN = 1 << 20


def first_places(mask: torch.Tensor, count: int = SHOWN) -> list[list[int]]:
    """Positions of the first true elements, as lists of indices."""
    shape = tuple(mask.shape)
    return [_indices(flat, shape) for flat in _first(mask.flatten(), count)]


def places(mask: torch.Tensor) -> list[str]:
    """Patterns of the true elements: by dimension, as a block, in memory order, by the diagonal.

    Args:
        mask: True where wrong; any shape. Nothing is said where everything is wrong.
    """
    count = int(mask.sum())
    if not 0 < count < mask.numel():
        return []
    found = list(_by_dimension(mask))
    if block := _block(mask, count):
        found.append(block)
    elif not found or mask.dim() > 1:
        found += _in_memory(mask, count)
    if triangle := _triangle(mask):
        found.append(triangle)
    return found


def _by_dimension(mask: torch.Tensor) -> Iterator[str]:
    for dimension in range(mask.dim()):
        extent = mask.shape[dimension]
        others = [d for d in range(mask.dim()) if d != dimension]
        touched = (mask.any(dim=others) if others else mask).nonzero().flatten().tolist()
        if extent < 2 or len(touched) == extent:
            if pattern := _often(mask, dimension, others):
                yield pattern
            continue
        yield f"along dimension {dimension} (extent {extent}) only {indices(touched, extent)}"


def indices(touched: list[int], extent: int) -> str:
    """Ascending indices in words: which ones of `extent`."""
    first, last = touched[0], touched[-1]
    if len(touched) == 1:
        edge = " (the last)" if first == extent - 1 else " (the first)" if first == 0 else ""
        return f"index {first}{edge}"
    if touched == [0, extent - 1]:
        return f"the edges, 0 and {last}"
    if len(touched) == last - first + 1:
        return f"indices {first} to {last}{_tail(first, last, extent)}"
    return _regular(touched, extent) or _irregular(touched, extent)


def _regular(touched: list[int], extent: int) -> str:
    first, last = touched[0], touched[-1]
    step = touched[1] - first
    if touched == list(range(first, last + 1, step)):
        return f"every {step}th index from {first} on{_edge(first, first, step)}"
    return _of_tiles(touched, extent)


def _irregular(touched: list[int], extent: int) -> str:
    first, last = touched[0], touched[-1]
    if (last - first) * 2 < extent:
        # Some are right by chance, as zeros where zeros are wanted.
        end = ", up to the end" if last == extent - 1 else ""
        return f"{len(touched)} indices between {first} and {last}{end}"
    return f"{len(touched)} indices, the first {touched[:SHOWN]}"


def _edge(first: int, last: int, tile: int) -> str:
    """Which part of each tile some neighbouring indices are, where they are an edge."""
    edge = "first" if first == 0 else "last" if last == tile - 1 else ""
    return f", the {edge} of each tile of {tile}" if edge and tile in _TILES else ""


def _tail(first: int, last: int, extent: int) -> str:
    if last != extent - 1:
        return ""
    tile = first & -first
    if tile >= _TILES[-1] and extent - first < tile:
        return f", the tail: behind the last whole tile of {tile}"
    return ", the tail"


def _of_tiles(touched: list[int], extent: int) -> str:
    """Indices that are the same in every tile: its edge, mostly."""
    for tile in sorted(_TILES):
        if extent < 2 * tile:
            return ""
        inside = sorted({i % tile for i in touched})
        if len(inside) * 4 > tile:
            continue
        chosen = set(inside)
        if len(touched) != sum(i % tile in chosen for i in range(extent)):
            continue
        if inside[-1] - inside[0] + 1 != len(inside):
            return f"{len(inside)} of every {tile} indices, {inside[:SHOWN]} in each tile"
        where = f"{inside[0]} to {inside[-1]} of every {tile} indices"
        return where + _edge(inside[0], inside[-1], tile)
    return ""


def _often(mask: torch.Tensor, dimension: int, others: list[int]) -> str:
    """A dimension whose indices are all touched, but some far more often: a tile's edge, say."""
    extent = mask.shape[dimension]
    if extent < 4 or not others:
        return ""
    rate = mask.sum(dim=others)
    most = int(rate.max())
    often = (rate >= most / 2).nonzero().flatten().tolist()
    if len(often) * 2 > extent or int(rate.median()) * 4 > most:
        return ""
    return f"along dimension {dimension} (extent {extent}) mostly {indices(often, extent)}"


def _block(mask: torch.Tensor, count: int) -> str:
    """One box that is wrong throughout and smaller than the output in two dimensions or more."""
    box, size, narrow = [], 1, 0
    for dimension in range(mask.dim()):
        others = [d for d in range(mask.dim()) if d != dimension]
        touched = (mask.any(dim=others) if others else mask).nonzero().flatten().tolist()
        extent = touched[-1] - touched[0] + 1
        narrow += extent < mask.shape[dimension]
        size *= extent
        box.append(f"{touched[0]}:{touched[-1] + 1}" if extent > 1 else str(touched[0]))
    if narrow < 2 or size != count:
        return ""
    return f"exactly the block [{', '.join(box)}]"


def _in_memory(mask: torch.Tensor, count: int) -> Iterator[str]:
    """Patterns of positions in the order of memory, which no single dimension shows."""
    flat = mask.flatten()
    total = flat.numel()
    first, *more = _first(flat, 2)
    last = total - 1 - _first(flat.flip(0), 1)[0]
    if not more:
        return
    step = more[0] - first
    span = last - first + 1
    if mask.dim() > 1 and (span == count or (span <= total // 4 and span <= 4 * count)):
        end = ", the last ones of the output" if last == total - 1 else ""
        within = "" if span == count else f"{count} elements within "
        yield f"{within}one run in memory: elements {first} to {last}{end}"
    elif 1 < step < total // 4 and step not in _strides(mask):
        each = flat[first::step]
        if each.numel() == count and bool(each.all()):
            yield f"every {step}th element in memory from {first} on"


def _strides(mask: torch.Tensor) -> list[int]:
    """Steps in memory that belong to a dimension, so that the dimension's own pattern says it."""
    found, stride = [], 1
    for extent in reversed(mask.shape):
        found.append(stride)
        stride *= extent
    return [*found, stride]


def _triangle(mask: torch.Tensor) -> str:
    if mask.dim() < 2 or min(mask.shape[-2:]) < 4:
        return ""
    both = mask.flatten(0, -3).any(0) if mask.dim() > 2 else mask
    if int(both.any(0).sum()) < 3 or int(both.any(1).sum()) < 3:
        return ""
    for name, part in (("above", both.tril(0)), ("below", both.triu(0))):
        if not bool(part.any()):
            return f"only {name} the diagonal of the last two dimensions"
    return ""


def _first(flat: torch.Tensor, count: int) -> list[int]:
    """Positions of the first true elements, found piece by piece: most may be true."""
    found: list[int] = []
    for start in range(0, flat.numel(), _SCAN):
        near = flat[start : start + _SCAN].nonzero().flatten()[: count - len(found)]
        found += [start + i for i in near.tolist()]
        if len(found) == count:
            break
    return found


def _indices(flat: int, shape: tuple[int, ...]) -> list[int]:
    found: list[int] = []
    for extent in reversed(shape):
        flat, index = divmod(flat, extent)
        found.append(index)
    return found[::-1]
