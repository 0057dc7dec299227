"""C++ operators: edits of a kernel's loops, found and made on its syntax tree.

A candidate's C++ text is parsed with tree-sitter (`tree`) into a small tree of statements (`ir`,
`reader`, `writer`); expressions are analysed as text (`expression`), indices as polynomials
(`affine`), loops by affine dependence analysis (`analysis`). An operator (`base`) lists the places
where it applies, one is chosen at random, the tree is changed and written back, and the result must
parse. Sizes that an edit brings in are launch parameters (`// tune:`).

    what                    operators
    threads                 ParallelFor, PrivatiseReduction
    vectors                 Simd, IgnoreDependences, ExplicitVectors
    registers               UnrollAndJam, UnrollPragma, FullUnroll, SplitSums, ScalarReplace
    order of iterations     Interchange, Tile, ExpandSums, Fuse, Fission
    branches                HaloPad, TightenBounds, PeelEdges
    memory                  Pack, Align, Restrict, Recompute
    less arithmetic         MinimalFiltering, HoistRowPointer, ReciprocalDivision, FactorOut
    the compiler            CompilerFlags
    several of these        BlockedVectors, FilteredVectors
    the past                Replay

`operators()` gives one instance of each; their modules are imported then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from operators.operator import Operator
    from operators.structural.cpp.base import CppOperator


@lru_cache(maxsize=1)
def edits() -> tuple[CppOperator, ...]:
    """One instance of every operator that edits one kernel in one place."""
    from operators.structural.cpp import (
        filtering,
        guards,
        halo,
        hoist,
        jam,
        merging,
        pragmas,
        privatise,
        reorder,
        settings,
        storage,
        vectors,
    )

    return (
        pragmas.ParallelFor(),
        pragmas.Simd(),
        pragmas.UnrollPragma(),
        pragmas.IgnoreDependences(),
        privatise.PrivatiseReduction(),
        vectors.ExplicitVectors(),
        jam.UnrollAndJam(),
        filtering.MinimalFiltering(),
        halo.HaloPad(),
        guards.TightenBounds(),
        guards.PeelEdges(),
        reorder.Interchange(),
        reorder.Tile(),
        reorder.ExpandSums(),
        merging.Fuse(),
        merging.Fission(),
        merging.FullUnroll(),
        storage.Pack(),
        storage.ScalarReplace(),
        storage.Recompute(),
        storage.SplitSums(),
        hoist.HoistRowPointer(),
        hoist.ReciprocalDivision(),
        hoist.FactorOut(),
        settings.CompilerFlags(),
        settings.Restrict(),
        settings.Align(),
    )


def operators() -> tuple[Operator, ...]:
    """One instance of every C++ operator."""
    from operators.structural.cpp.recipe import RECIPES
    from operators.structural.cpp.replay import Replay
    from operators.structural.cpp.schedule import Schedules

    schedules = Schedules(edits(), [Replay.name, *(recipe.name for recipe in RECIPES)])
    return (*edits(), *(recipe(schedules) for recipe in RECIPES), Replay(schedules))
