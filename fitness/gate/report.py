"""Findings as they are made: one for each rule and line."""

from __future__ import annotations

import ast

from fitness.gate.findings import Finding, Level, Policy


class Report:
    """Collects findings for one source."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.findings: dict[tuple[str, int, Level], Finding] = {}
        # Added to line numbers: a text inside of the module is read with its own.
        self.offset = 0
        # Whether what is read is never run: the part for a file that is run by itself.
        self.is_aside = False
        # Rule -> what was seen of it, as text and line: shown as one finding.
        self._seen: dict[str, dict[tuple[str, int], None]] = {}

    def add(self, level: Level, rule: str, place: ast.AST | int, text: str) -> None:
        """Add a finding at a node or a line."""
        line = place if isinstance(place, int) else getattr(place, "lineno", 0)
        line += self.offset if line else 0
        if self.is_aside and level is Level.REJECT:
            level = Level.FLAG
        self.findings.setdefault((rule, line, level), Finding(level, rule, line, text))

    def saw(self, rule: str, place: ast.AST | int, what: str) -> None:
        """Count what an experiment may allow; see `allowed`."""
        line = place if isinstance(place, int) else getattr(place, "lineno", 0)
        self._seen.setdefault(rule, {})[what, line + self.offset] = None

    def count(self, rule: str) -> int:
        """How much was seen under a rule."""
        return len(self._seen.get(rule, ()))

    def settle(self, rule: str, level: Level, *, allowed: bool, said: str, right: str) -> None:
        """Make findings of what was seen under a rule.

        Args:
            rule: The rule.
            level: Of the one finding when it is allowed.
            allowed: By the experiment; when not, every line is rejected.
            said: What was seen, for the finding's text.
            right: What would be right, for a rejection's.
        """
        seen = sorted(self._seen.get(rule, ()), key=lambda item: item[1])
        if not seen:
            return
        if allowed:
            first, more = seen[0][1], len(seen) - 6
            shown = ", ".join(f"{what} (line {line})" for what, line in seen[:6])
            text = f"{said}: {shown}" + (f" and {more} more" if more > 0 else "")
            self.findings[rule, first, level] = Finding(level, rule, first, text)
            return
        for what, line in seen:
            text = f"{said}: {what}; {right}"
            self.findings[rule, line, Level.REJECT] = Finding(Level.REJECT, rule, line, text)
