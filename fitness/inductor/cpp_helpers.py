"""C++ functions that generated kernels call: each is put in front of the kernels that need it.

They do what TorchInductor's functions of the same names do, for scalars.
"""

from __future__ import annotations

import re

# Name that a text mentions -> definition. In an order in which each needs only earlier ones.
_HELPERS = {
    "half": "using half = _Float16;",
    "bfloat16": """\
struct bfloat16 {
    uint16_t bits;
    bfloat16() = default;
    bfloat16(float value) {
        uint32_t word;
        __builtin_memcpy(&word, &value, 4);
        // To nearest, ties to even; a NaN stays one.
        bits = value != value ? 0x7fc0 : (word + 0x7fff + ((word >> 16) & 1)) >> 16;
    }
    operator float() const {
        const uint32_t word = static_cast<uint32_t>(bits) << 16;
        float value;
        __builtin_memcpy(&value, &word, 4);
        return value;
    }
};""",
    "max_propagate_nan": """\
template <typename T>
inline T max_propagate_nan(T a, T b) {
    return a != a || a > b ? a : b;
}""",
    "min_propagate_nan": """\
template <typename T>
inline T min_propagate_nan(T a, T b) {
    return a != a || a < b ? a : b;
}""",
    "div_floor": """\
inline int64_t div_floor(int64_t a, int64_t b) {
    const int64_t quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}""",
    "floor_divide_integral": """\
template <typename T, typename U>
inline std::common_type_t<T, U> floor_divide_integral(T a, U b) {
    const auto quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}""",
    "mod": """\
template <typename T, typename U>
inline std::common_type_t<T, U> mod(T a, U b) {
    if constexpr (std::is_floating_point_v<std::common_type_t<T, U>>) {
        return std::fmod(a, b);
    } else {
        return a % b;
    }
}""",
    "remainder_integral": """\
template <typename T>
inline T remainder_integral(T a, T b) {
    const T rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}""",
    "IndexValue": """\
template <typename T>
struct IndexValue {
    int64_t index = 0;
    T value = T(0);
};""",
    "argmax_combine": """\
template <typename T>
inline IndexValue<T> argmax_combine(IndexValue<T> best, T value, int64_t index) {
    const bool nan = value != value;
    const bool best_nan = best.value != best.value;
    const bool equal = best.value == value || (nan && best_nan);
    const bool wins = equal ? index < best.index : nan || (!best_nan && value > best.value);
    return wins ? IndexValue<T>{index, value} : best;
}
template <typename T>
inline IndexValue<T> argmax_combine(IndexValue<T> best, IndexValue<T> next) {
    return argmax_combine(best, next.value, next.index);
}""",
    "argmin_combine": """\
template <typename T>
inline IndexValue<T> argmin_combine(IndexValue<T> best, T value, int64_t index) {
    const bool nan = value != value;
    const bool best_nan = best.value != best.value;
    const bool equal = best.value == value || (nan && best_nan);
    const bool wins = equal ? index < best.index : nan || (!best_nan && value < best.value);
    return wins ? IndexValue<T>{index, value} : best;
}
template <typename T>
inline IndexValue<T> argmin_combine(IndexValue<T> best, IndexValue<T> next) {
    return argmin_combine(best, next.value, next.index);
}""",
    "Welford": """\
struct Welford {
    double mean = 0;
    double m2 = 0;
    double weight = 0;
};
inline Welford welford_combine(Welford a, double value) {
    const double weight = a.weight + 1;
    const double mean = a.mean + (value - a.mean) / weight;
    return {mean, a.m2 + (value - a.mean) * (value - mean), weight};
}
inline Welford welford_combine(Welford a, Welford b) {
    const double weight = a.weight + b.weight;
    if (weight == 0) {
        return a;
    }
    const double delta = b.mean - a.mean;
    const double share = b.weight / weight;
    return {a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.weight * share, weight};
}""",
    "atomic_add": """\
template <typename T>
inline void atomic_add(T* target, T value) {
    #pragma omp atomic
    *target += value;
}""",
}
_NEEDS = {
    "argmax_combine": ("IndexValue",),
    "argmin_combine": ("IndexValue",),
}


def helpers(text: str) -> str:
    """The definitions that a text needs, "" for none."""
    words = set(re.findall(r"\b[A-Za-z_]\w*\b", text))
    wanted = {name for name in _HELPERS if name in words}
    wanted |= {need for name in wanted for need in _NEEDS.get(name, ())}
    return "\n\n".join(body for name, body in _HELPERS.items() if name in wanted)
