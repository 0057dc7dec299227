"""What a lineage tells: steps, credit, milestones, variety, dead ends."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.analysis import credit
from populations.analysis.course import evenness, milestones, windows
from populations.analysis.dead_ends import dead_ends
from populations.analysis.history import History, line_of_champions, read_history
from populations.analysis.steps import ratio, steps_to
from populations.call import Answer, Call, Finish, Message
from populations.kernel import Kernel
from populations.outcome import Evaluation, Outcome, Timing
from populations.rows import Proposal, Remeasurement
from populations.statistics import Progress
from tests.contracts.samples import kernel, lineage, passed, quick, speedup
from tests.evo.toy import create


def of(*kernels: Kernel, **more) -> History:
    """The history of a run with these kernels."""
    grown = lineage(*kernels)
    line = line_of_champions(kernels)
    more = {"proposed": {k.number: k.candidate.operator for k in kernels}, **more}
    return History(lineage=grown, champions=line, champion=line[-1] if line else None, **more)


@st.composite
def histories(draw) -> History:
    """Runs of up to 24 kernels with failures, crossovers and several seeds."""
    kernels: list[Kernel] = []
    for number in range(draw(st.integers(1, 24))):
        seed = number == 0 or draw(st.integers(0, 9)) == 0
        earlier = st.integers(0, max(number - 1, 0))
        parents = (
            () if seed else tuple(draw(st.lists(earlier, min_size=1, max_size=2, unique=True)))
        )
        value = draw(st.none() | st.floats(0.1, 50.0))
        operator = "seed" if seed else draw(st.sampled_from("abc"))
        spread = draw(st.floats(0.0, 0.5))
        kernels.append(
            kernel(number, value=value, parents=parents, operator=operator, spread=spread)
        )
    return of(*kernels)


@pytest.fixture
def run() -> History:
    """0 -> 1 -> 2 (failed) -> 3 -> 5, and 4, a dead end with two children."""
    return of(
        kernel(0, value=1.0),
        kernel(1, value=2.0, parents=(0,), operator="tile"),
        kernel(2, value=None, parents=(1,), operator="edit"),
        kernel(3, value=8.0, parents=(2,), operator="repair"),
        kernel(4, value=0.5, parents=(0,), operator="tile"),
        kernel(5, value=6.0, parents=(3,), operator="tile"),
        kernel(6, value=None, parents=(4,), operator="edit"),
        kernel(7, value=0.5, parents=(4, 0), operator="merge"),
    )


def test_a_step_has_its_gain_with_an_interval(run):
    steps = steps_to(run.lineage, 5)
    assert [step.kernel.number for step in steps] == [0, 1, 2, 3, 5]
    assert [step.before for step in steps] == [None, 0, None, 1, 3]
    assert [step.gain and round(step.gain.value, 6) for step in steps] == [None, 2, None, 4, 0.75]
    # Two measurements of 2% each, on the logarithm: about 2.83% together.
    gain = steps[1].gain
    assert gain.low == pytest.approx(2.0 * math.exp(-math.hypot(math.log(0.98), math.log(1.02))))
    assert gain.low < gain.value < gain.high
    assert steps[1].gains["small"] == gain


def test_what_failed_and_was_mended_shares_the_gain(run):
    gains = [step.log_gain for step in steps_to(run.lineage, 3)]
    assert gains == pytest.approx([0.0, math.log(2), math.log(2), math.log(2)])


def test_a_path_may_fail_to_its_end():
    failing = lineage(kernel(0, value=None), kernel(1, value=None, parents=(0,)))
    assert [(s.gain, s.log_gain) for s in steps_to(failing, 1)] == [(None, 0.0), (None, 0.0)]
    with pytest.raises(KeyError):
        steps_to(failing, 2)


def test_gains_go_workload_by_workload():
    def timed(**values: float) -> Evaluation:
        timings = tuple(
            Timing(name, "eager", 1.0, value, speedup(value), (0.0,))
            for name, value in values.items()
        )
        return replace(passed(2.0), timings=timings)

    both = lineage(
        kernel(0, evaluation=timed(a=1.0, b=2.0, c=1.0)),
        kernel(1, evaluation=timed(a=3.0, b=1.0, d=1.0), parents=(0,)),
    )
    gains = steps_to(both, 1)[1].gains
    assert {name: round(gain.value, 6) for name, gain in gains.items()} == {"a": 3.0, "b": 0.5}


def test_credit_goes_along_the_whole_path(run):
    (found,) = credit.contributions(run, {"operator": credit.operators(run)}).values()
    by_name = {one.name: one for one in found}
    # The champion is 3: 5 is slower than it.
    assert run.champion == 3
    assert run.champions == (0, 1, 3)
    tile, edit, repair = by_name["tile"], by_name["edit"], by_name["repair"]
    assert (tile.proposed, tile.judged, tile.passed, tile.improved) == (3, 3, 3, 1)
    assert [one.steps for one in (tile, edit, repair)] == [1, 1, 1]
    for one in (tile, edit, repair):
        assert one.log_gain == pytest.approx(math.log(2))
        assert one.share == pytest.approx(1 / 3)
    # 1 advanced by 2 all by itself; 3 by 4, a third of which belongs to the step to 1.
    assert tile.log_advance == pytest.approx(math.log(2) + math.log(4) / 3)
    assert edit.log_advance == repair.log_advance == pytest.approx(math.log(4) / 3)
    assert by_name["merge"].steps == 0
    assert by_name["seed"].log_advance == 0.0
    assert found[0] is tile


def test_a_better_seed_is_credited_with_its_advance():
    seeds = of(kernel(0, value=1.0), kernel(1, value=3.0))
    (one,) = credit.contributions(seeds, {"operator": credit.operators(seeds)})["operator"]
    assert (one.name, one.steps, one.share) == ("seed", 1, None)
    assert one.log_advance == pytest.approx(math.log(3))


@quick
@given(histories())
def test_shares_add_up_to_what_was_gained(history):
    told = {number: ("x", "y", "z")[: number % 4] for number in history.kernels}
    kinds = {"operator": credit.operators(history), "knowledge": credit.passages(told)}
    found = credit.contributions(history, kinds)
    for contributions in found.values():
        gain = advance = 0.0
        if history.champion is not None:
            best = history.kernels[history.champion].evaluation.speedup.log
            steps = steps_to(history.lineage, history.champion)
            gain = best - next(s.log for x in steps if (s := x.kernel.evaluation.speedup))
            first = history.kernels[history.champions[0]].evaluation.speedup.log
            advance = best - first
        assert sum(one.log_gain for one in contributions) == pytest.approx(gain, abs=1e-9)
        assert sum(one.log_advance for one in contributions) == pytest.approx(advance, abs=1e-9)
        if abs(gain) > 1e-6:
            assert sum(one.share for one in contributions) == pytest.approx(1.0)
    operators = found["operator"]
    assert sum(one.judged for one in operators) == len(history.kernels)
    assert sum(one.steps for one in operators) == (
        len(steps_to(history.lineage, history.champion)) if history.champion is not None else 0
    )


@quick
@given(histories())
def test_the_line_of_champions_is_the_searchs(history):
    progress = Progress()
    line = [each.number for each in history.kernels.values() if progress.insert(each)]
    assert history.champions == tuple(line)


@quick
@given(histories())
def test_a_dead_end_has_no_better_descendant(history):
    grown = history.lineage
    found = dead_ends(grown, champion=history.champion)
    inside = set()
    for end in found:
        number = end.kernel.number
        below = grown.descendants(number)
        assert end.descendants == len(below) > 0
        assert end.passed == sum(grown.get(n).passed for n in below)
        own = end.kernel.evaluation.speedup
        lows = [s.low for n in below if (s := grown.get(n).evaluation.speedup)]
        assert max(lows, default=0.0) <= (own.value if own else 0.0)
        inside |= {number, *below}
    # What is in none leads somewhere, or was never tried further.
    for number in set(history.kernels) - inside - {history.champion}:
        below = grown.descendants(number)
        own = grown.get(number).evaluation.speedup
        lows = [s.low for n in below if (s := grown.get(n).evaluation.speedup)]
        assert not below or max(lows, default=0.0) > (own.value if own else 0.0)


def test_dead_ends_are_given_once_and_never_the_champion(run):
    (end,) = dead_ends(run.lineage, champion=run.champion)
    assert (end.kernel.number, end.descendants, end.passed) == (4, 2, 1)
    assert [e.kernel.number for e in dead_ends(run.lineage)] == [4, 3]


def test_milestones_say_what_had_been_used(run):
    kernels = [
        replace(k, evaluation=replace(k.evaluation, device_s=0.5)) for k in run.kernels.values()
    ]
    # Kernel 2 took longer than 3.
    stored = {0: 100.0, 1: 110.0, 2: 140.0, 3: 130.0}
    found = milestones(of(*kernels, stored_unix_s=stored))
    assert [(m.kernel.number, m.evaluations, m.device_s, m.wall_s) for m in found] == [
        (0, 1, 0.5, 0.0),
        (1, 2, 1.0, 10.0),
        (3, 4, 2.0, 30.0),
    ]
    assert [m.wall_s for m in milestones(of(*kernels))] == [None] * 3
    assert milestones(of(kernel(0, value=None))) == ()


def test_windows_count_texts_and_not_points():
    sources = ["A = 1  # tune: 1, 2\n", "A = 2  # tune: 1, 2\n", "B = 1\n", "A = 1  # tune: 1, 2\n"]
    kernels = [kernel(n, source, operator="abab"[n]) for n, source in enumerate(sources)]
    first, last = windows(kernels, size=3)
    assert (first.first, first.last, first.judged, first.skeletons, first.new) == (0, 2, 3, 2, 2)
    assert (last.first, last.last, last.judged, last.skeletons, last.new) == (3, 3, 1, 1, 0)
    assert first.passed == 3
    assert last.evenness == 0.0


@pytest.mark.parametrize(
    ("names", "expected"),
    [("", 0.0), ("aaa", 0.0), ("abab", 1.0), ("abcabc", 1.0), ("aaab", 0.8112781)],
)
def test_evenness(names, expected):
    assert evenness(names) == pytest.approx(expected)


def test_a_ratio_needs_both():
    assert ratio(None, speedup(1.0)) is None
    assert ratio(speedup(1.0), None) is None
    assert ratio(speedup(2.0, spread=0.0), speedup(3.0, spread=0.0)).low == pytest.approx(1.5)


def test_a_history_is_what_the_store_holds(tmp_path):
    with create(tmp_path) as store:
        for made in (kernel(0), kernel(1, value=2.0, parents=(0,), operator="rewrite")):
            store.add_candidate(made.candidate)
            store.add_evaluation(made.number, made.evaluation)
        for number in (2, 3):
            store.add_proposal(Proposal(number, "rewrite", (0,), "m"))
            answer = Answer("text", Finish.COMPLETE, "m", cost_usd=0.25)
            for turn in (0, 1):
                store.add_call(Call(number, turn, "rewrite", (Message("user", "?"),), answer))
        store.add_candidate(kernel(3, parents=(0,), operator="rewrite").candidate)
        history = read_history(store)
        assert list(history.kernels) == [0, 1]
        assert (history.champions, history.champion) == ((0, 1), 1)
        assert history.proposed == {0: "seed", 1: "rewrite", 2: "rewrite", 3: "rewrite"}
        assert history.cost_usd() == {2: 0.5, 3: 0.5}
        assert 0 <= history.stored_unix_s[1] - history.stored_unix_s[0] < 60
        kinds = {"operator": credit.operators(history), "model": credit.models(history)}
        found = credit.contributions(history, kinds)
        operator = {one.name: one for one in found["operator"]}["rewrite"]
        assert (operator.proposed, operator.judged, operator.cost_usd) == (3, 1, 1.0)
        assert [(m.name, m.proposed, m.judged) for m in found["model"]] == [("", 2, 2), ("m", 2, 0)]
        # The closing measurement has the last word, also where every finalist fell.
        store.set_meta("final", {"champion": 0})
        assert read_history(store).champion == 0
        store.set_meta("final", {"champion": None})
        assert read_history(store).champion is None


def test_a_run_without_anything():
    empty = of()
    assert credit.contributions(empty, {"operator": credit.operators(empty)}) == {"operator": ()}
    assert (milestones(empty), windows(()), dead_ends(empty.lineage)) == ((), (), ())
    failed = of(kernel(0, evaluation=Evaluation(Outcome.COMPILE_ERROR)))
    (one,) = credit.contributions(failed, {"operator": credit.operators(failed)})["operator"]
    assert (one.judged, one.passed, one.steps, one.share) == (1, 0, 0, None)


def test_a_kernel_that_was_measured_again_counts_with_its_last_estimate(tmp_path):
    with create(tmp_path) as store:
        for made in (kernel(0), kernel(1, value=2.0, parents=(0,), operator="tile")):
            store.add_candidate(made.candidate)
            store.add_evaluation(made.number, made.evaluation)
        store.add_remeasurement(Remeasurement(2, 1))
        store.add_evaluation(2, passed(0.5), kernel=1)
        made = kernel(3, value=1.5, parents=(0,), operator="tile")
        store.add_candidate(made.candidate)
        store.add_evaluation(3, made.evaluation)
        history = read_history(store)
    assert history.heard == (0, 1, 1, 3)
    assert list(history.kernels) == [0, 1, 3]
    assert history.champions == (0, 3)
    assert history.champion == 3
    assert [m.evaluations for m in milestones(history)] == [1, 4]
    assert set(history.stored_unix_s) == {0, 1, 3}
