"""Which kernels count as known already, beyond those of the same text.

An index over one lineage, brought up to date when it is asked. What it answers is a function of
the kernels up to a number, so that a run that is grown again is answered the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.sameness import literals, most_similar, shape, similarity


@dataclass(frozen=True, slots=True)
class Similar:
    """A judged kernel that shares nearly everything with a new text.

    Attributes:
        kernel: The one that shares most; of equals the first.
        share: Of character n-grams in common, 0..1.
    """

    kernel: Kernel
    share: float


@dataclass(slots=True, kw_only=True)
class Novelty:
    """What else counts as known; one object per lineage.

    Attributes:
        names: Whether kernels that differ in comments, layout and the names of variables alone are
            one kernel, whoever made them.
        similarity: A model's kernel is known from this share of common character n-grams with one
            that passed, if every literal and launch parameter is the same; 0: never.
    """

    names: bool = False
    similarity: float = 0.0
    _read: int = -1
    _shapes: dict[str, list[int]] = field(default_factory=dict)
    _literals: dict[str, list[int]] = field(default_factory=dict)

    def key(self, candidate: Candidate) -> str:
        """Equal for candidates that are one kernel."""
        if not self.names:
            return candidate.digest
        return f"{candidate.language} {shape(candidate.source)}"

    def same(self, source: str, language: str, lineage: Lineage, last: int) -> Kernel | None:
        """The first kernel up to number `last` that this text is, names of variables aside."""
        if not self.names:
            return None
        self._follow(lineage)
        numbers = self._shapes.get(f"{language} {shape(source)}", ())
        return next((lineage.get(number) for number in numbers if number <= last), None)

    def similar(self, source: str, language: str, lineage: Lineage, last: int) -> Similar | None:
        """The kernel up to number `last` that this text is too close to, or None.

        Only kernels that passed count: what is close to one that failed may mend it.
        """
        if not self.similarity:
            return None
        self._follow(lineage)
        found: Similar | None = None
        for number in self._literals.get(f"{language} {literals(source)}", ()):
            kernel = lineage.get(number)
            least = max(self.similarity, found.share if found else 0.0)
            if number > last or most_similar(source, kernel.source) < least:
                continue
            share = similarity(source, kernel.source)
            if share >= self.similarity and (found is None or share > found.share):
                found = Similar(kernel, share)
        return found

    def _follow(self, lineage: Lineage) -> None:
        """Take in the kernels that came since the last question; their numbers only rise."""
        for number in [n for n in lineage.kernels if n > self._read]:
            kernel = lineage.get(number)
            language = kernel.candidate.language
            if self.names:
                self._shapes.setdefault(f"{language} {shape(kernel.source)}", []).append(number)
            if self.similarity and kernel.passed:
                key = f"{language} {literals(kernel.source)}"
                self._literals.setdefault(key, []).append(number)
            self._read = number
