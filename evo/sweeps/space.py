"""What a sweep varies: keys of an experiment with their choices or their range."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evo.strict import nearest
from populations.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import Trial

Value = bool | int | float | str
_RANGE = ("low", "high", "step", "log", "when")
# Points of a grid at most; more are a mistake.
_MOST_POINTS = 100_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """One key that is varied.

    Attributes:
        key: As `--set` takes it, "search.tournament".
        choices: Its values; empty for a range.
        low: Least value of a range, an int for whole numbers.
        high: Greatest value.
        step: Distance of its values; None for every float, or a range on the logarithm.
        log: Whether it is searched on the logarithm.
        when: Other keys with the values for which this one counts; otherwise it is left as the
            experiment has it.
    """

    key: str
    choices: tuple[Value, ...] = ()
    low: int | float = 0
    high: int | float = 0
    step: int | float | None = None
    log: bool = False
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return not self.choices and isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def countable(self) -> bool:
        """Whether its values can be listed."""
        return bool(self.choices) or self.step is not None or (self.is_whole and not self.log)

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Every choice, or both ends of the range."""
        return self.choices or (self.low, self.high)

    def values(self) -> tuple[Value, ...]:
        """Its values in order; of a countable one."""
        if self.choices:
            return self.choices
        step = self.step or 1
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.low + place * step for place in range(count))

    def applies(self, point: Mapping[str, Value]) -> bool:
        """Whether it counts at a point, of which the keys before it are known."""
        return all(point.get(key) in values for key, values in self.when.items())

    @property
    def greatest(self) -> int | float:
        """The last value of a range: a step may miss its upper end."""
        if self.step is None:
            return self.high
        return self.low + math.floor((self.high - self.low) / self.step + 1e-9) * self.step


def parameter(
    key: str, given: object, path: Path, *, earlier: Sequence[Parameter] = ()
) -> Parameter:
    """A key's entry in [sweep.parameters].

    Args:
        key: The key.
        given: A list of choices, or a table with `low` and `high`.
        path: The sweep file, for messages.
        earlier: Those before it, on which it may depend.

    Raises:
        ConfigError: It is neither, or says something that does not fit.
    """
    where = f'{path}: [sweep.parameters] "{key}"'
    if isinstance(given, list):
        return Parameter(key, choices=_choices(given, where))
    if not isinstance(given, dict):
        raise ConfigError(
            f"{where} must be a list of choices or {{ low = .., high = .. }}, but got {given!r}"
        )
    for name in given:
        if name not in (*_RANGE, "choices"):
            raise ConfigError(f'{where}: unknown key "{name}"{nearest(name, _RANGE)}')
    when = _when(given.get("when", {}), where, earlier)
    if "choices" in given:
        if set(given) - {"choices", "when"}:
            raise ConfigError(f"{where}: either choices or a range")
        if not isinstance(given["choices"], list):
            raise ConfigError(f"{where}: choices must be a list, but got {given['choices']!r}")
        return Parameter(key, choices=_choices(given["choices"], where), when=when)
    return _range(key, given, where, when)


def points(parameters: Sequence[Parameter]) -> tuple[Mapping[str, Value], ...]:
    """Every point of the grid, in order, keys that do not count left out.

    Raises:
        ConfigError: There are more than anybody means.
    """
    count = math.prod(len(each.values()) for each in parameters)
    if count > _MOST_POINTS:
        raise ConfigError(f"a grid of {count} points is too large; at most {_MOST_POINTS}")
    found: dict[str, Mapping[str, Value]] = {}
    for values in itertools.product(*(each.values() for each in parameters)):
        point: dict[str, Value] = {}
        for each, value in zip(parameters, values, strict=True):
            if each.applies(point):
                point[each.key] = value
        found.setdefault(json.dumps(point), point)
    return tuple(found.values())


def suggest(parameters: Sequence[Parameter], trial: Trial) -> dict[str, Value]:
    """Let a trial's sampler choose a point; a trial that has one already keeps it."""
    point: dict[str, Value] = {}
    for each in parameters:
        if each.applies(point):
            point[each.key] = _suggested(each, trial)
    return point


def _suggested(each: Parameter, trial: Trial) -> Value:
    if each.choices:
        chosen = trial.suggest_categorical(each.key, each.choices)
        return cast("Value", chosen)
    low, high = each.low, each.greatest
    if each.is_whole:
        step = int(each.step or 1)
        return trial.suggest_int(each.key, int(low), int(high), step=step, log=each.log)
    return trial.suggest_float(each.key, low, high, step=each.step, log=each.log)


def override(key: str, value: object) -> str:
    """A `--set` text."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def written(point: Mapping[str, Value]) -> str:
    """A point in one line, for people."""
    texts = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in point.items()}
    return " ".join(f"{key}={text}" for key, text in texts.items())


def _choices(given: Sequence[object], where: str) -> tuple[Value, ...]:
    choices: list[Value] = []
    for value in given:
        if not isinstance(value, bool | int | float | str):
            raise ConfigError(f"{where}: a choice is a text, a number or a truth, not {value!r}")
        # True and 1 are one to Optuna.
        if value in choices:
            raise ConfigError(f"{where}: names {value!r} twice")
        choices.append(value)
    if not choices:
        raise ConfigError(f"{where}: has no choices")
    return tuple(choices)


def _range(
    key: str, given: Mapping[str, object], where: str, when: Mapping[str, tuple[Value, ...]]
) -> Parameter:
    numbers: dict[str, int | float] = {}
    for name in ("low", "high", "step"):
        value = given.get(name)
        if value is None and name == "step":
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ConfigError(f"{where}: {name} must be a number, but got {value!r}")
        numbers[name] = value
    low, high, step, log = numbers["low"], numbers["high"], numbers.get("step"), given.get("log")
    if not isinstance(log, bool | None):
        raise ConfigError(f"{where}: log must be true or false, but got {log!r}")
    if low > high or (step is not None and step <= 0):
        raise ConfigError(f"{where}: need low <= high and step > 0")
    if log and (step is not None or low <= 0):
        raise ConfigError(f"{where}: on the logarithm low must be above 0, and there is no step")
    if isinstance(low, int) != isinstance(high, int) or isinstance(step, float) > isinstance(
        low, float
    ):
        raise ConfigError(f"{where}: low, high and step must be of one kind: 1 or 1.0")
    return Parameter(key, low=low, high=high, step=step, log=bool(log), when=when)


def _when(
    given: object, where: str, earlier: Sequence[Parameter]
) -> Mapping[str, tuple[Value, ...]]:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: when must be a table of key = [values], but got {given!r}")
    known = {each.key: each for each in earlier}
    found = {}
    for key, values in given.items():
        if key not in known:
            raise ConfigError(
                f'{where}: when: "{key}" is not varied before it'
                f"{nearest(key, list(known)) if known else ''}"
            )
        if not isinstance(values, list) or not values:
            raise ConfigError(f'{where}: when: "{key}" must be a list of values')
        for value in values:
            if known[key].choices and value not in known[key].choices:
                raise ConfigError(f'{where}: when: {value!r} is no choice of "{key}"')
        found[key] = tuple(values)
    return found
