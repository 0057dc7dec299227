"""The champion's file: the kernel as one plain Python module that needs torch (and triton) alone.

The kernel's source stays as it is but for three things: a comment on top that says what the file
is; the loader's text in place of `from fitness.native import load_cpp`; and, where it is known
which configurations `@triton.autotune` chose, those in place of the list it chose from.
"""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING, Any

from evo.inline import LOADER_MODULE, Edit, edited, inline_loader, span
from evo.tables import format_ms, format_speedup, one_line, workload_rows
from populations.errors import EvoError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from evo.tables import WorkloadRow
    from populations.kernel import Kernel
    from populations.outcome import Speedup

# Ours: none of them may be needed by a champion's file.
PACKAGES = frozenset({"evo", "operators", "fitness", "populations"})
# What `triton.Config` takes besides the kernel's own parameters.
CONFIG_OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg", "ir_override")


def export_champion(
    kernel: Kernel,
    path: Path,
    *,
    facts: Mapping[str, str],
    speedup: Speedup | None = None,
    table: Sequence[WorkloadRow] = (),
    loader: str | None = None,
) -> None:
    """Write a kernel as a file of its own; a reader sees the old file or the whole new one.

    Args:
        kernel: One that passed.
        path: The file.
        facts: Lines of the comment on top, label -> text, as "computes", "device", "made by". A
            text of several lines stays one.
        speedup: Its closing measurement; None stands for the one in `kernel`.
        table: The closing table; without `speedup` the kernel's own timings take its place.
        loader: Text that takes the place of the import of the loader; `fitness.native` if None.

    Raises:
        EvoError: The source needs our packages in another way than by the loader's one import.
        OSError: The file cannot be written.
    """
    text = champion_text(kernel, facts=facts, speedup=speedup, table=table, loader=loader)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def champion_text(
    kernel: Kernel,
    *,
    facts: Mapping[str, str],
    speedup: Speedup | None = None,
    table: Sequence[WorkloadRow] = (),
    loader: str | None = None,
) -> str:
    """The text that `export_champion` writes; arguments and errors are the same."""
    source = kernel.source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    try:
        source = fix_autotune(source, kernel.evaluation.details.get("autotune") or {})
        source = inline_loader(source, loader=loader)
        imported = _imported(ast.parse(source))
    except SyntaxError as error:
        raise EvoError(f"kernel #{kernel.number} as a file of its own: {error}") from error
    if foreign := sorted(imported & PACKAGES):
        raise EvoError(
            f"kernel #{kernel.number} imports {foreign[0]}, which its own file must not need; only "
            f"`from {LOADER_MODULE} import load_cpp` at the top level is replaced"
        )
    if speedup is None:
        speedup = kernel.evaluation.speedup
        table = table or _own_table(kernel)
    return _header(kernel, facts, speedup, table) + source


def fix_autotune(source: str, chosen: Mapping[str, Any]) -> str:
    """Leave `@triton.autotune` only the configurations that were chosen.

    With one configuration left it has nothing to time, and the kernel is called as before. A
    function is left alone when its choice is not known, when its configurations run hooks (they
    do part of the work), or when `triton` is not imported under a name.

    Args:
        source: A kernel's module.
        chosen: Function name -> the configurations chosen (one mapping, or several where they
            differ between workloads), as `triton.Config.all_kwargs()` writes them.
    """
    if not chosen or "pre_hook" in source:
        return source
    edits: list[Edit] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in chosen:
            choices = chosen[node.name]
            configs = [choices] if hasattr(choices, "keys") else list(choices)
            edits += _autotune_edits(source, node, configs)
    return edited(source, edits)


def _own_table(kernel: Kernel) -> Sequence[WorkloadRow]:
    timings = kernel.evaluation.timings
    baselines = {timing.workload: {timing.baseline: timing.baseline_ms} for timing in timings}
    return workload_rows(baselines, None, kernel.evaluation)


def _header(
    kernel: Kernel,
    facts: Mapping[str, str],
    speedup: Speedup | None,
    table: Sequence[WorkloadRow],
) -> str:
    """The comment on top. The first lines hold no data: there a comment can declare an encoding."""
    needs = "torch and triton" if kernel.candidate.language == "triton" else "torch"
    lines = [
        f"# A kernel found by evolutionary search; plain Python, needs {needs}.",
        "# Use: from champion import ModelNew, constructed and called like the reference.",
        "#",
    ]
    rows: list[tuple[str, str]] = []
    if speedup is not None:
        rows.append(("speedup", f"{format_speedup(speedup)} (95%) over the fastest baseline"))
    for row in table:
        beside = (
            f", {row.baseline} {format_ms(row.baselines_ms[row.baseline])} ms"
            if row.baseline
            else ""
        )
        ratio = f": {format_speedup(row.speedup)}" if row.speedup else ""
        rows.append((row.workload, f"{format_ms(row.champion_ms)} ms{beside}{ratio}"))
    candidate = kernel.candidate
    note = f": {candidate.note}" if candidate.note else ""
    rows.append(("kernel", f"#{candidate.number}, {candidate.operator}{note}"))
    rows += [(label, text) for label, text in facts.items() if text.strip()]
    for label, text in rows:
        wrapped = textwrap.wrap(
            f"{one_line(label)}: {one_line(text)}",
            width=98,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += [f"# {line}" for line in wrapped]
    return "\n".join(lines) + "\n\n"


def _imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _autotune_edits(
    source: str, function: ast.FunctionDef, configs: Sequence[Mapping[str, Any]]
) -> list[Edit]:
    for decorator in function.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr == "autotune"
            and isinstance(decorator.func.value, ast.Name)
            and (old := _configs_argument(decorator)) is not None
        ):
            module = decorator.func.value.id
            written = list(dict.fromkeys(_config(module, config) for config in configs))
            return [(*span(source, old), f"[{', '.join(written)}]")] if written else []
    return []


def _configs_argument(call: ast.Call) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == "configs":
            return keyword.value
    return call.args[0] if call.args else None


def _config(module: str, config: Mapping[str, Any]) -> str:
    own = {key: value for key, value in config.items() if key not in CONFIG_OPTIONS}
    options = "".join(
        f", {key}={config[key]!r}" for key in CONFIG_OPTIONS if config.get(key) is not None
    )
    return f"{module}.Config({own!r}{options})"
