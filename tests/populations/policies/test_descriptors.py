from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.kernel import Kernel
from populations.policies.arrays import array_bytes
from populations.policies.descriptors import (
    DESCRIPTORS,
    UNKNOWN,
    bottleneck,
    language,
    launches,
    memory,
    size,
)
from tests.contracts.samples import CPP, TRITON, kernel, quick


def described(details=None, source=TRITON, language="triton"):
    plain = kernel(0, source, language=language)
    facts = {} if details is None else {"diagnostics": details}
    return Kernel(plain.candidate, replace(plain.evaluation, details=facts))


def test_the_bottleneck_is_the_diagnosed_one():
    assert bottleneck(described({"bottleneck": {"kind": "memory", "evidence": []}})) == "memory"
    assert bottleneck(described()) == bottleneck(described({"bottleneck": {"kind": ""}})) == UNKNOWN


@pytest.mark.parametrize(
    ("shared", "found"),
    [
        ([0], "at most 0 KiB"),
        ([1024, 20_000], "at most 48 KiB"),
        ([48 * 1024], "at most 48 KiB"),
        ([48 * 1024 + 1], "at most 100 KiB"),
        ([227 * 1024], "above 100 KiB"),
    ],
)
def test_memory_is_that_of_the_kernel_that_asks_for_most(shared, found):
    details = {"kernels": [{"name": f"k{n}", "shared_bytes": s} for n, s in enumerate(shared)]}
    assert memory(described(details)) == found


def test_memory_of_a_kernel_that_was_not_looked_at_is_its_tile():
    tile = "BLOCK_M = {}  # tune: 16, 64, 1024\nTILE_K = 16  # tune: 16\nWARPS = 4  # tune: 4\n"
    assert memory(described(source=tile.format(16))) == "at most 256 elements"
    assert memory(described(source=tile.format(64))) == "at most 4096 elements"
    assert memory(described(source="WARPS = 4  # tune: 4, 8\n")) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("    float a[16];\n", 64),
        ("    alignas(64) float a[4][8];\n    double b[2] = {0};\n", 144),
        (
            "const int A = 2;  // tune: 1, 2\nconstexpr int n = A * (50 + 1);\nfloat x[n];",
            408,
        ),
        ("#define TILE 32  // tune: 16, 32\n__shared__ float t[TILE][TILE + 1];\n", 4224),
        ("    float a[n];\n    float b[2];\n", 8),
        ("    float a[sizeof(x)];\n    return a[3];\n", 0),
        ("constexpr int n = 1 / 0;\nfloat a[n];\nfloat b[0];\nfloat c[-3];\n", 0),
    ],
)
def test_arrays_of_cpp_are_added_up(text, size):
    assert array_bytes(text) == size


def test_memory_of_cpp_is_what_its_arrays_take():
    for count, found in ((8, "at most 32 KiB"), (1 << 16, "at most 512 KiB")):
        source = CPP.replace(
            "        float sum", f"        float kept[{count}];\n        float sum"
        )
        assert memory(described(source=source, language="cpp")) == found
    assert memory(described(source=CPP, language="cpp")) == "at most 0 KiB"


@quick
@given(source=st.text(alphabet="floatin [](){};=*/+-0129\nABconstexpr#define"))
def test_any_text_has_a_size(source):
    assert array_bytes(source) >= 0


def test_launches_are_read_off_the_source():
    twice = TRITON.replace("        return y\n", "        scale[(1,)](y, y, n)\n        return y\n")
    assert launches(described()) == "at most 1"
    assert launches(described(source=twice)) == "at most 2"
    # Only elites are profiled: it must not make them of another kind.
    assert launches(described({"counters": {"launches": 7.0}})) == "at most 1"
    assert launches(described(source="x = torch.compile(f)(y)\n")) == "at most 0"
    assert launches(described(source="x = (")) == UNKNOWN


def test_parallel_regions_of_cpp_are_launches():
    regions = CPP.replace(
        "    for (long long row", "    #pragma omp parallel for\n    for (long long row"
    )
    assert launches(described(source=CPP, language="cpp")) == "at most 0"
    assert launches(described(source=regions, language="cpp")) == "at most 1"


def test_size_counts_lines_of_code():
    code = "".join(f"x{n} = {n}\n" for n in range(40))
    assert size(described(source=code + "\n# said\n  // said\n\n")) == "at most 40 lines"
    assert size(described(source=code + "#pragma omp simd\n")) == "at most 80 lines"
    assert size(described(source=code * 9)) == "above 320 lines"
    assert language(described(language="cpp")) == "cpp"


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["bottleneck", "kind", "kernels", "shared_bytes", "counters", "launches"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@quick
@given(details=json, source=st.sampled_from([CPP, TRITON]) | st.text())
def test_any_record_has_a_bin_in_every_descriptor(details, source):
    each = described(details, source)
    for describe in DESCRIPTORS.values():
        assert isinstance(describe(each), str)
        assert describe(each)
