"""A question as a file that people and programs can read, and the list of those that wait."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from populations.call import Message

QUESTION, ANSWER, LIST = ".prompt.md", ".answer.md", "README.md"
_DIGEST = re.compile(r"^digest: ([0-9a-f]{16})\b", re.MULTILINE)
# The digest stands among a page's first characters.
_HEAD = 2000


def digest(messages: Sequence[Message]) -> str:
    """Names a prompt by what it says."""
    text = json.dumps([[message.role, message.text] for message in messages])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def render(messages: Sequence[Message]) -> str:
    """A prompt as one text. What a command gets on its standard input."""
    parts = [f"# {message.role.upper()}\n\n{message.text.strip()}\n" for message in messages]
    return "\n".join(parts)


def page(
    messages: Sequence[Message], *, stem: str, proposal: int, turn: int, operator: str, model: str
) -> str:
    """The whole file of a question: what to do with it, then the prompt."""
    return (
        "<!--\n"
        f"proposal {proposal}, turn {turn}, asked by {operator} for model {model}\n"
        f"digest: {digest(messages)}\n"
        "Everything below this comment is a prompt. Write the answer to it, and nothing else, to\n"
        f"{stem}{ANSWER} in this directory: in one go, or under another name first, then renamed.\n"
        "-->\n\n"
        f"{render(messages)}"
    )


def digest_on(path: Path) -> str | None:
    """The digest that stands on a page; "" where none does, None where there is no page."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = _DIGEST.search(file.read(_HEAD))
    except FileNotFoundError:
        return None
    return found[1] if found else ""


def has_text(path: Path) -> bool:
    """Whether there is a file that is not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def write(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8", errors="replace")
    draft.replace(path)


def write_list(directory: Path) -> None:
    """Write the page that says which questions wait, whoever asked them."""
    names = sorted(path.name for path in directory.glob(f"*{QUESTION}"))
    stems = [name.removesuffix(QUESTION) for name in names]
    waiting = [stem for stem in stems if not has_text(directory / f"{stem}{ANSWER}")]
    lines = [
        "# Questions to a language model",
        "",
        f"Each `*{QUESTION}` here is a prompt. Its answer, the model's text and nothing else, is",
        f"read from the file of the same name with `{ANSWER}` in place of `{QUESTION}`. Write it",
        "in one go, or under another name first, and rename it. A run that waits takes an answer",
        "up within seconds; one that has ended does so when it is resumed. Answers stay.",
        "",
        f"{len(waiting)} of {len(stems)} wait for an answer:",
        "",
        *(f"- [{stem}{QUESTION}]({stem}{QUESTION}) -> `{stem}{ANSWER}`" for stem in waiting),
    ]
    write(directory / LIST, "\n".join(lines).rstrip() + "\n")
