"""Our side of the comparison with OpenEvolve; the package itself is not needed."""

from __future__ import annotations

import json
import random
import urllib.request
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from benchmarks.openevolve import evaluation
from benchmarks.openevolve.operators import Even, Nudge, even_operators
from benchmarks.openevolve.ours import BARE, _champions, even
from benchmarks.openevolve.server import Model, Server
from fitness.landscape.table import load
from operators.operator import Inapplicable, Situation, Variation
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome
from populations.parameters import values
from tests.fitness.landscape.test_table import GOLDEN
from tests.fitness.landscape.tiny import BEST, source

TABLE = load(GOLDEN)
PROMPT = """# Program Evolution History
### Program 1 (Score: 2.0)
```python
{other}```
Key features: none

# Current Program
```python
{parent}```

# Task
Rewrite it.
```python
# Your rewritten program here
```"""


def prompt(parent: str, other: str) -> str:
    # The last line break may be gone.
    return PROMPT.format(parent=parent.strip() + "\n", other=other)


def test_the_model_answers_with_children_of_the_current_program() -> None:
    model, seen = Model(TABLE, 1), Counter[int | None]()
    text = prompt(source(("pad",)), source(("pad", "vectors", "pack"), 2, 8))
    answers = [model.answer(text) for _ in range(300)]
    for answer in answers:
        assert TABLE.variant_of(answer) is not None
        assert answer != source(("pad",))
        seen[TABLE.variant_of(answer)] += 1
    # A step, a step back, another value, and two children of a crossover.
    assert set(seen) == {0, 1, 2, 3}
    assert all(count > 15 for count in seen.values())
    again = Model(TABLE, 1)
    assert [again.answer(text) for _ in range(300)] == answers
    with pytest.raises(ValueError, match="current program"):
        model.answer("hello")


def test_the_server_speaks_the_protocol() -> None:
    with Server(Model(TABLE, 1)) as server:
        body = {"model": "m", "messages": [{"role": "user", "content": prompt(source(()), "")}]}
        request = urllib.request.Request(
            f"{server.url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
    content = answer["choices"][0]["message"]["content"]
    assert content.startswith("```python\n")
    assert TABLE.variant_of(content[10:-4]) is not None


def test_programs_are_evaluated_and_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, program = tmp_path / "log", tmp_path / "program.py"
    monkeypatch.setenv("LANDSCAPE", str(GOLDEN))
    monkeypatch.setenv("LANDSCAPE_SEED", "1")
    monkeypatch.setenv("LANDSCAPE_LOG", str(log))
    evaluation._evaluator.cache_clear()
    program.write_text(source(BEST, 4, 8).strip())
    scores = [evaluation.evaluate(str(program))["combined_score"] for _ in range(3)]
    program.write_text("x = 1")
    assert evaluation.evaluate(str(program)) == {"combined_score": 0.0}
    noted = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["row"] for line in noted] == [TABLE.best] * 3 + [None]
    assert [line["score"] for line in noted] == [*scores, 0.0]
    # Measured anew each time.
    assert len(set(scores)) > 1


def test_champions_are_counted_with_and_without_repeats() -> None:
    scores = [("a", 0, 1.0), ("a", 0, 1.1), ("b", 4, 0.9), ("b", 4, 1.2), ("c", 2, 1.3)]
    noted = [{"digest": d, "row": r, "score": s} for d, r, s in scores]
    assert _champions(noted, distinct=False) == (((1, 0), (4, 4), (5, 2)), 5)
    assert _champions(noted, distinct=True) == (((1, 0), (2, 4), (3, 2)), 3)


def test_a_nudge_is_another_value_of_one_parameter() -> None:
    parent = Kernel(Candidate(0, source(BEST, 2, 4), "cpp"), Evaluation(Outcome.REJECTED))
    seen = set()
    for seed in range(60):
        situation = Situation(lineage=Lineage(), rng=random.Random(seed), device="cpu")
        found = Nudge().vary([parent], situation)
        assert isinstance(found, Variation)
        seen.add(tuple(values(found.source).items()))
    old = {"BLOCK": 2, "LANES": 4}
    new = [{**old, "BLOCK": 1}, {**old, "BLOCK": 4}, {**old, "LANES": 8}]
    assert seen == {tuple(point.items()) for point in new}
    plain = Kernel(Candidate(0, "x = 1\n", "cpp"), parent.evaluation)
    assert isinstance(Nudge().vary([plain], situation), Inapplicable)


def test_all_have_the_same_chance_for_ever() -> None:
    names = list(even_operators(TABLE))
    credit, rng = Even(names), random.Random(1)
    drawn = Counter(credit.choose(rng) for _ in range(3000))
    assert set(drawn) == set(names)
    assert max(drawn.values()) < 1.3 * min(drawn.values())
    assert set(credit.probabilities(names[:2]).values()) == {0.5}


@pytest.mark.parametrize("arm", ["population", "population_bare"])
def test_our_side_is_deterministic(arm: str) -> None:
    one, two = (even(GOLDEN, arm, 3, 15) for _ in range(2))
    assert one.champions == two.champions
    assert one.spent == 15


def test_our_side_proposes_by_the_same_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[str] = Counter()
    choose, vary = Even.choose, Nudge.vary

    def choosing(self: Even, rng: random.Random, among: Collection[str] | None = None) -> str:
        name = choose(self, rng, among)
        drawn[name] += 1
        return name

    def nudging(self: Nudge, parents: Sequence[Kernel], situation: Situation) -> object:
        drawn["nudged"] += 1
        return vary(self, parents, situation)

    monkeypatch.setattr(Even, "choose", choosing)
    monkeypatch.setattr(Nudge, "vary", nudging)
    even(GOLDEN, "population", 1, 15)
    assert set(even_operators(TABLE)) <= set(drawn)
    assert drawn["nudged"] >= drawn["tune"] > 0


def test_bare_is_one_edit_with_the_parents_own_parameters() -> None:
    whole, bare = (even(GOLDEN, f"random{end}", 1, 20).champions for end in ("", BARE))
    assert whole != bare
