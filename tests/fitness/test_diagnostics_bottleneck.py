"""Every class of bottleneck from its counters; odd counters decide nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.diagnostics.bottleneck import Kind, classify

BUSY_NOWHERE = {"sm_pct": 20.0, "memory_pct": 30.0, "dram_pct": 30.0}


@pytest.mark.parametrize(
    ("counters", "kind", "said"),
    [
        ({"call_us": 40, "device_us": 12, "launches": 3}, "launch", "of 3 kernels only 12 us run"),
        ({"call_us": 20, "device_us": 18, "launches": 9}, "launch", "9 kernels a call of 2 us"),
        ({"duration_us": 2.5, "sm_pct": 80}, "launch", "hardly longer than launching it"),
        (
            {"instructions": 1e6, "local_instructions": 2e5, "registers": 255, "dram_pct": 90},
            "spilling",
            "20% of the instructions",
        ),
        ({"spills": 64, "registers": 255}, "spilling", "64 words of each thread"),
        ({"stack": 12, "vector_loops": 1}, "spilling", "12 vector accesses to the stack"),
        ({"dram_pct": 88.0, "sm_pct": 35.0}, "memory", "device memory is 88% busy"),
        ({"l2_pct": 75.0, "dram_pct": 20.0, "sm_pct": 40.0}, "memory", "L2 is 75% busy"),
        ({"memory_pct": 70.0, "sm_pct": 40.0}, "memory", "memory is 70% busy"),
        ({"roofline_share": 0.85, "bound": "memory"}, "memory", "85% of what the memory"),
        ({"sm_pct": 82.0, "dram_pct": 61.0}, "compute", "multiprocessors are 82% busy"),
        ({"tensor_pct": 77.0, "sm_pct": 55.0}, "compute", "tensor cores are 77% busy"),
        ({"roofline_share": 0.9, "bound": "compute"}, "compute", "90% of the arithmetic"),
        ({**BUSY_NOWHERE, "waves": 0.3}, "occupancy", "too few blocks"),
        (
            {**BUSY_NOWHERE, "theoretical_occupancy": 0.125, "limited_by": "registers"},
            "occupancy",
            "at most 12% of the warps fit because of registers",
        ),
        (
            {**BUSY_NOWHERE, "stalls": {"long_scoreboard": 6, "barrier": 2, "selected": 1}},
            "latency",
            "global or local memory 75%, barriers 25%",
        ),
        # Few warps are how kernels for tensor cores of this kind are made.
        ({**BUSY_NOWHERE, "theoretical_occupancy": 0.125, "wgmma": 8}, "latency", "nothing is"),
        ({"scalar_loops": 2, "vector_loops": 0}, "scalar", "none of the 2 innermost loops"),
        ({"scalar_loops": 0, "vector_loops": 2, "ordered_sums": 1}, "scalar", "adds its sum in"),
        ({"scalar_loops": 1, "vector_loops": 2}, "unknown", ""),
        ({"roofline_share": 0.3}, "unknown", ""),
        ({}, "unknown", ""),
    ],
)
def test_every_class(counters, kind, said):
    found = classify(counters)
    assert found.kind == kind
    assert said in (found.evidence[0] if found.evidence else "")
    assert found.share == counters.get("roofline_share")
    assert found.to_json()["kind"] == kind


def test_what_else_stands_out_is_said():
    counters = {"dram_pct": 80, "sm_pct": 10, "load_efficiency_pct": 25, "spills": 4, "waves": 1.1}
    first, *more = classify(counters).evidence
    assert "device memory" in first
    text = "; ".join(more)
    assert "use 25% of the bytes" in text
    assert "registers are spilled" in text
    assert "the last one fills 10%" in text


def test_a_busy_kernel_is_not_told_of_its_occupancy():
    counters = {"dram_pct": 90, "sm_pct": 30, "theoretical_occupancy": 0.1, "waves": 0.5}
    assert classify(counters).kind is Kind.MEMORY


NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.floats(),
    st.integers(),
    st.just([]),
    st.dictionaries(st.text(max_size=4), st.floats(), max_size=3),
)
NAMES = [
    *("call_us", "device_us", "launches", "duration_us", "sm_pct", "dram_pct", "memory_pct"),
    *("tensor_pct", "occupancy", "theoretical_occupancy", "waves", "registers", "spills"),
    *("instructions", "local_instructions", "stalls", "roofline_share", "bound", "limited_by"),
    *("scalar_loops", "vector_loops", "ordered_sums", "stack", "load_efficiency_pct", "wgmma"),
]


@given(st.dictionaries(st.sampled_from(NAMES), NUMBERS))
def test_odd_counters_do_no_harm(counters):
    found = classify(counters)
    assert found.share is None or (math.isfinite(found.share) and found.share >= 0)
    assert (found.kind is Kind.UNKNOWN) or found.evidence
    assert all(len(text) < 400 for text in found.evidence)
