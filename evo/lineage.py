"""`evo lineage RUN`: how the champion came to be, and what brought it.

Prints the path from the seed to the champion with the gain of each step; `--analysis` adds what
operators, models, knowledge and islands contributed, when each new best came, how varied the search
was and where it led nowhere. The graph itself is written as GraphML, JSON or DOT. The run may still
be going.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from populations.errors import StoreError

if TYPE_CHECKING:
    from populations.analysis.history import History


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `evo lineage`; returns its exit status."""
    from evo.signals import guarded

    options = _parser().parse_args(arguments)
    return guarded(lambda: lineage(options))


def lineage(options: argparse.Namespace) -> int:
    """Print and write what the command line asks for; returns the exit status.

    Raises:
        StoreError: There is no such run or kernel, or a file cannot be written.
    """
    from evo import ancestry
    from populations.analysis.history import read_history
    from populations.store import Store

    with Store.open(options.run, read_only=True) as store:
        history = read_history(store)
        head = ancestry.headline(
            history,
            name=store.meta("name") or str(options.run),
            reason=store.meta("reason") or "still running, or ended without a word",
            closing=(store.meta("final") or {}).get("speedup"),
        )
    target = history.champion if options.kernel is None else options.kernel
    for number in (*options.common, *([] if target is None else [target])):
        if number not in history.kernels:
            raise StoreError(f"{options.run}: no kernel #{number} has been judged")
    parts = [head]
    if options.common:
        parts.append(ancestry.common(history.lineage, *options.common))
    else:
        parts.append(ancestry.path(history.lineage, target))
    if options.analysis:
        parts += ancestry.analysis(history)
    print("\n\n".join(part for part in parts if part))
    _write(history, options, target)
    return 0


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="evo lineage", description=first, epilog=rest)
    parser.add_argument("run", type=Path, help="a run directory, as runs/conv1d")
    parser.add_argument("--analysis", action="store_true", help="what brought it, and what did not")
    parser.add_argument(
        "--kernel", type=int, metavar="N", help="the path to kernel N (default: the champion)"
    )
    parser.add_argument(
        "--common",
        type=int,
        nargs=2,
        default=(),
        metavar=("A", "B"),
        help="the nearest common ancestors of two kernels",
    )
    parser.add_argument("--graphml", type=Path, metavar="FILE", help="write the graph as GraphML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it as node-link JSON")
    parser.add_argument("--dot", type=Path, metavar="FILE", help="write a drawing for Graphviz")
    return parser


def _write(history: History, options: argparse.Namespace, target: int | None) -> None:
    from populations.dot import dot

    found = history.lineage
    try:
        if options.graphml:
            found.write_graphml(options.graphml)
        if options.json:
            found.write_json(options.json)
        if options.dot:
            path = () if target is None else found.path(target)
            options.dot.write_text(dot(found, path=path), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be written: {error.strerror}") from error
