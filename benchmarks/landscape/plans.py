"""The landscapes that are measured: which edits of which seed, and which launch parameters.

Each edit was chosen because it is known to matter for speed on its problem, alone or only together
with others, or because a search is likely to try it. Choices are narrowed so that the full product
over all variants can be measured within minutes of one device.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.landscape.lattice import Edit, Plan, Step

_EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
_CONV1D_EDITS = (
    Edit(
        "fit",
        (
            Step("triton_fit_last_tile", "fit the last tile"),
            Step("triton_interchange", "exchange the tap and start loops"),
        ),
    ),
    Edit("pack", (Step("triton_pack_operand", "scalars outermost"),)),
    Edit("persistent", (Step("triton_persistent", "last axis fastest"),)),
    Edit("hoist", (Step("triton_hoist", "out of the visit"),), needs=("persistent",)),
    Edit("pairs", (Step("triton_pair_loads", "x of conv1d_kernel in pairs"),)),
    Edit("first", (Step("triton_loads_first", "all x before"),)),
)
_CONV1D_BASELINES = ("eager", "max-autotune-no-cudagraphs", "conv2d+compile")
_CONV1D = Plan(
    name="conv1d",
    problem=_EXPERIMENTS / "problems/conv1d.py",
    workload="fp16_b2048",
    seed=_EXPERIMENTS / "seeds/conv1d_triton.py",
    language="triton",
    edits=_CONV1D_EDITS,
    choices={
        "BLOCK_L": (64, 128),
        "BLOCK_IN": (32, 64, 128),
        "NUM_WARPS": (4, 8),
        "NUM_STAGES": (1, 2),
        "PROGRAMS": (132, 264, 528),
    },
    baselines=_CONV1D_BASELINES,
)
# One variant with all of its parameters: a space for tuning alone.
_CONV1D_TUNING = Plan(
    name="conv1d_tuning",
    problem=_CONV1D.problem,
    workload=_CONV1D.workload,
    seed=_CONV1D.seed,
    language="triton",
    edits=_CONV1D_EDITS,
    choices={"BLOCK_L": (32, 64, 128, 256), "BLOCK_IN": (32, 64, 128)},
    baselines=_CONV1D_BASELINES,
    always=tuple(edit.name for edit in _CONV1D_EDITS),
)
_RMSNORM = Plan(
    name="rmsnorm_backward",
    problem=_EXPERIMENTS / "problems/rmsnorm_backward.py",
    workload="bf16_8192x4096",
    seed=_EXPERIMENTS / "seeds/rmsnorm_backward_triton.py",
    language="triton",
    edits=(
        Edit(
            "constant_columns",
            (
                Step("triton_specialise_argument", "constexpr columns of rows_kernel"),
                Step("triton_simplify_mask", "mask cols < columns of access 1"),
                Step("triton_simplify_mask", "mask cols < columns of access 2"),
                Step("triton_simplify_mask", "mask cols < columns of access 3"),
            ),
        ),
        Edit("pipeline", (Step("triton_loop_kind", "num_stages for the row loop"),)),
        Edit(
            "read_once",
            (
                Step("triton_cache_modifier", "evict_first for access 1 of rows_kernel"),
                Step("triton_cache_modifier", "evict_first for access 2 of rows_kernel"),
            ),
        ),
        Edit("written_once", (Step("triton_cache_modifier", ".cs for access 3 of rows_kernel"),)),
        Edit("tall_sums", (Step("triton_mark_literal", "mark BLOCK_ROWS of sum_kernel"),)),
    ),
    choices={
        "PROGRAMS": (132, 264, 512, 1024),
        "NUM_WARPS": (4, 8, 16),
        "BLOCK_SUM": (32, 64, 128),
        "LOOP_STAGES": (2, 3),
        "BLOCK_ROWS_2": (32, 128),
    },
    baselines=("eager", "max-autotune-no-cudagraphs", "formula+compile"),
)
_CONV1D_CPU = Plan(
    name="conv1d_cpu",
    problem=_EXPERIMENTS / "problems/conv1d.py",
    workload="fp32_b8",
    seed=_EXPERIMENTS / "seeds/conv1d_cpp.py",
    language="cpp",
    edits=(
        Edit("pad", (Step("cpp_halo_pad", "pad x with zeros per b, drop the guard"),)),
        Edit("tile", (Step("cpp_tile", "tile l in o in b"),), needs=("pad",)),
        Edit("vectors", (Step("cpp_explicit_vectors", "vectorise l in o in"),), needs=("pad",)),
        Edit("exchange", (Step("cpp_interchange", "exchange o in"),), needs=("vectors",)),
        Edit("jam", (Step("cpp_unroll_and_jam", "unroll and jam o in"),), needs=("pad",)),
        Edit("pack", (Step("cpp_pack", "pack weight as o i k r"),), needs=("jam",)),
        Edit("taps", (Step("cpp_full_unroll", "write out k in i in"),)),
    ),
    choices={
        "TILE": (32, 64, 112),
        "LANES": (4, 8, 16, 32),
        "JAM": (2, 3, 4, 6, 8, 12, 16),
    },
    baselines=("eager", "conv2d"),
)
PLANS = {plan.name: plan for plan in (_CONV1D, _RMSNORM, _CONV1D_TUNING, _CONV1D_CPU)}
