"""Reads a model's answer: the module in it, or why there is none. Any text is accepted."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from operators.dialogue import Reason
from operators.llm import blocks, diffs
from operators.llm.fence import fenced, one_line, printable
from operators.llm.prompts import fill
from populations.source import cpp_sources

# The judge reads no longer modules.
_LONGEST = 1 << 19
_FENCE = re.compile(r"(?P<indent>[ \t>]*)(?P<marks>`{3,}|~{3,})(?P<info>[^`\n]*)")
_LABEL = r"^[ \t>#*_-]*{label}[*_ \t]*:(?P<said>[^\n]*)$"
_GIVE_UP = re.compile(
    r"^[ \t>#*_-]*give up[*_ \t]*(?::(?P<said>[^\n]*))?$", re.IGNORECASE | re.MULTILINE
)
# Blocks of one answer that are tried.
_BLOCKS = 8
# Misses of one answer that are told back.
_MISSES = 6


@dataclass(frozen=True, slots=True)
class Module:
    """A module that an answer holds. It parses and defines `ModelNew`; nobody has run it.

    Attributes:
        source: Its text.
        note: What the model says of it, in one line; empty when it says nothing.
    """

    source: str
    note: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """An answer of which no kernel comes.

    Attributes:
        reason: In one word.
        text: For people, one line.
        reply: What the model is told, should it be asked once more; "" when asking is no use.
    """

    reason: Reason
    text: str
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `closed` is False where the answer ended before its fence."""

    info: str
    text: str
    closed: bool


def plain(answer: str) -> str:
    """An answer in printable characters, without the thoughts that some servers leave in it."""
    text = printable(answer)
    thoughts, mark, rest = text.rpartition("</think>")
    # Where the mark stands inside of a kernel, or nothing follows, it ends no thoughts.
    is_end = mark and rest.strip() and (thoughts.lstrip().startswith("<think") or "```" in rest)
    return rest if is_end else text


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, in order; an indented fence takes its indent off its lines."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        fence = _FENCE.fullmatch(line.rstrip())
        if opening is None:
            opening, lines = fence, []
        elif fence and _closes(fence, opening):
            found.append(Block(opening["info"].strip(), "\n".join(lines), closed=True))
            opening = None
        else:
            lines.append(line.removeprefix(opening["indent"]))
    if opening is not None:
        found.append(Block(opening["info"].strip(), "\n".join(lines), closed=False))
    return found


def prose(text: str) -> str:
    """What stands outside of fenced blocks and search/replace blocks."""
    told, opening = [], None
    for line in text.split("\n"):
        fence = _FENCE.fullmatch(line.rstrip())
        if opening is None and not fence:
            told.append(line)
        elif opening is None:
            opening = fence
        elif fence and _closes(fence, opening):
            opening = None
    return re.sub(r"(?ms)^[ \t]*<{5,}.*?(?:^[ \t]*>{5,}[^\n]*$|\Z)", "", "\n".join(told))


def labelled(text: str, label: str, limit: int = 300) -> str:
    """What a line `Label: ...` says outside of code, in one line; "" when there is none."""
    pattern = _LABEL.format(label=re.escape(label))
    match = re.search(pattern, prose(text), re.IGNORECASE | re.MULTILINE)
    return one_line(match["said"].strip(" \t*_"), limit) if match else ""


def rationale(text: str) -> str:
    """What the model says that it did: the line asked for, else the first that says anything."""
    if said := labelled(text, "rationale"):
        return said
    lines = (one_line(line.strip(" \t#>*-_")) for line in prose(text).split("\n"))
    return next((line for line in lines if len(line) > 3), "")


def gave_up(text: str) -> Unusable | None:
    """Whether the model said that it knows nothing better; None when it did not."""
    match = _GIVE_UP.search(prose(text))
    if match is None:
        return None
    said = one_line((match["said"] or "").strip(" \t*_"))
    return Unusable(Reason.GAVE_UP, said or "the model knows nothing better")


def read_module(answer: str) -> Module | Unusable:
    """The module that an answer holds in full.

    Looked for in the fenced blocks, the last one first, then from the first fence to the last (a
    fence inside of a docstring), then in the answer as a whole.
    """
    text = plain(answer)
    problems = []
    for code in _places(text):
        problem = unreadable(code)
        if problem is None:
            return Module(code.strip("\n") + "\n", rationale(text))
        problems.append(problem)
    if (given_up := gave_up(text)) is not None:
        return given_up
    return refused(problems[0] if problems else "it holds no block of code")


def read_edit(answer: str, source: str, number: int) -> Module | Unusable:
    """The module that an answer's search/replace blocks, or its unified diff, make of a kernel.

    An answer with neither is read as a whole module.

    Args:
        answer: The model's.
        source: The kernel that it was shown.
        number: That kernel's.
    """
    text = plain(answer)
    if found := blocks.edits(text):
        changed = [found] if isinstance(found, blocks.Miss) else blocks.apply(source, found)
        retry = "retry_blocks"
    elif hunks := diffs.hunks(text):
        changed, retry = diffs.patch(source, hunks), "retry_diff"
        if not isinstance(changed, str) and isinstance(whole := read_module(answer), Module):
            return whole
    else:
        return read_module(answer)
    if not isinstance(changed, str):
        told = fenced("\n".join(str(miss) for miss in changed[:_MISSES]))
        reply = fill(retry, number=str(number), problems=told)
        problem = one_line(f"{changed[0].kind} {changed[0].number}: {changed[0].problem}")
        return Unusable(Reason.INAPPLICABLE_EDIT, problem, reply)
    problem = unreadable(changed) or ""
    return refused(f"after the edit {problem}") if problem else Module(changed, rationale(text))


def refused(problem: str) -> Unusable:
    """The verdict on an answer without a module that can be read."""
    problem = one_line(problem, 200)
    return Unusable(Reason.UNREADABLE, problem, fill("retry_unreadable", problem=problem))


def unreadable(source: str) -> str | None:
    """Why a text is not a candidate's module; None when it is one."""
    if len(source) > _LONGEST:
        return f"the module has {len(source)} characters; at most {_LONGEST} are read"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        return f"the module does not parse: line {error.lineno or 0}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"the module does not parse: {str(error) or type(error).__name__}"
    if not any(_binds_model(node) for node in tree.body):
        return "the module does not define the class ModelNew"
    return None


def written_in(source: str, expected: str) -> str:
    """The language that a kernel is written in, by what it uses.

    Args:
        source: A module that parses.
        expected: The answer where the text decides nothing: of languages that are told by nothing
            known here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            found = {"cpp"} if cpp_sources(source) else set()
            if _uses_triton(tree):
                found.add("triton")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return expected
    if expected in found or expected not in ("cpp", "triton", "python"):
        return expected
    return min(found, default="python")


def _places(text: str) -> Iterator[str]:
    found = [block.text for block in fenced_blocks(text)]
    if not found and "ModelNew" in text:
        yield text
    # A usage example, which names the model too, may stand behind it.
    holding = [block for block in reversed(found) if "ModelNew" in block]
    yield from holding[:_BLOCKS] or sorted(found, key=len)[-1:]
    if len(found) > 1:
        lines = text.split("\n")
        at = [n for n, line in enumerate(lines) if _FENCE.fullmatch(line.rstrip())]
        yield "\n".join(lines[at[0] + 1 : at[-1]])


def _closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    marks, longest = fence["marks"], opening["marks"]
    return not fence["info"].strip() and marks[0] == longest[0] and len(marks) >= len(longest)


def _binds_model(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == "ModelNew"
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "ModelNew" for target in node.targets
    )


def _uses_triton(tree: ast.Module) -> bool:
    """Whether a module imports Triton and has a function with a decorator `jit`."""
    imports = decorated = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= any(alias.name.partition(".")[0] == "triton" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports |= (node.module or "").partition(".")[0] == "triton"
        elif isinstance(node, ast.FunctionDef):
            decorated |= any("'jit'" in ast.dump(decorator) for decorator in node.decorator_list)
    return imports and decorated
