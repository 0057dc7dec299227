"""Every policy climbs a small landscape whose best point is known; random choice hardly does."""

from __future__ import annotations

import random
from itertools import product
from statistics import median

import pytest

from evo.policies import POLICIES
from evo.settings import SearchConfig
from populations.kernel import Candidate, Kernel
from tests.contracts.play import evaluation

BITS = 14
EVALUATIONS = 200
IN_FLIGHT = 4
RUNS = 12


def logs(bits):
    """ln speedups on two workloads; None: wrong.

    Single gains, pairs that pay only together and cost alone, one edit that is wrong without
    another, and an approach (the first bit) that begins slower and ends faster.
    """
    if bits[12] and not bits[13]:
        return None
    total = sum(0.06 * bit for bit in bits[1:5])
    total += sum(
        0.2 if a and b else -0.03 * (a + b) for a, b in zip(bits[5:9:2], bits[6:9:2], strict=True)
    )
    total += (0.45 if bits[9] and bits[10] else 0.0) - 0.1 if bits[0] else 0.0
    total += 0.15 * bits[12] - 0.05 * bits[11]
    return total + 0.02 * bits[3], total - 0.02 * bits[3]


BEST = max(sum(found) / 2 for bits in product((0, 1), repeat=BITS) if (found := logs(bits)))


def kernel(number, bits, parents=()):
    """The bits as a source that descriptors can read: approaches differ in language and size."""
    lines = "".join(f"switch{n} = {bit}\n" for n, bit in enumerate(bits))
    launches = "kernel[grid](x)\n" * (1 + 2 * bits[0] + bits[9])
    language = "triton" if bits[0] else "python"
    return Kernel(
        Candidate(number, lines + launches, language, "flip" if parents else "seed", parents),
        evaluation(logs(bits), spread=0.002),
    )


def child(policy, known, rng):
    """Bits of a new kernel and its parents; None when nothing new was found."""
    for _ in range(60):
        crossover = rng.random() < 0.2
        parents = policy.parents(2 if crossover else 1, rng)
        pairs = list(zip(*(known[parent.number] for parent in parents), strict=True))
        bits = [rng.choice(pair) for pair in pairs]
        while not crossover:
            bits[rng.randrange(BITS)] ^= 1
            if rng.random() < 0.6:
                break
        if tuple(bits) not in known.values():
            return tuple(bits), tuple(parent.number for parent in parents)
    return None


def search(name, seed):
    """Best ln speedup after each evaluation of a search with `IN_FLIGHT` proposals under way."""
    policy = POLICIES[name](SearchConfig(policy=name, population=16, seed=seed))
    known = {0: (0,) * BITS}
    policy.insert(kernel(0, known[0]))
    waiting, curve = {}, [0.0]

    def insert(number):
        judged = waiting.pop(number)
        policy.insert(judged)
        found = judged.evaluation.speedup
        curve.append(max(curve[-1], found.log) if found else curve[-1])

    for number in range(1, EVALUATIONS):
        if number - IN_FLIGHT in waiting:
            insert(number - IN_FLIGHT)
        new = child(policy, known, random.Random(f"{seed}:{number}"))
        if new is None:
            break
        known[number] = new[0]
        policy.proposed(number, new[1])
        waiting[number] = kernel(number, *new)
    for number in sorted(waiting):
        insert(number)
    return curve


@pytest.fixture(scope="module")
def reached():
    """Policy -> median share of the best there is, over the runs."""

    def share(name):
        return median(search(name, seed)[-1] / BEST for seed in range(RUNS))

    return {name: share(name) for name in POLICIES}


@pytest.mark.parametrize("name", sorted({*POLICIES} - {"random"}))
def test_a_policy_finds_more_than_random_choice(reached, name):
    assert reached[name] > reached["random"] + 0.1, reached


def test_random_choice_is_a_lower_control(reached):
    assert 0.2 < reached["random"] < 0.8, reached
