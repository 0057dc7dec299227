"""No honest kernel is refused: of many styles, our own seeds and champions.

Those that TorchInductor makes are read in `tests/fitness/test_inductor.py`.
"""

import ast
import random
import time
from pathlib import Path

import pytest

from evo.inline import inline_loader
from fitness.policy import Policy, examine, rejections
from tests.fitness.gate.habits import HABITS, STRICT
from tests.fitness.gate.honest import HONEST

ROOT = Path(__file__).parents[3]
OURS = sorted(
    [*(ROOT / "experiments/seeds").glob("*.py"), *(ROOT / "experiments/results").rglob("*.py")]
)
ALONE_ALL = Policy(allow_library_calls=False, allow_torch_compute=False, allow_state=False)
# Of the honest ones, those that do all the work in kernels of their own and keep nothing.
OWN_WORK = [
    name
    for name in HONEST
    if name.startswith(("triton", "C++")) and "once" not in name and "kept" not in name
]


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_is_not_refused(name):
    compile(HONEST[name], name, "exec")
    assert not rejections(examine(HONEST[name]))


@pytest.mark.parametrize("name", HABITS)
def test_what_stands_around_a_kernel_is_not_refused(name):
    compile(HABITS[name], name, "exec")
    assert not rejections(examine(HABITS[name]))
    if name in STRICT:
        assert not rejections(examine(HABITS[name], ALONE_ALL))


def test_there_are_many_of_them():
    assert len(HONEST) + len(HABITS) >= 64
    assert len(OWN_WORK) >= 10


@pytest.mark.parametrize("name", OWN_WORK)
def test_own_work_passes_where_nothing_else_is_allowed(name):
    assert not rejections(examine(HONEST[name], ALONE_ALL))


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.stem)
def test_our_seeds_and_champions(path):
    assert examine(path.read_text(encoding="utf-8")) == ()
    assert not rejections(examine(path.read_text(encoding="utf-8"), ALONE_ALL))


def test_a_champion_s_file_carries_the_loader():
    seed = (ROOT / "experiments/seeds/conv1d_cpp.py").read_text(encoding="utf-8")
    carried = inline_loader(seed)
    assert "subprocess" in carried
    assert not rejections(examine(carried))
    changed = carried.replace("COMPILE_LIMIT_S = 120.0", "COMPILE_LIMIT_S = 121.0")
    assert {f.rule for f in rejections(examine(changed))} >= {"import"}
    after = carried + "\nimport gc\n"
    (found,) = rejections(examine(after))
    assert found.line == len(after.splitlines())


def test_reading_costs_little_more_than_parsing():
    source = max((p.read_text(encoding="utf-8") for p in OURS), key=len)
    times = {ast.parse: [], examine: []}
    for _ in range(20):
        for function, found in times.items():
            start = time.process_time()
            function(source)
            found.append(time.process_time() - start)
    # To parse 200 dense lines takes 1 to 1.5 ms on an idle machine; the whole is to take 3 ms.
    assert min(times[examine]) < 3 * min(times[ast.parse])


def test_what_is_broken_is_read_without_a_fault():
    rng = random.Random(0)
    sources = list(HONEST.values())
    for _ in range(400):
        lines = rng.choice(sources).split("\n")
        for _ in range(rng.randint(1, 4)):
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            k = rng.randrange(len(lines[i]) + 1)
            lines[i] = lines[i][:k] + rng.choice("()[]{}\"'\\#\n =:,\u2028") + lines[i][k + 1 :]
        examine("\n".join(lines), ALONE_ALL)
