"""Kernels that are known though their text is new: told back to models, not evaluated again."""

import time

import pytest

from operators.dialogue import Reason
from operators.llm.registry import model_operators
from operators.novelty import Novelty
from operators.operator import Situation
from populations.kernel import Candidate
from tests.contracts.samples import CPP, kernel, lineage
from tests.operators.llm.dialogues import (
    CONTEXT,
    NEW_CPP,
    WRONG,
    drive,
    family,
    module_answer,
    situation,
    timed,
)


def asked(kernels, novelty, *answers, name="rewrite"):
    plain = situation(kernels)
    told = Situation(plain.lineage, plain.rng, plain.device, plain.brief, novelty)
    operator = model_operators("m", context_tokens=CONTEXT)[name]
    return drive(operator.vary([kernels.get(1)], told), *answers)


def test_a_kernel_under_other_names_is_told_back():
    kernels = family()
    kernels.add(kernel(5, NEW_CPP, language="cpp", parents=(2,), evaluation=timed(1.0, 1.0)))
    renamed = NEW_CPP.replace("sum", "total")
    taken = asked(kernels, None, module_answer(renamed))
    assert taken.result.source == renamed
    held = asked(kernels, Novelty(names=True), module_answer(renamed))
    assert held.result.reason is Reason.DUPLICATE
    assert "kernel 5" in held.last
    assert "1x" in held.last


def test_nearly_the_same_text_is_told_back_with_its_fate():
    kernels = family()
    other = kernels.get(1).source.replace("return y", "return y.view_as(y)")
    assert asked(kernels, None, module_answer(other)).result.source == other
    held = asked(kernels, Novelty(similarity=0.9), module_answer(other))
    assert held.result.reason is Reason.DUPLICATE
    assert "of its text with kernel 1" in held.last
    assert "1.41x" in held.last
    stricter = asked(kernels, Novelty(similarity=0.999), module_answer(other))
    assert stricter.result.source == other


def test_other_parameters_and_other_numbers_are_new():
    kernels = family()
    parent = kernels.get(1).source
    for old, new in (("TILE 64  //", "TILE 128  //"), ("0.0f", "1.0f")):
        changed = parent.replace(old, new)
        assert changed != parent
        held = asked(kernels, Novelty(names=True, similarity=0.9), module_answer(changed))
        assert held.result.source == changed


def test_a_kernel_close_to_one_that_failed_may_mend_it():
    kernels = lineage(
        kernel(0, CPP.replace("[row * c", "[rows * c"), language="cpp", evaluation=WRONG)
    )
    novelty = Novelty(similarity=0.9)
    assert novelty.similar(CPP, "cpp", kernels, 0) is None
    kernels.add(kernel(1, CPP, language="cpp"))
    assert novelty.similar(CPP, "cpp", kernels, 1).kernel.number == 1


def test_only_what_was_judged_by_then_counts():
    kernels = family()
    novelty = Novelty(names=True, similarity=0.9)
    renamed = CPP.replace("sum", "total")
    assert novelty.same(renamed, "cpp", kernels, 4).number == 0
    assert novelty.same(renamed, "cpp", kernels, -1) is None
    assert novelty.same(renamed, "triton", kernels, 4) is None
    assert novelty.similar(CPP, "cpp", kernels, 4).kernel.number == 0
    assert novelty.similar(CPP, "cpp", kernels, -1) is None
    kernels.add(kernel(5, NEW_CPP, language="cpp"))
    assert novelty.same(NEW_CPP.replace("sum", "total"), "cpp", kernels, 4) is None
    assert novelty.same(NEW_CPP.replace("sum", "total"), "cpp", kernels, 5).number == 5


def test_the_key_of_a_candidate():
    one, other = (Candidate(0, text, "cpp") for text in (CPP, CPP.replace("sum", "total")))
    assert Novelty(similarity=0.5).key(one) == one.digest
    assert Novelty(names=True).key(one) == Novelty(names=True).key(other)


@pytest.mark.parametrize("count", [500])
def test_it_is_cheap_in_a_long_run(count):
    kernels = lineage(
        *(
            kernel(n, CPP.replace("TILE 64", f"TILE {n}").replace("sum", f"sum{n}"), language="cpp")
            for n in range(count)
        )
    )
    novelty = Novelty(names=True, similarity=0.9)
    novelty.similar(CPP, "cpp", kernels, count)
    begin = time.perf_counter()
    for n in range(10):
        text = CPP.replace("TILE 64", f"TILE {n}").replace("sum", f"other{n}")
        assert novelty.similar(text, "cpp", kernels, count).kernel.number == n
    assert (time.perf_counter() - begin) / 10 < 0.1
