"""TorchInductor's Triton kernels with a fixed, marked configuration.

TorchInductor chooses block sizes when a kernel is first launched, by its own heuristics. Here they
are launch parameters of the candidate, at the sizes such heuristics tend to begin with. Sizes that
the kernel knows already are no arguments any more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fitness.inductor.triton_helpers import helpers, plain_calls
from fitness.inductor.wrapper import Kernel, UntranslatableError

_BLOCK = re.compile(r"(?P<axis>[XYZ]|R\d_)BLOCK")
FOLD = "fold"
_FOLDED = "Grid2DWithYZOverflow"
_FOLD_TEXT = f"""\
def {FOLD}(programs):
    # A grid's second and third axis end at 65535 programs.
    layers = triton.cdiv(programs, 65535)
    return triton.cdiv(programs, layers), layers"""
_GRIDS = {
    "Grid1D": ("x",),
    "Grid2D": ("x", "y"),
    "Grid3D": ("x", "y", "z"),
    _FOLDED: ("x", "y"),
}
# TorchInductor leaves out masks where these sizes divide the extent: a block may not be larger.
_LARGEST = {"X": 4096, "Y": 1024, "Z": 1024, "R0_": 4096, "R1_": 2048}


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonKernel:
    """A Triton kernel as a candidate holds it.

    Attributes:
        name: Its name in the candidate.
        definitions: `@triton.jit` functions, the kernel last.
        parameters: Lines that bind its launch parameters.
        positions: Which positional arguments of the generated launch remain.
        grid: (position of the extent's argument or the extent itself, block) for each axis; the
            block is a launch parameter's name or a number.
        is_folded: Whether the second axis is spread over the grid's second and third.
        keywords: Keyword arguments of the launch: parameter of the kernel -> launch parameter.
    """

    name: str
    definitions: str
    parameters: tuple[str, ...]
    positions: tuple[int, ...]
    grid: tuple[tuple[int | str, str], ...]
    keywords: tuple[tuple[str, str], ...]
    is_folded: bool

    def launch(self, arguments: Sequence[ast.expr]) -> str:
        """The text that launches it, from the arguments of the generated launch."""
        axes = []
        for extent, block in self.grid:
            size = extent if isinstance(extent, str) else ast.unparse(arguments[extent])
            axes.append(size if block == "1" else f"triton.cdiv({size}, {block})")
        if self.is_folded:
            axes[1] = f"*{FOLD}({axes[1]})"
        given = [ast.unparse(arguments[i]) for i in self.positions]
        given += [f"{name}={value}" for name, value in self.keywords]
        grid = f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"
        return f"{self.name}[{grid}]({', '.join(given)})"


def translate(kernel: Kernel, name: str, number: int) -> TritonKernel:
    """Make a generated kernel a plain one.

    Args:
        kernel: The generated kernel.
        name: What to call it.
        number: Its number in the candidate, for the names of its launch parameters.

    Raises UntranslatableError for kernels that need a special launch.
    """
    tree = ast.parse(kernel.source)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    main = functions[-1]
    meta = _Meta(main)
    params = [a.arg for a in main.args.args]
    blocks = [p for p in params if _BLOCK.fullmatch(p)]
    if odd := [p for p in params if p.isupper() and p not in blocks]:
        raise UntranslatableError(f"a Triton kernel has the launch parameter {odd[0]}")
    plain = [p for p in params if p not in blocks]
    known = _known_sizes(main, plain)
    axes = _GRIDS.get(meta.grid)
    if axes is None:
        raise UntranslatableError(f"a Triton kernel is launched on a {meta.grid or 'special grid'}")
    fixed = _fixed_blocks(main)
    # Along an extent of 1 there is no mask, and so no choice.
    single = [b for b in blocks if known.get(f"{b.removesuffix('BLOCK').lower()}numel") == "1"]
    fixed |= dict.fromkeys(single, 1)
    blocks = [b for b in blocks if b not in single]
    chosen = _configuration(meta, blocks, fixed)
    grid: list[tuple[int | str, str]] = []
    for axis in axes:
        block = f"{axis.upper()}BLOCK"
        size = f"{axis}numel"
        extent: int | str = known[size] if size in known else plain.index(size)
        own = f"{block}_{number}" if block in blocks else str(fixed.get(block, 1))
        grid.append((extent, own))
    keywords = [(b, "1") for b in single] + [(b, f"{b}_{number}") for b in blocks]
    keywords += [(n, f"{n.upper()}_{number}") for n in chosen.options]
    texts = [_function_text(kernel.source, f, name, main, known) for f in functions]
    return TritonKernel(
        name=name,
        definitions="\n\n\n".join(plain_calls(t) for t in texts),
        parameters=tuple(line.replace("{n}", str(number)) for line in chosen.lines.values()),
        positions=tuple(i for i, p in enumerate(plain) if p not in known),
        grid=tuple(grid),
        keywords=tuple(keywords),
        is_folded=meta.grid == _FOLDED,
    )


def definitions(kernels: Sequence[TritonKernel]) -> str:
    """The text of all kernels, with the helpers they need in front."""
    text = "\n\n\n".join(k.definitions for k in kernels)
    fold = _FOLD_TEXT if any(k.is_folded for k in kernels) else ""
    return "\n\n\n".join(part for part in (helpers(text), text, fold) if part)


class _Meta:
    """What the decorator of a generated kernel says."""

    def __init__(self, function: ast.FunctionDef) -> None:
        call = next(
            (d for d in function.decorator_list if isinstance(d, ast.Call)),
            ast.Call(ast.Name(""), [], []),
        )
        self.kind = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        given = {k.arg: k.value for k in call.keywords}
        self.sizes: dict[str, int] = (
            ast.literal_eval(given["size_hints"]) if "size_hints" in given else {}
        )
        hint = given.get("reduction_hint")
        self.hint = hint.attr if isinstance(hint, ast.Attribute) else ""
        self.grid = ""
        meta = given.get("inductor_meta")
        if isinstance(meta, ast.Dict):
            for key, value in zip(meta.keys, meta.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "grid_type":
                    self.grid = str(getattr(value, "value", ""))


@dataclass(slots=True)
class _Configuration:
    lines: dict[str, str]
    options: tuple[str, ...]


def _configuration(meta: _Meta, blocks: list[str], fixed: dict[str, int]) -> _Configuration:
    """Launch parameters: name of a block or option -> the line that binds it."""
    sizes = {f"{name.upper()}BLOCK": max(1, size) for name, size in meta.sizes.items()}
    values = dict(fixed)
    for block, wanted in _wanted_blocks(meta, blocks, fixed, sizes).items():
        values[block] = min(wanted, _power(sizes.get(block, wanted)), _limit(block))
    lines = {}
    for block in blocks:
        top = min(_limit(block), max(_power(sizes.get(block, 1)), values[block]))
        around = [(values[block] << 3) >> i for i in range(7)]
        choices = {c for c in around if 1 <= c <= top} | {values[block], values[block] * 2}
        lines[block] = _line(block, values[block], sorted(c for c in choices if c <= _limit(block)))
    elements = 1
    for size in values.values():
        elements *= size
    reduces = meta.kind != "pointwise"
    warps = max(1 if elements <= 64 else 2, min(elements // 256, 8 if reduces else 4))
    options = ["num_warps"]
    lines["num_warps"] = _line("NUM_WARPS", warps, [1, 2, 4, 8, 16])
    if any(b.startswith("R") for b in blocks):
        options.append("num_stages")
        lines["num_stages"] = _line("NUM_STAGES", 1, [1, 2, 3, 4])
    return _Configuration(lines, tuple(options))


def _wanted_blocks(
    meta: _Meta, blocks: list[str], fixed: dict[str, int], sizes: dict[str, int]
) -> dict[str, int]:
    outer = meta.hint.startswith("OUTER")
    if meta.kind == "pointwise":
        edge = {1: 1024, 2: 32, 3: 16}.get(len(blocks), 8)
        return dict.fromkeys(blocks, edge) | ({"ZBLOCK": 4} if len(blocks) == 3 else {})
    if not any(b.startswith("R") for b in blocks):
        inside = 1
        for block, size in fixed.items():
            inside *= size if block.startswith("R") else 1
        budget = 4096 if outer else 1024
        return dict.fromkeys(blocks, max(1, budget // max(inside, 1)))
    reduced = [b for b in blocks if b.startswith("R")]
    others = [b for b in blocks if b not in reduced]
    if len(reduced) > 1:
        return dict.fromkeys(reduced, 32) | dict.fromkeys(others, 1)
    if outer:
        return dict.fromkeys(reduced, 8) | dict.fromkeys(others, 64)
    size = min(2048, sizes.get(reduced[0], 2048))
    return dict.fromkeys(reduced, size) | dict.fromkeys(others, max(1, 1024 // _power(size)))


def _line(name: str, value: int, choices: list[int]) -> str:
    return f"{name}_{{n}} = {value}  # tune: {', '.join(map(str, choices))}"


def _power(size: int) -> int:
    return 1 << max(size - 1, 0).bit_length()


def _limit(block: str) -> int:
    return _LARGEST.get(block.removesuffix("BLOCK"), 1024)


def _known_sizes(function: ast.FunctionDef, params: list[str]) -> dict[str, str]:
    """Parameters that the body binds to a number at once: they need not be passed."""
    known = {}
    for statement in function.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(value))):
                if name in params:
                    known[name] = str(value)
    return known


def _fixed_blocks(function: ast.FunctionDef) -> dict[str, int]:
    """Block sizes that the body itself fixes: `R0_BLOCK: tl.constexpr = 64`."""
    fixed = {}
    for statement in function.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=int(value))):
                if _BLOCK.fullmatch(name):
                    fixed[name] = value
    return fixed


def _function_text(
    source: str, function: ast.FunctionDef, name: str, main: ast.FunctionDef, known: dict[str, str]
) -> str:
    """A function's text under its new name, without the parameters that it knows."""
    lines = source.splitlines()[function.body[0].lineno - 1 : function.end_lineno]
    if function is main:
        params = [
            f"{a.arg}: tl.constexpr" if a.arg.isupper() else a.arg
            for a in function.args.args
            if a.arg not in known
        ]
        head = f"def {name}({', '.join(params)}):"
    else:
        head = f"def {function.name}({ast.unparse(function.args)}):"
    body = "\n".join(line for line in lines if line.strip())
    text = f"@triton.jit\n{head}\n{body}"
    # Helpers of a kernel's own bear the same names in every kernel.
    return re.sub(r"\b_triton_helper_fn", f"_{name}_fn", text)
