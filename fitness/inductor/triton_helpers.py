"""Triton functions that generated kernels call, written out, so that nothing private is imported.

Importing torch's own takes seconds in every candidate's process. What is not here is imported from
there all the same.
"""

from __future__ import annotations

import re

# Function of torch's -> its name here.
_NAMES = {
    "maximum": "maximum",
    "minimum": "minimum",
    "max2": "max_along",
    "min2": "min_along",
    "any": "any_along",
    "prod": "product_along",
    "maximum_with_index": "maximum_with_index",
    "minimum_with_index": "minimum_with_index",
    "max_with_index": "max_with_index",
    "min_with_index": "min_with_index",
    "promote_to_tensor": "promote_to_tensor",
    "div_floor_integer": "div_floor_integer",
    "remainder_integer": "remainder_integer",
    "online_softmax_reduce": "online_softmax_reduce",
    "online_softmax_combine": "online_softmax_combine",
    "online_softmax_combine_with_sum": "online_softmax_join",
    "select_one": "select_one",
    "welford_reduce": "welford_reduce",
    "welford_combine": "welford_combine",
    "welford": "welford",
}
_JIT = "@triton.jit\n"
# Name here -> definition; each needs only what stands before it.
_HELPERS = {
    "promote_to_tensor": """\
def promote_to_tensor(x):
    return x + tl.zeros((1,), tl.int1)""",
    "maximum": """\
def maximum(a, b):
    # A NaN wins.
    return tl.where((a > b) | (a != a), a, b)""",
    "minimum": """\
def minimum(a, b):
    # A NaN wins.
    return tl.where((a < b) | (a != a), a, b)""",
    "max_along": """\
def max_along(values, dim):
    return tl.reduce(values, dim, maximum)""",
    "min_along": """\
def min_along(values, dim):
    return tl.reduce(values, dim, minimum)""",
    "either": """\
def either(a, b):
    return a | b""",
    "any_along": """\
def any_along(values, dim):
    return tl.reduce(values, dim, either)""",
    "multiply": """\
def multiply(a, b):
    return a * b""",
    "product_along": """\
def product_along(values, dim):
    return tl.reduce(values, dim, multiply)""",
    "maximum_with_index": """\
def maximum_with_index(a, a_index, b, b_index):
    # A NaN wins; of equals the first does.
    same = (a == b) | ((a != a) & (b != b))
    first = (a > b) | ((a != a) & (b == b)) | (same & (a_index < b_index))
    return tl.where(first, a, b), tl.where(first, a_index, b_index)""",
    "minimum_with_index": """\
def minimum_with_index(a, a_index, b, b_index):
    # A NaN wins; of equals the first does.
    same = (a == b) | ((a != a) & (b != b))
    first = (a < b) | ((a != a) & (b == b)) | (same & (a_index < b_index))
    return tl.where(first, a, b), tl.where(first, a_index, b_index)""",
    "max_with_index": """\
def max_with_index(values, index, dim):
    return tl.reduce((values, index), dim, maximum_with_index)""",
    "min_with_index": """\
def min_with_index(values, index, dim):
    return tl.reduce((values, index), dim, minimum_with_index)""",
    "div_floor_integer": """\
def div_floor_integer(a, b):
    quotient = a // b
    inexact = (a % b != 0) & ((a < 0) != (b < 0))
    return tl.where(inexact, quotient - 1, quotient)""",
    "remainder_integer": """\
def remainder_integer(a, b):
    rest = a % b
    return tl.where((rest != 0) & ((a < 0) != (b < 0)), rest + b, rest)""",
    "online_softmax_reduce": """\
def online_softmax_reduce(largest, total, dim, fast: tl.constexpr):
    top = max_along(largest, dim)
    wide = tl.expand_dims(top, dim)
    share = tl.exp(tl.where(wide == float("-inf"), 0, largest - wide))
    return top, tl.sum(total * share, dim)""",
    "online_softmax_combine": """\
def online_softmax_combine(largest, total, value, fast: tl.constexpr):
    top = maximum(largest, value)
    empty = top == float("-inf")
    old = tl.where(empty, 1.0, tl.exp(largest - top))
    new = tl.where(empty, 1.0, tl.exp(value - top))
    return top, total * old + new""",
    "online_softmax_join": """\
def online_softmax_join(largest, total, other, other_total, fast: tl.constexpr):
    top = maximum(largest, other)
    empty = top == float("-inf")
    old = tl.where(empty, 1.0, tl.exp(largest - top))
    new = tl.where(empty, 1.0, tl.exp(other - top))
    return top, total * old + other_total * new""",
    "select_one": """\
def select_one(values, mask, dim, keep_dims=False):
    return tl.sum(tl.where(mask, values, 0), dim, keep_dims=keep_dims)""",
    "welford_reduce": """\
def welford_reduce(value, mean, m2, weight, first_iteration):
    if first_iteration:
        new_weight = tl.full(weight.shape, 1, weight.dtype)
        new_mean = value
        new_m2 = tl.zeros_like(m2)
    else:
        delta = value - mean
        new_weight = weight + 1
        new_mean = mean + delta / new_weight
        new_m2 = m2 + delta * (value - new_mean)
    return new_mean, new_m2, new_weight""",
    "welford_combine": """\
def welford_combine(mean_a, m2_a, weight_a, mean_b, m2_b, weight_b):
    delta = mean_b - mean_a
    weight = weight_a + weight_b
    share = tl.where(weight == 0.0, 0.0, weight_b / weight)
    return mean_a + delta * share, m2_a + m2_b + delta * delta * weight_a * share, weight""",
    "welford": """\
def welford(mean, m2, weight, dim):
    return tl.reduce((mean, m2, weight), dim, welford_combine)""",
}
_NEEDS = {
    "max_along": ("maximum",),
    "min_along": ("minimum",),
    "any_along": ("either",),
    "product_along": ("multiply",),
    "max_with_index": ("maximum_with_index",),
    "min_with_index": ("minimum_with_index",),
    "online_softmax_reduce": ("max_along", "maximum"),
    "online_softmax_combine": ("maximum",),
    "online_softmax_join": ("maximum",),
    "welford": ("welford_combine",),
}
NAMES = frozenset(_HELPERS)
# Functions of the device library that Triton's language has as well.
_IN_LANGUAGE = {name: name for name in ("exp", "exp2", "log2", "rsqrt", "erf", "floor", "ceil")}
_IN_LANGUAGE["sqrt"] = "sqrt_rn"


def plain_calls(text: str) -> str:
    """The text with calls of torch's helpers replaced by the ones here, where there is one."""
    text = re.sub(
        r"\btriton_helpers\.(\w+)", lambda m: _NAMES.get(m[1], f"triton_helpers.{m[1]}"), text
    )
    text = re.sub(
        r"\blibdevice\.(\w+)\(",
        lambda m: f"tl.{_IN_LANGUAGE[m[1]]}(" if m[1] in _IN_LANGUAGE else m[0],
        text,
    )
    text = re.sub(r"\blibdevice\.isnan\((\w+)\)\.to\(tl\.int1\)", r"(\1 != \1)", text)
    text = re.sub(
        r"\blibdevice\.isinf\((\w+)\)\.to\(tl\.int1\)", r'(tl.abs(\1) == float("inf"))', text
    )
    return re.sub(r"\btl_math\.", "tl.", text)


def helpers(text: str) -> str:
    """The definitions that a text needs, "" for none."""
    words = set(re.findall(r"\b[A-Za-z_]\w*\b", text))
    wanted = {name for name in _HELPERS if name in words}
    wanted |= {need for name in wanted for need in _NEEDS.get(name, ())}
    return "\n\n\n".join(_JIT + body for name, body in _HELPERS.items() if name in wanted)


def imports(text: str) -> list[str]:
    """Import statements that a text with Triton kernels needs beside Triton itself."""
    lines = []
    if re.search(r"\btriton_helpers\.", text):
        lines.append("from torch._inductor.runtime import triton_helpers")
    if re.search(r"\blibdevice\.", text):
        lines.append("from triton.language.extra import libdevice")
    return lines
