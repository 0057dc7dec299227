"""The launching side: grids, launch arguments, marked launch parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import libcst as cst

from operators.structural.triton.tree import (
    Refused,
    View,
    assigned,
    calls,
    code,
    dotted,
    expr,
    replaced,
    stmt,
    walk,
)

# Keywords of a launch that are the compiler's, not the kernel's.
OPTIONS = frozenset(
    {"num_warps", "num_stages", "maxnreg", "num_ctas", "enable_fp_fusion", "grid", "warmup"}
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A launch parameter to be added at the top of the module."""

    name: str
    value: int
    choices: tuple[int, ...]

    @property
    def line(self) -> str:
        """Its line of Python."""
        return f"{self.name} = {self.value}  # tune: {', '.join(map(str, self.choices))}\n"


@dataclass(frozen=True)
class Revision:
    """A kernel's new text with what its launches need for it.

    Attributes:
        constants: New `tl.constexpr` parameters and the expression every launch passes.
        values: New run-time parameters likewise; the text may differ by launch.
        grid: Makes a launch's new grid from its present elements; None keeps it.
        options: Compiler options to add to the launches.
        marks: New launch parameters.
    """

    kernel: cst.FunctionDef
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Callable[[cst.Call], str]] = field(default_factory=dict)
    grid: Callable[[list[str]], list[str]] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[Mark] = ()


def revised(view: View, kernel: cst.FunctionDef, revision: Revision) -> cst.Module:
    """The module with the kernel replaced, its launches adapted and the marks added.

    Refused when the launches would have to change and cannot be followed.
    """
    adds = bool(revision.constants or revision.values)
    touches = adds or revision.grid is not None or bool(revision.options)
    if touches and not view.launched_only(kernel):
        raise Refused("the kernel is not only launched")
    new = revision.kernel
    if adds:
        annotated = [_parameter(name, constant=True) for name in revision.constants]
        plain = [_parameter(name, constant=False) for name in revision.values]
        if kernel.params.kwonly_params or kernel.params.star_kwarg is not None:
            raise Refused("unusual parameters")
        if plain and any(p.default is not None for p in kernel.params.params):
            raise Refused("default values")
        params = [*new.params.params, *plain, *annotated]
        new = new.with_changes(params=new.params.with_changes(params=_separated(params)))
    changes: dict[cst.CSTNode, cst.CSTNode | Sequence[cst.CSTNode]] = {kernel: new}
    for call in view.launches(kernel) if touches else ():
        changes[call] = _relaunched(view, call, revision)
    return with_marks(replaced(view.module, changes), revision.marks)


def _parameter(name: str, *, constant: bool) -> cst.Param:
    annotation = cst.Annotation(expr("tl.constexpr")) if constant else None
    return cst.Param(name=cst.Name(name), annotation=annotation)


def _separated(params: Sequence[cst.Param]) -> list[cst.Param]:
    commas = _commas([p.comma for p in params])
    return [p.with_changes(comma=comma) for p, comma in zip(params, commas, strict=True)]


def _with_commas(args: Sequence[cst.Arg]) -> list[cst.Arg]:
    commas = _commas([a.comma for a in args])
    return [a.with_changes(comma=comma) for a, comma in zip(args, commas, strict=True)]


def _commas(
    present: Sequence[cst.Comma | cst.MaybeSentinel],
) -> list[cst.Comma | cst.MaybeSentinel]:
    """Commas for a list that grew at its end: the style of the first one, the old last one last."""
    real = [c for c in present if isinstance(c, cst.Comma)]
    between = real[0] if real else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    behind: cst.Comma | cst.MaybeSentinel = cst.MaybeSentinel.DEFAULT
    if len(real) > 1 and "\n" in cst.Module([]).code_for_node(real[0]):
        behind = real[-1]
    return [*(between for _ in present[:-1]), *([behind] if present else [])]


def _relaunched(view: View, call: cst.Call, revision: Revision) -> cst.Call:
    added = {**{n: f(call) for n, f in revision.values.items()}, **revision.constants}
    args = list(call.args)
    if any(a.star for a in args):
        raise Refused("starred launch arguments")
    present = {a.keyword.value for a in args if a.keyword is not None}
    for name, text in {**added, **revision.options}.items():
        if name in present:
            raise Refused("argument already there")
        args.append(keyword_argument(name, text))
    func = call.func
    if revision.grid is not None:
        elements = revision.grid([code(e) for e in grid_of(view, call)])
        text = f"({', '.join(elements)}{',' if len(elements) == 1 else ''})"
        slice_ = cst.SubscriptElement(cst.Index(expr(text)))
        func = cst.ensure_type(func, cst.Subscript).with_changes(slice=[slice_])
    return call.with_changes(func=func, args=_with_commas(args))


def keyword_argument(name: str, text: str) -> cst.Arg:
    """`name=text` as a call's argument."""
    equal = cst.AssignEqual(
        whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace("")
    )
    return cst.Arg(value=expr(text), keyword=cst.Name(name), equal=equal)


def with_arguments(call: cst.Call, keywords: Mapping[str, str | None]) -> cst.Call:
    """The call with keyword arguments set; None takes one away."""
    args = [
        a for a in call.args if a.keyword is None or keywords.get(a.keyword.value, "") is not None
    ]
    for name, text in keywords.items():
        if text is None:
            continue
        new = keyword_argument(name, text)
        at = [i for i, a in enumerate(args) if a.keyword is not None and a.keyword.value == name]
        if at:
            args[at[0]] = args[at[0]].with_changes(value=new.value)
        else:
            args.append(new)
    return call.with_changes(args=_with_commas(args))


def keyword(call: cst.Call, name: str) -> cst.BaseExpression | None:
    """The value of a keyword argument, None when absent."""
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == name:
            return arg.value
    return None


def grid_of(view: View, call: cst.Call) -> list[cst.BaseExpression]:
    """The grid's elements; Refused when they cannot be read off.

    Understands `kernel[(a, b)]`, `kernel[a, b]` and `grid = (a, b)` bound once in the module.
    """
    slices = cst.ensure_type(call.func, cst.Subscript).slice
    found = [s.slice.value for s in slices if isinstance(s.slice, cst.Index)]
    if len(found) == 1 and isinstance(found[0], cst.Name):
        name = found[0].value
        values = [pair[1] for n in walk(view.module) if (pair := assigned(n)) and pair[0] == name]
        bound = sum(
            isinstance(n, cst.AssignTarget | cst.AugAssign | cst.For | cst.NamedExpr)
            and dotted(n.target) == name
            for n in walk(view.module)
        )
        if len(values) != 1 or bound != 1:
            raise Refused("grid bound elsewhere")
        found = values
    if len(found) == 1 and isinstance(found[0], cst.Tuple):
        found = [e.value for e in found[0].elements if isinstance(e, cst.Element)]
    if not found or any(isinstance(e, cst.Lambda) for e in found):
        raise Refused("grid is a function")
    return found


def argument(kernel: cst.FunctionDef, call: cst.Call, name: str) -> str | None:
    """The text that a launch passes for a parameter; None when it passes none."""
    given = keyword(call, name)
    if given is not None:
        return code(given)
    names = [p.name.value for p in kernel.params.params]
    positional = [a for a in call.args if a.keyword is None and not a.star]
    if name in names and names.index(name) < len(positional):
        return code(positional[names.index(name)].value)
    return None


def with_marks(module: cst.Module, marks: Sequence[Mark]) -> cst.Module:
    """The module with launch parameters added behind the last one, or behind the imports."""
    if not marks:
        return module
    body = list(module.body)
    at = 0
    for index, node in enumerate(body):
        if isinstance(node, cst.SimpleStatementLine) and (
            any(isinstance(s, cst.Import | cst.ImportFrom) for s in node.body) or _is_marked(node)
        ):
            at = index + 1
        elif isinstance(node, cst.FunctionDef | cst.ClassDef):
            break
    if at == 0 and body and isinstance(body[0], cst.SimpleStatementLine):
        at = 1
    return module.with_changes(body=[*body[:at], *(stmt(k.line) for k in marks), *body[at:]])


def _is_marked(line: cst.SimpleStatementLine) -> bool:
    comment = line.trailing_whitespace.comment
    return comment is not None and comment.value.replace(" ", "").startswith("#tune:")


def program_axes(kernel: cst.FunctionDef) -> dict[int, list[cst.Call]]:
    """Calls of `tl.program_id` by axis; Refused for an axis that is no literal."""
    return _axis_calls(kernel, "tl.program_id")


def count_axes(kernel: cst.FunctionDef) -> dict[int, list[cst.Call]]:
    """Calls of `tl.num_programs` by axis."""
    return _axis_calls(kernel, "tl.num_programs")


def _axis_calls(kernel: cst.FunctionDef, function: str) -> dict[int, list[cst.Call]]:
    found: dict[int, list[cst.Call]] = {}
    for call in calls(kernel, function):
        value = call.args[0].value if len(call.args) == 1 else None
        if not isinstance(value, cst.Integer) or value.value not in {"0", "1", "2"}:
            raise Refused("unusual program axis")
        found.setdefault(int(value.value), []).append(call)
    return found
