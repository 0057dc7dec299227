"""Monte Carlo tree search over the lineage: a node is a kernel, an expansion is a proposal.

UCT (Kocsis and Szepesvari 2006) with progressive widening (Coulom 2007; Chaslot et al. 2008): a
kernel has no end of possible children, so it may have about the square root of its visits; until
then it is expanded, and afterwards the search descends. A reward is the logarithm of a kernel's
least speedup, scaled to 0..1 between the slowest and the fastest so far; a failure is 0. Proposals
under way count as visits without a reward (virtual loss; Chaslot, Winands and van den Herik 2008),
which spreads those that are made at once. There is no rollout: the measurement is the reward.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from populations.archive import Population
from populations.kernel import Kernel
from populations.policies.policy import Change
from populations.selection import sample

# Chance that any node is expanded whatever its worth: one of which nothing new can be made would
# hold up the search for ever.
_ANYWHERE = 0.1


@dataclass(slots=True)
class _Node:
    """A kernel in the tree.

    Attributes:
        parent: Its first parent's node; None for the root, which is no kernel.
        kernel: None for the root.
        children: Kernels that passed.
        visits: Judged kernels in its subtree, itself included.
        waiting: Proposals under way in its subtree.
        expansions: Proposals under way of this very kernel.
        total: Sum of the logarithms of speedups in its subtree.
        passed: How many they are.
        best: The greatest of them.
    """

    parent: _Node | None
    kernel: Kernel | None = None
    children: list[_Node] = field(default_factory=list)
    visits: int = 0
    waiting: int = 0
    expansions: int = 0
    total: float = 0.0
    passed: int = 0
    best: float = -math.inf

    def up(self) -> Iterator[_Node]:
        """This node and those above it."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent


class TreeSearch:
    """A tree along first parents; no kernel that passed ever leaves it.

    Args:
        exploration: Weight of a node's being unexplored against its worth; 0: only worth counts.
        greed: What a node is worth: 0: the mean reward in its subtree, 1: the greatest.
        shown: How many of the best kernels are members.
    """

    def __init__(self, *, exploration: float = 0.2, greed: float = 0.5, shown: int = 24) -> None:
        if exploration < 0 or not 0 <= greed <= 1:
            raise ValueError(
                f"need exploration >= 0 and greed within 0..1, but got {exploration=} {greed=}"
            )
        self._exploration = exploration
        self._greed = greed
        self._best = Population(capacity=shown)
        self._root = _Node(None)
        self._nodes: dict[int, _Node] = {}
        self._passed: list[int] = []
        self._waiting: dict[int, _Node] = {}
        self._least, self._greatest = math.inf, -math.inf

    @property
    def members(self) -> tuple[Kernel, ...]:
        """The best kernels of the tree, best first."""
        return self._best.members

    def parents(self, count: int, rng: random.Random) -> list[Kernel]:
        """Descend to the first; the others are drawn among the members."""
        if not self._passed:
            return sample(self._best.members, count, rng)
        anywhere = rng.random() < _ANYWHERE
        first = self._nodes[rng.choice(self._passed)] if anywhere else self._descend()
        assert first.kernel is not None  # noqa: S101 - only the root has none
        others = [k for k in self._best.members if k.number != first.kernel.number]
        return [first.kernel, *sample(others or [first.kernel], count - 1, rng)][:count]

    def proposed(self, number: int, parents: Sequence[int]) -> None:
        """Count a visit on the way to the first parent, without a reward as yet."""
        node = self._nodes[parents[0]] if parents else self._root
        node.expansions += 1
        for above in node.up():
            above.waiting += 1
        self._waiting[number] = node

    def dropped(self, number: int) -> None:
        """The visit never was."""
        node = self._waiting.pop(number, None)
        if node is not None:
            node.expansions -= 1
            for above in node.up():
                above.waiting -= 1

    def insert(self, kernel: Kernel) -> Sequence[Change]:
        """Add a node, and its reward to all those above."""
        self.dropped(kernel.number)
        self._best.insert(kernel)
        parents = kernel.candidate.parents
        parent = self._nodes[parents[0]] if parents else self._root
        while parent.kernel is not None and not parent.kernel.passed:
            # A failure that was mended: another attempt at a child of the one above.
            parent = parent.parent or self._root
        node = self._nodes[kernel.number] = _Node(parent, kernel)
        if kernel.passed:
            self._passed.append(kernel.number)
            parent.children.append(node)
        for above in node.up():
            above.visits += 1
        self._reward(node)
        return ()

    def remeasured(self, kernel: Kernel) -> None:
        """Put the new estimate in the old one's place, and sum up again."""
        self._best.remeasured(kernel)
        self._nodes[kernel.number].kernel = kernel
        if not kernel.passed:
            self._remove(self._nodes[kernel.number])
        for node in (self._root, *self._nodes.values()):
            node.total, node.passed, node.best = 0.0, 0, -math.inf
        self._least, self._greatest = math.inf, -math.inf
        for node in self._nodes.values():
            self._reward(node)

    def _remove(self, node: _Node) -> None:
        """Nobody descends to a kernel that fails now; its children stay, with the one above."""
        assert node.kernel is not None  # noqa: S101 - only the root has none
        if node.kernel.number not in self._passed:
            return
        self._passed.remove(node.kernel.number)
        above = node.parent or self._root
        above.children.remove(node)
        for child in node.children:
            child.parent = above
            above.children.append(child)
        node.children = []

    def _reward(self, node: _Node) -> None:
        assert node.kernel is not None  # noqa: S101 - only the root has none
        if not node.kernel.passed:
            return
        log = node.kernel.fitness[1]
        self._least, self._greatest = min(self._least, log), max(self._greatest, log)
        for above in node.up():
            above.total += log
            above.passed += 1
            above.best = max(above.best, log)

    def _descend(self) -> _Node:
        """The node to expand: the first on the way down that may have one more child."""
        node = self._root
        while node.children:
            visits = max(1, node.visits + node.waiting)
            if node is not self._root and len(node.children) + node.expansions < visits**0.5:
                break
            node = max(node.children, key=lambda child: self._uct(child, visits))
        return node

    def _uct(self, node: _Node, above: int) -> float:
        visits = node.visits + node.waiting
        scale = (self._greatest - self._least) or 1.0
        mean = (node.total - node.passed * self._least) / scale / visits
        best = (node.best - self._least) / scale
        worth = self._greed * best + (1 - self._greed) * mean
        return worth + self._exploration * math.sqrt(math.log(above) / visits)
