"""The statements of `populations.queries`. Imports SQLAlchemy: import this lazily."""

from __future__ import annotations

from sqlalchemy import CTE, bindparam, select

from populations.schema import candidates, edges, evaluations

_listed = (
    select(
        candidates.c.number,
        candidates.c.language,
        candidates.c.operator,
        evaluations.c.outcome,
        evaluations.c.checks_passed,
        evaluations.c.checks_total,
        evaluations.c.speedup,
        evaluations.c.speedup_low,
        evaluations.c.speedup_high,
    )
    .join(evaluations, evaluations.c.number == candidates.c.number)
)
# Without a hint both tables would be looked up row by row, past the sources and the details.
LISTED = (
    _listed.where(candidates.c.number > bindparam("behind"))
    .with_hint(candidates, "INDEXED BY ix_candidates_listed", "sqlite")
    .with_hint(evaluations, "INDEXED BY ix_evaluations_listed", "sqlite")
    .order_by(candidates.c.number)
)
BEST = (
    _listed.where(evaluations.c.speedup_low.is_not(None))
    .with_hint(evaluations, "INDEXED BY ix_evaluations_best", "sqlite")
    .order_by(
        evaluations.c.speedup_low.desc(), evaluations.c.speedup.desc(), evaluations.c.number
    )
    .limit(bindparam("count"))
)
CHILDREN = (
    select(edges.c.child)
    .where(edges.c.parent == bindparam("number"))
    .distinct()
    .order_by(edges.c.child)
)


def _walk(begin: str, end: str) -> CTE:
    """Everything reached from a kernel along `edges`, each once."""
    found = (
        select(edges.c[end].label("number"))
        .where(edges.c[begin] == bindparam("number"))
        .cte("found", recursive=True)
    )
    return found.union(select(edges.c[end]).join(found, edges.c[begin] == found.c.number))


_up = _walk("child", "parent")
_down = _walk("parent", "child")
ANCESTORS = select(_up.c.number).order_by(_up.c.number)
DESCENDANTS = select(_down.c.number).order_by(_down.c.number)
