"""What holds for every operator that asks a model."""

import random

import pytest

from operators.dialogue import Conversation, Reason, Rejected
from operators.llm import memory
from operators.llm.context import prompt_tokens
from operators.llm.registry import model_operators
from operators.operator import Inapplicable, Situation, Variation
from populations.call import Finish
from tests.contracts.samples import CPP, kernel, lineage
from tests.operators.llm.dialogues import (
    NEW_CPP,
    Shelf,
    block,
    brief,
    drive,
    family,
    module_answer,
    parents_of,
    said,
    situation,
)
from tests.operators.llm.every import MINE, WITH_PARENT, begin, each, new_source


def test_the_registry_names_eight_operators_with_their_arity():
    assert {name: operator.arity for name, operator in MINE.items()} == {
        "draft": 0,
        "rewrite": 1,
        "edit": 1,
        "crossover": 2,
        "repair": 0,
        "explain": 1,
        "simplify": 1,
        "translate": 1,
    }
    assert all(operator.__class__.__doc__ for operator in MINE.values())


@each
def test_a_good_answer_becomes_a_variation(name):
    conversation = begin(name)
    assert isinstance(conversation, Conversation)
    assert conversation.model == "big"
    held = drive(conversation, module_answer(new_source(name)))
    assert isinstance(held.result, Variation)
    assert held.result.source == new_source(name)
    assert held.result.language == ("triton" if name == "translate" else "cpp")
    assert held.result.note.startswith("fewer passes")
    assert memory.memory_of(held.result.note) is not None
    assert held.result.parents == ((3,) if name == "repair" else None)


@each
def test_the_prompt_shows_the_problem_the_device_and_the_documents(name):
    held = drive(begin(name), "GIVE UP: no idea")
    assert [message.role for message in held.prompts[0].messages] == ["system", "user"]
    user = held.prompts[0].messages[1].text
    for text in ("x * x.sum(dim=1", "Imaginary processor", "compiled 0.4 ms", "Read every byte"):
        assert text in user
    assert held.result == Rejected(Reason.GAVE_UP, "no idea")


@each
def test_documents_are_looked_up_by_hardware_language_and_phase(name):
    shelf = Shelf()
    begin(name, told=brief(knowledge=shelf))
    (query, filters, count), *_ = shelf.asked
    assert query
    assert filters["phase"] == name
    assert filters["language"] in ("cpp", "triton")
    assert filters["hardware"].startswith("Imaginary processor")
    assert count >= 1
    if name == "repair":
        assert "the last column" in query


@each
def test_the_same_situation_gives_the_same_prompt(name):
    first, second = (drive(begin(name, seed=5), "GIVE UP: x") for _ in range(2))
    assert first == second


@each
def test_what_the_lineage_grows_by_while_the_model_thinks_changes_nothing(name):
    answers = [module_answer(new_source(name))]
    kernels = family()
    conversation = begin(name, kernels=kernels, seed=2)
    source, language = new_source(name), "triton" if name == "translate" else "cpp"
    kernels.add(kernel(5, source, 9.0, parents=(1, 3), language=language))
    assert drive(conversation, *answers) == drive(begin(name, seed=2), *answers)


@each
@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (Finish.FAILED, Reason.NO_ANSWER),
        (Finish.REFUSED, Reason.NO_ANSWER),
        (Finish.EMPTY, Reason.NO_ANSWER),
        (Finish.TRUNCATED, Reason.TRUNCATED),
    ],
)
def test_an_answer_that_did_not_come_ends_the_dialogue(name, finish, reason):
    held = drive(begin(name), said("the server\nis gone", finish))
    assert len(held.prompts) == 1
    assert isinstance(held.result, Rejected)
    assert held.result.reason is reason
    assert "\n" not in held.result.text


@each
def test_an_answer_of_blanks_is_none(name):
    held = drive(begin(name), " \n\t")
    assert held.result == Rejected(Reason.NO_ANSWER, "empty")


@each
def test_what_cannot_be_read_is_told_back_once(name):
    held = drive(begin(name), said("Bottleneck: x") if name == "explain" else "hm", "hm", "hm")
    asked = 3 if name == "explain" else 2
    assert len(held.prompts) == asked
    assert "no block of code" in held.last
    assert isinstance(held.result, Rejected)
    assert held.result.reason is Reason.UNREADABLE
    # The answer stands between the question and what is said to it.
    assert [message.role for message in held.prompts[-1].messages[-3:]] == [
        "user", "assistant", "user",
    ]  # fmt: skip


@each
def test_the_second_answer_may_be_better(name):
    held = drive(begin(name), "hm", "hm", module_answer(new_source(name)))
    if name != "explain":
        held = drive(begin(name), "hm", module_answer(new_source(name)))
    assert isinstance(held.result, Variation)


@pytest.mark.parametrize("name", [n for n in WITH_PARENT if n != "translate"])
def test_a_parent_again_is_told_back_and_then_rejected(name):
    parent = family().get(1)
    answer = module_answer(parent.source.replace("float sum", "// better\n        float sum"))
    held = drive(begin(name), answer, answer, answer, answer)
    assert isinstance(held.result, Rejected)
    assert held.result.reason is Reason.UNCHANGED
    assert "kernel 1 again" in held.last


def test_a_repair_that_is_the_parent_again_is_no_repair():
    held = drive(begin("repair"), module_answer(family().get(1).source))
    assert held.result == Rejected(Reason.UNCHANGED, "kernel 1 again")


@pytest.mark.parametrize("name", ["draft", "rewrite", "edit", "explain", "simplify"])
def test_a_known_kernel_is_told_back_with_what_came_of_it(name):
    held = drive(begin(name), *[module_answer(family().get(3).source)] * 4)
    assert isinstance(held.result, Rejected)
    assert held.result.reason is Reason.DUPLICATE
    assert "kernel 3" in held.last
    assert "wrong_values after 3 of 4 checks" in held.last


def test_a_sibling_in_another_layout_is_a_known_kernel():
    sibling = family().get(3).source
    held = drive(begin("rewrite"), module_answer(sibling.replace("float sum", "float  sum")))
    assert held.result == Rejected(Reason.DUPLICATE, "kernel 3 again")
    # One that is not near is compared letter by letter.
    kernels = family()
    kernels.add(kernel(5, NEW_CPP, language="cpp"))
    moved = module_answer(NEW_CPP.replace("float sum", "float  sum"))
    assert isinstance(drive(begin("rewrite", kernels=kernels), moved).result, Variation)


def test_a_dialogue_tells_back_twice_at_most():
    parent = family().get(1).source
    held = drive(begin("rewrite"), "hm", module_answer(parent), module_answer(CPP))
    assert len(held.prompts) == 3
    assert isinstance(held.result, Rejected)


def test_blocks_that_do_not_apply_are_told_back_twice():
    bad = block("float total = 0.0f;", "float total = 1.0f;")
    held = drive(begin("edit"), bad)
    assert len(held.prompts) == 3
    assert "block 1: its search part is not in the kernel" in held.last
    assert held.result == Rejected(
        Reason.INAPPLICABLE_EDIT, "block 1: its search part is not in the kernel"
    )
    good = "Rationale: less\n" + block("float sum = 0.0f;", "float sum = 0;")
    held = drive(begin("edit"), bad, bad, good)
    assert isinstance(held.result, Variation)
    assert "float sum = 0;" in held.result.source
    assert held.result.note.startswith("less [memory: ")


def test_nothing_is_told_back_that_does_not_fit():
    first = drive(begin("rewrite"), "GIVE UP: x").prompts[0]
    tight = model_operators("m", context_tokens=prompt_tokens(first.messages) + 20)
    held = drive(begin("rewrite", operators=tight), "hm " * 100)
    assert len(held.prompts) == 1
    assert isinstance(held.result, Rejected)
    assert held.result.reason is Reason.UNREADABLE


@each
def test_a_prompt_keeps_to_its_length_or_is_not_made(name):
    kernels, made = family(), 0
    for context in (100, 2_000, 2_600, 3_200, 4_000, 6_000):
        conversation = begin(
            name, kernels=kernels, operators=model_operators("m", context_tokens=context)
        )
        if isinstance(conversation, Inapplicable):
            assert "does not fit" in conversation.reason
            continue
        made += 1
        (prompt,) = drive(conversation, "GIVE UP: x").prompts
        assert prompt_tokens(prompt.messages) <= context
    assert 0 < made < 6


@each
def test_without_a_brief_there_is_nothing_to_ask(name):
    kernels = family()
    bare = Situation(lineage=kernels, rng=random.Random(0), device="cpu")
    assert isinstance(MINE[name].vary(parents_of(MINE[name].arity, kernels), bare), Inapplicable)


@each
def test_without_parents_or_failures_there_may_be_nothing_to_do(name):
    found = MINE[name].vary([], situation(lineage()))
    assert isinstance(found, Conversation if name == "draft" else Inapplicable)


@each
def test_knowledge_may_be_missing(name):
    held = drive(begin(name, told=brief(knowledge=None)), "GIVE UP: x")
    assert "From the notes" not in held.prompts[0].messages[1].text
