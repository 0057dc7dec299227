"""Knowledge documents: Markdown files that begin with front matter.

    ---
    title: Shared-memory bank conflicts
    hardware: nvidia, amd
    language: cuda, hip
    topic: guidance
    phase: improve
    sources: CUDA C++ Best Practices Guide; Harris 2007, Optimizing Parallel Reduction in CUDA
    ---
    The text, until the end of the file.

`title` must be there. Every other key may be left out, and then the document fits every value of
it. Values of `hardware`, `language` and `phase` are separated by commas, `sources` by semicolons.
A text with `## ` headings is found by its sections, each of which is a document with the file's
front matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from populations.errors import ConfigError

OWN = Path(__file__).with_name("documents")
TOPICS = ("constraints", "guidance", "hardware", "idioms", "library")
PHASES = ("draft", "improve", "repair", "tune")
_LISTS = {"hardware": ",", "language": ",", "phase": ",", "sources": ";"}
_KEYS = ("title", "hardware", "language", "topic", "phase", "sources")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
_HEADING = re.compile(r"^## +(?P<title>.+?) *$", re.MULTILINE)
_FENCE = "---"


@dataclass(frozen=True, slots=True)
class Document:
    """One document, or one section of a long one.

    Attributes:
        name: Its path in its directory without the suffix, "hopper/memory"; a section of a longer
            text has its place behind it, "hopper/memory#2".
        title: From the front matter; a section has its heading behind it.
        text: What a prompt shows.
        keys: The other front matter by key; keys that are left out are absent.
    """

    name: str
    title: str
    text: str
    keys: Mapping[str, tuple[str, ...]]


def read_directory(directory: Path) -> list[Document]:
    """Every `*.md` below a directory, sections apart, ordered by name.

    Raises ConfigError, naming file and line, for a directory that is not there and for a file that
    cannot be read as a document.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such directory of knowledge documents")
    found: list[Document] = []
    for path in sorted(directory.rglob("*.md")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}:1: cannot be read as UTF-8 text: {error}") from error
        name = path.relative_to(directory).with_suffix("").as_posix()
        found.extend(_sections(parse(text, name=name, path=path)))
    return found


def parse(text: str, *, name: str, path: Path) -> Document:
    """One file's text as a document; `path` is for messages.

    Raises ConfigError, naming file and line, for bad front matter.
    """
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        raise ConfigError(f"{path}:1: a document begins with a line {_FENCE!r}")
    keys: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(map(str.rstrip, lines[1:]), 2):
        if line == _FENCE:
            break
        key, values = _front_matter(line, f"{path}:{number}")
        if key in keys:
            raise ConfigError(f"{path}:{number}: {key!r} stands here a second time")
        keys[key] = values
    else:
        raise ConfigError(f"{path}:{len(lines)}: the front matter has no closing {_FENCE!r}")
    body = "\n".join(lines[number:]).strip()
    if "title" not in keys:
        raise ConfigError(f"{path}:{number}: the front matter has no title")
    if not body:
        raise ConfigError(f"{path}:{number}: nothing stands behind the front matter")
    (title,) = keys.pop("title")
    return Document(name=name, title=title, text=body, keys=keys)


def _front_matter(line: str, place: str) -> tuple[str, tuple[str, ...]]:
    """One line's key and values."""
    key, colon, value = line.partition(":")
    value = value.strip()
    if not colon or key not in _KEYS:
        raise ConfigError(
            f"{place}: front matter is `key: value` with a key of {', '.join(_KEYS)}, but got "
            f"{line!r}"
        )
    separator = _LISTS.get(key)
    values = tuple(v.strip() for v in value.split(separator)) if separator else (value,)
    if not all(values):
        raise ConfigError(f"{place}: a value of {key!r} is empty")
    if key in ("title", "sources"):
        return key, values
    for v in values:
        known = {"topic": TOPICS, "phase": PHASES}.get(key)
        if known and v not in known:
            raise ConfigError(f"{place}: {key!r} is one of {', '.join(known)}, but got {v!r}")
        if not _WORD.fullmatch(v):
            raise ConfigError(f"{place}: a value of {key!r} is a lower-case name, but got {v!r}")
    return key, values


def _sections(document: Document) -> Iterator[Document]:
    """The document itself, or its sections where it has headings of the second level."""
    headings = list(_HEADING.finditer(document.text))
    if not headings:
        yield document
        return
    ends = [h.start() for h in headings[1:]] + [len(document.text)]
    before = document.text[: headings[0].start()].strip()
    if before:
        yield Document(document.name, document.title, before, document.keys)
    for place, (heading, end) in enumerate(zip(headings, ends, strict=True), 1):
        text = document.text[heading.end() : end].strip()
        if text:
            title = f"{document.title}: {heading['title']}"
            yield Document(f"{document.name}#{place}", title, text, document.keys)
