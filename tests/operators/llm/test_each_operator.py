"""What is an operator's own: what it shows, asks for and refuses."""

from operators.dialogue import Reason, Rejected
from operators.llm import memory
from operators.llm.memory import Memory
from operators.llm.operators.explain import diagnosis
from operators.operator import Inapplicable, Passage, Variation
from tests.contracts.samples import kernel
from tests.operators.llm.dialogues import (
    NEW_CPP,
    Shelf,
    brief,
    drive,
    family,
    module_answer,
    situation,
)
from tests.operators.llm.every import MINE, begin


def test_the_mode_of_memory_decides_what_is_told_and_stands_in_the_note():
    seen = set()
    for seed in range(40):
        held = drive(begin("rewrite", seed=seed), module_answer(NEW_CPP))
        mode = memory.memory_of(held.result.note)
        user = held.prompts[0].messages[1].text
        assert ("came to be" in user) == (mode in (Memory.PARENT, Memory.BOTH))
        assert ("What was tried" in user) == (mode in (Memory.SIBLINGS, Memory.BOTH))
        seen.add(mode)
    assert seen == set(Memory)


def test_a_draft_sees_no_kernel():
    for seed in range(10):
        user = drive(begin("draft", seed=seed), "GIVE UP: x").prompts[0].messages[1].text
        assert "ModelNew" not in user


def test_a_draft_prefers_the_first_language():
    prompts = [drive(begin("draft", seed=n), "GIVE UP: x").prompts[0] for n in range(60)]
    first = sum("this problem in C++" in prompt.messages[1].text for prompt in prompts)
    assert 30 <= first < 55


def test_a_crossover_says_who_is_faster_where():
    user = drive(begin("crossover"), "GIVE UP: x").prompts[0].messages[1].text
    assert "kernel 2 is 1.5 times as fast" in user
    assert "kernel 1 is 2.22 times as fast" in user


def test_a_kernel_is_not_crossed_with_itself():
    kernels = family()
    one = kernels.get(1)
    for other in (one, kernel(8, one.source + "# same\n", language="cpp")):
        assert isinstance(MINE["crossover"].vary([one, other], situation(kernels)), Inapplicable)


def test_translating_needs_another_language_and_gets_it():
    assert isinstance(begin("translate", told=brief(languages=("cpp",))), Inapplicable)
    held = drive(begin("translate"), module_answer(NEW_CPP))
    assert isinstance(held.result, Rejected)
    assert held.result.reason is Reason.UNREADABLE
    assert "a kernel in Triton is wanted, this one is in C++" in held.last


def test_torch_alone_is_no_kernel_where_none_is_wanted():
    answer = module_answer("import torch\nclass ModelNew(torch.nn.Module): ...\n")
    held = drive(begin("rewrite"), answer)
    assert isinstance(held.result, Rejected)
    assert "in Python with operations of torch" in held.result.text
    allowed = begin("rewrite", told=brief(languages=("cpp", "python")))
    result = drive(allowed, answer).result
    assert isinstance(result, Variation)
    assert result.language == "python"


DIAGNOSIS = "**Bottleneck:** memory bandwidth\nEvidence: 50% of\nChange: one pass\nExpected: 2x\n"


def test_explaining_asks_twice_and_keeps_the_diagnosis():
    shelf = Shelf()
    conversation = begin("explain", told=brief(knowledge=shelf))
    held = drive(conversation, DIAGNOSIS, module_answer(NEW_CPP))
    assert len(held.prompts) == 2
    assert held.prompts[1].messages[:2] == held.prompts[0].messages
    assert held.prompts[1].messages[2].text == DIAGNOSIS
    assert isinstance(held.result, Variation)
    assert held.result.note.startswith(
        "diagnosis: memory bandwidth (50% of); one pass - fewer passes [memory: "
    )
    assert shelf.asked[-1][0].startswith("memory bandwidth (50% of); one pass")


def test_documents_found_by_the_diagnosis_are_shown_once():
    class Two(Shelf):
        def search(self, query, *, filters, count):
            known = super().search(query, filters=filters, count=count)
            return [*known, Passage("b", "Fuse", "Fuse it.")] if "one pass" in query else known

    held = drive(begin("explain", told=brief(knowledge=Two())), DIAGNOSIS, module_answer(NEW_CPP))
    assert "Fuse it." in held.last
    assert "Read every byte" not in held.last


def test_a_diagnosis_in_other_words_will_do():
    assert diagnosis("It is slow.") == ""
    held = drive(begin("explain"), "It waits for\nmemory.", module_answer(NEW_CPP))
    assert isinstance(held.result, Variation)
    assert held.result.note.startswith("diagnosis: It waits for memory. - fewer passes")
