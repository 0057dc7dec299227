"""Launch parameters of survivors: which point of which kernel is tried next.

tune.py         the operator: proposes the next point of a skeleton
space.py        the points that a skeleton's marked parameters span
room.py         those that may be proposed: not measured yet, and not refused by a constraint
bounds.py       what failures say of points that need no less
shared.py       an estimate of shared memory from what siblings were given
tpe.py          Optuna's tree-structured Parzen estimator
surrogate.py    a Gaussian process over a space
expected.py     the point with the largest expected improvement under it
elites.py       one of the best points with another choice of one parameter
neighbours.py   the neighbour of one of the best that a model knows least about
inheritance.py  a child begins at its parent's best point
early.py        when a trial need not be timed to the end
record.py       a judged kernel as a trial
"""

from operators.tuning.early import hopeless
from operators.tuning.inheritance import inherit
from operators.tuning.record import trial_of
from operators.tuning.tune import Tune

__all__ = ["Tune", "hopeless", "inherit", "trial_of"]
