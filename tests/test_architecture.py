"""How the house is built: imports go one way, nothing heavy at the door, the wheel holds it all."""

from __future__ import annotations

import ast
import email
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Room -> the rooms it may import.
ROOMS = {
    "populations": set(),
    "operators": {"populations"},
    "fitness": {"populations"},
    "evo": {"populations", "operators", "fitness"},
}
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# Lines of a file, at most.
LONGEST = 500
# Where the global generator is used all the same: DEAP draws from it, and is lent the caller's; a
# candidate's own process starts from a known seed, as KernelBench's does.
GLOBAL_RANDOM = {
    "populations/selection.py": {"random.getstate", "random.setstate"},
    "fitness/runner.py": {"random.seed"},
}
HEAVY = {
    "alembic",
    "deap",
    "libcst",
    "networkx",
    "numpy",
    "openai",
    "optuna",
    "pydantic",
    "rich",
    "sklearn",
    "sqlalchemy",
    "torch",
    "tree_sitter",
    "triton",
}
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))


def imported(tree: ast.AST) -> set[str]:
    """Every module that a tree imports anywhere, relative ones not resolved."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def test_the_modules_are_found():
    assert len(MODULES) > 60
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ROOMS)


@each_module
def test_imports_go_one_way(path):
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    assert not [name for name in names if name.startswith(".")], "absolute imports only"
    room = path.relative_to(ROOT).parts[0]
    ours = {name.partition(".")[0] for name in names} & {*ROOMS, "experiments", "tests"}
    assert ours <= ROOMS[room] | {room}


@each_module
def test_every_module_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert len(docstring.split("\n", maxsplit=1)[0]) > 10
    assert len(text.splitlines()) <= LONGEST


@each_module
def test_randomness_is_handed_in(path):
    """No draw from a global generator, which any other code could disturb."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        text = ast.unparse(node)
        if text.startswith("random."):
            allowed = GLOBAL_RANDOM.get(str(path.relative_to(ROOT)), set())
            assert text in {"random.Random", *allowed}, text
        assert not text.startswith(("np.random", "numpy.random"))
    names = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "random"
        for name in (alias.name for alias in node.names)
    }
    assert names <= {"Random"}


@pytest.mark.parametrize(
    "module",
    [
        "evo.run",
        "evo.check",
        "evo.bench",
        "evo.outputs",
        "evo.lineage",
        "evo.sweep",
        "evo.__main__",
    ],
)
def test_a_command_starts_without_anything_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


def test_help_is_quick_and_names_every_command():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "evo", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(command in done.stdout for command in ("run", "check", "bench", "report"))
    assert not HEAVY & {line.split("|")[-1].strip() for line in done.stderr.splitlines()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network from a copy: a build leaves files in its folder."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in ("pyproject.toml", project["project"]["readme"], "LICENSE", *ROOMS, "experiments"):
        (folder / "source").mkdir(exist_ok=True)
        copy(ROOT / name, folder / "source" / name)
    done = subprocess.run(
        [sys.executable, "-c", "from setuptools.build_meta import build_wheel; build_wheel('..')"],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def copy(source, target):
    if source.is_file():
        target.write_bytes(source.read_bytes())
        return
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def test_the_wheel_holds_the_four_packages_and_the_examples(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in inside} == set(ROOMS)
    ours = {str(path.relative_to(ROOT)) for path in MODULES}
    assert {n for n in inside if n.endswith(".py") and "experiments/" not in n} == ours
    examples = {
        f"evo/{path.relative_to(ROOT)}"
        for path in (ROOT / "experiments").rglob("*")
        if path.suffix in (".toml", ".py", ".npz")
        and not {"__pycache__", "results"} & set(path.parts)
    }
    assert {name for name in inside if "experiments/" in name} == examples
    assert all(f"{room}/py.typed" in inside for room in ROOMS)


def test_an_installed_copy_finds_its_examples(wheel, tmp_path):
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import evo.config as c; "
        "config = c.load_config(pathlib.Path('experiments/conv1d.toml')); "
        "assert c.__file__.startswith(sys.argv[1]); print(config.problem.path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed / "evo/experiments/problems/conv1d.py"


def test_the_wheel_says_what_it_needs(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(line.startswith("torch>=2.11") for line in metadata.get_all("Requires-Dist"))
    (scripts,) = [n for n in archive.namelist() if n.endswith("/entry_points.txt")]
    assert b"evo = evo.__main__:main" in archive.read(scripts)
