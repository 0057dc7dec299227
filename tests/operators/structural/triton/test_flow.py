"""What is read, written, carried and static in a kernel."""

import pytest

from operators.structural.triton import flow
from operators.structural.triton.tree import Refused, assigned, body_of, expr, stmt
from tests.operators.structural.triton.samples import view_of

LOOP = """
start = tl.program_id(0)
acc = tl.zeros([N], tl.float32)
for i in range(0, N, 4):
    here = start + i
    value = tl.load(x_ptr + here, mask=here < n)
    acc += value
    last = value
tl.store(y_ptr + start, acc)
"""


def test_keywords_and_attributes_are_no_variables():
    line = stmt("a, b[i] = f.g(x, mask=y)\n")
    assert flow.reads(line) == {"b", "i", "f", "x", "y"}
    assert flow.writes(line) == {"a"}


def test_an_augmented_assignment_reads_and_writes():
    line = stmt("acc += x\n")
    assert flow.reads(line) == {"acc", "x"}
    assert flow.writes(line) == {"acc"}


def test_only_values_that_live_on_are_carried():
    (kernel,) = view_of(LOOP).kernels
    (loop,) = flow.loops(kernel)
    assert flow.carried(loop) == {"acc"}
    assert flow.writes(loop) == {"i", "here", "value", "acc", "last"}


def test_a_name_set_anew_in_each_turn_of_an_outer_loop_is_not_carried():
    text = """
for i in range(N):
    acc = tl.zeros([N], tl.float32)
    for j in range(N):
        acc = acc + j
    tl.store(y_ptr + i, acc)
"""
    (kernel,) = view_of(text).kernels
    outer, inner = flow.loops(kernel)
    assert flow.carried(outer) == set()
    assert flow.carried(inner) == {"acc"}


@pytest.mark.parametrize(
    ("text", "static"),
    [("N", True), ("2 * N + 1", True), ("n", False), ("N + n", False), ("tl.cdiv(N, 2)", False)],
)
def test_static_expressions_have_only_constants(text, static):
    (kernel,) = view_of(LOOP).kernels
    assert flow.is_static(expr(text), kernel) is static


def test_pointers_are_followed_through_names():
    (kernel,) = view_of("p = x_ptr + n\nq = p + 1\ntl.store(y_ptr, tl.load(q))").kernels
    assert flow.pointers(kernel, expr("q")) == {"x_ptr"}
    assert flow.pointer_parameters(kernel) == {"x_ptr", "y_ptr"}


def test_a_load_passes_a_store_to_another_pointer_only():
    (kernel,) = view_of("a = tl.load(x_ptr)\ntl.store(y_ptr, a)\ntl.store(x_ptr, a)").kernels
    load, other, same = body_of(kernel)
    assert flow.may_cross(kernel, load, [other])
    assert not flow.may_cross(kernel, load, [same])


def test_nothing_passes_an_atomic_or_an_unknown_call():
    (kernel,) = view_of("a = tl.load(x_ptr)\ntl.atomic_add(y_ptr, a)\nhelper(y_ptr)").kernels
    load, atomic, unknown = body_of(kernel)
    assert not flow.may_cross(kernel, load, [atomic])
    assert not flow.may_cross(kernel, load, [unknown])
    assert not flow.is_pure(atomic)


def test_loops_that_may_end_early_are_left_alone():
    (kernel,) = view_of("for i in range(N):\n    if i > 3:\n        break\n    a = i").kernels
    assert flow.loops(kernel) == ()


def test_starred_bounds_are_refused():
    (kernel,) = view_of("for i in range(*N):\n    a = i").kernels
    (loop,) = flow.loops(kernel)
    with pytest.raises(Refused):
        flow.bounds(loop)


def test_an_assignment_of_several_names_is_not_a_single_one():
    assert assigned(stmt("a = b = 1\n")) is None
    assert assigned(stmt("a, b = c\n")) is None
    assert assigned(stmt("a: tl.constexpr = 1\n")) is not None
