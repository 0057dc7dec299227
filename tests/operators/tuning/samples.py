"""Spaces whose answer is known, and runs of the tuner over them."""

import math
import random

from operators.operator import Inapplicable, Situation
from populations.outcome import Evaluation, Outcome
from populations.parameters import values
from tests.contracts.samples import kernel, lineage

LIMIT = 232448
OUT_OF_SHARED = (
    "OutOfResources: out of resource: shared memory, Required: {needed}, Hardware limit: {limit}. "
    "Reducing block sizes or `num_stages` may help."
)
# 5 * 5 * 4 * 3 * 2 = 600 points.
TILES = """\
BLOCK_M = 64  # tune: 16, 32, 64, 128, 256
BLOCK_K = 32  # tune: 16, 32, 64, 128, 256
STAGES = 2  # tune: 1, 2, 3, 4
WARPS = 4  # tune: 2, 4, 8
MODE = 'plain'  # tune: 'plain', 'fused'
"""
CONSTRAINT = "# tune-if: 2 * BLOCK_M * BLOCK_K * STAGES * 2 <= shared_memory\n"


def needed(point):
    return 2 * point["BLOCK_M"] * point["BLOCK_K"] * point["STAGES"] * 2


def log_speedup(point):
    """Tile sizes and warps pay together; what does not fit fails."""
    if needed(point) > LIMIT:
        return None
    tiles = abs(math.log2(point["BLOCK_M"] / 128)) + abs(math.log2(point["BLOCK_K"] / 64))
    together = abs(math.log2(point["BLOCK_M"] / point["WARPS"] / 16))
    return (
        0.5
        - 0.2 * tiles
        - 0.1 * together
        - 0.05 * abs(point["STAGES"] - 3) ** 2
        - (0.3 if point["MODE"] == "plain" and point["STAGES"] > 1 else 0.0)
    )


def out_of_shared(point):
    text = OUT_OF_SHARED.format(needed=needed(point), limit=LIMIT)
    return Evaluation(Outcome.RUNTIME_ERROR, 0, 4, diagnostics=text)


def judged(number, source, noise=None, **more):
    log = log_speedup(values(source))
    if log is None:
        return kernel(number, source, evaluation=out_of_shared(values(source)), **more)
    return kernel(number, source, math.exp(log + (noise.gauss(0, 0.01) if noise else 0)), **more)


def tuned(tune, seed, trials, source=TILES, *, facts=None, in_flight=1):
    """A search that does nothing but tune; judged kernels in the order of proposal."""
    rng, noise = random.Random(seed), random.Random(f"{seed}")
    made, kernels = [judged(0, source, noise)], lineage(judged(0, source, noise))
    while len(made) < trials:
        while len(kernels) <= len(made) - in_flight:
            kernels.add(made[len(kernels)])
        under_way = tuple(k.candidate for k in made[len(kernels) :])
        situation = Situation(kernels, rng, "cuda", facts=facts or {}, under_way=under_way)
        answer = tune.vary([kernels.get(0)], situation)
        if isinstance(answer, Inapplicable):
            break
        made.append(judged(len(made), answer.source, noise, parents=(0,), operator="tune"))
    return made
