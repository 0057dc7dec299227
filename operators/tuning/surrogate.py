"""A Gaussian process over a space of launch parameters: what a point may bring, and how sure.

Points are few (hundreds), choices are ordered, measurements carry their own error: the case that
Gaussian processes are made for (Rasmussen and Williams 2006, chapters 2 and 5). Coordinates are
ranks of choices over 0..1, so that a doubling of a tile is a step as any other; a category is equal
or not. The kernel is Matern 5/2 with one length for each parameter, the mean is a constant, the
scale is integrated out under an inverse gamma prior, and lengths and noise are those of the largest
posterior density, found by a fixed number of gradient steps (Rprop: Riedmiller and Braun 1993), so
that the same observations give the same model.

A rough model allows in addition that a choice is unlike both its neighbours, as a number of
programs that divides the work badly is: each ordered parameter has a second length, for whether two
choices are equal at all. It is long until observations say otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operators.tuning.space import Point, Space

_STEPS = 40
_ROOT5 = math.sqrt(5.0)
# Before anything is measured: speedups of one skeleton scatter by so much, in logarithms, and this
# opinion weighs as so many observations.
_SCALE, _WEIGHT = 0.2, 2.0
# What a parameter's length in ranks over 0..1 is expected to be, and the standard deviation of its
# logarithm.
_LENGTH, _LENGTH_SPREAD = 0.7, 1.0
# Of the logs of a rough model's second lengths, and of the noise's share of the variance: (mean,
# standard deviation).
_ROUGH_PRIOR = (math.log(3.0), 1.0)
_NOISE_PRIOR = (math.log(0.01), 1.5)
_RANGE = (-8.0, 3.0)
_JITTER = 1e-6
# Errors differ between observations by so much, in variances over their median.
_NOISES = (0.1, 10.0)


@dataclass(frozen=True, slots=True)
class _Observed:
    """What a model rests on: coordinates, log speedups, variances of their errors (median 1).

    `length` is what each parameter's length is expected to be.
    """

    x: Any
    y: Any
    noise: Any
    squares: Any
    length: float = _LENGTH
    rough: bool = False


class Surrogate:
    """A model of log speedups over a space; `fitted` makes one."""

    def __init__(self, space: Space, observed: _Observed, theta: Any) -> None:
        """Solve for given logarithms of lengths and, last, of the noise's share."""
        self._space = space
        self._observed = observed
        self._theta = theta
        covariance = _matern(_scaled(observed.squares, theta[:-1])) + _noise(observed, theta)
        self._mean, self._alpha, self._inverse, total = _solved(covariance, observed.y)
        self._scale2 = total / (len(observed.y) + _WEIGHT)

    def predict(self, points: Sequence[Point]) -> tuple[Any, Any]:
        """Means and standard deviations of log speedups at points, as arrays; noise left out."""
        import numpy as np

        before, x = self._observed, _coordinates(self._space, points)
        squares = _squares(self._space, x, before.x, rough=before.rough)
        cross = _matern(_scaled(squares, self._theta[:-1]))
        share = 1.0 - ((cross @ self._inverse) * cross).sum(1)
        return self._mean + cross @ self._alpha, np.sqrt(self._scale2 * np.maximum(share, 1e-9))

    def believing(self, points: Sequence[Point]) -> Surrogate:
        """This model had it observed what it expects at `points`, which are being measured.

        Its means stay and its doubts about these points and their neighbours go (the kriging
        believer: Ginsbourger, Le Riche and Carraro 2010).
        """
        import numpy as np

        if not points:
            return self
        before, x = self._observed, _coordinates(self._space, points)
        x = np.vstack([before.x, x])
        observed = _Observed(
            x=x,
            y=np.concatenate([before.y, self.predict(points)[0]]),
            noise=np.concatenate([before.noise, np.ones(len(points))]),
            squares=_squares(self._space, x, x, rough=before.rough),
            length=before.length,
            rough=before.rough,
        )
        return Surrogate(self._space, observed, self._theta)


def fitted(
    space: Space,
    points: Sequence[Point],
    values: Sequence[float],
    errors: Sequence[float],
    *,
    length: float = _LENGTH,
    steps: int = _STEPS,
    rough: bool = False,
) -> Surrogate:
    """Fit a model.

    Args:
        space: The points there are.
        points: Those observed, at least one.
        values: Log speedups.
        errors: Their standard errors, as far as they are known: only ratios count.
        length: What each parameter's length is expected to be, its choices spanning 0..1.
        steps: Along the gradient; fewer are quicker and less exact.
        rough: Whether a choice may be unlike both its neighbours.
    """
    import numpy as np

    x = _coordinates(space, points)
    variance = np.asarray(errors, dtype=float) ** 2 + 1e-12
    observed = _Observed(
        x=x,
        y=np.asarray(values, dtype=float),
        noise=np.clip(variance / np.median(variance), *_NOISES),
        squares=_squares(space, x, x, rough=rough),
        length=length,
        rough=rough,
    )
    theta = np.array([mean for mean, _ in _priors(observed)])
    if len(points) > 1:
        theta = _climbed(observed, theta, steps)
    return Surrogate(space, observed, theta)


def _priors(observed: _Observed) -> list[tuple[float, float]]:
    smooth = observed.x.shape[1]
    more = len(observed.squares) - smooth
    lengths = [(math.log(observed.length), _LENGTH_SPREAD)] * smooth
    return [*lengths, *[_ROUGH_PRIOR] * more, _NOISE_PRIOR]


def _climbed(observed: _Observed, theta: Any, steps: int) -> Any:
    """The densest of the places that a fixed number of steps along the gradient come by."""
    import numpy as np

    step, before = np.full(len(theta), 0.2), np.zeros(len(theta))
    best, best_at = -math.inf, theta
    for _ in range(steps):
        density, gradient = _density(observed, theta)
        if density > best:
            best, best_at = density, theta
        same = np.sign(gradient) * np.sign(before)
        step = np.clip(np.where(same > 0, 1.2, np.where(same < 0, 0.5, 1.0)) * step, 1e-3, 0.5)
        theta = np.clip(theta + np.sign(gradient) * step, *_RANGE)
        before = gradient
    return best_at


def _density(observed: _Observed, theta: Any) -> tuple[float, Any]:
    """Log posterior density, up to a constant, and its gradient."""
    import numpy as np

    distance2 = _scaled(observed.squares, theta[:-1])
    covariance = _matern(distance2) + _noise(observed, theta)
    _, alpha, inverse, total = _solved(covariance, observed.y)
    degrees = len(observed.y) + _WEIGHT
    outer = degrees / total * np.outer(alpha, alpha) - inverse
    # d k / d log(length): through the squared distance, of which one parameter has its share.
    root = np.sqrt(distance2)
    slope = (5.0 / 3.0) * (1.0 + _ROOT5 * root) * np.exp(-_ROOT5 * root) * outer
    gradient = np.empty(len(theta))
    flat = observed.squares.reshape(len(theta) - 1, -1)
    gradient[:-1] = 0.5 * (flat @ slope.ravel())
    gradient[:-1] *= np.exp(-2.0 * theta[:-1])
    gradient[-1] = 0.5 * math.exp(theta[-1]) * float(np.diag(outer) @ observed.noise)
    priors = np.array(_priors(observed))
    off = (theta - priors[:, 0]) / priors[:, 1]
    logdet = float(np.linalg.slogdet(covariance)[1])
    density = -0.5 * (logdet + degrees * math.log(total) + float(off @ off))
    return density, gradient - off / priors[:, 1]


def _solved(covariance: Any, y: Any) -> tuple[float, Any, Any, float]:
    """The constant mean, weights, the inverse covariance (over the scale), the sum of squares."""
    import numpy as np

    inverse = np.linalg.inv(covariance)
    mean = float(inverse.sum(0) @ y / inverse.sum())
    alpha = inverse @ (y - mean)
    return mean, alpha, inverse, float((y - mean) @ alpha) + _WEIGHT * _SCALE**2


def _noise(observed: _Observed, theta: Any) -> Any:
    import numpy as np

    return np.diag(math.exp(theta[-1]) * observed.noise + _JITTER)


def expected_improvement(mean: Any, deviation: Any, best: float) -> Any:
    """How much above `best` points are expected to be, what lies below counting nothing.

    Jones, Schonlau and Welch 1998; arrays in, an array out.
    """
    import numpy as np

    z = (mean - best) / deviation
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in z])
    return np.maximum(deviation * (z * below + density), 0.0)


def _coordinates(space: Space, points: Sequence[Point]) -> Any:
    import numpy as np

    most = np.array([max(len(choices) - 1, 1) for choices in space.choices.values()])
    ranks = np.array([space.ranks(point) for point in points], dtype=float)
    return np.where(space.ordered, ranks / most, ranks)


def _squares(space: Space, a: Any, b: Any, *, rough: bool = False) -> Any:
    """Squared differences, one matrix for each parameter; where rough, inequality as well."""
    import numpy as np

    off = a.T[:, :, None] - b.T[:, None, :]
    ordered, unequal = np.array(space.ordered), (off != 0).astype(float)
    squares = np.where(ordered[:, None, None], off * off, unequal)
    if not rough:
        return squares
    # Of two choices nobody can say whether they are unlike or far from each other.
    more = [len(choices) > 2 for choices in space.choices.values()]
    return np.concatenate([squares, unequal[ordered & np.array(more)]])


def _scaled(squares: Any, log_lengths: Any) -> Any:
    import numpy as np

    # As a product of matrices, which is several times quicker than a sum over three indices.
    flat = np.exp(-2.0 * log_lengths) @ squares.reshape(len(squares), -1)
    return flat.reshape(squares.shape[1:])


def _matern(distance2: Any) -> Any:
    import numpy as np

    root = np.sqrt(distance2)
    return (1.0 + _ROOT5 * root + (5.0 / 3.0) * distance2) * np.exp(-_ROOT5 * root)
