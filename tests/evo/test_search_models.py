"""A search whose operators ask models: same answers, same lineage, whatever comes in between."""

import hashlib
import re
import threading

import pytest

from evo.events import Dropped
from operators.credit import Credit
from operators.dialogue import Conversation, Prompt, Reason, Rejected
from operators.llm.desk import MOST_TURNS, Desk, by_turn
from operators.llm.fake import ScriptedAnswerer
from operators.llm.settings import ModelSettings
from operators.llm.spending import Limits, Spending
from operators.operator import Variation
from populations.call import Answer, Finish, Message
from populations.errors import StoreError
from populations.store import Store
from tests.evo.toy import (
    SEED,
    Delayed,
    Immediate,
    Recorder,
    contents,
    create,
    operators,
    search,
    seeds,
)

PRICED = ModelSettings(name="fake", price_in=1.0, price_out=10.0, max_tokens=1000)


class Advised:
    """Asks which switch to turn; once more where the answer is "well"."""

    name = "advised"
    arity = 1

    def vary(self, parents, situation):
        best = max(k.fitness for k in situation.lineage.kernels.values())
        begin = f"{situation.rng.random()} {best} {len(situation.lineage)}\n{parents[0].source}"
        return Conversation(self._turns(begin, parents[0].source), model="fake")

    def _turns(self, begin, source):
        text = begin
        while True:
            answer = yield Prompt((Message("user", text),))
            if answer.finish is not Finish.COMPLETE:
                return Rejected(Reason.NO_ANSWER, answer.text)
            if not (found := re.fullmatch("turn ([a-h])", answer.text)):
                text = f"{text}\n{answer.text}?"
                continue
            return Variation(source=turned(source, found[1]), note=f"advised: {found[1]}")


def turned(source, name):
    return re.sub(
        rf"^{name} = ([01])$", lambda m: f"{name} = {1 - int(m[1])}", source, flags=re.MULTILINE
    )


def advise(asked):
    """A pure function of the question: mostly a switch, sometimes nothing of use."""
    drawn = hashlib.sha256(asked.prompt.messages[-1].text.encode()).digest()
    if drawn[0] < 25:
        return Answer("500 from the server", Finish.FAILED, "fake")
    text = "well" if drawn[0] < 60 else f"turn {'abcdefgh'[drawn[1] % 8]}"
    return Answer(text, Finish.COMPLETE, "fake", tokens_in=100, tokens_out=50, cost_usd=0.01)


def desk(store, answerer, *, limits=None, recorded=(), **options):
    answerers = {"fake": answerer} if answerer else {}
    spending = Spending({"fake": PRICED}, limits)
    return Desk(answerers, store.add_call, spending, by_turn(recorded), **options)


def parts(the_desk, **changes):
    own = {**operators(), "advised": Advised()}
    priors = {"front": 1.0, "back": 1.0, "merge": 0.3, "tune": 0.7, "advised": 60.0}
    return {"operators": own, "credit": Credit(priors=priors), "desk": the_desk, **changes}


def grown(folder, answerer, evaluator=None, *, evaluations=60, observer=None, limits=None):
    """Everything that a run's lineage consists of, and why it ended."""
    with create(folder) as store:
        made = search(
            store,
            evaluator or Immediate(),
            in_flight=8,
            observer=observer,
            parts=parts(desk(store, answerer, limits=limits)),
            evaluations=evaluations,
        )
        reason = made.run(seeds())
        return [*contents(store), store.rejections(), store.calls()], reason


def without_times(found):
    return [found[0], list(found[1]), *found[2:]]


def test_the_lineage_does_not_depend_on_when_answers_come(tmp_path):
    at_once, reason = grown(tmp_path / "a", ScriptedAnswerer(advise))
    assert reason == "60 evaluations"
    assert len(at_once[1]) == 60
    rejected = {r.number for r in at_once[3]}
    assert rejected
    asked = {call.proposal for call in at_once[4]}
    assert len(asked) > 15
    assert any(call.turn > 0 for call in at_once[4])
    assert not rejected & {c.number for c in at_once[0]}
    for seed in (1, 2):
        delays = iter(range(10_000))

        def delay_s(question, delays=delays, seed=seed):
            return 0.02 * ((next(delays) * 7919 + seed * 31) % 10) / 10

        evaluator = Delayed(workers=2, delay_s=0.01, seed=seed)
        later, _ = grown(tmp_path / str(seed), ScriptedAnswerer(advise, delay_s=delay_s), evaluator)
        evaluator.close()
        # Calls differ in the time that they took and in nothing else.
        assert without_times(later)[:4] == without_times(at_once)[:4]
        assert [(c.proposal, c.turn, c.messages) for c in later[4]] == [
            (c.proposal, c.turn, c.messages) for c in at_once[4]
        ]


def test_a_proposal_that_comes_to_nothing_is_told(tmp_path):
    observer = Recorder()
    found, _ = grown(tmp_path, ScriptedAnswerer(advise), observer=observer)
    dropped = [e for e in observer.events if isinstance(e, Dropped)]
    assert [d.rejection for d in dropped] == found[3]
    assert {d.operator for d in dropped} == {"advised"}


@pytest.mark.parametrize("calls", [3, 9, 15])
def test_a_run_that_is_interrupted_goes_on_as_if_it_had_not_been(tmp_path, calls):
    whole, _ = grown(tmp_path / "whole", ScriptedAnswerer(advise))

    def until(asked):
        # Some questions are open when the run ends, and some of them in their second turn.
        return advise(asked) if len(answerer.asked) <= calls else None

    answerer = ScriptedAnswerer(until)
    with create(tmp_path / "cut") as store:
        first = search(
            store, Immediate(), in_flight=8, parts=parts(desk(store, answerer)), evaluations=60
        )
        assert first.run(seeds()).startswith("waiting for ")
        assert first.waiting
    asked_again = ScriptedAnswerer(advise)
    with Store.open(tmp_path / "cut") as store:
        again = search(
            store,
            Immediate(),
            in_flight=8,
            parts=parts(desk(store, asked_again, recorded=store.calls())),
            evaluations=60,
        )
        assert again.run(seeds()) == "60 evaluations"
        found = [*contents(store), store.rejections(), store.calls()]
    assert without_times(found) == without_times(whole)
    # What had been answered was not asked again.
    known = {(c.proposal, c.turn) for c in whole[4]}
    assert len(asked_again.asked) == len(known) - calls


def test_a_recorded_run_is_grown_again_without_a_model(tmp_path):
    recorded, _ = grown(tmp_path / "a", ScriptedAnswerer(advise))
    with create(tmp_path / "b") as store:
        replaying = Desk({}, store.add_call, Spending({}), by_turn(recorded[4]), False, False)
        search(store, Immediate(), in_flight=8, parts=parts(replaying), evaluations=60).run(seeds())
        found = [*contents(store), store.rejections(), store.calls()]
    assert without_times(found) == without_times(recorded)


def test_other_operators_than_the_runs_cannot_go_on_with_its_questions(tmp_path):
    answerer = ScriptedAnswerer(lambda _: None)
    with create(tmp_path) as store:
        search(
            store, Immediate(), in_flight=8, parts=parts(desk(store, answerer)), evaluations=60
        ).run(seeds())
        other = search(
            store,
            Immediate(),
            in_flight=8,
            seed=2,
            parts=parts(desk(store, answerer)),
            evaluations=60,
        )
        with pytest.raises(StoreError, match="cannot be made again"):
            other.run(seeds())


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        (Limits(calls=10), "10 model calls"),
        (Limits(cost_usd=0.1), "US dollars"),
        (Limits(tokens=2000), "tokens"),
    ],
)
def test_spending_stops_within_one_call_of_its_limit(tmp_path, limits, reached):
    answerer = ScriptedAnswerer(advise, delay_s=0.002)
    found, reason = grown(tmp_path, answerer, evaluations=500, limits=limits)
    assert reached in reason
    paid = [call for call in found[4] if call.answer.tokens_out]
    spent = {
        "10 model calls": (len(answerer.asked), limits.calls, 1),
        "US dollars": (sum(c.answer.cost_usd for c in paid), limits.cost_usd, 0.01),
        "tokens": (sum(c.answer.tokens_in + c.answer.tokens_out for c in paid), limits.tokens, 150),
    }[reached]
    assert spent[1] - spent[2] <= spent[0] <= spent[1] + spent[2]


def test_what_waits_when_the_time_is_over_is_dropped(tmp_path):
    observer = Recorder()
    with create(tmp_path) as store:
        made = search(
            store,
            Immediate(),
            in_flight=4,
            observer=observer,
            parts=parts(desk(store, ScriptedAnswerer(advise, delay_s=600))),
            wall_s=0.5,
        )
        assert made.run(seeds()) == "0.5 s of wall time"
        assert store.rejections()
        assert {r.reason for r in store.rejections()} == {"no_answer"}


def test_what_waits_when_patience_is_over_is_dropped(tmp_path):
    # The switch h brings nothing, and from the third question on nobody answers.
    answerer = ScriptedAnswerer(lambda asked: "turn h" if asked.proposal < 3 else None)
    with create(tmp_path) as store:
        made = search(
            store,
            Immediate(),
            in_flight=4,
            parts=parts(
                desk(store, answerer),
                operators={"advised": Advised()},
                credit=Credit(priors={"advised": 1.0}),
            ),
            patience=2,
        )
        assert made.run(seeds()) == "no new champion in 2 evaluations"
        assert not made.waiting
        assert {r.number: r.reason for r in store.rejections()} == {
            3: "no_answer",
            4: "no_answer",
            5: "no_answer",
        }


def test_a_dialogue_without_end_is_ended(tmp_path):
    found, _ = grown(tmp_path, ScriptedAnswerer(lambda _: "well"), evaluations=10)
    assert {r.reason for r in found[3]} == {"gave_up"}
    assert max(call.turn for call in found[4]) == MOST_TURNS - 1


def test_the_same_kernel_is_not_judged_twice(tmp_path):
    evaluator = Immediate()
    grown(tmp_path, ScriptedAnswerer(lambda _: "turn a"), evaluator, evaluations=30)
    digests = [candidate.digest for candidate in evaluator.asked]
    assert len(digests) == len(set(digests))


def test_answers_are_taken_up_in_the_searchs_own_thread(tmp_path):
    threads = set()

    class Watching(Advised):
        def _turns(self, begin, source):
            turns = super()._turns(begin, source)
            prompt = next(turns)
            while True:
                threads.add(threading.current_thread())
                try:
                    prompt = turns.send((yield prompt))
                except StopIteration as end:
                    return end.value

    with create(tmp_path) as store:
        own = {**operators(), "advised": Watching()}
        made = desk(store, ScriptedAnswerer(advise, delay_s=0.001))
        search(
            store,
            Immediate(),
            in_flight=8,
            parts=parts(made, operators=own),
            evaluations=20,
        ).run(seeds())
    assert threads == {threading.main_thread()}


class Drafted:
    """Makes a kernel of nothing; the first two come to nothing, and the third is wrong."""

    name = "draft"
    arity = 0

    def __init__(self, useless=2):
        self._useless = useless

    def vary(self, parents, situation):
        assert not parents
        return Conversation(self._turns(situation.rng.random()), model="fake")

    def _turns(self, drawn):
        answer = yield Prompt((Message("user", f"{drawn}"),))
        number = int(answer.text)
        if number < self._useless:
            return Rejected(Reason.GAVE_UP, "no")
        source = SEED if number > self._useless else turned(SEED, "f")
        return Variation(source=f"{source}# {number}\n", note="from nothing", language="python")


def unseeded(folder, operator, *, evaluations=30, cut=None):
    """A search without seeds, as a whole or ended after some answers and taken up again."""
    own = {**operators(), "draft": operator}
    priors = {"front": 1.0, "back": 1.0, "merge": 0.3, "tune": 0.7, "draft": 0.5}

    def count(asked):
        return f"{asked.proposal}"

    def once(store, script, recorded=()):
        credit = Credit(priors=priors)
        made = search(
            store,
            Immediate(),
            in_flight=4,
            parts={
                "operators": own,
                "credit": credit,
                "desk": desk(store, ScriptedAnswerer(script), recorded=recorded),
                "first": frozenset({"draft"}),
            },
            evaluations=evaluations,
        )
        return made.run(), credit.probabilities()

    with create(folder) as store:
        script = count if cut is None else lambda a: count(a) if a.proposal < cut else None
        reason, chances = once(store, script)
        if cut is None:
            return [*contents(store), store.rejections(), store.proposals()], reason, chances
        assert reason.startswith("waiting for ")
    with Store.open(folder) as store:
        reason, chances = once(store, count, store.calls())
        return [*contents(store), store.rejections(), store.proposals()], reason, chances


def test_a_search_without_seeds_drafts_until_a_kernel_has_passed(tmp_path):
    found, reason, chances = unseeded(tmp_path / "whole", Drafted())
    candidates, evaluations = found[:2]
    assert reason == "30 evaluations"
    assert [rejection.number for rejection in found[3]] == [0, 1]
    first = next(number for number, evaluation in evaluations.items() if evaluation.passed)
    assert first == 3
    made = {candidate.number: candidate.operator for candidate in candidates}
    # Four are under way before anything is known of the first that passes.
    assert {made[number] for number in range(2, first + 4)} == {"draft"}
    assert {"front", "back"} <= set(made.values())
    assert not evaluations[2].passed
    # Being right is no merit of a draft where others are right.
    assert chances["draft"] < 0.25
    for cut in (1, 3, 5):
        again, _, _ = unseeded(tmp_path / str(cut), Drafted(), cut=cut)
        assert again == found


def test_a_search_without_seeds_ends_when_nothing_comes(tmp_path):
    found, reason, _ = unseeded(tmp_path, Drafted(useless=1000))
    assert reason == "no kernel came of 60 proposals"
    assert found[0] == []


@pytest.mark.parametrize("rivals", [True, False])
def test_with_seeds_a_draft_is_to_beat_the_champion_unless_it_need_not(tmp_path, rivals):
    operator = Drafted(useless=0)
    credit = Credit(priors={"front": 1.0, "draft": 1.0})
    before = credit.probabilities()["draft"]
    with create(tmp_path) as store:
        made = search(
            store,
            Immediate(),
            in_flight=1,
            parts={
                "operators": {**operators(), "draft": operator},
                "credit": credit,
                "desk": desk(store, ScriptedAnswerer(lambda asked: f"{asked.proposal}")),
                "rivals": rivals,
            },
            evaluations=12,
        )
        made.run(seeds())
        drafted = [c for c in store.candidates() if c.operator == "draft"]
        passed = [store.evaluation(c.number).passed for c in drafted]
    # Each of them is as fast as the seed, and no faster than what came of it.
    assert passed
    assert all(passed)
    assert (credit.probabilities()["draft"] < before) == rivals
