"""Experiment files: TOML in, one frozen `Config` out.

Merge order, weakest first: the defaults in `evo.settings`; the experiment file; the command line's
`--set table.key=value`. There is no other layer and no environment variable. A key that nobody
reads is an error which names the nearest one that somebody does. Relative paths are relative to
the experiment file. The resolved text (`Config.text`) stands in every run directory.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evo.settings import (
    TABLES,
    BudgetConfig,
    EvaluationConfig,
    KnowledgeConfig,
    OperatorsConfig,
    ProblemConfig,
    SandboxConfig,
    SearchConfig,
    TargetConfig,
    TuningConfig,
)
from evo.strict import build, convert, nearest, to_toml
from operators.llm.settings import ModelSettings
from populations.errors import ConfigError

_MODEL_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Languages of the kernels on each device, in the order in which their seeds are numbered.
LANGUAGES = {"cpu": ("cpp", "python"), "cuda": ("triton", "python")}
INDUCTOR: Literal["inductor"] = "inductor"


# What of a model decides the lineage, given its answers.
_TELLING = ("name", "weight", "parallel", "context", "max_tokens")
_NO_TABLES = ("path", "name", "overrides")
_Fields = Callable[[Any], Iterable[dataclasses.Field[Any]]]


@dataclass(frozen=True, slots=True)
class Config:
    """One experiment, resolved.

    Attributes:
        path: The experiment file.
        name: Its stem, which names the run directory.
        seeds: Language -> seed file, or the word "inductor" to start from what TorchInductor
            generates for the reference.
        models: The language models that operators may ask; empty for none.
        overrides: Texts `table.key=value` that went into the tables, as given.
    """

    path: Path
    name: str
    problem: ProblemConfig
    target: TargetConfig
    seeds: Mapping[str, Path | Literal["inductor"]]
    budget: BudgetConfig
    search: SearchConfig
    operators: OperatorsConfig
    tuning: TuningConfig
    evaluation: EvaluationConfig
    sandbox: SandboxConfig
    knowledge: KnowledgeConfig
    models: tuple[ModelSettings, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The resolved experiment as TOML, every default written out, every path absolute."""
        return to_toml(self._tables())

    def fingerprint(self) -> str:
        """Identity of the search: everything but the budget, with the files' contents, 16 hex.

        Two runs with one fingerprint may share a run directory; a larger budget goes on. Where the
        files lie does not matter. A key whose value is its field's `absent` is left out, and so is
        a table of nothing else (`evo.settings.added`).
        """
        tables = self._tables(_told)
        del tables["budget"]
        tables["problem"] = _content(self.problem.path)
        # Where a model is, what it costs and how patient we are with it decide no kernel.
        tables["models"] = [{key: m[key] for key in _TELLING} for m in tables["models"]]
        if not self.models:
            # Only models make kernels of none.
            tables.get("operators", {}).pop("drafts", None)
        tables["seeds"] = {language: _content(seed) for language, seed in self.seeds.items()}
        if self.evaluation.landscape is not None:
            tables["evaluation"]["landscape"] = _digest(self.evaluation.landscape)
        text = json.dumps(tables, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _tables(self, fields_of: _Fields = dataclasses.fields) -> dict[str, Any]:
        names = [field.name for field in fields_of(self) if field.name not in _NO_TABLES]
        return {name: _plain(getattr(self, name), fields_of) for name in names}


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read an experiment file.

    Args:
        path: The file; an installed copy also finds its shipped examples by `experiments/NAME`.
        overrides: Texts `table.key=value`, the value in TOML.

    Raises:
        ConfigError: The file is missing or is not TOML, or a key or a value is wrong.
    """
    path = find_experiment(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    for override in overrides:
        _apply(data, override)
    known = [*TABLES, "seeds", "models"]
    for key in data:
        if key not in known:
            text = json.dumps(key, ensure_ascii=False)
            raise ConfigError(f"{path}: unknown table {text}{nearest(key, known)}")
    if "problem" not in data:
        raise ConfigError(f"{path}: missing table [problem]; it names the problem file by `path`")
    tables = {n: build(cls, data.get(n, {}), path, f"[{n}]") for n, cls in TABLES.items()}
    seeds = _seeds(data.get("seeds", {}), path)
    config = Config(
        path=path,
        name=path.stem,
        seeds=seeds,
        models=_models(data.get("models", []), path),
        overrides=tuple(overrides),
        **tables,
    )
    if not any(dataclasses.astuple(config.budget)):
        raise ConfigError(
            f"{path}: [budget] sets no limit; give evaluations, wall_s, device_s, patience, or "
            f"cost_usd, tokens or calls"
        )
    return config


def _models(given: object, path: Path) -> tuple[ModelSettings, ...]:
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise ConfigError(f"{path}: models must be tables [[models]], but got {given!r}")
    models: list[ModelSettings] = []
    for number, table in enumerate(given, 1):
        model: ModelSettings = build(ModelSettings, table, path, f"[[models]] ({number})")
        if not _MODEL_NAME.fullmatch(model.name):
            raise ConfigError(
                f"{path}: [[models]] name = {model.name!r}: use letters, digits, '.', '_' and '-'"
            )
        if model.name in [other.name for other in models]:
            raise ConfigError(f"{path}: [[models]] has two of the name {model.name!r}")
        models.append(model)
    return tuple(models)


def find_experiment(path: Path) -> Path:
    """The file, or the shipped example of that name.

    Raises:
        ConfigError: There is neither; names the nearest one.
    """
    # Examples lie in the package; in a working tree, beside it.
    shipped = [folder / path for folder in Path(__file__).resolve().parents[:2]]
    try:
        for file in (path, *shipped):
            if file.is_file():
                return file.resolve()
        folders = dict.fromkeys((path.parent, Path("experiments"), *(f.parent for f in shipped)))
        there = {str(file): file.name for folder in folders for file in folder.glob("*.toml")}
    except OSError as error:
        raise ConfigError(f"{path}: no such experiment file: {error.strerror}") from error
    near = difflib.get_close_matches(path.name, there.values(), n=1)
    meant = [file for file, name in there.items() if name in near]
    hint = f"; did you mean {meant[0]}?" if meant else ""
    raise ConfigError(f"{path}: no such experiment file{hint}")


def _apply(data: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or "." not in key:
        raise ConfigError(f"--set {override}: expected table.key=value, as in budget.wall_s=60")
    try:
        # One value and nothing behind it: a line break would start another key.
        parsed = tomllib.loads(f"value = {value}")["value"] if "\n" not in value else value
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string: --set target.device=cpu
    *tables, last = key.strip().split(".")
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override}: {table!r} is a value, not a table")
    data[last] = parsed


def _seeds(table: object, path: Path) -> dict[str, Path | Literal["inductor"]]:
    known = list(dict.fromkeys(name for names in LANGUAGES.values() for name in names))
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [seeds] must be a table of language = file, but got {table!r}")
    seeds: dict[str, Path | Literal["inductor"]] = {}
    for language, value in table.items():
        if language not in known:
            text = json.dumps(language, ensure_ascii=False)
            raise ConfigError(f"{path}: [seeds] unknown language {text}{nearest(language, known)}")
        where = f"[seeds] {language}"
        seeds[language] = INDUCTOR if value == INDUCTOR else convert(Path, value, path, where)
    return seeds


def _content(source: Path | str) -> str:
    """What a file holds; a word that is no file stands for itself."""
    if not isinstance(source, Path):
        return source
    try:
        # Bytes that are no text are told apart too.
        return source.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def _told(record: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that tell its search from the searches of before they were."""
    return [field for field in dataclasses.fields(record) if not _absent(record, field)]


def _absent(record: Any, field: dataclasses.Field[Any]) -> bool:
    value = getattr(record, field.name)
    if "absent" in field.metadata:
        return bool(value == field.metadata["absent"])
    return dataclasses.is_dataclass(value) and not _told(value)


def _plain(value: Any, fields_of: _Fields = dataclasses.fields) -> Any:
    """Dataclasses and paths as TOML has them; `fields_of` says which fields of a dataclass."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), fields_of) for f in fields_of(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item, fields_of) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item, fields_of) for item in value]
    return str(value) if isinstance(value, Path) else value
