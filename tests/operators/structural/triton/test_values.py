"""Edited kernels still compute the convolution, and compile for a GPU that is not there."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from operators.structural.triton.base import parsed
from tests.operators.structural.triton.samples import CONV, OPERATORS, apply

pytest.importorskip("triton")

# These change values on purpose, repeat the others, or say nothing to the interpreter.
NOT_EXACT = {
    "accumulator_type",
    "dot_precision",
    "burst",
    "recipe",
    "split_products",
    "cache_modifier",
    "launch_option",
}
# Claims that are not true for the small shapes here, and options only some targets take.
FALSE_CLAIMS = ("multiple_of", "contiguous(", "warp_specialize")

SEQUENCES = {
    "packed": [
        ("pack_operand", "w_ptr of conv1d_kernel in the order (2, 0, 1)"),
        ("loop_kind", "tl.static_range in the tap"),
        ("loop_kind", "tl.static_range in the start"),
        ("transpose_tiles", ""),
    ],
    "weights kept": [("persistent", ""), ("hoist", "hoist all w out of the visit")],
    "pairs": [("persistent", ""), ("hoist", "hoist all w out of the visit"), ("pair_loads", "")],
    "pairs first": [
        ("interchange", ""),
        ("persistent", ""),
        ("hoist", "hoist all w out of the visit"),
        ("pair_loads", ""),
        ("loads_first", "all x before"),
    ],
    "split": [
        ("transpose_tiles", ""),
        ("split_tile", "a half and a quarter of outs"),
        ("flatten_axes", ""),
        ("persistent", ""),
        ("hoist", "hoist all w_low out of the visit"),
        ("hoist", "hoist all w_high out of the visit"),
    ],
    "fitted": [
        ("fit_last_tile", ""),
        ("pack_operand", "scalars outermost"),
        ("persistent", "last axis fastest"),
        ("hoist", "hoist all w out of the visit"),
        ("pair_loads", ""),
    ],
    "recipe": [("recipe", "operand kept, rows in pairs")],
    "recipe without pairs": [("recipe", "operand kept, loads first")],
    "products in parts": [("split_products", "")],
    "fused": [("fuse_loops", ""), ("tiles_per_program", "axis 1"), ("grid_order", "swap")],
    "unrolled": [("loop_kind", "tl.static_range in the tap"), ("unroll", "the tap loop")],
}


def ask(kind: str, sources: dict[str, str]) -> dict[str, object]:
    script = Path(__file__).with_name("run_candidates.py")
    answer = subprocess.run(
        [sys.executable, str(script), kind],
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        timeout=240,
        env={k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"},
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return json.loads(answer.stdout)


def single_edits() -> dict[str, str]:
    """The first edits of every exact operator on the seed, compiler options left out."""
    view = parsed(CONV)
    assert view is not None
    found = {}
    for name in sorted(set(OPERATORS) - NOT_EXACT):
        every = [e.note for e in OPERATORS[name].edits(view)]
        for note in [n for n in every if not any(claim in n for claim in FALSE_CLAIMS)][:3]:
            result = OPERATORS[name].apply(CONV, random.Random(0), note)
            if result is not None:
                found[f"{name}: {note}"] = result[0]
    return found


def test_every_edit_of_the_seed_keeps_its_values():
    sources = {"seed": CONV, **single_edits()}
    assert len(sources) > 20
    wrong = {name: answer for name, answer in ask("values", sources).items() if bad(answer)}
    assert wrong == {}


def test_sequences_keep_their_values_and_compile():
    sources = {name: apply(CONV, *steps) for name, steps in SEQUENCES.items()}
    wrong = {name: answer for name, answer in ask("values", sources).items() if bad(answer)}
    assert wrong == {}
    failed = {n: a for n, a in ask("compile", sources).items() if not isinstance(a, list) or not a}
    assert failed == {}


def test_a_wrong_edit_would_be_seen():
    broken = CONV.replace("places + (tap - TAPS // 2)", "places + tap")
    assert bad(ask("values", {"broken": broken})["broken"])


def bad(answer: object) -> bool:
    if not isinstance(answer, list):
        return True
    half, short, single = answer
    return not (half < 1e-3 and short < 1e-3 and single < 1e-5)
