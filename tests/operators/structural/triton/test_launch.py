"""Operators on launches: what they add and where they hold back."""

import pytest

from operators.structural.triton import host
from operators.structural.triton.tree import Refused
from populations.parameters import parameters
from tests.operators.structural.triton.samples import (
    CONV,
    NORM,
    apply,
    module_of,
    notes,
    refuses,
    view_of,
)


def test_a_launch_option_becomes_a_marked_parameter():
    text = apply(CONV, ("launch_option", "maxnreg"))
    added = {p.name for p in parameters(text)} - {p.name for p in parameters(CONV)}
    assert added == {"MAXNREG"}
    assert "maxnreg=MAXNREG" in text
    assert "maxnreg for launch 0" not in " ".join(notes("launch_option", text))


def test_a_literal_becomes_a_marked_parameter_with_its_neighbours():
    text = apply(NORM, ("mark_literal", "num_warps of sum_kernel"))
    (mark,) = [p for p in parameters(text) if p.name not in {q.name for q in parameters(NORM)}]
    assert (mark.value, mark.choices) == (4, (1, 2, 4, 8, 16))
    assert f"num_warps={mark.name}" in text


def test_names_in_a_launch_are_not_marked_again():
    assert refuses("mark_literal", CONV)


def test_an_argument_becomes_a_constant_but_a_pointer_does_not():
    text = apply(NORM, ("specialise_argument", "columns of rows_kernel"))
    assert "columns: tl.constexpr" in text
    assert all("ptr" not in note for note in notes("specialise_argument", NORM))


def test_an_argument_that_the_kernel_changes_stays():
    assert refuses("specialise_argument", module_of("    n += 1\n", "x_ptr, n"))


def test_swapped_axes_swap_the_grid_too():
    text = apply(CONV, ("grid_order", "swap"))
    assert "batch = tl.program_id(1)" in text
    assert "conv1d_kernel[(triton.cdiv(length, BLOCK_L), batch)]" in text


def test_a_grouped_grid_is_grouped_once():
    text = apply(CONV, ("grid_order", "grouped"))
    assert "tl.swizzle2d(batch, tile, tl.num_programs(0), tl.num_programs(1), GROUP)" in text
    assert refuses("grid_order", text, "grouped")


def test_persistent_programs_keep_shared_work_outside():
    text = apply(CONV, ("persistent", ""))
    body = text[text.index("def conv1d_kernel") :]
    assert body.index("outs = tl.arange") < body.index("for visit in tl.range(")
    assert body.index("for visit") < body.index("acc = tl.zeros")
    assert "min(PROGRAMS," in text
    assert "tl.num_programs(0)" in text
    assert refuses("persistent", text)


def test_several_tiles_stop_at_the_edge_of_the_grid():
    text = apply(CONV, ("tiles_per_program", "axis 1"))
    assert "tl.minimum(tl.program_id(1) * TILES + TILES, grid_1)" in text
    assert "// TILES" in text


@pytest.mark.parametrize("name", ["persistent", "tiles_per_program"])
def test_a_grid_that_is_a_function_is_left_alone(name):
    text = CONV.replace("[grid](", "[lambda meta: (batch, 1)](")
    assert refuses(name, text)


def test_a_kernel_that_is_also_passed_around_keeps_its_parameters():
    assert refuses("persistent", CONV + "\nother = conv1d_kernel\n")


def test_a_state_that_outlives_a_tile_stays_inside_the_loop():
    body = "    acc = 0\n    acc = acc + tl.program_id(0)\n    tl.store(x_ptr, acc)\n"
    text = apply(module_of(body, "x_ptr, n"), ("persistent", ""))
    assert text.index("for visit") < text.index("acc = 0")


def test_a_grid_bound_to_a_name_is_found():
    view = view_of("tl.store(x_ptr, tl.program_id(0))")
    (call,) = view.launches(view.kernels[0])
    assert len(host.grid_of(view, call)) == 1
    bad = view_of("tl.store(x_ptr, tl.program_id(n))")
    with pytest.raises(Refused):
        host.program_axes(bad.kernels[0])


def test_persistent_programs_visit_tiles_with_either_axis_fastest():
    first, last = notes("persistent", CONV)
    assert last == f"{first}, last axis fastest"
    text = apply(CONV, ("persistent", "last axis fastest"))
    assert "batch = (visit // grid_1)" in text
    assert "tile = (visit % grid_1)" in text
    assert "num_stages=1" in text


def test_order_of_three_axes():
    body = """    a = tl.program_id(0)
    b = tl.program_id(1)
    c = tl.program_id(2)
    tl.store(x_ptr + a * 15 + b * 5 + c, 1)
"""
    source = module_of(body, "x_ptr, n").replace("kernel[(n,)]", "kernel[(n, 3, 5)]")
    text = apply(source, ("persistent", "last axis fastest"))
    assert "a = (visit // (grid_2 * grid_1))" in text
    assert "b = (visit // grid_2 % grid_1)" in text
    assert "c = (visit % grid_2)" in text
