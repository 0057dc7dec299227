"""TorchInductor's C++ kernels as plain loops that compile without torch's headers.

The generated text is correct but made for a machine: every number is cast, every scope doubled,
every variable `auto`. What operators (and people) edit best is the loop that remains when all that
is gone: typed constants, `+=`, `#pragma omp parallel for` on a loop. Nothing that is computed
changes, with two exceptions: sums that TorchInductor takes in cascades are taken in double, which
is as precise, and so are Welford's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fitness.inductor.cpp_helpers import helpers
from fitness.inductor.cpp_statements import Block, Plain
from fitness.inductor.wrapper import Kernel, UntranslatableError

_SIGNATURE = re.compile(r'extern "C"\s+(?:TORCH_\w+\s+)?void\s+kernel\((?P<params>[^)]*)\)')
# One accumulator takes the terms of a sum in order, and its rounding grows with their number; the
# vectors that this text had before had many. So the compiler may take several.
_SUM = re.compile(r"^ *(\w+) \+= .*;$", re.MULTILINE)
_SUM_FLAGS = "// flags: -fassociative-math"
_BOOKKEEPING = ("inductor_cpu_integer_div_error", "#include")
_TYPES = {"at::Half": "half", "at::BFloat16": "bfloat16", "c10::Half": "half"}


def source_text(kernels: list[Kernel], names: dict[str, str], *, parallel: bool) -> str:
    """One C++ source with all kernels, under their new names.

    Args:
        kernels: The generated kernels.
        names: Name in the generated module -> name in the text.
        parallel: Whether the text uses threads.

    Raises UntranslatableError when a kernel needs more of torch than there is here.
    """
    bodies = [plain_kernel(kernel.source, names[kernel.name]) for kernel in kernels]
    text = "\n\n".join(bodies)
    headers = ["algorithm", "cmath", "cstdint", "limits"]
    if "unique_ptr" in text:
        headers.append("memory")
    if parallel and "omp_" in text:
        headers.append("omp.h")
    includes = "\n".join(f"#include <{h}>" for h in headers)
    if _SUM.search(text):
        includes = f"{_SUM_FLAGS}\n{includes}"
    return "\n\n".join(part for part in (includes, helpers(text), text) if part)


def plain_kernel(source: str, name: str) -> str:
    """One kernel as a plain function of the given name."""
    match = _SIGNATURE.search(source)
    if match is None:
        raise UntranslatableError(f"kernel {name} has no signature of the expected form")
    params = [re.sub(r"\s+", " ", p.strip()) for p in match["params"].split(",") if p.strip()]
    body = source[match.end() :]
    tree = _parse(_rename_types(body))
    root = tree.items[0]
    assert isinstance(root, Block)  # noqa: S101 - a function has a body
    types = {}
    params = [_rename_types(p) for p in params]
    for param in params:
        words = re.findall(r"[\w:<>]+", param)
        types[words[-1]] = " ".join(w for w in words[:-1] if w != "const") + "*" * param.count("*")
    Plain(types).visit(root)
    _flatten_regions(root)
    _flatten_blocks(root)
    lines = [f'extern "C" void {name}(', *_parameter_lines(params)]
    text = "\n".join([*lines, *_write(root, 0)])
    if left := re.search(r"\b(?:at|c10|torch)::[\w:]+", text):
        raise UntranslatableError(f"a C++ kernel uses {left[0]}")
    return text


def _rename_types(text: str) -> str:
    for old, new in _TYPES.items():
        text = text.replace(old, new)
    return text


def _parameter_lines(params: list[str]) -> list[str]:
    lines, line = [], "   "
    for i, param in enumerate(params):
        piece = f" {param}{',' if i + 1 < len(params) else ')'}"
        if len(line) + len(piece) > 100:
            lines.append(line)
            line = "   "
        line += piece
    return [*lines, line] if params else [")"]


def _parse(text: str) -> Block:
    """Lines and braces as a tree. TorchInductor writes a brace, or a statement, to a line."""
    root = Block()
    stack = [root]
    head: list[str] = []
    for raw in text.strip().splitlines():
        line = raw.strip()
        if line == "{":
            block = Block(head=head)
            head = []
            stack[-1].items.append(block)
            stack.append(block)
        elif line.startswith("}"):
            closed = stack.pop()
            closed.tail = line[1:].strip()
        elif not line or any(word in line for word in _BOOKKEEPING):
            continue
        elif line == ";" and stack[-1].items and isinstance(stack[-1].items[-1], Block):
            stack[-1].items[-1].tail = ";"
        elif line.startswith(("#pragma", "for", "if", "else")) or line.endswith(("= [&]", "[&]()")):
            head.append(line)
        else:
            stack[-1].items += [*head, line]
            head = []
    return root


def _flatten_regions(root: Block) -> None:
    """Turn a parallel region that only holds shared loops into parallel loops."""
    items: list[str | Block] = []
    for item in root.items:
        if isinstance(item, Block):
            _flatten_regions(item)
            if item.head == ["#pragma omp parallel"] and (loops := _shared_loops(item)):
                items += loops
                continue
        items.append(item)
    root.items = items


def _shared_loops(region: Block) -> list[str | Block]:
    """What stands for a region, or nothing if it must stay."""
    body = [i for i in region.items if i != "int tid = omp_get_thread_num();"]
    if any(_mentions(item, "tid") for item in body):
        return []
    found: list[str | Block] = []
    for part in body:
        if not isinstance(part, Block):
            return []
        if part.head == ["#pragma omp single"]:
            part.head = []
        elif part.head:
            if not _share(part):
                return []
        elif len(part.items) == 1 and isinstance(part.items[0], Block):
            if part.items[0].head == ["#pragma omp single"]:
                part.items[0].head = []
            elif not _share(part.items[0]):
                return []
        else:
            # Something of each thread's own stands in front of the loop.
            part.head = ["#pragma omp parallel"]
        found.append(part)
    return found


def _share(loop: Block) -> bool:
    if not loop.head or not loop.head[0].startswith("#pragma omp for"):
        return False
    loop.head[0] = loop.head[0].replace("#pragma omp for", "#pragma omp parallel for", 1)
    return True


def _mentions(item: str | Block, word: str) -> bool:
    if isinstance(item, str):
        return re.search(rf"\b{word}\b", item) is not None
    return any(_mentions(i, word) for i in (*item.head, *item.items))


def _flatten_blocks(block: Block) -> None:
    """Take away braces that neither belong to a head nor keep names apart."""
    changed = True
    while changed:
        changed = False
        items: list[str | Block] = []
        for item in block.items:
            needless = (
                isinstance(item, Block)
                and not item.head
                and not item.tail
                and (len(block.items) == 1 or not any(isinstance(i, str) for i in item.items))
            )
            if needless and isinstance(item, Block):
                items += item.items
                changed = True
            else:
                items.append(item)
        block.items = items
    for item in block.items:
        if isinstance(item, Block):
            _flatten_blocks(item)


def _write(block: Block, depth: int) -> Iterator[str]:
    indent = "    " * depth
    if depth == 0:
        yield "{"
    for item in block.items:
        inner = indent + "    "
        if isinstance(item, str):
            yield inner + item
            continue
        for line in item.head[:-1]:
            yield inner + line
        last = item.head[-1] if item.head else ""
        if last.startswith("#"):
            yield inner + last
            last = ""
        yield f"{inner}{last} {{" if last else inner + "{"
        yield from _write(item, depth + 1)
        yield f"{inner}}}{item.tail}"
    if depth == 0:
        yield "}"
