"""Finding documents: TF-IDF vectors of words and of characters, filtered by front matter.

Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval", by the vectorisers
of scikit-learn. Words and pairs of words find what is called by its name; pieces of words find what
is spelt a little differently, as compilers and profilers do. scikit-learn is imported with the
first search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from operators.knowledge.documents import OWN, Document, read_directory
from operators.knowledge.targets import fits
from operators.operator import Knowledge, Passage

# How often a title counts, and what a document says that its case is seen as; what the comparison
# of words weighs beside that of characters.
_TITLE = 3
_SIGNS = 2
_SEEN_AS = re.compile(r"^Seen as: (.*?)\.(?:\s|\Z)", re.DOTALL | re.MULTILINE)
_WORDS = 0.6
# Scores are compared after rounding: the last bits are a matter of the processor.
_DIGITS = 9


class Index:
    """Documents with their vectors.

    Args:
        documents: What can be found.
        background: Further texts that tell rare words from common ones, and cannot be found.
    """

    def __init__(self, documents: Iterable[Document], background: Iterable[Document] = ()) -> None:
        self._documents = sorted(documents, key=lambda d: d.name)
        self._background = tuple(background)

    def ranked(
        self, query: str, *, filters: Mapping[str, str], count: int
    ) -> list[tuple[float, Document]]:
        """The documents that fit the filters, nearest first, with how near they are.

        Nearness is between 0 and 1; documents that have nothing in common with the query are left
        out. Documents that are equally near are ordered by name.
        """
        if count < 1 or not self._documents or not query.strip():
            return []
        scores = self._scores(query)
        found = [
            (score, document)
            for score, document in zip(scores, self._documents, strict=True)
            if score > 0.0 and all(fits(k, document.keys.get(k, ()), v) for k, v in filters.items())
        ]
        return sorted(found, key=lambda pair: (-pair[0], pair[1].name))[:count]

    def _scores(self, query: str) -> list[float]:
        total: Any = 0.0
        for weight, vectoriser, matrix in self._vectors:
            total = total + weight * (matrix @ vectoriser.transform([query]).T).toarray()[:, 0]
        return [round(float(score), _DIGITS) for score in total]

    @cached_property
    def _vectors(self) -> list[tuple[float, Any, Any]]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [_indexed(document) for document in self._documents]
        known = texts + [_indexed(document) for document in self._background]
        words = TfidfVectorizer(
            ngram_range=(1, 2),
            sublinear_tf=True,
            stop_words="english",
            token_pattern=r"[a-zA-Z0-9_]+[a-zA-Z0-9_+]",
        )
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
        return [
            (weight, vectoriser.fit(known), vectoriser.transform(texts))
            for weight, vectoriser in ((_WORDS, words), (1.0 - _WORDS, characters))
        ]


class Documents:
    """The project's own documents and those of further directories, as `Knowledge`.

    Each directory has an index of its own, so that what is added changes neither the order nor the
    nearness of what is there: an added document can only take a place in the list. One with the
    name of an own document stands beside it.

    Args:
        extra: Directories of documents in the same form. Raises ConfigError, naming file and line,
            for one that cannot be read.
    """

    def __init__(self, *, extra: Sequence[Path] = ()) -> None:
        own = read_directory(OWN)
        self._indices = [Index(own), *(Index(read_directory(path), own) for path in extra)]

    def search(self, query: str, *, filters: Mapping[str, str], count: int) -> Sequence[Passage]:
        """See `Knowledge.search`."""
        found = [
            (-score, place, document.name, document)
            for place, index in enumerate(self._indices)
            for score, document in index.ranked(query, filters=filters, count=count)
        ]
        found.sort(key=lambda item: item[:3])
        return tuple(passage(document) for *_, document in found[:count])


class Combined:
    """Several sources of knowledge as one: the best of each in turn, then the second best.

    How near a passage is means little between sources of different kinds, so ranks decide.
    """

    def __init__(self, sources: Sequence[Knowledge]) -> None:
        self._sources = tuple(sources)

    def search(self, query: str, *, filters: Mapping[str, str], count: int) -> Sequence[Passage]:
        """See `Knowledge.search`."""
        lists = [source.search(query, filters=filters, count=count) for source in self._sources]
        longest = max(map(len, lists), default=0)
        turns = (found[rank] for rank in range(longest) for found in lists if rank < len(found))
        return tuple(dict.fromkeys(turns))[:count]


def passage(document: Document) -> Passage:
    """What a prompt shows of a document."""
    return Passage(name=document.name, title=document.title, text=document.text)


def _indexed(document: Document) -> str:
    """The text that is compared: title, front matter, how the case shows itself, and body."""
    keys = [v for key, values in document.keys.items() if key != "sources" for v in values]
    signs = _SEEN_AS.findall(document.text) * _SIGNS
    return "\n".join([document.title] * _TITLE + signs + [" ".join(keys), document.text])
