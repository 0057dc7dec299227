"""Operators on tiles, memory accesses, operands and products."""

import random

from operators.operator import Inapplicable, Situation
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome
from populations.parameters import parameters
from tests.operators.structural.triton.samples import (
    CONV,
    NORM,
    OPERATORS,
    apply,
    module_of,
    notes,
    refuses,
)


def test_halves_share_the_other_operand():
    text = apply(CONV, ("split_tile", "two halves of places"))
    assert text.count(" w = tl.load(") == 1
    assert "acc_low = tl.dot(w, x_low, acc_low" in text
    assert "(BLOCK_L // 2) + tl.arange(0, (BLOCK_L // 2))" in text


def test_a_half_and_a_quarter_are_checked_at_compile_time():
    text = apply(CONV, ("split_tile", "a half and a quarter of outs"))
    assert "tl.static_assert(OUT <= (BLOCK_OUT // 2) + (BLOCK_OUT // 4))" in text
    assert not any("quarter of places" in note for note in notes("split_tile", CONV))


def test_an_axis_that_is_summed_over_is_not_split():
    assert all("ins" not in note for note in notes("split_tile", CONV))
    assert refuses("split_tile", NORM)


def test_tiles_run_across_rows():
    text = apply(CONV, ("flatten_axes", "axis 1 across axis 0"))
    assert "batch = flat // LENGTH" in text
    assert "batch[None, :] * IN * LENGTH" in text
    assert text.count("(flat[None, :] < total)") == 2
    assert refuses("flatten_axes", text)


def test_an_axis_that_the_grid_does_not_cut_is_not_flattened():
    assert refuses("flatten_axes", CONV.replace("triton.cdiv(length, BLOCK_L))", "7)"))


def test_cache_modifiers_are_set_changed_and_removed():
    text = apply(CONV, ("cache_modifier", ".cs for access 3"))
    assert 'cache_modifier=".cs"' in text
    text = apply(text, ("cache_modifier", ".wt for access 3"))
    assert text.count("cache_modifier") == 1
    text = apply(text, ("cache_modifier", "no cache_modifier for access 3"))
    assert text.split() == CONV.split()


def test_a_hint_follows_its_vector_and_can_go_again():
    text = apply(CONV, ("alignment_hint", "max_contiguous(at, 2)"))
    assert "at = tl.max_contiguous(at, 2)" in text
    assert apply(text, ("alignment_hint", "no hint for at")) == CONV
    assert not any("(w," in note or "(acc," in note for note in notes("alignment_hint", CONV))


def test_a_bound_that_the_block_divides_asks_the_compiler():
    text = apply(CONV, ("simplify_mask", "ins[None, :] < IN"))
    assert "| (IN % BLOCK_IN == 0)" in text
    text = apply(CONV, ("simplify_mask", "(outs[:, None] < OUT) of access 3"))
    assert "| (BLOCK_OUT <= OUT)" in text


def test_only_conditions_that_hold_are_dropped():
    assert not any("at[None, :] >= 0" in note for note in notes("simplify_mask", CONV))
    body = (
        "    i = tl.program_id(0) * N + tl.arange(0, N)\n"
        "    x = tl.load(x_ptr + i, mask=(i >= 0) & (i < n), other=0.0)\n"
        "    tl.store(y_ptr + i, x, mask=i >= 0)\n"
    )
    source = module_of(body, "x_ptr, y_ptr, n, N: tl.constexpr")
    assert "mask=(i < n)" in apply(source, ("simplify_mask", "access 0"))
    assert "tl.store(y_ptr + i, x)" in apply(source, ("simplify_mask", "access 1"))


def test_an_operand_is_packed_once():
    text = apply(CONV, ("pack_operand", "w_ptr of conv1d_kernel in the order (2, 0, 1)"))
    assert "w_ptr + outs[:, None] * IN + ins[None, :] + tap * (OUT * IN)" in text
    assert "self.weight.reshape(-1, channels, taps).permute(2, 0, 1).contiguous()" in text
    assert not any(note.startswith("w_ptr") for note in notes("pack_operand", text))


def test_an_operand_that_is_written_is_not_packed():
    assert not any(note.startswith("out_ptr") for note in notes("pack_operand", CONV))


def test_pairs_ask_for_even_rows_and_static_shifts():
    text = apply(CONV, ("pair_loads", ""))
    assert "tl.static_assert(LENGTH % 2 == 0)" in text
    assert "for tap in tl.static_range(0, TAPS, 1):" in text
    assert "LENGTH_words=(length) // 2" in text
    assert text.count("def load_pairs(") == 1
    assert refuses("pair_loads", text)


def test_pairs_need_a_bound_they_cannot_cut_through():
    assert refuses("pair_loads", CONV.replace("(at[None, :] < LENGTH)", "(at[None, :] < TAPS)"))
    assert refuses("pair_loads", CONV.replace("other=0.0", "other=1.0"))


def test_precision_is_set_for_all_products():
    text = apply(CONV, ("dot_precision", "tf32x3"))
    assert 'input_precision="tf32x3"' in text
    assert not any(note.startswith("tf32x3") for note in notes("dot_precision", text))


def test_accumulators_change_type_and_back():
    text = apply(CONV, ("accumulator_type", "float16"))
    assert "out_dtype=tl.float16" in text
    assert "dtype=tl.float16)" in text
    back = apply(text, ("accumulator_type", "float32"))
    assert "float16" not in back


def test_tiles_turn_twice_to_where_they_were():
    once = apply(CONV, ("transpose_tiles", ""))
    assert "acc = tl.dot(x, w, acc" in once
    assert "tl.zeros([BLOCK_L, BLOCK_OUT]" in once
    assert apply(once, ("transpose_tiles", "")) == CONV
    assert refuses("transpose_tiles", NORM)


def test_a_burst_makes_several_edits():
    result = OPERATORS["burst"].apply(CONV, random.Random(3))
    assert result is not None
    assert result[1].count(";") >= 1


def test_other_languages_are_left_alone():
    judged = Evaluation(Outcome.COMPILE_ERROR)
    parent = Kernel(Candidate(number=0, source=CONV, language="cpp"), judged)
    situation = Situation(lineage=Lineage(), rng=random.Random(0), device="cuda")
    for operator in OPERATORS.values():
        assert isinstance(operator.vary([parent], situation), Inapplicable)


def test_new_parameters_are_understood_by_the_tuner():
    text = apply(CONV, ("persistent", ""), ("launch_option", ""))
    added = {p.name: p for p in parameters(text)}
    assert set(added) >= {"PROGRAMS", "MAXNREG"}
    assert all(p.value in p.choices for p in added.values())
