"""The loop: deterministic, within its budget, and able to find something."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future

import pytest

from evo.events import Judged, Message, Proposed, Resumed
from fitness.replay import Recorded
from operators.credit import Credit
from operators.operator import Inapplicable, Variation
from operators.tuning import Tune
from populations.archive import Population
from populations.errors import WorkerError
from populations.outcome import Outcome
from populations.policies.steady import SteadyState
from populations.selection import RandomSelection
from tests.evo import toy


def grown(folder, evaluator=None, **arguments):
    """Run a search to its end; what its store then holds."""
    evaluator = evaluator or toy.Immediate()
    with toy.create(folder) as store:
        toy.search(store, evaluator, **arguments).run(toy.seeds())
        evaluator.close()
        return toy.contents(store)


def test_the_same_seed_gives_the_same_lineage(tmp_path):
    first = grown(tmp_path / "a", evaluations=60)
    assert grown(tmp_path / "b", evaluations=60) == first
    assert grown(tmp_path / "c", evaluations=60, seed=2) != first
    candidates, evaluations, trials = first
    assert [c.number for c in candidates] == list(range(60)) == list(evaluations)
    assert {c.operator for c in candidates} == {"seed", "front", "back", "merge", "tune"}
    assert [t.number for t in trials] == [c.number for c in candidates if c.operator == "tune"]


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_the_lineage_depends_on_no_clock(tmp_path, in_flight):
    first = grown(tmp_path / "0", in_flight=in_flight)
    assert grown(tmp_path / "1", toy.NewestFirst(), in_flight=in_flight) == first
    for workers in (1, 2, 4):
        evaluator = toy.Delayed(workers=workers, delay_s=0.006, seed=workers)
        assert grown(tmp_path / f"d{workers}", evaluator, in_flight=in_flight) == first


def test_a_child_knows_only_what_was_due(tmp_path):
    candidates, _, _ = grown(tmp_path, in_flight=4, evaluations=60)
    assert all(p <= c.number - 4 for c in candidates for p in c.parents if p > 0)
    # With one in flight the last result is always there, and is used sooner or later.
    candidates, _, _ = grown(tmp_path / "1", in_flight=1, evaluations=60)
    assert any(p == c.number - 1 for c in candidates[2:] for p in c.parents)


def test_no_more_are_in_flight_than_allowed(tmp_path):
    class Counting(toy.NewestFirst):
        most = 0

        def submit(self, candidate):
            future = super().submit(candidate)
            self.most = max(self.most, len(self._open))
            return future

    evaluator = Counting()
    grown(tmp_path, evaluator, in_flight=3)
    assert evaluator.most == 3


def test_no_kernel_is_judged_twice(tmp_path):
    evaluator = toy.Immediate()
    candidates, _, _ = grown(tmp_path, evaluator, evaluations=120)
    digests = [c.digest for c in candidates]
    assert len(set(digests)) == len(digests) == 120
    assert [c.number for c in evaluator.asked] == list(range(1, 120))  # the seed was judged before


@pytest.mark.parametrize("evaluations", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("in_flight", [1, 4])
def test_evaluations_are_never_exceeded(tmp_path, evaluations, in_flight):
    evaluator = toy.Delayed(workers=3, delay_s=0.002, seed=1)
    candidates, judged, _ = grown(tmp_path, evaluator, evaluations=evaluations, in_flight=in_flight)
    assert len(candidates) == len(judged) == evaluations


def test_the_budget_of_device_time_ends_the_search(tmp_path):
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), device_s=6.0)
        assert search.run(toy.seeds()) == "6 s of device time"
        assert search.spent().device_s == sum(e.device_s for e in store.evaluations().values())
        # What was in flight when the limit was reached is judged to its end.
        assert 6.0 <= search.spent().device_s <= 6.0 + (4 - 1 + 1) * 0.5


def test_wall_time_ends_the_search(tmp_path):
    with toy.create(tmp_path) as store:
        evaluator = toy.Delayed(workers=1, delay_s=0.01, seed=1)
        search = toy.search(store, evaluator, wall_s=0.3)
        began = time.monotonic()
        assert search.run(toy.seeds()) == "0.3 s of wall time"
        assert 0.3 <= time.monotonic() - began < 3
        assert store.meta("wall_s") == pytest.approx(search.spent().wall_s, abs=0.5)
        evaluator.close()


def test_patience_counts_from_the_last_champion(tmp_path):
    with toy.create(tmp_path) as store:
        observer = toy.Recorder()
        search = toy.search(store, toy.Immediate(), observer=observer, patience=25)
        assert search.run(toy.seeds()) == "no new champion in 25 evaluations"
        since = [e.spent.since_best for e in observer.events if isinstance(e, Judged)]
        assert 0 in since[1:]  # there was a champion beside the seed
        # At the limit nothing more is proposed; those in flight are judged to their end.
        assert max(since) >= 25
        assert len(since) - 1 - since.index(25) == 4 - 1


def test_events_tell_the_whole_story(tmp_path):
    with toy.create(tmp_path) as store:
        observer = toy.Recorder()
        search = toy.search(store, toy.NewestFirst(), observer=observer, evaluations=30)
        search.run(toy.seeds())
        search.parts.evaluator.close()
        assert observer.judged == list(range(30))
        proposed = [e.candidate.number for e in observer.events if isinstance(e, Proposed)]
        assert proposed == list(range(1, 30))
        judged = [event for event in observer.events if isinstance(event, Judged)]
        assert [event.spent.evaluations for event in judged] == list(range(1, 31))
        best = [event.kernel for event in judged if event.is_best]
        assert best[0].number == 0
        assert best[-1] is search.champion
        logs = [kernel.evaluation.speedup.log for kernel in best]
        assert logs == sorted(logs)
        assert not [event for event in observer.events if isinstance(event, (Resumed, Message))]


class Scripted:
    """An operator that answers what it is told."""

    name = "front"
    arity = 1

    def __init__(self, answer):
        self._answer = answer

    def vary(self, parents, situation):
        assert len(parents) == self.arity
        return self._answer(situation.rng)


def test_a_search_ends_when_nothing_new_is_found(tmp_path):
    dull = Scripted(lambda _: Inapplicable("nothing"))
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), parts=toy.only(dull), evaluations=30)
        assert search.run(toy.seeds()) == "no operator finds anything new"
        assert len(store.candidates()) == 1


def test_known_kernels_are_not_proposed(tmp_path):
    few = Scripted(
        lambda rng: Variation(source=toy.SEED + f"# {rng.randrange(5)}\n", note="a comment")
    )
    evaluator = toy.Immediate()
    with toy.create(tmp_path) as store:
        search = toy.search(store, evaluator, parts=toy.only(few), evaluations=30, in_flight=2)
        assert search.run(toy.seeds()) == "no operator finds anything new"
        assert len(store.candidates()) == len(store.evaluations()) == 6
        assert len(evaluator.asked) == 5


def test_an_early_insertion_is_deterministic_too(tmp_path):
    """With little to propose, results are inserted before they are due."""

    def run(folder, evaluator):
        with toy.create(folder) as store:
            parts = toy.only(toy.Newest(9))
            search = toy.search(store, evaluator, parts=parts, evaluations=30, in_flight=3)
            reason = search.run(toy.seeds())
            evaluator.close()
            kinds = [event.kind for event in store.events()]
            return reason, kinds, toy.contents(store)

    first = run(tmp_path / "a", toy.Immediate())
    assert first[0] == "no operator finds anything new"
    assert "early_insert" in first[1]
    assert len(first[2][0]) >= 10
    assert run(tmp_path / "b", toy.NewestFirst()) == first


def test_several_edits_make_one_child(tmp_path):
    candidates, _, _ = grown(tmp_path, evaluations=120)
    several = [c for c in candidates if "; then " in c.note]
    assert several
    assert len(several) < 0.7 * len([c for c in candidates if c.operator in ("front", "back")])


def test_a_failure_of_our_own_keeps_what_was_judged(tmp_path):
    class Failing(toy.NewestFirst):
        def submit(self, candidate):
            if candidate.number != 12:
                return super().submit(candidate)
            future = Future()
            future.set_exception(WorkerError("the judge is gone"))
            return future

    evaluator = Failing()
    with toy.create(tmp_path) as store:
        with pytest.raises(WorkerError, match="the judge is gone"):
            toy.search(store, evaluator, evaluations=30, in_flight=4).run(toy.seeds())
        evaluator.close()
        held = store.evaluations()
        assert 12 not in held
        assert set(range(8)) <= set(held)
    with toy.Store.open(tmp_path) as store:
        toy.search(store, toy.Immediate(), evaluations=30, in_flight=4).run()
        assert toy.contents(store) == grown(tmp_path / "unbroken")


def test_what_ended_beside_a_failure_is_kept(tmp_path):
    """Two results are there at once, the earlier one is our own failure: the later one is kept."""

    class Failing(toy.Immediate):
        def submit(self, candidate):
            if candidate.number == 1:
                self.first = Future()
                return self.first
            future = super().submit(candidate)
            if candidate.number == 3:
                self.first.set_exception(WorkerError("gone"))
            return future

    with toy.create(tmp_path) as store:
        with pytest.raises(WorkerError, match="gone"):
            toy.search(store, Failing(), evaluations=30, in_flight=4).run(toy.seeds())
        assert set(store.evaluations()) == {0, 2, 3}


def test_an_interrupted_search_ends_at_once_and_goes_on_later(tmp_path):
    evaluator = toy.Delayed(workers=1, delay_s=0.04, seed=1)
    with toy.create(tmp_path) as store:
        search = toy.search(store, evaluator, evaluations=60)
        timer = threading.Timer(0.3, search.interrupt)
        timer.start()
        assert search.run(toy.seeds()) == "interrupted"
        assert search.interrupted
        assert 1 < len(store.evaluations()) < 60
        assert len(store.pending()) <= 4
        evaluator.close()
    with toy.Store.open(tmp_path) as store:
        assert toy.search(store, toy.Immediate(), evaluations=60).run() == "60 evaluations"
        assert toy.contents(store) == grown(tmp_path / "unbroken", evaluations=60)


def test_an_interrupted_search_does_not_wait_for_a_hanging_judge(tmp_path):
    class Hanging(toy.Immediate):
        def submit(self, candidate):
            return Future() if candidate.number >= 5 else super().submit(candidate)

    with toy.create(tmp_path) as store:
        search = toy.search(store, Hanging(), evaluations=30)
        threading.Timer(0.1, search.interrupt).start()
        began = time.monotonic()
        assert search.run(toy.seeds()) == "interrupted"
        assert time.monotonic() - began < 5
        assert set(store.evaluations()) == set(range(5))


def test_recorded_measurements_give_the_same_lineage(tmp_path):
    """Measured anew the same kernels would time differently; replayed they do not."""
    with toy.create(tmp_path / "a") as store:
        evaluator = toy.Delayed(workers=3, delay_s=0.004, seed=1)
        toy.search(store, evaluator, evaluations=40).run(toy.seeds())
        evaluator.close()
        with toy.create(tmp_path / "b") as again:
            toy.search(again, Recorded(store.find), evaluations=40).run(toy.seeds())
            assert toy.contents(again) == toy.contents(store)
        with toy.create(tmp_path / "c") as longer:
            search = toy.search(longer, Recorded(store.find), evaluations=41)
            with pytest.raises(WorkerError, match=r"candidate 40 .* was never evaluated"):
                search.run(toy.seeds())
            assert toy.contents(longer)[1] == toy.contents(store)[1]


def test_several_seeds_are_all_inserted_before_the_first_proposal(tmp_path):
    sources = [toy.SEED, toy.SEED.replace("a = 0", "a = 1"), toy.SEED.replace("b = 0", "b = 1")]
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), in_flight=2, evaluations=30)
        search.run(toy.seeds(*sources))
        assert [c.operator for c in store.candidates()][:4].count("seed") == 3
        used = {p for c in store.candidates() for p in c.parents}
        assert used & {1, 2}


def test_failed_kernels_stay_in_the_lineage(tmp_path):
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), evaluations=80)
        search.run(toy.seeds())
        failed = [k for k in search.lineage.kernels.values() if not k.passed]
        assert failed
        assert all(k.evaluation.outcome is Outcome.WRONG_VALUES for k in failed)
        assert len(search.lineage) == 80


def reached(folder, seed, **arguments):
    """Evaluations until the best kernel there is was found; 251 when it was not."""
    with toy.create(folder) as store:
        search = toy.search(store, toy.Immediate(), seed=seed, evaluations=250, **arguments)
        search.run(toy.seeds())
        hits = [
            k.number
            for k in search.lineage.kernels.values()
            if k.passed and math.isclose(k.evaluation.speedup.value, toy.BEST)
        ]
        return min(hits, default=251)


def test_the_best_kernel_is_found(tmp_path):
    """One of 6,144 kernels, behind a step that pays only with its second half."""
    ours = [reached(tmp_path / f"{n}", n) for n in range(8)]
    blind = [reached(tmp_path / f"r{n}", n, parts=toy.at_random()) for n in range(4)]
    assert sum(count <= 250 for count in ours) >= 6, ours
    assert sum(count <= 250 for count in blind) <= 2, blind


def test_the_tuner_learns_in_a_search(tmp_path):
    """The real tuner, alone: 24 points, the best one within 20 trials."""
    tune = Tune()
    parts = {
        "operators": {"tune": tune},
        "structural": frozenset(),
        "credit": Credit(priors={"tune": 1.0}),
    }
    with toy.create(tmp_path) as store:
        search = toy.search(store, toy.Immediate(), parts=parts, evaluations=21, in_flight=2)
        search.run(toy.seeds())
        assert search.champion.evaluation.speedup.log == pytest.approx(0.0, abs=0.101)
        assert len(store.trials()) == 20


def test_used_up_parents_do_not_end_a_search(tmp_path):
    """A policy that knows one parent only runs out of news; other kernels that passed have some."""

    class Stubborn(SteadyState):
        """Breeds from the first kernel alone."""

        def parents(self, count, _rng):
            return [self._first] * count

        def insert(self, kernel):
            self._first = getattr(self, "_first", kernel)
            return super().insert(kernel)

    once = Scripted(lambda _: Inapplicable("replaced below"))
    once.vary = lambda parents, _: (
        Variation(source=parents[0].source + "# more\n", note="more")
        if parents[0].number < 12
        else Inapplicable("enough")
    )
    policy = Stubborn(population=Population(capacity=8), selection=RandomSelection())
    with toy.create(tmp_path) as store:
        parts = {**toy.only(once), "policy": policy}
        search = toy.search(store, toy.Immediate(), parts=parts, evaluations=30)
        assert search.run(toy.seeds()) == "no operator finds anything new"
        found = store.candidates()
    assert len(found) > 12
    parents = {c.parents for c in found[1:]}
    assert (0,) in parents
    assert len(parents) > 1
    assert len({c.digest for c in found}) == len(found)
