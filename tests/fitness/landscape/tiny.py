"""A landscape of a few lines: three edits, two launch parameters, one of every kind of ending."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

from fitness.landscape.table import Landscape, load, save

EDITS = (
    {"name": "pad", "operators": ["cpp_halo_pad"], "needs": []},
    {"name": "vectors", "operators": ["cpp_explicit_vectors", "cpp_tidy"], "needs": ["pad"]},
    {"name": "pack", "operators": ["cpp_pack"], "needs": []},
)
# What a variant has beside the seed's text; "pack" alone is not there: it did not apply.
VARIANTS = ((), ("pad",), ("pad", "vectors"), ("pad", "pack"), ("pad", "vectors", "pack"))
GAIN = {"pad": 0.2, "vectors": 0.5, "pack": -0.1}
PARAMETERS = {"BLOCK": [1, 2, 4], "LANES": [4, 8]}
ROUNDS = 9
BEST = ("pad", "vectors", "pack")


def source(edits: tuple[str, ...], block: int = 1, lanes: int = 4) -> str:
    """The module of a variant."""
    lines = [*(f"# {edit}" for edit in edits), 'SOURCE = """']
    lines.append(f"constexpr int BLOCK = {block};  // tune: 1, 2, 4")
    if "vectors" in edits:
        lines.append(f"constexpr int LANES = {lanes};  // tune: 4, 8")
    return "\n".join([*lines, '"""', "class ModelNew: pass", ""])


def log_speedup(edits: tuple[str, ...], block: int, lanes: int) -> float:
    """What a point is worth: packing pays with vectors of eight alone."""
    worth = sum(GAIN[edit] for edit in edits) + 0.1 * math.log2(block)
    return worth + (0.4 if "pack" in edits and "vectors" in edits and lanes == 8 else 0.0)


def ending(edits: tuple[str, ...], block: int) -> tuple[str, str]:
    """How a point ends, and what was wrong."""
    if edits == ("pad",) and block == 4:
        return "wrong_values", "3 of 8 elements differ"
    if edits == ("pad", "pack") and block == 4:
        return "compile_error", "error: no such instruction"
    return "passed", ""


def write(path: Path) -> Path:
    """Write the table, as measured with a little noise."""
    rng = random.Random(7)
    rows = []
    for number, edits in enumerate(VARIANTS):
        lanes_of = PARAMETERS["LANES"] if "vectors" in edits else [None]
        for block, lanes in itertools.product(PARAMETERS["BLOCK"], lanes_of):
            # One point of the best variant was not measured.
            if (edits, block, lanes) != (BEST, 1, 4):
                rows.append((number, edits, block, lanes, *ending(edits, block)))
    outcomes, texts = ["passed", "wrong_values", "compile_error"], sorted({row[5] for row in rows})
    ratios = [
        [log_speedup(edits, block, lanes or 4) + rng.gauss(0, 0.02) for _ in range(ROUNDS)]
        if outcome == "passed"
        else [math.nan] * ROUNDS
        for _, edits, block, lanes, outcome, _ in rows
    ]
    save(
        path,
        {
            "name": "tiny",
            "language": "cpp",
            "device": "cpu",
            "workload": "w",
            "baseline": "eager",
            "edits": EDITS,
            "variants": [{"edits": edits, "source": source(edits)} for edits in VARIANTS],
            "parameters": PARAMETERS,
            "outcomes": outcomes,
            "texts": texts,
            "provenance": {
                "machine": {"device": "an abacus", "threads": "1"},
                "baselines_ms": {"eager": 2.0, "conv2d": 3.0},
            },
        },
        {
            "variant": [row[0] for row in rows],
            "choice": [
                [
                    PARAMETERS["BLOCK"].index(row[2]),
                    -1 if row[3] is None else PARAMETERS["LANES"].index(row[3]),
                ]
                for row in rows
            ],
            "outcome": [outcomes.index(row[4]) for row in rows],
            "text": [texts.index(row[5]) for row in rows],
            "candidate_ms": [2.0 * math.exp(-r[0]) if r[0] == r[0] else 0.0 for r in ratios],
            "baseline_ms": [2.0 if r[0] == r[0] else 0.0 for r in ratios],
            "log_ratios": ratios,
            "build_s": [0.5] * len(rows),
            "device_s": [0.25] * len(rows),
        },
    )
    return path


def tiny(folder: Path) -> Landscape:
    """The table, through its file."""
    return load(write(folder / "tiny.npz"))
