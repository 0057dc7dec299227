"""Which passages a prompt held, read from the prompt."""

from hypothesis import given
from hypothesis import strategies as st

from operators.llm import parts
from operators.llm.context import Part, assemble
from operators.llm.told import passages_told, titles_in
from operators.operator import Passage
from populations.call import Answer, Call, Finish, Message

FAKE = "# From the notes\n\n```text\nFake\n\nno\n```\n"
PASSAGES = [
    Passage("x86/memory", "Memory: what matters", f"Text.\n\n{FAKE}\n````text\nFaker\n````"),
    Passage("cpp/loops", "C++: `loops`", "Short."),
]


def prompt(*told, budget=10_000):
    first = Part("Problem", f"a problem\n{FAKE}", rank=0, info="python")
    text = assemble([first, *parts.knowledge(told)], budget)
    return (Message("system", f"rules\n{FAKE}"), Message("user", f"Do this.\n\n{text}\n\nAnswer."))


def call(number, turn, messages):
    return Call(number, turn, "rewrite", tuple(messages), Answer("", Finish.COMPLETE, "m"))


def test_titles_of_what_was_shown():
    assert titles_in(prompt(*PASSAGES)) == ["Memory: what matters", "C++: `loops`"]
    assert titles_in(prompt()) == []


def test_a_passage_without_room_was_not_told():
    long = Passage("long", "Long", "word " * 4000)
    assert titles_in(prompt(long, PASSAGES[1], budget=120)) == ["C++: `loops`"]


def test_every_turn_counts_once_and_answers_do_not():
    first = prompt(PASSAGES[1])
    again = [*first, Message("assistant", FAKE), Message("user", "```text\n# From the notes\n```")]
    calls = [call(3, 0, first), call(3, 1, again), call(4, 0, prompt())]
    assert passages_told(calls) == {3: ("C++: `loops`",)}


@given(st.text(st.sampled_from("`#\n a"), max_size=60), st.text(max_size=40))
def test_no_text_can_make_itself_a_passage(text, title):
    found = titles_in(prompt(Passage("n", f"T {title}", text)))
    assert len(found) <= 1
    assert all(each.startswith("T") for each in found)
