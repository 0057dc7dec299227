"""What a proposal looks at first: questions about one kernel differ, and so do their answers.

Several proposals are under way at once, and at the beginning all of them are about the same kernel.
Asked the same, a model that is sure of itself answers the same.
"""

from __future__ import annotations

import random

# Beside none at all, which leaves the choice to the model.
ANGLES = (
    "bytes: what is read or written more than once, what could stay in registers or near memory",
    "instructions: what is computed again and again, addresses and masks included",
    "parallelism: how work is divided, whether everybody has enough of it, and the same amount",
    "shapes of tiles: what is reused along which dimension, and what the tails cost",
    "layout: in which order data lies in memory, and whether it pays to pack or transpose it first",
    "latency: chains of dependent operations, loads that wait, too little under way at once",
    "vector and matrix units: whether they are used, at what width, and kept fed",
    "another algorithm: fewer operations for the same result, within the accuracy that is allowed",
    "launches and passes: what could be done in one instead of several",
    "sizes known beforehand: what could be a constant, unrolled, or left out for these workloads",
)
_NONE_SHARE = 0.25


def draw(rng: random.Random) -> str:
    """An angle, or "" for none."""
    return "" if rng.random() < _NONE_SHARE else rng.choice(ANGLES)
