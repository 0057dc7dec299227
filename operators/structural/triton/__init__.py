"""Operators on the syntax tree of Triton kernels and of the code that launches them.

    loops     triton_loop_kind            range, tl.range with options, tl.static_range
              triton_unroll               bodies written out
              triton_fuse_loops           one loop of two
              triton_interchange          two nested loops exchanged
              triton_fit_last_tile        96 in tiles of 64 as 64 and 32
    motion    triton_hoist                what does not change goes in front of the loop, whole
                                          families of loads as tuples
              triton_loads_first          all loads of a static loop before their first use
    launch    triton_launch_option        num_warps, num_stages, maxnreg as launch parameters
              triton_mark_literal         a number becomes a launch parameter
              triton_specialise_argument  a run-time number becomes a constant
              triton_grid_order           axes swapped, or visited in groups
              triton_persistent           few programs that walk over all tiles
              triton_tiles_per_program    several tiles in one program
    tiles     triton_split_tile           a tile in two, 96 as 64 and 32
              triton_flatten_axes         tiles that run across two grid axes
    memory    triton_cache_modifier       cache and eviction hints
              triton_alignment_hint       contiguity and alignment of index vectors
              triton_simplify_mask        conditions that always hold
    words     triton_pair_loads           16-bit elements in pairs, as 32-bit words
    packing   triton_pack_operand         an operand copied into another order before the launch
    dots      triton_dot_precision        how float32 products are computed
              triton_accumulator_type     float16 or float32 sums
              triton_transpose_tiles      every tile the other way round
    burst     triton_burst                two to four of these at once
    recipes   triton_recipe               a known sequence of these at once
              triton_split_products       another, for float32 products

They look for what is there, not for a known kernel: an operator lists its edits, one is chosen by
weight, and text that does not parse is never returned. New launch parameters are marked lines
(`NAME = 4  # tune: 1, 2, 4`) that the tuner picks up. What an operator may break stands in its
docstring; the judge finds out. Nothing of a candidate is run here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from operators.structural.triton.base import TritonOperator


def operators() -> list[TritonOperator]:
    """One instance of every operator. Imports LibCST."""
    from operators.structural.triton import (
        dots,
        launch,
        loops,
        memory,
        motion,
        packing,
        tiles,
        words,
    )
    from operators.structural.triton.burst import Burst
    from operators.structural.triton.recipes import Recipes, SplitProducts

    single: list[TritonOperator] = [
        loops.LoopKind(),
        loops.Unroll(),
        loops.FuseLoops(),
        loops.Interchange(),
        loops.FitLastTile(),
        motion.Hoist(),
        motion.LoadsFirst(),
        launch.LaunchOption(),
        launch.MarkLiteral(),
        launch.SpecialiseArgument(),
        launch.GridOrder(),
        launch.Persistent(),
        launch.TilesPerProgram(),
        tiles.SplitTile(),
        tiles.FlattenAxes(),
        memory.CacheModifier(),
        memory.AlignmentHint(),
        memory.SimplifyMask(),
        words.PairLoads(),
        packing.PackOperand(),
        dots.DotPrecision(),
        dots.AccumulatorType(),
        dots.TransposeTiles(),
    ]
    return [*single, Burst(single), Recipes(single), SplitProducts(single)]
