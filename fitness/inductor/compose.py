"""One candidate module of the reference's constructor and TorchInductor's kernels."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fitness.exchange import Tree
from fitness.inductor import cpp, triton, triton_helpers
from fitness.inductor.checks import checks, input_expression, tuple_text
from fitness.inductor.model import ReferenceText
from fitness.inductor.trace import Graph
from fitness.inductor.wrapper import (
    WITH_STRIDES,
    Generated,
    Kernel,
    Rewriter,
    UntranslatableError,
    read,
)
from fitness.spec import EvaluationSpec

_NAME_LIMIT = 48
_WITH_STRIDES_TEXT = f"""\

def {WITH_STRIDES}(tensor, strides):
    # The kernels after a library's function read its result in this layout.
    if tensor.stride() == strides:
        return tensor
    copy = torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype, device=tensor.device)
    return copy.copy_(tensor)"""
_BUILTINS = frozenset(("max", "min", "float", "int", "math", "bool", "abs"))


def compose(spec: EvaluationSpec, reference: ReferenceText, graphs: Sequence[Graph]) -> str:
    """The candidate's source. Raises UntranslatableError."""
    composer = _Composer(reference, on_device=spec.device == "cuda", parallel=spec.threads > 1)
    for graph in graphs:
        composer.add(graph)
    return composer.text(spec.problem.stem)


@dataclass(slots=True)
class _Part:
    """The code for one graph."""

    workloads: tuple[str, ...]
    checks: list[str]
    condition: str
    body: list[str]


class _Composer:
    def __init__(self, reference: ReferenceText, *, on_device: bool, parallel: bool) -> None:
        self._reference = reference
        self._on_device = on_device
        self._parallel = parallel
        self._taken = (
            set(reference.taken)
            | _BUILTINS
            | {"torch", "triton", "tl", "load_cpp", WITH_STRIDES, triton.FOLD}
        )
        self._library = self._fresh("kernels")
        self._source = self._fresh("SOURCE")
        self._cpp: list[Kernel] = []
        self._cpp_names: dict[str, str] = {}
        self._triton: list[triton.TritonKernel] = []
        self._constants: list[str] = []
        self._parts: list[_Part] = []

    def _fresh(self, wanted: str) -> str:
        name, count = wanted, 2
        while name in self._taken or keyword.iskeyword(name):
            name, count = f"{wanted}_{count}", count + 1
        self._taken.add(name)
        return name

    def add(self, graph: Graph) -> None:
        """Take the code of one graph in."""
        generated = read(graph.code)
        if len(generated.arguments) != len(graph.constants) + len(graph.arguments):
            raise UntranslatableError(
                f"the generated code takes {len(generated.arguments)} tensors, but the reference "
                f"has {len(graph.constants)} constants and {len(graph.arguments)} others"
            )
        constants = generated.arguments[: len(graph.constants)]
        arguments = generated.arguments[len(graph.constants) :]
        translated = self._kernels(generated)
        local = _Locals(self._reference, graph, self._taken)
        used = _used(generated)
        names = {}
        lines = []
        for name, expression in zip(constants, graph.constants, strict=True):
            names[name] = self._fresh("CONSTANT")
            self._constants.append(f"{names[name]} = {expression}")
        for name, argument in zip(arguments, graph.arguments, strict=True):
            if argument.is_input:
                names[name] = local.inputs[argument.expression]
            elif name in used:
                names[name] = local.fresh(argument.expression.removeprefix("self."))
                lines.append(f"{names[name]} = {argument.expression}")
        device = ""
        if self._on_device:
            device = local.fresh("device")
            first = next((names[n] for n in arguments if n in names), None)
            if first is None:
                raise UntranslatableError("the reference has neither state nor inputs")
            lines.append(f"{device} = {first}.device")
        rewriter = Rewriter(
            names=names,
            shapes={
                n: (a.shape, a.stride) for n, a in zip(arguments, graph.arguments, strict=True)
            },
            symbols=tuple(graph.symbols),
            device=device,
        )
        lines += [
            self._statement(statement, rewriter, translated)
            for statement in generated.statements
            if not rewriter.note(statement)
        ]
        results = [ast.unparse(rewriter.visit(r)) for r in generated.results]
        lines.append(f"return {_build(graph.output, results)}")
        if device and not any(
            re.search(rf"\b{device}\b", line)
            for line in lines[1:]
            if not line.startswith(f"{device} =")
        ):
            lines = [line for line in lines if not line.startswith(f"{device} = ")]
        wanted, condition = checks(graph, self._reference.names)
        self._parts.append(_Part(graph.workloads, wanted, condition, lines))

    def _kernels(self, generated: Generated) -> dict[str, str | triton.TritonKernel]:
        found: dict[str, str | triton.TritonKernel] = {}
        for kernel in generated.kernels:
            name = self._fresh(_kernel_name(kernel.name))
            if kernel.language == "cpp":
                renamed = Kernel(name=name, language="cpp", source=kernel.source)
                self._cpp.append(renamed)
                self._cpp_names[name] = name
                found[kernel.name] = name
            else:
                one = triton.translate(kernel, name, len(self._triton))
                self._triton.append(one)
                found[kernel.name] = one
        return found

    def _statement(
        self,
        statement: ast.stmt,
        rewriter: Rewriter,
        translated: dict[str, str | triton.TritonKernel],
    ) -> str:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name), args=arguments)) if (
                name in translated
            ):
                return self._cpp_call(str(translated[name]), arguments, rewriter)
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="run"), args=arguments
                )
            ) if name in translated:
                kernel = translated[name]
                assert isinstance(kernel, triton.TritonKernel)  # noqa: S101 - it has a run
                return kernel.launch([rewriter.visit(a) for a in arguments])
        return ast.unparse(ast.fix_missing_locations(rewriter.visit(statement)))

    def _cpp_call(self, name: str, arguments: list[ast.expr], rewriter: Rewriter) -> str:
        given = []
        for argument in arguments:
            is_loose = rewriter.is_loose(argument)
            text = ast.unparse(rewriter.visit(argument))
            given.append(f"{text}.data_ptr()" if is_loose else text)
        return f"{self._library}.{name}({', '.join(given)})"

    def text(self, problem: str) -> str:
        """The module."""
        reference = self._reference
        kernels = [self._cpp_text()] if self._cpp else []
        if self._triton:
            if clash := triton_helpers.NAMES & reference.taken:
                raise UntranslatableError(f"the problem file uses the name {min(clash)}")
            kernels += ["\n".join(p for k in self._triton for p in k.parameters)]
            kernels += ["\n" + triton.definitions(self._triton)]
        head = [f'"""TorchInductor\'s code for {problem}."""', self._imports("\n".join(kernels))]
        if any(WITH_STRIDES in line for part in self._parts for line in part.body):
            kernels.append(_WITH_STRIDES_TEXT)
        parts = [*head, "\n".join(self._constants), *kernels, reference.definitions]
        return "\n\n".join(p for p in parts if p) + f"\n\n\n{self._class()}\n"

    def _imports(self, kernels: str) -> str:
        own = ["import torch"]
        if self._triton:
            own += ["import triton", "import triton.language as tl"]
            own += triton_helpers.imports(kernels)
        given = [line for line in self._reference.imports.splitlines() if line not in own]
        future = [line for line in given if line.startswith("from __future__")]
        lines = [*future, *own, *(line for line in given if line not in future)]
        if self._cpp:
            lines += ["", "from fitness.native import load_cpp"]
        if any(
            "math." in c for part in self._parts for c in (*part.body, *part.checks, part.condition)
        ):
            lines.insert(len(future), "import math")
        return "\n".join(dict.fromkeys(lines)) if "" not in lines else "\n".join(lines)

    def _cpp_text(self) -> str:
        text = cpp.source_text(self._cpp, self._cpp_names, parallel=self._parallel)
        return f'{self._source} = r"""\n{text}\n"""\n\n{self._library} = load_cpp({self._source})'

    def _class(self) -> str:
        reference = self._reference
        lines = [reference.class_head]
        if reference.class_body:
            lines += [reference.class_body, ""]
        forward = (
            f"    def forward(self{', ' if reference.parameters else ''}{reference.parameters}):"
        )
        if len(self._parts) == 1:
            part = self._parts[0]
            return "\n".join([*lines, forward, *_indented([*part.checks, *part.body], 2)])
        methods = []
        lines.append(forward)
        passed = ", ".join(reference.names)
        for i, part in enumerate(self._parts):
            name = f"_forward_{i}"
            lines += [f"        if {part.condition}:", f"            return self.{name}({passed})"]
            methods += [
                "",
                f"    def {name}(self{', ' if passed else ''}{', '.join(reference.names)}):",
                f'        """For {", ".join(part.workloads)}."""',
                *_indented([*part.checks, *part.body], 2),
            ]
        lines.append('        raise ValueError("made for inputs of other shapes")')
        return "\n".join([*lines, *methods])


class _Locals:
    """Names inside one forward."""

    def __init__(self, reference: ReferenceText, graph: Graph, taken: set[str]) -> None:
        self._taken = set(taken) | {n.lstrip("*") for n in reference.names} | set(graph.symbols)
        self.inputs = {
            a.expression: input_expression(a.expression, reference.names)
            for a in graph.arguments
            if a.is_input
        }

    def fresh(self, wanted: str) -> str:
        """A readable name: "conv_weight" for "conv.weight"."""
        name = re.sub(r"\W+", "_", wanted).strip("_") or "value"
        name = f"p{name}" if name[0].isdigit() else name
        found, count = name, 2
        while found in self._taken or keyword.iskeyword(found) or re.match(r"buf\d", found):
            found, count = f"{name}_{count}", count + 1
        self._taken.add(found)
        return found


def _used(generated: Generated) -> set[str]:
    nodes = [*generated.statements, *generated.results]
    kept = [
        n
        for n in nodes
        if not (isinstance(n, ast.Expr) and "assert_size_stride" in ast.unparse(n)[:20])
    ]
    return {n.id for node in kept for n in ast.walk(node) if isinstance(n, ast.Name)}


def _kernel_name(name: str) -> str:
    short = re.sub(r"^(cpp|triton)_", "", name)
    short = re.sub(r"^(poi|red|per|tem|spl)_", "", short)
    short = re.sub(r"_+", "_", short)
    if len(short) > _NAME_LIMIT:
        short = short[:_NAME_LIMIT].rsplit("_", 1)[0] + "_" + name.rsplit("_", 1)[-1]
    return short


def _build(tree: Tree, results: Sequence[str]) -> str:
    """The expression of the outputs in the structure that the reference gives them."""
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return results[int(content)]
    if kind == "value":
        return repr(content)
    if kind == "dict":
        items = [f"{key!r}: {_build(value, results)}" for key, value in content]
        return f"{{{', '.join(items)}}}"
    items = [_build(value, results) for value in content]
    if kind == "list":
        return f"[{', '.join(items)}]"
    return tuple_text(items) if items else "()"


def _indented(lines: Sequence[str], depth: int) -> list[str]:
    prefix = "    " * depth
    return [prefix + line for text in lines for line in text.splitlines()]
