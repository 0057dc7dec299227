"""What a candidate checks before it uses code that was generated for some shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fitness.inductor.trace import Argument, Graph
from fitness.inductor.wrapper import UntranslatableError, is_row_major


def input_expression(path: str, names: Sequence[str]) -> str:
    """An input's path, "[0]['mask']", with the name of its parameter: "x['mask']"."""
    number, _, rest = path.removeprefix("[").partition("]")
    position = int(number)
    positional = [n for n in names if not n.startswith("*")]
    if position < len(positional):
        return positional[position] + rest
    if not names or not names[-1].startswith("*"):
        raise UntranslatableError("get_inputs returns more than Model.forward takes")
    return f"{names[-1][1:]}[{position - len(positional)}]{rest}"


def checks(graph: Graph, parameters: Sequence[str]) -> tuple[list[str], str]:
    """Statements that refuse other inputs, and an expression that tells whether they would.

    Args:
        graph: What the code was generated for. Its symbols are bound by the statements.
        parameters: Names of forward's parameters; a name after `*` stands last with the star.
    """
    lines: list[str] = []
    conditions: list[str] = []
    bound: dict[str, str] = {}
    for i, argument in enumerate(graph.arguments):
        if not argument.is_input:
            continue
        where = input_expression(argument.expression, parameters)
        for symbol, (owner, dimension) in graph.symbols.items():
            if owner == i:
                bound[symbol] = f"{where}.shape[{dimension}]"
                lines.append(f"{symbol} = {bound[symbol]}")
        shape = tuple_text(argument.shape)
        wanted = f"{argument.dtype}[{', '.join(argument.shape)}]"
        lines += [
            f"if {where}.shape != {shape} or {where}.dtype != torch.{argument.dtype}:",
            f'    raise ValueError(f"{wanted} is needed, but got {{{where}.dtype}}'
            f'{{tuple({where}.shape)}}")',
            *_layout_check(argument, where, tuple(graph.symbols)),
        ]
        conditions += [
            f"{where}.dtype == torch.{argument.dtype}",
            f"{where}.dim() == {len(argument.shape)}",
            *(f"{where}.shape[{d}] == {extent}" for d, extent in enumerate(argument.shape)),
        ]
    for path, value in graph.values:
        where = input_expression(path, parameters)
        lines += [f"if {where} != {value}:", f'    raise ValueError("made for {where} = {value}")']
        conditions.append(f"{where} == {value}")
    for condition in graph.conditions:
        if set(re.findall(r"\b[a-z]+\d+\b", condition)) <= set(bound):
            lines += [f"if not ({condition}):", f'    raise ValueError("needs {condition}")']
            conditions.append(f"({condition})")
    return lines, _dispatch(conditions, bound)


def _dispatch(conditions: Sequence[str], bound: Mapping[str, str]) -> str:
    """The conditions as one expression of the inputs alone."""
    found = []
    for condition in conditions:
        text = condition
        for symbol, value in bound.items():
            text = value.join(re.split(rf"\b{symbol}\b", text))
        left, _, right = text.partition(" == ")
        if left != right:
            found.append(text)
    return " and ".join(found) or "True"


def _layout_check(argument: Argument, where: str, symbols: tuple[str, ...]) -> list[str]:
    """Make an input's layout what the code was generated for, or refuse it."""
    if not is_row_major(argument.shape, argument.stride, symbols):
        strides = tuple_text(argument.stride)
        return [
            f"if {where}.stride() != {strides}:",
            f'    raise ValueError(f"strides {strides} are needed, but got {{{where}.stride()}}")',
        ]
    if where.isidentifier():
        return [f"{where} = {where}.contiguous()"]
    return [
        f"if not {where}.is_contiguous():",
        f'    raise ValueError("{where} is not contiguous")',
    ]


def tuple_text(items: Sequence[str]) -> str:
    """A tuple of expressions as an expression."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
