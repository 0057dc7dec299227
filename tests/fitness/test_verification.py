"""A closing measurement: how often processes are drawn anew, and what a further one may not do."""

from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from fitness import verification
from fitness.correctness import Verdict
from fitness.process import Fault
from fitness.spec import EvaluationSpec
from populations.outcome import Outcome


class Client:
    """Baselines that take their time."""

    def __init__(self, clock):
        self.clock = clock

    def warm(self, baseline, _workload, _seeds):
        self.clock[0] += 7.0
        return "does not compile" if baseline == "broken" else ""

    def close(self):
        pass


def spec(**changes):
    return EvaluationSpec(problem=Path("p"), cache_dir=Path("c"), **changes)


def session(monkeypatch, verdicts=()):
    """A session whose judge starts nothing; with all that was started and ended, in order."""
    log, clock, answers = [], [0.0], iter(verdicts)

    class Started:
        def __init__(self, what):
            self.what = what
            log.append(what)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            log.append(f"no {self.what}")

        def construct(self, *_):
            return {}

        def client(self):
            return Client(clock)

    monkeypatch.setattr(verification.time, "monotonic", lambda: clock[0])
    bank = SimpleNamespace(
        workloads=["w"],
        constants=None,
        case=lambda *_: SimpleNamespace(dtype="float32"),
        cases=lambda: iter([("w", 0)]),
    )
    judge = SimpleNamespace(
        spec=spec(pairs=60),
        bank=bank,
        baselines=Client(clock),
        lease=SimpleNamespace(shared=nullcontext),
        runners=SimpleNamespace(start=Started),
        build=lambda *_: None,
        check=lambda *_: None,
        beside_timing=nullcontext,
        fresh_baselines=lambda: Started("baselines"),
        call=lambda *_: next(answers, Verdict(Outcome.PASSED)),
    )
    return verification._Session(judge, ("eager", "broken")), log


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({"pairs": 60}, 5),
        ({"pairs": 600}, 5),
        ({"pairs": 24}, 2),
        ({"pairs": 12}, 1),
        ({"pairs": 5}, 1),
        ({"pairs": 60, "device": "cuda"}, 1),
        ({"pairs": 60, "interpret_triton": True}, 1),
    ],
)
def test_rounds_are_shared_out_among_draws(changes, want):
    assert verification.draws(spec(**changes)) == want


def test_every_side_of_a_further_draw_is_another_process(monkeypatch):
    found, log = session(monkeypatch)
    with ExitStack() as stack:
        found.begin(stack, "kernel", "seed", None)
        with ExitStack() as fresh:
            found.draw(fresh, "kernel", "seed")
        assert log[:3] == ["kernel", "kernel", "seed"]
        assert log[3:7] == ["baselines", "kernel", "kernel", "seed"]
        assert log[7:] == ["no seed", "no kernel", "no kernel"]
    assert log.count("baselines") == log.count("no baselines") == 1


def test_a_kernel_that_a_further_process_gets_wrong_is_wrong(monkeypatch):
    found, _ = session(monkeypatch, [Verdict(Outcome.WRONG_VALUES, "by 3")])
    with ExitStack() as stack:
        found.begin(stack, "kernel", None, None)
        with pytest.raises(Fault, match="wrong in a further process: by 3") as fault:
            found.draw(stack, "kernel", None)
    assert fault.value.outcome is Outcome.WRONG_VALUES


def test_baselines_that_compile_slowly_are_drawn_anew_only_so_often(monkeypatch):
    found, log = session(monkeypatch)
    with ExitStack() as stack:
        found.begin(stack, "kernel", None, None)
        assert found._working("w", ()) == ["eager"]
        for _ in range(4):
            with ExitStack() as fresh:
                found.draw(fresh, "kernel", None)
                assert found._working("w", ()) == ["eager"]
    # 7 s each, for the one that works; what failed is not tried again.
    assert log.count("baselines") == log.count("no baselines") == 2
    assert found.failed == {"w": {"broken": "does not compile"}}
