import math
import random

import pytest
from hypothesis import given, settings

from populations.policies.mcts import TreeSearch
from tests.contracts.play import Play, Step, evaluation, kernel, scripted, scripts
from tests.contracts.samples import quick

brisk = settings(quick, max_examples=60)


def summed(policy):
    """Every node's sums by number; None for the root."""
    nodes = {None: policy._root, **policy._nodes}
    return {n: (x.visits, x.waiting, x.expansions, x.passed) for n, x in nodes.items()}, {
        n: (x.total, x.best) for n, x in nodes.items()
    }


def below(play, number):
    """Numbers of the subtree of a kernel by first parents; a mended failure hangs one above."""
    found = {number}
    for each in play.inserted.values():
        above = each.candidate.parents[:1]
        while above and not play.inserted[above[0]].passed:
            above = play.inserted[above[0]].candidate.parents[:1]
        if above and above[0] in found:
            found.add(each.number)
    return found


@brisk
@given(script=scripts)
def test_every_node_sums_up_its_subtree(script):
    def check(play):
        counts, sums = summed(play.policy)
        assert counts[None][0] == len(play.inserted)
        for number, each in play.inserted.items():
            if not each.passed:
                continue
            tree = [play.inserted[n] for n in below(play, number)]
            logs = [k.fitness[1] for k in tree if k.passed]
            assert counts[number][0] == len(tree)
            assert counts[number][3] == len(logs)
            assert sums[number][0] == pytest.approx(sum(logs))
            assert sums[number][1] == max(logs)

    play = Play(TreeSearch()).run(script, check=check)
    # Nothing is under way any more.
    assert all(c[1] == c[2] == 0 for c in summed(play.policy)[0].values())


@brisk
@given(script=scripts)
def test_nothing_that_passed_leaves_the_tree(script):
    play = Play(TreeSearch(shown=2)).run(script)
    reached, left = set(), [play.policy._root]
    while left:
        node = left.pop()
        left += node.children
        reached.add(node.kernel.number if node.kernel else None)
    assert reached == {None, *(n for n, k in play.inserted.items() if k.passed)}


@brisk
@given(script=scripts)
def test_a_new_estimate_is_as_if_it_had_been_the_first(script):
    play = Play(TreeSearch()).run(script)
    best = play.policy.members[0]
    if not best.passed:
        return
    again = TreeSearch()
    other = type(best)(best.candidate, evaluation((0.3, 0.1)))
    for name, arguments in play.calls:
        swapped = tuple(other if a is best else a for a in arguments)
        getattr(again, name)(*swapped)
    play.policy.remeasured(other)
    assert summed(play.policy)[0] == summed(again)[0]
    for number, (total, greatest) in summed(again)[1].items():
        assert summed(play.policy)[1][number] == (pytest.approx(total), greatest)


def tree(**arguments):
    """A seed with two children, the second the better, all judged."""
    policy = TreeSearch(**arguments)
    policy.insert(kernel(0, Step("a", logs=(0.0, 0.0), spread=0.0)))
    for number, gain in ((1, 0.5), (2, 1.0)):
        policy.proposed(number, (0,))
        policy.insert(kernel(number, Step("bc"[number - 1], logs=(gain, gain), spread=0.0), (0,)))
    return policy


def chosen(policy, draws=400):
    rng = random.Random(2)
    drawn = [policy.parents(1, rng)[0].number for _ in range(draws)]
    return {number: drawn.count(number) / draws for number in (0, 1, 2)}


def test_uct_is_worth_and_doubt():
    policy = tree(exploration=0.4, greed=0.0)
    node = policy._nodes[1]
    assert policy._uct(node, 3) == pytest.approx(0.5 + 0.4 * math.sqrt(math.log(3) / 1))
    policy.proposed(3, (1,))
    # A proposal under way is a visit without a reward.
    assert policy._uct(node, 4) == pytest.approx(0.5 / 2 + 0.4 * math.sqrt(math.log(4) / 2))
    policy.insert(kernel(3, Step("d", logs=None), (1,)))
    assert policy._uct(node, 4) == pytest.approx(0.5 / 2 + 0.4 * math.sqrt(math.log(4) / 2))
    greedy = tree(exploration=0.0, greed=1.0)
    assert [greedy._uct(greedy._nodes[n], 3) for n in (1, 2)] == [0.5, 1.0]


def test_the_better_child_is_descended_to_and_spread_by_what_is_under_way():
    policy = tree(exploration=0.2, greed=0.5)
    shares = chosen(policy)
    # Two children of a node with three visits are enough for now; one draw in ten goes anywhere.
    assert shares[2] > 0.88
    for number in range(3, 9):
        policy.proposed(number, (2,))
    # The seed may have more children by now: what is under way counts as visits.
    assert chosen(policy)[2] < 0.1
    for number in range(3, 9):
        policy.dropped(number)
    assert chosen(policy) == shares


def test_a_node_is_widened_with_its_visits():
    policy = TreeSearch()
    policy.insert(kernel(0, Step("a")))
    widths = []
    rng = random.Random(0)
    for number in range(1, 150):
        parent = policy.parents(1, rng)[0].number
        policy.proposed(number, (parent,))
        code = "abcdefghij"[number % 10]
        policy.insert(kernel(number, Step(code, (16, 32, 64)[number % 3]), (parent,)))
        widths.append(len(policy._nodes[0].children))
    # About the square root of its visits; one proposal in ten goes anywhere.
    assert math.sqrt(149) - 1 <= widths[-1] <= math.sqrt(149) + 0.1 * 149


def test_exploration_spreads_the_search():
    def spread(exploration):
        play = Play(TreeSearch(exploration=exploration)).run(scripted(300, seed=8))
        return len({chosen[0] for chosen in play.chosen.values() if chosen})

    assert spread(0.0) < spread(0.5) < spread(5.0)


@pytest.mark.parametrize("wrong", [{"exploration": -1}, {"greed": 2}, {"greed": -0.1}])
def test_impossible_trees_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        TreeSearch(**wrong)
