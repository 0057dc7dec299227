import math
import random

import numpy as np
import pytest

from operators.tuning.space import Space
from operators.tuning.surrogate import _density, _Observed, _squares, expected_improvement, fitted

SPACE = Space({"A": tuple(2**n for n in range(8)), "B": (1, 2, 3, 4, 5), "C": ("x", "y", "z")})


def truth(point):
    a, b, c = point
    return -0.1 * abs(math.log2(a) - 5) ** 1.5 + 0.3 * (b == 4) + {"x": 0, "y": 0.2, "z": -0.3}[c]


def observed(count, noise=0.0, seed=0):
    rng = random.Random(seed)
    points = rng.sample(list(SPACE.points()), count)
    return points, [truth(p) + rng.gauss(0, noise) for p in points]


def test_it_learns_a_function_and_knows_where_it_does_not():
    points, values = observed(60, 0.01)
    model = fitted(SPACE, points, values, [0.01] * 60)
    others = [p for p in SPACE.points() if p not in points]
    mean, deviation = model.predict(others)
    off = mean - np.array([truth(p) for p in others])
    assert np.sqrt(np.mean(off**2)) < 0.06
    assert np.mean(np.abs(off) < 2 * deviation) > 0.85
    at_mean, at_deviation = model.predict(points)
    assert np.abs(at_mean - values).max() < 0.05
    assert at_deviation.mean() < deviation.mean()


def test_the_gradient_is_the_density_s():
    points, values = observed(12, 0.05)
    rng = np.random.default_rng(3)
    x = np.array([SPACE.ranks(p) for p in points], dtype=float)
    seen = _Observed(x, np.array(values), rng.uniform(0.5, 2, 12), _squares(SPACE, x, x))
    theta = np.array([-0.3, 0.2, 0.5, -2.0])
    _, gradient = _density(seen, theta)
    for at in range(4):
        step = np.zeros(4)
        step[at] = 1e-5
        slope = (_density(seen, theta + step)[0] - _density(seen, theta - step)[0]) / 2e-5
        assert gradient[at] == pytest.approx(slope, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("size", [3, 4])
def test_the_gradient_of_a_rough_model_is_the_density_s(size):
    space = Space({"A": tuple(range(size)), "B": (1, 2), "C": ("x", "y", "z")})
    points = list(space.points())[::2]
    x = np.array([space.ranks(p) for p in points], dtype=float)
    y = np.sin(np.arange(len(points)))
    seen = _Observed(x, y, np.ones(len(y)), _squares(space, x, x, rough=True), rough=True)
    # A length for each parameter, a second one for the only ordered one of more than two choices.
    assert len(seen.squares) == 4
    theta = np.array([-0.3, 0.2, 0.5, 0.7, -2.0])
    _, gradient = _density(seen, theta)
    for at in range(5):
        step = np.zeros(5)
        step[at] = 1e-5
        slope = (_density(seen, theta + step)[0] - _density(seen, theta - step)[0]) / 2e-5
        assert gradient[at] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_a_rough_model_sees_a_choice_that_is_unlike_its_neighbours():
    space = Space({"A": (1, 2, 3, 4, 5, 6, 7), "B": (1, 2, 3, 4)})
    zigzag = {1: 0.0, 2: 0.3, 3: 0.0, 4: 0.3, 5: 0.0, 6: 0.3, 7: 0.0}
    points = [p for p in space.points() if p not in {(4, 2), (2, 3), (5, 3)}]
    errors = [0.01] * len(points)
    off = {
        rough: abs(
            fitted(
                space, points, [zigzag[a] + 0.02 * b for a, b in points], errors, rough=rough
            ).predict([(4, 2)])[0][0]
            - 0.34
        )
        for rough in (False, True)
    }
    assert off[True] < 0.05
    assert off[True] <= off[False] + 0.01
    model = fitted(space, points, [zigzag[a] for a, b in points], errors, rough=True)
    assert model.believing([(4, 2)]).predict([(4, 2)])[0][0] == pytest.approx(
        model.predict([(4, 2)])[0][0], abs=0.02
    )


def test_believing_keeps_means_and_takes_doubts():
    points, values = observed(20)
    model = fitted(SPACE, points, values, [0.01] * 20)
    new = next(p for p in SPACE.points() if p not in points)
    surer = model.believing([new])
    (before,), (doubt,) = model.predict([new])
    (after,), (left,) = surer.predict([new])
    assert after == pytest.approx(before, abs=0.02)
    assert left < 0.5 * doubt
    assert model.believing([]) is model


def test_one_observation_is_enough_and_says_little():
    model = fitted(SPACE, [(1, 1, "x")], [0.3], [0.0])
    mean, deviation = model.predict([(1, 1, "x"), (128, 5, "z")])
    assert mean == pytest.approx([0.3, 0.3], abs=0.01)
    assert deviation[0] < 0.05 < deviation[1]


def test_expected_improvement():
    gains = expected_improvement(np.array([0.0, 1.0, -9.0]), np.array([1.0, 1e-9, 1.0]), 0.0)
    assert gains == pytest.approx([1 / math.sqrt(2 * math.pi), 1.0, 0.0], abs=1e-6)
    assert (gains >= 0).all()


def test_equal_observations_and_no_error_at_all():
    points, _ = observed(6)
    mean, deviation = fitted(SPACE, points, [0.1] * 6, [0.0] * 6).predict(list(SPACE.points()))
    assert mean == pytest.approx(0.1, abs=1e-6)
    assert np.isfinite(deviation).all()
