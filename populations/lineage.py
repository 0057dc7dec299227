"""Who descends from whom: every judged kernel of a run, failures included, as a directed graph.

Children and ancestors are found without networkx, so that a long run answers at once. The graph, a
`networkx.DiGraph` from parent to child, is made and brought up to date when a question needs it.
"""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from populations.parameters import skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import networkx as nx

    from populations.kernel import Kernel

# Characters that XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Lineage:
    """Every judged kernel with its parents. Grows only; kernels are added in proposal order."""

    def __init__(self) -> None:
        self._kernels: dict[int, Kernel] = {}
        self._digests: dict[str, int] = {}
        self._children: dict[int, list[int]] = {}
        self._skeletons: dict[str, list[int]] = {}
        self._without_skeleton: list[int] = []
        self._graph: nx.DiGraph | None = None
        self._outside_graph: list[int] = []

    def __len__(self) -> int:
        return len(self._kernels)

    def add(self, kernel: Kernel) -> None:
        """Add one judged kernel.

        Raises ValueError when its number is taken or one of its parents is not here.
        """
        number = kernel.number
        if number in self._kernels:
            raise ValueError(f"kernel {number} is in the lineage already")
        missing = [p for p in kernel.candidate.parents if p not in self._kernels]
        if missing:
            raise ValueError(f"kernel {number} has parents that are not in the lineage: {missing}")
        self._kernels[number] = kernel
        self._digests.setdefault(kernel.candidate.digest, number)
        for parent in dict.fromkeys(kernel.candidate.parents):
            self._children.setdefault(parent, []).append(number)
        self._without_skeleton.append(number)
        self._outside_graph.append(number)

    def remeasured(self, kernel: Kernel) -> None:
        """Put a better estimate of a kernel in the old one's place. Raises KeyError if unknown."""
        if self.get(kernel.number).candidate != kernel.candidate:
            raise ValueError(f"kernel {kernel.number} is another one in the lineage")
        self._kernels[kernel.number] = kernel

    @property
    def kernels(self) -> Mapping[int, Kernel]:
        """All kernels by number, in the order they were added. A live view, read only."""
        return MappingProxyType(self._kernels)

    def get(self, number: int) -> Kernel:
        """The kernel with this number. Raises KeyError when there is none."""
        return self._kernels[number]

    def by_digest(self, digest: str) -> Kernel | None:
        """The first kernel whose candidate has this digest, or None."""
        number = self._digests.get(digest)
        return None if number is None else self._kernels[number]

    def same_skeleton(self, digest: str) -> list[Kernel]:
        """Kernels that differ only in launch parameters, in the order added.

        `digest` is what `populations.parameters.skeleton` gives for their sources.
        """
        for number in self._without_skeleton:
            self._skeletons.setdefault(skeleton(self._kernels[number].source), []).append(number)
        self._without_skeleton.clear()
        return [self._kernels[number] for number in self._skeletons.get(digest, ())]

    def skeletons(self) -> Mapping[str, Sequence[int]]:
        """Numbers of the kernels of each skeleton, in the order added. Read only."""
        self.same_skeleton("")
        return MappingProxyType(self._skeletons)

    def children(self, number: int) -> list[int]:
        """Numbers of the kernels made from this one, ascending. Raises KeyError if unknown."""
        self.get(number)
        return sorted(self._children.get(number, ()))

    def ancestors(self, number: int) -> list[int]:
        """Numbers of every kernel this one descends from, ascending. Raises KeyError if unknown."""
        found: set[int] = set()
        open_ends = [*self.get(number).candidate.parents]
        while open_ends:
            parent = open_ends.pop()
            if parent not in found:
                found.add(parent)
                open_ends += self._kernels[parent].candidate.parents
        return sorted(found)

    def descendants(self, number: int) -> list[int]:
        """Numbers of every kernel that descends from this one, ascending. KeyError if unknown."""
        import networkx as nx

        self.get(number)
        return sorted(nx.descendants(self._up_to_date(), number))

    def path(self, number: int) -> list[int]:
        """Numbers from the seed to this kernel along first parents. Raises KeyError if unknown."""
        found = [number]
        while parents := self.get(found[-1]).candidate.parents:
            found.append(parents[0])
        return found[::-1]

    def common_ancestor(self, a: int, b: int) -> int | None:
        """The first of `common_ancestors`; None when they have none in common."""
        return next(iter(self.common_ancestors(a, b)), None)

    def common_ancestors(self, a: int, b: int) -> list[int]:
        """The nearest kernels that both descend from, the nearest one first.

        A kernel counts as its own ancestor here: the answer is `a` when `b` descends from it. Only
        an ancestor without a descendant that is also common to both is considered (what version
        control calls a best common ancestor); of several, the one with the fewest steps to `a` and
        `b` together comes first, then the latest. Raises KeyError if either is unknown.
        """
        import networkx as nx

        common = {a, *self.ancestors(a)} & {b, *self.ancestors(b)}
        graph = self._up_to_date()
        nearest = [c for c in common if common.isdisjoint(graph.successors(c))]

        def distance(c: int) -> tuple[int, int]:
            steps = nx.shortest_path_length(graph, c, a) + nx.shortest_path_length(graph, c, b)
            return steps, -c

        return sorted(nearest, key=distance)

    def graph(self) -> nx.DiGraph:
        """A copy of the graph with everything worth drawing, for export and analysis.

        Nodes are kernel numbers with language, operator, outcome, note, digest, skeleton, the
        checks and, for a kernel that passed, its speedup and interval (ratios); absent values are
        absent attributes. Edges run from parent to child with the operator and the parent's place
        (0 is the first parent).
        """
        graph = self._up_to_date().copy()
        for number, kernel in self._kernels.items():
            graph.add_node(number, **_attributes(kernel))
        return graph

    def write_graphml(self, path: Path) -> None:
        """Write `graph()` as GraphML; `networkx.read_graphml(path, node_type=int)` reads it back.

        Characters that XML cannot hold become the replacement character.
        """
        import networkx as nx

        graph = self.graph()
        for _, attributes in graph.nodes(data=True):
            for key, value in attributes.items():
                if isinstance(value, str):
                    attributes[key] = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)
        nx.write_graphml(graph, path, encoding="utf-8", prettyprint=True)

    def write_json(self, path: Path) -> None:
        """Write `graph()` as node-link JSON; `networkx.node_link_graph(..., edges="edges")`."""
        import networkx as nx

        data = nx.node_link_data(self.graph(), edges="edges")
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def _up_to_date(self) -> nx.DiGraph:
        if self._graph is None:
            import networkx as nx

            self._graph = nx.DiGraph()
        for number in self._outside_graph:
            candidate = self._kernels[number].candidate
            self._graph.add_node(number)
            for place, parent in reversed(list(enumerate(candidate.parents))):
                self._graph.add_edge(parent, number, operator=candidate.operator, place=place)
        self._outside_graph.clear()
        return self._graph


def _attributes(kernel: Kernel) -> dict[str, Any]:
    candidate, evaluation = kernel.candidate, kernel.evaluation
    attributes: dict[str, Any] = {
        "language": candidate.language,
        "operator": candidate.operator,
        "outcome": evaluation.outcome.value,
        "note": candidate.note,
        "digest": candidate.digest,
        "skeleton": skeleton(candidate.source),
        "checks_passed": evaluation.checks_passed,
        "checks_total": evaluation.checks_total,
    }
    if evaluation.speedup is not None:
        attributes["speedup"] = evaluation.speedup.value
        attributes["speedup_low"] = evaluation.speedup.low
        attributes["speedup_high"] = evaluation.speedup.high
    return attributes
