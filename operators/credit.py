"""Which operator next: the ones whose children brought something are asked more often.

Probability matching with a floor (Goldberg 1990; Thierens 2005, "An Adaptive Pursuit Strategy for
Allocating Operator Probabilities"): an operator's worth is the mean of its rewards, recent ones
counting more, and its chance is the floor plus a share in proportion to the square of its worth.
The square makes up for how little a run of a few hundred children can tell about an operator that
improves one child in ten; with plain proportions the choice stays close to even. UCB1 (Auer,
Cesa-Bianchi and Fischer 2002) was left aside: it assumes rewards that do not change over time, and
in a search every operator dries up.

Rewards are per cost: the worth is divided by what a child has cost on average, in evaluations. One
that no model was asked for costs 1; what models cost on top is money, turned into evaluations by
what the experiment takes one to be worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Mapping, Sequence

    from populations.kernel import Kernel

# Reward for a child that passed without being faster: an operator that keeps kernels alive is worth
# more than one that breaks them, and far less than one that now and then improves them.
_VALID = 0.01
# The gain in log speedup that earns the whole reward: a child a quarter faster than its parent.
_FULL_GAIN = math.log(1.25)
# Worth of an operator with an average prior before anything is known, and how many children that
# opinion weighs against. Optimistic: a fifth of a full gain in every fourth child.
_PRIOR_WORTH = 0.05
_PRIOR_CHILDREN = 2.0
# How much an inapplicable answer weighs against an evaluated child: it costs next to nothing.
_MISS_WEIGHT = 0.1


@dataclass(slots=True)
class _Account:
    """One operator's rewards and costs, both fading as later ones come in."""

    prior: float
    rewards: float = 0.0
    costs: float = 0.0

    @property
    def worth(self) -> float:
        total = _PRIOR_CHILDREN * self.prior + self.rewards
        # Before anything is known a child is taken to cost an evaluation.
        return total / (_PRIOR_CHILDREN + self.costs)


class Credit:
    """Chooses operators by what their children brought.

    Deterministic: the same records in the same order and the same generator state give the same
    choice. Probabilities never fall below `floor` (lowered to half an even share where there are
    too many operators for it), so that an operator whose time comes late is still tried.
    """

    def __init__(
        self, *, priors: Mapping[str, float], floor: float = 0.03, memory: float = 20.0
    ) -> None:
        """Start from prior weights.

        Args:
            priors: Weight of each operator before anything is known, by name; only ratios count.
            floor: Least probability of an operator among those that may be chosen.
            memory: Number of children after which a reward counts about a third (1/e).
        """
        if not priors or any(weight <= 0 for weight in priors.values()):
            raise ValueError(f"every operator needs a prior above 0, but got {priors=}")
        if not 0 <= floor < 1 or memory < 1:
            raise ValueError(f"need 0 <= floor < 1 and memory >= 1, but got {floor=} {memory=}")
        mean = sum(priors.values()) / len(priors)
        # Chances go with the square of worth, and are to begin in proportion to the priors.
        self._accounts = {
            name: _Account(prior=_PRIOR_WORTH * math.sqrt(weight / mean))
            for name, weight in priors.items()
        }
        self._floor = floor
        self._memory = memory

    def probabilities(self, among: Collection[str] | None = None) -> dict[str, float]:
        """Each operator's chance now, in the order of the priors; they add up to 1.

        `among` restricts the choice to some operators. Raises ValueError when none is left.
        """
        worth = {
            name: account.worth**2
            for name, account in self._accounts.items()
            if among is None or name in among
        }
        if not worth:
            raise ValueError(f"no known operator to choose from, but got {among=}")
        floor = min(self._floor, 0.5 / len(worth))
        total = sum(worth.values())
        free = 1 - floor * len(worth)
        return {name: floor + free * value / total for name, value in worth.items()}

    def choose(self, rng: random.Random, among: Collection[str] | None = None) -> str:
        """Draw one operator's name. Raises ValueError when none is left."""
        chances = self.probabilities(among)
        return rng.choices(list(chances), weights=list(chances.values()))[0]

    def record(self, child: Kernel, parents: Sequence[Kernel], *, asking: float = 0.0) -> None:
        """Credit the operator that made `child`, once the child is judged.

        Operators without a prior (seeds, say) are passed over.

        Args:
            child: The judged kernel.
            parents: Its parents.
            asking: What models cost for it, in evaluations.
        """
        self._learn(child.candidate.operator, reward(child, parents), weight=1.0, cost=1.0 + asking)

    def miss(self, operator: str, *, asking: float = 0.0) -> None:
        """Note that nothing came of `operator`: a small debit, since nothing was evaluated.

        Args:
            operator: Its name.
            asking: What models cost all the same, in evaluations.
        """
        self._learn(operator, 0.0, weight=_MISS_WEIGHT, cost=_MISS_WEIGHT + asking)

    def _learn(self, operator: str, value: float, *, weight: float, cost: float) -> None:
        if account := self._accounts.get(operator):
            fade = math.exp(-weight / self._memory)
            account.rewards = account.rewards * fade + weight * value
            account.costs = account.costs * fade + cost


def reward(child: Kernel, parents: Sequence[Kernel]) -> float:
    """What a judged child is worth to its operator, 0..1.

    0 for a child that failed; a little for one that passed; up to 1 for the gain in log speedup
    over its best parent, counted from the lower end of the child's interval so that noise earns
    nothing. A child that passed where every parent failed earns the whole reward.
    """
    speedup = child.evaluation.speedup
    if speedup is None:
        return 0.0
    before = [s.log for parent in parents if (s := parent.evaluation.speedup)]
    gain = math.log(speedup.low) - max(before) if before else _FULL_GAIN
    return _VALID + (1 - _VALID) * min(1.0, max(0.0, gain / _FULL_GAIN))
