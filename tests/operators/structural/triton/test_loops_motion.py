"""Operators on loops and on what stands in them."""

from tests.operators.structural.triton.samples import (
    CONV,
    apply,
    module_of,
    notes,
    refuses,
    view_of,
)

PLAIN = "x_ptr, y_ptr, n, N: tl.constexpr"


def kernel(*lines: str) -> str:
    return module_of("".join(f"    {line}\n" for line in lines), PLAIN)


def test_a_static_loop_needs_static_bounds():
    assert "tl.static_range(TAPS)" in apply(CONV, ("loop_kind", "tl.static_range in the tap"))
    dynamic = kernel("for i in range(n):", "    tl.store(y_ptr + i, i)")
    assert not any("static" in note for note in notes("loop_kind", dynamic))


def test_pipelining_gets_a_marked_depth():
    text = apply(CONV, ("loop_kind", "num_stages for the start"))
    assert "tl.range(0, IN, BLOCK_IN, num_stages=LOOP_STAGES)" in text
    assert "LOOP_STAGES: tl.constexpr" in text
    assert "LOOP_STAGES=LOOP_STAGES" in text


def test_options_are_dropped_with_the_kind():
    text = apply(CONV, ("loop_kind", "num_stages for the start"), ("loop_kind", "range in the sta"))
    assert "num_stages=LOOP_STAGES" not in text


def test_a_loop_that_needs_a_constant_stays_static():
    text = apply(CONV, ("loads_first", "all x"))
    assert not any(note.startswith("range in the") for note in notes("loop_kind", text))


def test_unrolling_by_two_guards_the_second_copy():
    text = apply(CONV, ("loop_kind", "tl.static_range in the tap"), ("unroll", "tap"))
    assert "tl.static_range(0, TAPS, 2 * (1))" in text
    assert "if tap + 1 < TAPS:" in text


def test_a_short_literal_loop_is_written_out():
    text = apply(kernel("for i in range(3):", "    tl.store(y_ptr + i, i)"), ("unroll", ""))
    assert "tl.store(y_ptr + 2, 2)" in text
    assert "for i" not in text


def test_one_loop_of_two_keeps_the_order():
    text = apply(CONV, ("fuse_loops", ""))
    assert "for turn in range(TAPS * ((IN - 0 + BLOCK_IN - 1) // BLOCK_IN)):" in text
    assert refuses("fuse_loops", text)


def test_a_loop_that_needs_a_constant_is_not_computed():
    assert refuses("fuse_loops", apply(CONV, ("pair_loads", "")))


def test_an_inner_sum_keeps_its_own_loop():
    text = kernel(
        "for i in range(n):",
        "    acc = 0.0",
        "    for j in range(n):",
        "        acc = acc + j",
    )
    assert refuses("fuse_loops", text)
    assert refuses("interchange", text)


def test_loops_are_exchanged_for_sums_only():
    text = apply(CONV, ("interchange", ""))
    assert text.index("for start in") < text.index("for tap in")
    horner = kernel(
        "acc = 0.0",
        "for i in range(n):",
        "    for j in range(n):",
        "        acc = acc * i + j",
        "tl.store(y_ptr, acc)",
    )
    assert refuses("interchange", horner)


def test_the_order_of_a_family_is_not_exchanged():
    text = apply(CONV, ("persistent", ""), ("hoist", "hoist all w"))
    assert refuses("interchange", text, "tap_w")


def test_invariant_lines_leave_the_loop():
    text = apply(
        kernel("for i in range(n):", "    w = tl.load(x_ptr)", "    tl.store(y_ptr + i, w)"),
        ("hoist", "w out of the i loop"),
    )
    assert text.index("w = tl.load") < text.index("for i")


def test_what_a_store_may_change_stays():
    for line in ("tl.store(x_ptr + i, w)", "tl.atomic_add(y_ptr, w)", "helper(y_ptr, w)"):
        assert refuses(
            "hoist", kernel("for i in range(n):", "    w = tl.load(x_ptr)", f"    {line}")
        )


def test_what_the_loop_changes_stays():
    lines = ("for i in range(n):", "    a = i + 1", "    b = a", "    tl.store(y_ptr, b)")
    assert refuses("hoist", kernel(*lines))


def test_a_value_carried_over_is_not_hoisted():
    lines = ("b = 0", "for i in range(n):", "    tl.store(y_ptr, b)", "    b = n + 1")
    assert refuses("hoist", kernel(*lines))


def test_a_family_of_loads_leaves_the_tile_loop():
    text = apply(CONV, ("persistent", ""), ("hoist", "hoist all w"))
    assert text.index("all_w = all_w + (") < text.index("for visit")
    assert "w = all_w[tap * ((IN + BLOCK_IN - 1) // BLOCK_IN) + start // BLOCK_IN]" in text
    assert "for tap in tl.static_range(0, TAPS, 1):" in text


def test_loads_that_depend_on_the_tile_only_go_first():
    source = apply(CONV, ("persistent", ""))
    assert all(" x " not in note for note in notes("hoist", source))
    text = apply(source, ("loads_first", "all x"))
    assert text.index("for visit") < text.index("all_x = ()") < text.index("for tap in")


def test_the_last_tile_fits():
    text = apply(CONV, ("fit_last_tile", ""))
    assert "for start in tl.static_range(0, IN, BLOCK_IN):" in text
    half = "BLOCK_IN // 2 if IN - start <= BLOCK_IN // 2 and BLOCK_IN >= 32 else BLOCK_IN"
    assert f"ins = start + tl.arange(0, {half})" in text
    assert refuses("fit_last_tile", text)


def test_the_last_tile_of_a_carried_shape_stays():
    body = """
acc = tl.zeros([B], dtype=tl.float32)
for i in range(0, N, B):
    at = i + tl.arange(0, B)
    acc += tl.load(x_ptr + at, mask=at < N, other=0.0)
tl.store(y_ptr + tl.arange(0, B), acc)
"""
    source = view_of(body, "x_ptr, y_ptr, n, N: tl.constexpr, B: tl.constexpr").module.code
    assert refuses("fit_last_tile", source)
