import itertools
import re

import pytest

from evo.report.chart import COLOURED, evaluations_chart, operator_colours
from evo.report.code import difference, source_listing
from evo.report.forest import lay_out
from evo.report.tree import LIMIT, lineage_drawing
from populations.outcome import Outcome
from tests.evo.samples import SEED, history, kernel, run_data
from tests.evo.test_report import Page


def laid_out(count, limit=LIMIT, seed=1):
    kernels, improvements = history(count, seed=seed)
    data = run_data(
        count, kernels=tuple(kernels), improvements=tuple(improvements), champion=improvements[-1]
    )
    path = [k.number for k in data.path]
    return path, lay_out(kernels, path=path, keep=improvements, limit=limit)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "limit"), [(1, 240), (40, 240), (400, 60), (2000, 240)])
def test_every_kernel_is_drawn_or_counted_and_none_covers_another(count, limit, seed):
    path, places = laid_out(count, limit, seed)
    hidden = sum(sum(place.hidden.values()) for place in places.values())
    assert len(places) + hidden == count
    assert len(places) == count if count <= limit else len(places) <= limit + count // 10
    spots = [(place.column, place.lane) for place in places.values()]
    assert len(set(spots)) == len(spots)
    assert {places[number].lane for number in path} == {0}
    for place in places.values():
        for parent in place.kernel.candidate.parents[:1]:
            assert places[parent].column < place.column
            assert places[parent].lane <= place.lane


def test_no_line_runs_through_a_foreign_kernel():
    _, places = laid_out(400, 120)
    taken = {(place.column, place.lane): number for number, place in places.items()}
    for number, place in places.items():
        for parent in place.kernel.candidate.parents[:1]:
            # The edge bends right behind the parent and then runs in the child's lane.
            between = range(places[parent].column + 1, place.column)
            assert not [taken[c, place.lane] for c in between if (c, place.lane) in taken], number


def test_hidden_kernels_are_counted_at_their_nearest_drawn_ancestor():
    kernels = [
        kernel(0, 0.5),
        kernel(1, 0.6, parents=(0,)),
        kernel(2, 0.7, parents=(1,)),
        kernel(3, 0.4, parents=(0,)),
        kernel(4, outcome=Outcome.TIMEOUT, parents=(3,)),
        kernel(5, 0.3, parents=(2,)),
    ]
    places = lay_out(kernels, path=[0, 1, 2], keep=[2], limit=3)
    assert list(places) == [0, 1, 2]
    assert places[0].hidden == {Outcome.PASSED: 1, Outcome.TIMEOUT: 1}
    assert places[2].hidden == {Outcome.PASSED: 1}


def test_kept_kernels_are_drawn_beyond_the_limit():
    kernels = [kernel(0, 0.5), *(kernel(n, 0.6, parents=(n - 1,)) for n in range(1, 20))]
    assert len(lay_out(kernels, path=[0], keep=[19], limit=5)) == 20


def test_lineage_shows_failures_crossovers_and_the_champion():
    kernels = (
        kernel(0, 0.5),
        kernel(1, 1.2, operator="tune", parents=(0,), note="TILE = 64"),
        kernel(2, outcome=Outcome.COMPILE_ERROR, operator="unroll", parents=(0,)),
        kernel(3, 1.5, operator="merge", parents=(1, 0)),
    )
    data = run_data(4, kernels=kernels, improvements=(0, 1, 3), champion=3)
    svg = lineage_drawing(data)
    assert svg.count('class="cross"') == 1
    assert svg.count('class="ring"') == 1
    assert len(re.findall(r'class="node( fast)?( new)?"', svg)) == 3
    [second] = re.findall(r'd="([^"]*)" class="edge second"', svg)
    assert second.count("M") == 1
    [path] = re.findall(r'd="([^"]*)" class="edge path"', svg)
    assert path.count("M") == 2
    assert "#1 1.20x [1.16, 1.24], tune of #0: TILE = 64" in svg
    assert "#2 compile error, unroll of #0" in svg


def test_numbers_on_the_champions_line_stand_clear():
    kernels = (kernel(0, 0.5), *(kernel(n, 0.5, parents=(n - 1,)) for n in range(1, 300)))
    data = run_data(3, kernels=kernels, improvements=(0, 299), champion=299)
    found = re.findall(r'<text x="([\d.]+)"[^>]*strong">(\d+)<', lineage_drawing(data))
    spots = [(float(x), len(number) * 3.6) for x, number in found]
    assert len(spots) > 50
    for (x1, half1), (x2, half2) in itertools.pairwise(spots):
        assert x2 - x1 > half1 + half2


def test_chart_has_a_dot_per_kernel_that_passed_and_a_tick_per_failure():
    data = run_data(300)
    svg = evaluations_chart(data)
    good = sum(k.passed for k in data.kernels)
    assert svg.count("<circle") == good
    ticks = re.findall(r'd="([^"]*)" class="failed"', svg)
    assert sum(path.count("M") for path in ticks) == 300 - good
    assert svg.count(" new") == len(data.improvements)
    assert f">champion #{data.champion}</text>" in svg
    [best] = re.findall(r'd="([^"]*)" class="best"', svg)
    assert best.count("H") == len(data.improvements)
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", best)]
    assert heights == sorted(heights, reverse=True)


def test_chart_keeps_an_outlier_within_its_frame():
    kernels = (kernel(0, 1e-5), kernel(1, 2.0, parents=(0,)))
    svg = evaluations_chart(run_data(2, kernels=kernels, improvements=(0, 1), champion=1))
    heights = [float(y) for y in re.findall(r'cy="([\d.-]+)"', svg)]
    assert all(0 <= y <= 340 for y in heights)
    assert max(heights) > 330


def test_operators_share_the_last_colour_when_there_are_many():
    many = [kernel(n, 1.0, operator=f"op{n % 12}") for n in range(40)]
    colours = operator_colours(many)
    assert len([c for c in colours.values() if c == "other"]) == 12 - COLOURED
    few = operator_colours(many[: COLOURED + 1])
    assert "other" not in few.values()
    assert len(set(few.values())) == COLOURED + 1


def test_listing_reads_back_as_the_source():
    listing = source_listing(SEED)
    assert Page(listing).text == SEED
    assert '<i class="tune">// tune: 16, 32, 64</i>' in listing
    assert '<i class="comment"># fresh</i>' in listing
    # In C++ two slashes begin a comment, in Python they divide.
    assert '<i class="comment">// double it</i>' in listing
    assert "x.numel() // 2 * 2" in listing


def test_listing_of_a_source_that_does_not_parse():
    source = "def (:\n    '''never closed\n"
    assert Page(source_listing(source)).text == source


def test_difference():
    after = SEED.replace("TILE 32", "TILE 64")
    page = difference(SEED, after, names=("#0 seed", "#1 champion"))
    assert page.count('class="l removed"') == page.count('class="l added"') == 1
    assert Page(page).text.startswith("--- #0 seed\n+++ #1 champion\n@@")
    assert difference(SEED, SEED, names=("a", "b")) is None
