"""What a call of a builtin, or of a function that only passes others on, comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fitness.gate.calls import CallReader
from fitness.gate.expressions import element_of
from fitness.gate.values import (
    SIZE,
    Arguments,
    Instance,
    Partial,
    Ref,
    Value,
    is_known,
)

_LOOPED = 512


def _first(args: Any) -> Value:
    return args[0] if args else None


def _getattr(reader: CallReader, given: Arguments) -> Value:
    return reader.get_attribute(given.args, given.node)


def _setattr(reader: CallReader, given: Arguments) -> None:
    args = given.args
    if len(args) < 2:
        return
    value = args[2] if len(args) > 2 else None
    base, name = args[0], args[1]
    reader.safety.stored(base, name, given.node, value)
    reader.work.set_by_name(base, name, given.node)
    if isinstance(base, Instance) and isinstance(name, str) and len(args) > 2:
        base.names[name] = value


def _type(reader: CallReader, given: Arguments) -> Value:
    if len(given.args) == 1:
        return reader.attribute(given.args[0], "__class__")
    reader.safety.made_type(given.args, given.node)
    return None


def _vars(_: CallReader, given: Arguments) -> Value:
    if not given.args:
        return Ref(("builtins.globals()",))
    base = given.args[0]
    return base.attribute("__dict__") if isinstance(base, Ref) else None


def _globals(_: CallReader, __: Arguments) -> Value:
    return Ref(("builtins.globals()",))


def _global(reader: CallReader, given: Arguments) -> Value:
    return reader.safety.global_name(_first(given.args), reader.scope)


def _run(reader: CallReader, given: Arguments) -> Value:
    text = _first(given.args or list(given.keywords.values()))
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not reader.safety.may_run(text, given.node):
        return None
    return reader.run_text(str.__str__(text) if is_known(text) else text, given.node)


def _compile(reader: CallReader, given: Arguments) -> Value:
    # The text is read here; running what came of it says nothing new.
    _run(reader, given)
    return Ref(("builtins.compile()",))


def _map(reader: CallReader, given: Arguments) -> Value:
    if len(given.args) < 2:
        return None
    function, items, *more = given.args
    if isinstance(items, tuple | bytes | str) and len(items) <= _LOOPED and not more:
        return tuple([reader.call(function, given.of([item])) for item in items])
    reader.call(function, given.of([element_of(a) for a in given.args[1:]]))
    return None


def _len(_: CallReader, __: Arguments) -> Value:
    return SIZE


def _id(_: CallReader, __: Arguments) -> Value:
    return Ref(("builtins.id()",))


def _open(_: CallReader, __: Arguments) -> Value:
    return Ref(("builtins.open()",))


def _super(_: CallReader, __: Arguments) -> Value:
    return Ref(("builtins.super()",))


def _import(reader: CallReader, given: Arguments) -> Value:
    return reader.safety.imported_by_name(given.args, given.node, top=True)


def _import_module(reader: CallReader, given: Arguments) -> Value:
    return reader.safety.imported_by_name(given.args, given.node, top=False)


def _partial(_: CallReader, given: Arguments) -> Value:
    args = given.args
    return Partial(args[0], tuple(args[1:]), dict(given.keywords)) if args else None


def _reduce(reader: CallReader, given: Arguments) -> Value:
    args = given.args
    names = args[1] if len(args) == 3 else None
    if not isinstance(names, tuple) or not all(is_known(n) for n in names):
        return None
    found = args[2]
    for name in names:
        found = reader.call(args[0], given.of([found, name]))
    return found


def _itself(_: CallReader, given: Arguments) -> Value:
    return _first(given.args)


def _attrgetter(_: CallReader, given: Arguments) -> Value:
    return Partial(Ref(("operator.attrgetter.of",)), tuple(given.args))


def _attrgetter_of(reader: CallReader, given: Arguments) -> Value:
    args = given.args
    return reader.get_attribute([args[-1], args[0]], given.node) if len(args) > 1 else None


def _methodcaller(_: CallReader, given: Arguments) -> Value:
    return Partial(Ref(("operator.methodcaller.of",)), tuple(given.args))


def _methodcaller_of(reader: CallReader, given: Arguments) -> Value:
    if len(given.args) < 2:
        return None
    *rest, base = given.args
    method = reader.get_attribute([base, rest[0]], given.node)
    return reader.call(method, given.of(rest[1:]))


def _setitem(reader: CallReader, given: Arguments) -> None:
    if len(given.args) > 1:
        reader.safety.stored_item(given.args[0], given.args[1], given.node)


def _module(reader: CallReader, given: Arguments) -> Value:
    return reader.safety.module(_first(given.args), given.node)


SPECIALS: dict[str, Callable[[CallReader, Arguments], Value]] = {
    "builtins.getattr": _getattr,
    "builtins.object.__getattribute__": _getattr,
    "builtins.type.__getattribute__": _getattr,
    "builtins.setattr": _setattr,
    "builtins.delattr": _setattr,
    "builtins.object.__setattr__": _setattr,
    "builtins.type.__setattr__": _setattr,
    "builtins.type": _type,
    "builtins.vars": _vars,
    "builtins.globals": _globals,
    "builtins.locals": _globals,
    "builtins.globals().get": _global,
    "builtins.globals().__getitem__": _global,
    "builtins.globals().pop": _global,
    "builtins.globals().setdefault": _global,
    "builtins.exec": _run,
    "builtins.eval": _run,
    "builtins.compile": _compile,
    "builtins.map": _map,
    "builtins.len": _len,
    "builtins.id": _id,
    "builtins.open": _open,
    "builtins.super": _super,
    "builtins.__import__": _import,
    "importlib.import_module": _import_module,
    "importlib.__import__": _import,
    "functools.partial": _partial,
    "functools.reduce": _reduce,
    "functools.wraps()": _itself,
    "copy.copy": _itself,
    "operator.attrgetter": _attrgetter,
    "operator.attrgetter.of": _attrgetter_of,
    "operator.methodcaller": _methodcaller,
    "operator.methodcaller.of": _methodcaller_of,
    "operator.setitem": _setitem,
    "sys.modules.get": _module,
    "sys.modules.__getitem__": _module,
}
