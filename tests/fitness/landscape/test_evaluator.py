"""What a table answers in place of a judge: the contract, the noise, what is outside."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitness.landscape.evaluator import TableEvaluator
from fitness.landscape.pool import LandscapePool
from fitness.landscape.table import Landscape, load
from fitness.sandbox.layers import NAMES
from fitness.spec import EvaluationSpec
from fitness.statistics import median
from populations.errors import SeedError
from populations.kernel import Candidate
from populations.outcome import Outcome
from tests.fitness.landscape.test_table import GOLDEN
from tests.fitness.landscape.tiny import BEST, source

TABLE = load(GOLDEN)


def candidate(number: int, text: str, language: str = "cpp") -> Candidate:
    return Candidate(number=number, source=text, language=language)


def evaluator(seed: int = 1, table: Landscape = TABLE) -> TableEvaluator:
    return TableEvaluator(table, seed=seed)


@given(row=st.integers(0, len(TABLE) - 1), number=st.integers(0, 5000), seed=st.integers(0, 99))
@settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
def test_an_answer_is_a_draw_of_the_raw_pairs(row: int, number: int, seed: int) -> None:
    found = evaluator(seed).submit(candidate(number, TABLE.source(row))).result(timeout=0)
    assert found == evaluator(seed).evaluate(candidate(number, TABLE.source(row)))
    assert found.outcome is TABLE.outcome(row)
    assert found.device_s == pytest.approx(0.25)
    assert found.build_s == pytest.approx(0.5)
    if not found.passed:
        assert found.diagnostics == TABLE.text(row)
        return
    (timing,) = found.timings
    assert set(timing.log_ratios) <= set(TABLE.pairs(row))
    assert len(timing.log_ratios) == len(TABLE.pairs(row))
    assert timing.speedup.log == pytest.approx(median(timing.log_ratios))
    assert timing.baseline_ms / timing.candidate_ms == pytest.approx(timing.speedup.value)
    # As the judge does: what two processes differ by is allowed for.
    assert math.log(timing.speedup.high / timing.speedup.value) >= 0.01 - 1e-9


def test_seed_kernel_and_number_decide_the_draw() -> None:
    text, other = TABLE.source(TABLE.best), TABLE.source(TABLE.seed)
    first = evaluator().evaluate(candidate(3, text)).timings[0].log_ratios
    assert evaluator(2).evaluate(candidate(3, text)).timings[0].log_ratios != first
    assert evaluator().evaluate(candidate(4, text)).timings[0].log_ratios != first
    one = evaluator()
    one.evaluate(candidate(3, other))
    assert one.evaluate(candidate(3, text)).timings[0].log_ratios == first


def test_draws_scatter_about_the_truth() -> None:
    one = evaluator()
    text = TABLE.source(TABLE.best)
    logs = [
        s.log for n in range(400) if (s := one.evaluate(candidate(n, text)).speedup) is not None
    ]
    assert len(set(logs)) > 5
    assert median(logs) == pytest.approx(TABLE.true_log_speedup[TABLE.best], abs=0.01)


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("x = 1\n", "cpp", "no variant of the landscape tiny"),
        (source(BEST, 1, 4), "cpp", "pad, vectors, pack.*not measured"),
        (source(()), "triton", "is of cpp kernels"),
    ],
)
def test_outside_the_table_says_so(text: str, language: str, said: str) -> None:
    found = evaluator().evaluate(candidate(0, text, language))
    assert found.outcome is Outcome.REJECTED
    assert found.speedup is None
    assert re.search(said, found.diagnostics)


def test_closed_twice_and_cancelled_afterwards() -> None:
    one = evaluator()
    one.close()
    one.close()
    assert one.submit(candidate(0, source(()))).cancelled()


@pytest.fixture
def pool() -> LandscapePool:
    spec = EvaluationSpec(problem=Path("p.py"), cache_dir=Path("cache"))
    return LandscapePool(TABLE, spec, seed=1)


def test_a_pool_knows_what_a_run_asks(pool: LandscapePool) -> None:
    assert list(pool.layers()) == list(NAMES)
    assert not any(layer.on for layer in pool.layers().values())
    assert pool.measure_baselines().times_ms == {"w": {"eager": 2.0, "conv2d": 3.0}}
    assert pool.facts()["device"] == "an abacus"
    assert not pool.examine_problem().refused


def test_seeds_must_pass(pool: LandscapePool) -> None:
    (found,) = pool.check((candidate(0, source(())),))
    assert found.passed
    with pytest.raises(SeedError, match="3 of 8"):
        pool.check((candidate(0, source(("pad",), 4)),))


def test_a_champion_is_measured_again_with_more_pairs(pool: LandscapePool) -> None:
    report = pool.verify(
        candidate(9, TABLE.source(TABLE.best)), seed=candidate(0, source(())), pairs=40
    )
    assert report.speedup is not None
    assert len(report.workloads[0].timings[0].log_ratios) == 40
    assert report.speedup.value > 3
    assert report.workloads[0].control.low < 1 < report.workloads[0].control.high
    assert set(report.workloads[0].times_ms) == {"candidate", "control", "eager", "conv2d", "seed"}
    fallen = pool.verify(candidate(9, source(("pad",), 4)))
    assert fallen.outcome is Outcome.WRONG_VALUES
    assert fallen.speedup is None
