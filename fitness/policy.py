"""The static gate: reads a candidate's source and refuses what no kernel needs.

It is a tripwire, not the wall: the wall is the process that holds the candidate. What it is good
for is cheap (a millisecond or two) and early: text that does not parse, a module without
`ModelNew`, imports and calls whose only use is to reach around the judge, and what the experiment
does not allow. A finding has a level:

- reject: the candidate is not run;
- flag: it is run, and the finding stands in the evaluation's details;
- note: a fact worth showing, of no consequence.

What is refused is what no honest kernel does, whatever name it goes by. What some honest kernels do
is a flag at most: the judge's checks, not the gate, tell an honest cache from a dishonest one. How
the source is read is in `fitness.gate`.
"""

from __future__ import annotations

import ast
import warnings

from fitness.gate.findings import Finding, Level, Policy
from fitness.gate.interpreter import Interpreter
from fitness.gate.loader import restored
from fitness.gate.report import Report
from fitness.spec import EvaluationSpec

__all__ = ["Finding", "Level", "Policy", "examine", "of", "rejections"]

_LONGEST = 1 << 19
# Findings that are told; a source may be made to have a million.
_MOST = 100
# What is allowed by default; the reasons are in `Policy`.
EVERYTHING = Policy()


def examine(source: str, policy: Policy = EVERYTHING) -> tuple[Finding, ...]:
    """Read a candidate's source; returns what was found, rejections first. Never raises.

    Args:
        source: The module.
        policy: What the experiment allows.
    """
    if len(source) > _LONGEST:
        text = f"the module has {len(source)} characters; at most {_LONGEST} are read"
        return (Finding(Level.REJECT, "length", 0, text),)
    try:
        with warnings.catch_warnings():
            # A doubtful escape in a string is no reason to refuse a kernel.
            warnings.simplefilter("ignore")
            source = restored(source)
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", 0) or 0
        text = getattr(error, "msg", None) or str(error) or type(error).__name__
        return (Finding(Level.REJECT, "syntax", line, f"the module does not parse: {text}"),)
    report = Report(policy)
    try:
        Interpreter(report, source).read(tree)
    except RecursionError:
        text = "an expression is nested too deeply to be read; divide it"
        report.add(Level.REJECT, "syntax", 0, text)
    if not _defines_model(tree):
        text = "the module defines no ModelNew; a candidate is a module with class ModelNew"
        report.add(Level.REJECT, "no-model", 0, text)
    order = list(Level)
    findings = sorted(report.findings.values(), key=lambda f: (order.index(f.level), f.line))
    return tuple(findings[:_MOST])


def of(spec: EvaluationSpec) -> Policy:
    """What an evaluation allows."""
    return Policy(
        allow_library_calls=spec.allow_library_calls,
        allow_torch_compute=spec.allow_torch_compute,
        allow_state=spec.allow_state,
    )


def rejections(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings for which a candidate is not run."""
    return tuple(f for f in findings if f.level is Level.REJECT)


def _defines_model(tree: ast.Module) -> bool:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "ModelNew":
            return True
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "ModelNew" for t in node.targets
        ):
            return True
        if isinstance(node, ast.ImportFrom) and any(
            (alias.asname or alias.name) == "ModelNew" for alias in node.names
        ):
            return True
    return False
