"""Rules on Python: whose work it is, and what one call keeps for the next.

They are about `forward` and what it calls; what a constructor computes is not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitness.gate.findings import Level
from fitness.gate.report import Report
from fitness.gate.torch_tables import CACHES, COMPILERS, GRAPHS, KERNEL_TEXTS, LIBRARY_PACKAGES
from fitness.gate.values import TENSOR, Class, Func, Instance, Kernel, Ref, Scope, Value

LIBRARY, COMPUTE, STATE = "library-call", "torch-compute", "state"
_MUTATORS = frozenset(
    {"append", "add", "update", "setdefault", "extend", "insert", "pop", "popitem", "clear"}
    | {"appendleft", "move_to_end", "remove", "__setitem__", "copy_", "set_", "fill_", "zero_"}
)
_SIGNS: dict[type[ast.operator | ast.unaryop], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_TELLING = ("builtins.id()", "torch.Tensor()._version", "torch.Tensor().data_ptr()")
_TORCH_SPACES = frozenset(("aten", "prims", "prim", "load_library", "loaded_libraries"))


class Work:
    """Sees what `forward` does."""

    def __init__(self, report: Report) -> None:
        self._report = report
        # Whether what is read belongs to a call of forward.
        self.is_hot = False
        # Own kernels launched, and operations of torch, so far.
        self.launches = 0
        self.done = 0
        self.defines: dict[str, int] = {}
        self.launched_names: set[str] = set()
        self.was_launched = False

    def did(self, does: str, path: str, place: ast.AST) -> None:
        """A function of torch is called."""
        if self.is_hot:
            self.done += 1
            name = path.replace("torch.Tensor().", "Tensor.")
            self._report.saw(LIBRARY if does == "library" else COMPUTE, place, name)

    def computed(self, path: str, place: ast.AST) -> None:
        """A function on arrays is called with a tensor."""
        products = ("dot", "matmul", "einsum", "inner", "tensordot", "convolve", "vdot")
        self.did("library" if path.rpartition(".")[2] in products else "compute", path, place)

    def operator(self, node: ast.BinOp | ast.UnaryOp | ast.AugAssign) -> None:
        """An operator is applied to a tensor."""
        if self.is_hot:
            self.done += 1
            is_product = isinstance(node.op, ast.MatMult)
            sign = _SIGNS.get(node.op.__class__, node.op.__class__.__name__)
            self._report.saw(LIBRARY if is_product else COMPUTE, node, sign)

    def compared(self, node: ast.Compare, values: Sequence[Value]) -> None:
        """A comparison: of an input's identity, perhaps, or of its values."""
        if not self.is_hot:
            return
        identity = isinstance(node.ops[0], ast.Is | ast.IsNot)
        tensors = any(v is TENSOR for v in values)
        if any(_tells(v) for v in values) or (identity and tensors and not _with_none(node)):
            self.told_apart(node)
        elif tensors and not isinstance(node.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot):
            self.done += 1
            self._report.saw(COMPUTE, node, "a comparison")

    def keyed(self, key: Value, place: ast.AST) -> None:
        """Something is looked up under a key."""
        if self.is_hot and _tells(key):
            self.told_apart(place)

    def told_apart(self, place: ast.AST) -> None:
        """What happens depends on which tensor was given, not on what is in it."""
        text = "asks which tensor it was given; what is computed depends on its values alone"
        self._report.add(Level.FLAG, "identity", place, text)
        self._report.saw(STATE, place, "a question for an earlier call's tensor")

    def called(self, path: str, place: ast.AST) -> None:
        """A function that is neither the candidate's nor one of torch's on tensors."""
        if path.removesuffix("()") in COMPILERS:
            self._report.saw(COMPUTE, place, f"{path} (torch's own compiler)")
        elif path in GRAPHS:
            self._report.saw(STATE, place, f"{path}: a CUDA graph is replayed")
        elif path in CACHES:
            self._report.saw(STATE, place, f"{path} keeps what it was asked")
        elif path.startswith("torch.ops.") and path.split(".")[2] not in _TORCH_SPACES:
            self.launched("")
        elif self.is_hot and path.partition(".")[0] in LIBRARY_PACKAGES:
            self.done += 1
            self._report.saw(LIBRARY, place, path)

    def imported(self, module: str, place: ast.AST) -> None:
        """A module is imported."""
        if module.partition(".")[0] in LIBRARY_PACKAGES:
            self._report.saw(LIBRARY, place, f"import of {module}")

    def stored(
        self, target: ast.Attribute | ast.Subscript, base: Value, scope: Scope, value: Value
    ) -> None:
        """An attribute or an element is set."""
        if self.is_hot and not is_code(value) and self._outlives(target.value, base, scope):
            self.kept(ast.unparse(target), target)

    def set_by_name(self, base: Value, name: Value, place: ast.AST) -> None:
        """`setattr(base, name, ...)`."""
        if isinstance(base, Class | Func) or (isinstance(base, Instance) and not base.is_passing):
            self.kept(f"the attribute {name}", place)

    def mutated(self, target: ast.Attribute, base: Value, scope: Scope) -> None:
        """A method is called that changes what it belongs to, perhaps."""
        if not self.is_hot or target.attr not in _MUTATORS or isinstance(base, Ref):
            return
        if isinstance(target.value, ast.Attribute | ast.Subscript | ast.Name) and self._outlives(
            target.value, base, scope
        ):
            self.kept(ast.unparse(target.value), target)

    def _outlives(self, node: ast.expr, base: Value, scope: Scope) -> bool:
        """Whether an object is there before and after a call of forward."""
        if isinstance(base, Instance):
            return not base.is_passing
        if isinstance(base, Class | Func | Kernel):
            return True
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        if not isinstance(node, ast.Name):
            return False
        inner: Scope | None = scope
        while inner is not None:
            if node.id in inner.names:
                value = inner.names[node.id]
                if isinstance(value, Instance):
                    return not value.is_passing
                return inner.parent is None and not isinstance(value, Ref)
            inner = inner.parent
        return False

    def kept(self, what: str, place: ast.AST) -> None:
        """Something is kept for the next call."""
        if self.is_hot:
            self._report.saw(STATE, place, what)

    def cached(self, function: Func, path: str, place: ast.AST) -> None:
        """A function is decorated with a cache; one without arguments keeps a constant."""
        arguments = function.node.args
        if arguments.args or arguments.vararg or arguments.posonlyargs:
            self._report.saw(STATE, place, f"{path} on {function.name}")

    def entered(self, function: Func) -> None:
        """A function of the candidate's is read: a list as a default outlives the call."""
        if not self.is_hot or isinstance(function.node, ast.Lambda):
            return
        for default in (*function.node.args.defaults, *function.node.args.kw_defaults):
            if isinstance(default, ast.Dict | ast.List | ast.Set):
                self._report.saw(STATE, default, f"a default of {function.name} that it can change")

    def kernel(self, kernel: Kernel) -> None:
        """A kernel of the candidate's is defined."""
        node = kernel.func.node if kernel.func else None
        self.defines[kernel.name] = getattr(node, "lineno", 0)

    def defined(self, place: ast.AST) -> None:
        """A text becomes kernels."""
        self.defines[""] = getattr(place, "lineno", 0)

    def launched(self, name: str) -> None:
        """A kernel of the candidate's is launched, or called by another."""
        if self.is_hot:
            self.launches += 1
            self.was_launched = True
            self.launched_names.add(name)

    def never_taken(self, place: ast.AST, before: int) -> None:
        """A kernel is launched where the program never comes."""
        text = "launches its kernel in a branch that is never taken"
        self._report.add(Level.FLAG, "never-taken", place, text)
        self.launches = before

    def fell_back(self, place: ast.AST) -> None:
        """What a kernel does is done by torch when it fails."""
        text = "falls back to torch when something fails; a kernel that fails is not one"
        own = not self._report.policy.allow_torch_compute
        self._report.add(Level.REJECT if own else Level.FLAG, "fallback", place, text)

    def close(self, forward_line: int) -> None:
        """Say what was seen of the whole."""
        report, policy = self._report, self._report.policy
        report.settle(
            *(LIBRARY, Level.NOTE),
            allowed=policy.allow_library_calls,
            said="forward calls a library",
            right="allow_library_calls is off: write the kernel",
        )
        report.settle(
            *(COMPUTE, Level.NOTE),
            allowed=policy.allow_torch_compute,
            said="forward computes with torch",
            right="allow_torch_compute is off: compute it in a kernel",
        )
        report.settle(
            *(STATE, Level.FLAG),
            allowed=policy.allow_state,
            said="keeps something for the next call",
            right="allow_state is off: compute it in the call, or in the constructor",
        )
        self._own(forward_line)

    def _own(self, line: int) -> None:
        add, policy = self._report.add, self._report.policy
        if self.was_launched and self.launches > 0:
            for name, place in self.defines.items():
                if name and name not in self.launched_names:
                    add(Level.NOTE, "unused-kernel", place, f"forward does not launch {name}")
            return
        if self.defines:
            level, rule = Level.FLAG, "decoy"
            text = "the module has kernels of its own, but forward launches none of them"
        else:
            level, rule = Level.NOTE, "no-own-kernel"
            text = "the module has no kernel of its own"
        if not policy.allow_torch_compute:
            text += "; allow_torch_compute is off: the work is a kernel's"
            level = Level.REJECT
        add(level, rule, line, text)


def is_code(value: Value) -> bool:
    """Whether a value is compiled code: to keep it is to compile once, it holds no answers."""
    if not isinstance(value, Ref):
        return isinstance(value, Kernel)
    return all(p.endswith("()") and p.removesuffix("()") in KERNEL_TEXTS for p in value.paths)


def _tells(value: Value) -> bool:
    """Whether a value tells which tensor it is: its address, its number, its version."""
    if isinstance(value, Ref):
        return value.paths[0].startswith(_TELLING) or value.paths[0].endswith(").data_ptr()")
    return isinstance(value, tuple) and any(_tells(v) for v in value)


def _with_none(node: ast.Compare) -> bool:
    sides = (node.left, *node.comparators)
    return any(isinstance(s, ast.Constant) and s.value is None for s in sides)
