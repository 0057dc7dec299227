"""`[sandbox] require`: no work on a machine that confines less than the experiment asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evo.config import Config
from evo.strict import nearest
from fitness.sandbox.layers import NAMES, Layer
from populations.errors import DeviceError, InputError

Told = Callable[[], Mapping[str, Layer]]


def require_layers(config: Config, layers: Told) -> None:
    """Compare what the experiment requires with what the machine has.

    Called before anything is measured or written.

    Args:
        config: The experiment.
        layers: Tells the machine's layers (`LocalPool.layers`), which may mean to wait for a
            process to start: asked only where something is required.

    Raises:
        DeviceError: Layers are missing; names each, with the machine's reason.
    """
    refuse_less(config.sandbox.require, layers, f"{config.path}: [sandbox] require")


def refuse_less(names: Sequence[str], layers: Told, where: str) -> None:
    """The same for names from anywhere; `where` tells a person from where."""
    if not names:
        return
    found = layers()
    if missing := [found[name] for name in names if not found[name].on]:
        listed = "; ".join(f"{layer.name} ({layer.detail})" for layer in missing)
        raise DeviceError(f"{where}: this machine does not offer {listed}")


def layer_names(text: str, where: str) -> tuple[str, ...]:
    """Names of layers, separated by commas. Raises InputError for an unknown one."""
    names = tuple(text.split(",")) if text else ()
    for name in names:
        if name not in NAMES:
            raise InputError(f'{where}: there is no layer "{name}"{nearest(name, NAMES)}')
    return names
