"""What is told of a kernel: a pure function of its record and its parent's."""

import json

from fitness.diagnostics.summary import concluded, counters_of, lines, summary
from populations.outcome import Evaluation, Outcome, Speedup, Timing

TIMING = Timing("small", "eager", 1.0, 2.0, Speedup(2.0, 1.9, 2.1), (0.69,))
CPP = {
    "loops": ["line 4 `for`: scalar, calls a scalar function"],
    "mix": ["innermost loop at line 4 (no vectors): 1 loads, 1 stores, 1 calls"],
    "scalar_loops": 1,
    "vector_loops": 0,
    "ordered_sums": 0,
    "stack": 0,
}
ROOFLINE = {
    "small": {"roofline_ms": 0.1, "limit_ms": 0.05, "share": 0.1, "cost": "get_cost"},
    "large": {"roofline_ms": 1.0, "limit_ms": 0.5, "share": 0.4, "cost": "get_cost"},
}


def passed(**details):
    return Evaluation(
        Outcome.PASSED, 1, 1, timings=(TIMING,), speedup=TIMING.speedup, details=details
    )


def kernel(**changes):
    return {
        "name": "rows", "registers": 40, "spills": 0, "shared_bytes": 0, "num_warps": 8,
        "occupancy": 0.75, "limited_by": "registers", **changes,
    }  # fmt: skip


def test_a_cpp_kernel() -> None:
    details = {"diagnostics": {"cpp": CPP}, "roofline": ROOFLINE}
    added = concluded(details)
    assert json.loads(json.dumps(added)) == added
    assert added["diagnostics"]["bottleneck"]["kind"] == "scalar"
    assert abs(added["diagnostics"]["bottleneck"]["share"] - 0.2) < 1e-9
    text = summary(passed(**{**details, **added}))
    assert text.splitlines() == added["diagnosis"]
    assert text.splitlines()[:2] == [
        "bottleneck: scalar: none of the 1 innermost loops became vector code",
        "share of the roofline: small 10%, large 40%",
    ]
    assert "  line 4 `for`: scalar, calls a scalar function" in text.splitlines()


def test_beside_its_parent() -> None:
    vector = {**CPP, "scalar_loops": 0, "vector_loops": 1}
    vector["loops"] = ["line 4 `for`: vectorised, 64-byte vectors"]
    vector["mix"] = [*CPP["mix"], "innermost loop at line 9 (64-byte vectors): 2 loads, 1 stores"]
    text = summary(
        passed(diagnostics={"cpp": vector}), passed(diagnostics={"cpp": CPP}, roofline=ROOFLINE)
    )
    assert "  line 4 `for`: vectorised, 64-byte vectors  [new]" in text.splitlines()
    assert f"  {CPP['mix'][0]}" in text.splitlines()
    back = summary(passed(diagnostics={"cpp": CPP}), passed(diagnostics={"cpp": vector}))
    assert "parent had: innermost loop at line 9" in back


def test_a_triton_kernel_beside_its_parent() -> None:
    parent = passed(diagnostics={"kernels": [kernel()]})
    own = passed(diagnostics={"kernels": [kernel(registers=255, spills=90, occupancy=0.125)]})
    first, second = summary(own, parent).splitlines()
    assert first == "bottleneck: spilling: 90 words of each thread are spilled beside 255 registers"
    assert "255 registers (parent 40), 90 spilled words a thread (parent 0)" in second
    counters = {"sm_pct": 10.0, "memory_pct": 80.0}
    measured = passed(diagnostics={"kernels": [kernel()], "counters": counters})
    assert "(parent: spilling): memory is 80% busy" in summary(measured, own)


def test_one_that_failed_has_its_own_words() -> None:
    text = "\n".join(f"line {n}" for n in range(100))
    failed = Evaluation(Outcome.COMPILE_ERROR, diagnostics=text)
    told = summary(failed, passed(diagnostics={"cpp": CPP})).splitlines()
    assert len(told) == 31
    assert (told[0], told[15], told[-1]) == ("line 0", "[...]", "line 99")


def test_it_stays_short() -> None:
    many = {
        **CPP,
        "loops": [f"line {n}" for n in range(60)],
        "mix": [f"loop {n}" for n in range(60)],
    }
    kernels = [kernel(name=f"k{n}") for n in range(40)]
    own = passed(diagnostics={"cpp": many, "kernels": kernels}, roofline=ROOFLINE)
    assert len(summary(own, passed(diagnostics={"cpp": CPP})).splitlines()) < 40


def test_nothing_known_says_nothing() -> None:
    assert concluded({"stages": {}}) == {}
    assert summary(passed()) == ""
    for odd in (None, 3, [], "x", {"cpp": 3, "kernels": {"a": 1}}, {"kernels": [1, None]}):
        assert isinstance(summary(passed(diagnostics=odd, roofline=odd, own_share=odd)), str)
        assert isinstance(counters_of({"diagnostics": odd}), dict)
        assert isinstance(lines({"diagnostics": odd}, {"diagnostics": odd}), list)
