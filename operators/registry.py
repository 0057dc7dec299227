"""Every operator there is, by name. Adding one to its language's list is all that is needed.

Contract tests run over this list, and the experiment file's weights are checked against it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from operators.operator import Operator

LANGUAGES = ("cpp", "triton")


def structural_operators(languages: Collection[str] = LANGUAGES) -> dict[str, Operator]:
    """Operators on the syntax tree of the given languages, by name.

    Only the parsers of these languages are imported.
    """
    operators: list[Operator] = []
    if "cpp" in languages:
        from operators.structural import cpp

        operators.extend(cpp.operators())
    if "triton" in languages:
        from operators.structural import triton

        operators.extend(triton.operators())
    return {operator.name: operator for operator in operators}


def common_operators(**tuning: Any) -> dict[str, Operator]:
    """Operators for every language, by name: crossover and tuning.

    `tuning` goes to `operators.tuning.Tune`.
    """
    from operators.merge import ThreeWayMerge
    from operators.tuning import Tune

    operators: tuple[Operator, ...] = (ThreeWayMerge(), Tune(**tuning))
    return {operator.name: operator for operator in operators}


def all_operators() -> dict[str, Operator]:
    """Every operator by name."""
    return {**structural_operators(), **common_operators()}
