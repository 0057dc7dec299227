"""Operators on how a kernel is launched: options, grid order, tiles per program, arguments."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.structural.triton.base import Edit, TritonOperator
from operators.structural.triton.flow import (
    constexprs,
    is_pure,
    literal,
    may_cross,
    pointer_parameters,
    reads,
    reads_of,
    writes_of,
)
from operators.structural.triton.host import (
    OPTIONS,
    Mark,
    Revision,
    count_axes,
    grid_of,
    keyword,
    program_axes,
    revised,
    with_arguments,
    with_marks,
)
from operators.structural.triton.tree import (
    Change,
    Refused,
    Statement,
    View,
    assigned,
    body_of,
    calls,
    expr,
    replaced,
    stmts,
    walk,
    with_body,
)


class LaunchOption(TritonOperator):
    """Give a launch a compiler option it lacks, as a marked launch parameter.

    `num_warps`, `num_stages` (depth of software pipelining) and `maxnreg` (cap on registers per
    thread). Never changes values. A cap on registers may spill, or be refused by the assembler.
    """

    name = "triton_launch_option"
    weight = 0.6
    _known = (
        ("num_warps", 4, (1, 2, 4, 8, 16)),
        ("num_stages", 2, (1, 2, 3, 4, 5)),
        ("maxnreg", 128, (96, 128, 168, 232)),
    )

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each option a launch does not pass."""
        for kernel in view.kernels:
            for number, call in enumerate(view.launches(kernel)):
                for option, value, choices in self._known:
                    if keyword(call, option) is None:
                        note = f"{option} for launch {number} of {kernel.name.value}"
                        yield Edit(note, partial(self._add, view, call, option, value, choices))

    @staticmethod
    def _add(
        view: View, call: cst.Call, option: str, value: int, choices: tuple[int, ...]
    ) -> cst.Module:
        name = view.fresh(option.upper())
        module = replaced(view.module, {call: with_arguments(call, {option: name})})
        return with_marks(module, [Mark(name, value, choices)])


class MarkLiteral(TritonOperator):
    """Turn a number that a launch passes by keyword into a marked launch parameter.

    Never changes values: the parameter starts at the number, its choices are the powers of two
    around it (for `num_stages` the numbers around it).
    """

    name = "triton_mark_literal"
    weight = 0.5

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each literal keyword argument of a launch."""
        for kernel in view.kernels:
            constants = constexprs(kernel) | OPTIONS
            for call in view.launches(kernel):
                for arg in call.args:
                    value = literal(arg.value)
                    if arg.keyword is None or arg.keyword.value not in constants or not value:
                        continue
                    choices = _around(arg.keyword.value, value)
                    if len(choices) > 1:
                        note = f"mark {arg.keyword.value} of {kernel.name.value}"
                        yield Edit(note, partial(self._mark, view, call, arg, value, choices))

    @staticmethod
    def _mark(
        view: View, call: cst.Call, arg: cst.Arg, value: int, choices: tuple[int, ...]
    ) -> cst.Module:
        key = cst.ensure_type(arg.keyword, cst.Name).value
        name = view.fresh(key.upper())
        module = replaced(view.module, {call: with_arguments(call, {key: name})})
        return with_marks(module, [Mark(name, value, choices)])


def _around(name: str, value: int) -> tuple[int, ...]:
    if name == "num_stages":
        return tuple(range(max(1, value - 2), value + 3))
    if value & (value - 1):
        return ()
    most = 16 if name == "num_warps" else 1 << 16
    return tuple(v for v in (value // 4, value // 2, value, value * 2, value * 4) if 1 <= v <= most)


class SpecialiseArgument(TritonOperator):
    """Make a number that is passed at run time a compile-time constant (`tl.constexpr`).

    The compiler then knows strides and bounds: wider loads and stores, folded masks, static loops.
    Values stay; the kernel is compiled again for every new number, so it suits sizes that repeat.
    Knowing more can also be slower, when it makes loads of unlike alignment share a layout.
    """

    name = "triton_specialise_argument"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each run-time number of a kernel."""
        for kernel in view.kernels:
            pointers = pointer_parameters(kernel)
            if not view.launched_only(kernel):
                continue
            for param in kernel.params.params:
                if param.annotation is None and param.name.value not in pointers:
                    note = f"constexpr {param.name.value} of {kernel.name.value}"
                    yield Edit(note, partial(self._specialise, view, kernel, param))

    @staticmethod
    def _specialise(view: View, kernel: cst.FunctionDef, param: cst.Param) -> cst.Module:
        bound = {
            n.target.value
            for n in walk(kernel.body)
            if isinstance(n, cst.AugAssign | cst.AssignTarget) and isinstance(n.target, cst.Name)
        }
        if param.name.value in bound:
            raise Refused("the kernel assigns to it")
        new = param.with_changes(annotation=cst.Annotation(expr("tl.constexpr")))
        return replaced(view.module, {param: new})


class GridOrder(TritonOperator):
    """Change the order in which programs visit the grid: swap two axes, or go in groups.

    Groups (`tl.swizzle2d`) let neighbouring programs share rows and columns in the cache; the group
    size becomes a marked launch parameter. Never changes values; a grid axis other than the first
    may have at most 65535 programs, which a swap can exceed.
    """

    name = "triton_grid_order"

    def edits(self, view: View) -> Iterator[Edit]:
        """Swaps of neighbouring axes and groupings of two-axis kernels."""
        for kernel in view.kernels:
            try:
                axes = program_axes(kernel)
                launches = view.launches(kernel)
                sizes = {len(grid_of(view, call)) for call in launches}
            except Refused:
                continue
            if len(sizes) != 1 or len(axes) < 2:
                continue
            for axis in range(min(sizes) - 1):
                note = f"swap grid axes {axis} and {axis + 1} of {kernel.name.value}"
                yield Edit(note, partial(self._swap, view, kernel, axis))
            if sizes == {2} and not calls(kernel, "tl.swizzle2d"):
                note = f"grouped grid of {kernel.name.value}"
                yield Edit(note, partial(self._group, view, kernel))

    @staticmethod
    def _swap(view: View, kernel: cst.FunctionDef, axis: int) -> cst.Module:
        other = {axis: axis + 1, axis + 1: axis}
        changes: dict[cst.CSTNode, Change] = {}
        for found in (program_axes(kernel), count_axes(kernel)):
            for old, new in other.items():
                for call in found.get(old, ()):
                    changes[call.args[0].value] = cst.Integer(str(new))

        def swapped(grid: list[str]) -> list[str]:
            return [grid[other.get(i, i)] for i in range(len(grid))]

        return revised(view, kernel, Revision(replaced(kernel, changes), grid=swapped))

    @staticmethod
    def _group(view: View, kernel: cst.FunctionDef) -> cst.Module:
        body = body_of(kernel)
        names: dict[int, str] = {}
        last = 0
        axes = program_axes(kernel)
        for index, statement in enumerate(body):
            pair = assigned(statement)
            for axis in (0, 1):
                if pair and axes.get(axis) == [pair[1]]:
                    names[axis] = pair[0]
                    last = index
        if len(names) != 2 or count_axes(kernel):
            raise Refused("program ids are not two plain lines")
        group = view.fresh("GROUP")
        line = (
            f"{names[0]}, {names[1]} = tl.swizzle2d({names[0]}, {names[1]}, "
            f"tl.num_programs(0), tl.num_programs(1), {group})\n"
        )
        new = with_body(kernel, [*body[: last + 1], *stmts(line), *body[last + 1 :]])
        mark = Mark(group, 4, (1, 2, 4, 8, 16))
        return revised(view, kernel, Revision(new, constants={group: group}, marks=[mark]))


# Part of a note of `Persistent`, which recipes ask for.
LAST_FASTEST = "last axis fastest"


class Persistent(TritonOperator):
    """Launch a fixed number of programs, each of which walks over many tiles of the grid.

    The number of programs becomes a marked launch parameter. What does not depend on the tile stays
    in front of the new loop, where `triton_hoist` can bring more. Tiles are visited in the grid's
    order, its first axis fastest, or with the last axis fastest: tiles that share cache lines are
    better at work at the same time. The new loop is not pipelined, which loops inside it are for;
    `triton_loop_kind` can change that. Values stay as they are.
    """

    name = "triton_persistent"
    weight = 2.0

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each launched kernel that visits one tile per program."""
        for kernel in view.kernels:
            if calls(kernel, "tl.program_id") and not calls(kernel, "tl.num_programs"):
                note = f"persistent programs in {kernel.name.value}"
                yield Edit(note, partial(self._loop, view, kernel, last_fastest=False))
                if len(program_axes(kernel)) > 1:
                    note = f"{note}, {LAST_FASTEST}"
                    yield Edit(note, partial(self._loop, view, kernel, last_fastest=True))

    @staticmethod
    def _loop(view: View, kernel: cst.FunctionDef, *, last_fastest: bool) -> cst.Module:
        axes = program_axes(kernel)
        sizes = {len(grid_of(view, call)) for call in view.launches(kernel)}
        if sizes != {max(axes) + 1} and sizes != {len(axes)}:
            raise Refused("grid and kernel disagree")
        (rank,) = sizes
        flat = view.fresh("visit")
        counts = [view.fresh(f"grid_{axis}") for axis in range(rank)]
        changes: dict[cst.CSTNode, Change] = {}
        order = list(range(rank))[::-1] if last_fastest else list(range(rank))
        for axis, found in axes.items():
            at = order.index(axis)
            before = " * ".join(counts[i] for i in order[:at])
            before = f"({before})" if at > 1 else before
            text = f"{flat} // {before}" if at else flat
            text = f"({text})" if at == rank - 1 else f"({text} % {counts[axis]})"
            for call in found:
                changes[call] = expr(flat if rank == 1 else text)
        head, rest = _split_head(replaced(kernel, changes), flat)
        total = " * ".join(counts)
        loop = stmts(
            f"for {flat} in tl.range(\n"
            f"    tl.program_id(0), {total}, tl.num_programs(0), num_stages=1\n):\n    pass\n"
        )[0]
        new = with_body(kernel, [*head, with_body(cst.ensure_type(loop, cst.For), rest)])
        programs = view.fresh("PROGRAMS")

        def value(axis: int, call: cst.Call) -> str:
            return cst.Module([]).code_for_node(grid_of(view, call)[axis])

        revision = Revision(
            new,
            values={name: partial(value, axis) for axis, name in enumerate(counts)},
            grid=lambda grid: [f"min({programs}, {' * '.join(f'({g})' for g in grid)})"],
            marks=[Mark(programs, 264, (132, 264, 396, 528, 792, 1056))],
        )
        return revised(view, kernel, revision)


def _split_head(kernel: cst.FunctionDef, index: str) -> tuple[list[Statement], list[Statement]]:
    """Pure lines that do not depend on the tile, which may stand before the loop; and the rest."""
    head: list[Statement] = []
    rest: list[Statement] = []
    body = body_of(kernel)
    tile = {index}
    for at, statement in enumerate(body):
        bound = writes_of([statement])
        others = [*rest, *body[at + 1 :]]
        if (
            isinstance(statement, cst.SimpleStatementLine)
            and is_pure(statement)
            and bound
            and not reads(statement) & (tile | writes_of(rest))
            and not bound & (writes_of(others) | reads_of(rest))
            and may_cross(kernel, statement, others)
        ):
            head.append(statement)
        else:
            rest.append(statement)
    if not rest:
        raise Refused("nothing depends on the tile")
    return head, rest


class TilesPerProgram(TritonOperator):
    """Let each program do several neighbouring tiles of one grid axis, one after the other.

    How many becomes a marked launch parameter. Fewer, longer programs: set-up and loads that all
    tiles share can be hoisted. Values stay as they are.
    """

    name = "triton_tiles_per_program"

    def edits(self, view: View) -> Iterator[Edit]:
        """One edit for each grid axis of each launched kernel."""
        for kernel in view.kernels:
            try:
                axes = program_axes(kernel)
            except Refused:
                continue
            if calls(kernel, "tl.num_programs") or not axes:
                continue
            for axis in sorted(axes):
                note = f"several tiles of axis {axis} in a program of {kernel.name.value}"
                yield Edit(note, partial(self._loop, view, kernel, axis))

    @staticmethod
    def _loop(view: View, kernel: cst.FunctionDef, axis: int) -> cst.Module:
        index = view.fresh("visit")
        count = view.fresh(f"grid_{axis}")
        tiles = view.fresh("TILES")
        changes: dict[cst.CSTNode, Change] = {
            call: expr(index) for call in program_axes(kernel)[axis]
        }
        head, rest = _split_head(replaced(kernel, changes), index)
        first = f"tl.program_id({axis}) * {tiles}"
        loop = stmts(
            f"for {index} in range({first}, tl.minimum({first} + {tiles}, {count})):\n    pass\n"
        )[0]
        new = with_body(kernel, [*head, with_body(cst.ensure_type(loop, cst.For), rest)])

        def fewer(grid: list[str]) -> list[str]:
            if axis >= len(grid):
                raise Refused("grid and kernel disagree")
            return [f"-(-({g}) // {tiles})" if i == axis else g for i, g in enumerate(grid)]

        def value(call: cst.Call) -> str:
            grid = grid_of(view, call)
            if axis >= len(grid):
                raise Refused("grid and kernel disagree")
            return cst.Module([]).code_for_node(grid[axis])

        revision = Revision(
            new,
            constants={tiles: tiles},
            values={count: value},
            grid=fewer,
            marks=[Mark(tiles, 4, (1, 2, 4, 8, 16, 32))],
        )
        return revised(view, kernel, revision)
