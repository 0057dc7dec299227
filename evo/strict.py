"""TOML tables into frozen dataclasses, strictly, and back.

A key that no field reads is an error that names the nearest one that a field does; so is a value of
the wrong type, below its least value, or too large to be meant.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from populations.errors import ConfigError

# Above any number that is meant, and within what the operating system's calls take.
_GREATEST = 2**31 - 1
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown word: the known one that is meant, or all of them."""
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f'; did you mean "{match[0]}"?' if match else f"; known: {', '.join(known)}"


def build(cls: type[Any], table: object, path: Path, where: str) -> Any:
    """Make a dataclass from a table.

    Args:
        cls: The dataclass; every field is one key.
        table: What stands in the file.
        path: The file; relative paths in it are relative to its folder.
        where: The table as it is written, "[search]".

    Raises:
        ConfigError: Names the file, the table, the key and what would be right.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {where} must be a table, but got {table!r}")
    hints = get_type_hints(cls)
    for key in table:
        if key not in hints:
            text = json.dumps(key, ensure_ascii=False)
            raise ConfigError(f"{path}: {where} unknown key {text}{nearest(key, list(hints))}")
    values = {}
    for spec in dataclasses.fields(cls):
        if spec.name in table:
            place = f"{where} {spec.name}"
            values[spec.name] = _value(hints[spec.name], table[spec.name], path, place)
            _check_least(spec, values[spec.name], path, place)
            _check_choices(spec, values[spec.name], path, place)
        elif spec.default is spec.default_factory is dataclasses.MISSING:
            raise ConfigError(f'{path}: {where} missing key "{spec.name}"')
    return cls(**values)


def convert(hint: Any, value: Any, path: Path, where: str) -> Any:
    """A value of the type that a field declares; the other arguments are those of `build`."""
    origin, args = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        table = f"{where.replace('] ', '.')}]"
        return build(cast("type[Any]", hint), value, path, table)
    if hint is Path and isinstance(value, str):
        return _existing(path.parent, value, path, where)
    if origin is Literal:
        if isinstance(value, str) and value in args:
            return value
        raise ConfigError(f"{path}: {where} = {value!r} is not a choice{nearest(str(value), args)}")
    if origin is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(_folder(path, v, where) for v in value) if args[0] is Path else tuple(value)
    if origin is Mapping and isinstance(value, dict):
        return {
            key: convert(args[1], item, path, f"{where} {json.dumps(key)}")
            for key, item in value.items()
        }
    if hint in (bool, int, float, str):
        return _plain(hint, value, path, where)
    names = {Path: "a path in quotes", tuple: "a list of names in quotes"}
    expected = names.get(hint) or names.get(origin, "a table")
    raise ConfigError(f"{path}: {where} must be {expected}, but got {value!r}")


def to_toml(data: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of nested mappings with strings, numbers, booleans and lists in them.

    A list of mappings becomes an array of tables; what is None is left out.
    """
    lines, tables = [], []
    for key, value in data.items():
        name = key if _BARE_KEY.fullmatch(key) else _literal(key)
        if isinstance(value, Mapping):
            tables.append(f"\n[{prefix}{name}]\n{to_toml(value, f'{prefix}{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables += [
                f"\n[[{prefix}{name}]]\n{to_toml(item, f'{prefix}{name}.')}" for item in value
            ]
        elif value is not None:
            lines.append(f"{name} = {_literal(value)}\n")
    return "".join(lines) + "".join(tables)


def _literal(value: Any) -> str:
    # JSON is TOML here but for two things: a surrogate pair is no escape, and DEL must be one.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _folder(path: Path, name: str, where: str) -> Path:
    folder = (path.parent / name).absolute()
    if not folder.is_dir():
        raise ConfigError(f"{path}: {where}: no such directory {str(folder)!r}")
    return folder


def _value(hint: Any, value: Any, path: Path, where: str) -> Any:
    """What `convert` gives; a field that may be None is what else it may be."""
    args = get_args(hint)
    if types.NoneType not in args:
        return convert(hint, value, path, where)
    (meant,) = [arg for arg in args if arg is not types.NoneType]
    if meant is Path and isinstance(value, str):
        # A place that need not exist yet.
        return (path.parent / value).absolute()
    return convert(meant, value, path, where)


def _plain(hint: Any, value: Any, path: Path, where: str) -> Any:
    kinds = (int, float) if hint is float else (hint,)
    if isinstance(value, bool) is not (hint is bool) or not isinstance(value, kinds):
        words = {bool: "true or false", int: "a whole number", str: "a text in quotes"}
        expected = words.get(hint, "a number")
        raise ConfigError(f"{path}: {where} must be {expected}, but got {value!r}")
    if isinstance(value, str):
        return value
    if value > _GREATEST or math.isnan(value):
        raise ConfigError(f"{path}: {where} must be at most {_GREATEST}, but got {value:.6g}")
    if value < 0:
        raise ConfigError(f"{path}: {where} must not be negative, but got {value}")
    return hint(value)


def _check_least(spec: dataclasses.Field[Any], value: Any, path: Path, where: str) -> None:
    least = spec.metadata.get("least")
    if least is not None and value < least:
        raise ConfigError(f"{path}: {where} must be at least {least}, but got {value}")


def _check_choices(spec: dataclasses.Field[Any], value: Any, path: Path, where: str) -> None:
    known: Sequence[str] = spec.metadata.get("choices", ())
    for name in value if known else ():
        if name not in known:
            text = json.dumps(name, ensure_ascii=False)
            raise ConfigError(f"{path}: {where} has no {text} to choose{nearest(name, known)}")


def _existing(folder: Path, name: str, path: Path, where: str) -> Path:
    file = folder / name
    try:
        if file.is_file():
            return file.resolve()
        beside = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
    except OSError:  # a name too long, a folder that may not be read
        beside = []
    near = difflib.get_close_matches(file.name, beside, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise ConfigError(f"{path}: {where} = {name!r}: no such file {str(file)!r}{hint}")
