"""Subjects whose true speed is known, on a clock that the test moves."""

import math
import random
from pathlib import Path

from fitness import timing
from fitness.clocks import Bare
from fitness.spec import EvaluationSpec


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


class Fake:
    """Takes `true_ms` per call and reports `reported_ms`; waits as the test says."""

    def __init__(self, name, clock, true_ms, *, reported_ms=None, waits=lambda: 0.0, jitter=None):
        self.name = name
        self.clock = clock
        self.true_ms = true_ms
        self.reported_ms = reported_ms or true_ms
        self.waits = waits
        self.jitter = jitter or (lambda: 1.0)
        self.waited = 0.0
        self.set_aside_ms = 0.0
        self.bare_ms = None
        self.bared = []
        self.looked = 0
        # It runs whenever it is asked, unless the test says how long.
        self.ran_s = clock
        self.calls = 0
        self.batches = []
        self.at = -1
        self.places = []

    def move(self, processor):
        self.at = processor

    def batch(self, calls, settle_ms, *, look=False):
        self.looked += look
        if calls:
            self.places.append(self.at)
        factor = self.jitter()
        settling = max(1, math.ceil(settle_ms / self.true_ms)) if settle_ms else 0
        self.clock.now_s += (settling + calls) * self.true_ms * factor / 1e3 + 50e-6
        self.calls += settling + calls
        self.batches.append(calls)
        if calls:
            self.waited += self.waits()
        return [self.reported_ms * factor] * calls

    def bare(self, calls, *, empty=False):
        # As the renewal of inputs: 0.02 ms by the host, less by the device.
        call_ms = 0.0 if empty else self.bare_ms or self.true_ms
        wall_ms = calls * (call_ms + 0.02) * self.jitter() + 0.1
        self.clock.now_s += wall_ms / 1e3
        self.bared.append((calls, empty))
        self.looked += not empty
        return Bare(calls, wall_ms, calls * 0.02)

    def waited_ms(self):
        return self.waited

    def ran_ms(self):
        return self.ran_s() * 1e3


def spec(**changes):
    settings = {"pairs": 30, "timing_budget_s": 2.0, "min_effect": 0.01}
    return EvaluationSpec(problem=Path("p"), cache_dir=Path("c"), **{**settings, **changes})


def measure(*subjects, clock, hopeless=0.0, **changes):
    settings = spec(**changes)
    probed = timing.probed(subjects, settings, clock)
    rng = random.Random(1)
    return timing.measure(probed, settings, rng, hopeless=hopeless, clock=clock)
