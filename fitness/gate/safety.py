"""Rules on Python: what only serves to reach around the judge."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitness.gate import cpp
from fitness.gate.findings import Level
from fitness.gate.report import Report
from fitness.gate.tables import (
    ALLOWED_FROM_FITNESS,
    ALLOWED_PARTS,
    ALWAYS_REFUSED,
    BY_NAME,
    CALLS,
    FLAGGED_ATTRIBUTES,
    FLAGGED_IMPORTS,
    FORBIDDEN_ATTRIBUTES,
    FORBIDDEN_IMPORTS,
    FORBIDDEN_MODULES,
    FORBIDDEN_OS,
    LIBRARIES,
    PRECISION,
    SETTINGS,
    SHARED_FOLDERS,
)
from fitness.gate.values import (
    HOLE,
    TENSOR,
    Class,
    Func,
    Partial,
    Partly,
    Ref,
    Scope,
    Value,
    is_known,
)

_OF_PROCESSES = re.compile(r"/proc/(self|thread-self|\d+|_hole_)(/|$)")
_WRITES_FILES = frozenset(
    {"builtins.open", "pathlib.Path", "torch.save", "torch.load", "numpy.save", "numpy.load"}
    | {"numpy.memmap", "torch.from_file", "io.open", "numpy.savez", "pathlib.PosixPath"}
    | {"numpy.fromfile", "shutil.copy"}
)
# Where compilers write; what is read or written there is another matter.
_FOLDERS = frozenset(("os.makedirs", "os.mkdir"))
# Functions that set an attribute or an item of their first argument, or of what they belong to.
_SETTERS = (".__setattr__", ".__delattr__", ".__setitem__", ".__delitem__")
_DICT_SETTERS = (".update", ".setdefault", ".pop", ".clear", ".__setitem__", ".__delitem__")
_DANGEROUS = frozenset(("os", "sys", "builtins", "importlib", "inspect", *ALLOWED_PARTS))
_INTERCEPTS = frozenset(("__torch_function__", "__torch_dispatch__"))
_REGISTERS_OPS = ("torch.library.Library", "torch.library.impl", "torch.library.register_kernel")
_DECODERS = frozenset(
    {
        "base64.b64decode",
        "base64.b32decode",
        "base64.b16decode",
        "base64.b85decode",
        "codecs.decode",
    }
    | {"binascii.unhexlify", "builtins.bytes.fromhex", "zlib.decompress", "lzma.decompress"}
    | {"builtins.chr", "base64.a85decode", "bz2.decompress", "gzip.decompress"}
)
_FOLLOWED = frozenset(("functools.partial", "functools.reduce"))


class Safety:
    """Says what it is told of to the report, where a rule is broken."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._texts: set[str] = set()
        # Whether a text was taken out of a code.
        self._decodes = False

    def imported(self, module: str, names: tuple[str, ...], place: ast.AST) -> None:
        """An import: `import module` or, with names, `from module import names`."""
        top = module.partition(".")[0]
        add = self._report.add
        allowed_module, allowed_names = ALLOWED_FROM_FITNESS
        if module == allowed_module and names and set(names) <= allowed_names:
            return
        if module in ALLOWED_PARTS and set(names) <= ALLOWED_PARTS[module]:
            add(Level.FLAG, "import", place, f"imports {module}")
            return
        if reason := FORBIDDEN_IMPORTS.get(top):
            add(Level.REJECT, "import", place, f"import of {module} is refused: {reason}")
            return
        for full in (module, *[f"{module}.{name}" for name in names]):
            for part, reason in FORBIDDEN_MODULES.items():
                if full == part or full.startswith(f"{part}."):
                    add(Level.REJECT, "import", place, f"import of {full} is refused: {reason}")
        if top == "os" and (bad := FORBIDDEN_OS.keys() & set(names)):
            name = min(bad)
            add(Level.REJECT, "call", place, f"os.{name} is refused: {FORBIDDEN_OS[name]}")
        elif module.startswith("torch.utils.cpp_extension"):
            text = (
                "compiles with torch's headers, which takes about half a minute; load_cpp does not"
            )
            add(Level.NOTE, "cpp-extension", place, text)
        elif top in FLAGGED_IMPORTS:
            add(Level.FLAG, "import", place, f"imports {module}")

    def imported_by_name(self, args: Sequence[Value], place: ast.AST, *, top: bool) -> Value:
        """`__import__(...)` or `importlib.import_module(...)`; returns the module."""
        name = args[0] if args else None
        if not isinstance(name, str) or isinstance(name, Partly):
            text = "imports a module whose name cannot be read; import it by an import statement"
            self._report.add(Level.REJECT, "import", place, text)
            return None
        self._report.add(Level.FLAG, "call", place, f"imports {name} by a call")
        self.imported(name, (), place)
        return Ref((name.partition(".")[0] if top else name,))

    def builtins(self, place: ast.AST) -> None:
        """The name `__builtins__`."""
        text = "__builtins__ is refused: a builtin is called by its own name"
        self._report.add(Level.REJECT, "builtins", place, text)

    def attribute(self, name: str, base: Value, place: ast.AST) -> None:
        """An attribute is read."""
        if what := FORBIDDEN_ATTRIBUTES.get(name):
            text = f"{name} is refused: a kernel does not reach for {what}"
            self._report.add(Level.REJECT, "code", place, text)
        elif name in FLAGGED_ATTRIBUTES and not isinstance(base, Class):
            self._report.add(Level.FLAG, "code", place, f"reads {name}")

    def unknown_attribute(self, base: Value, place: ast.AST) -> None:
        """An attribute is read whose name is not known."""
        path = base.paths[0] if isinstance(base, Ref) else ""
        if path.partition(".")[0] in _DANGEROUS and "()" not in path:
            text = f"reads an attribute of {path} whose name cannot be read; write it out"
            self._report.add(Level.REJECT, "call", place, text)

    def item(self, base: Ref, index: Value, place: ast.AST, scope: Scope) -> Value:
        """An element of something from a library."""
        path = base.paths[0]
        if path.endswith(".__dict__") and isinstance(index, str):
            return Ref((f"{path[:-9]}.{index}",))
        if path in ("builtins.globals()", "builtins.locals()"):
            return self.global_name(index, scope)
        if path == "builtins":
            return Ref((f"builtins.{index}",)) if isinstance(index, str) else None
        if path == "sys.modules":
            return self.module(index, place)
        if path == "os.environ":
            self._report.add(Level.FLAG, "call", place, "reads the environment")
        if path == "sys.argv":
            self._report.add(Level.FLAG, "call", place, "reads how it was started")
        return Ref((f"{path}[]",)) if path.startswith("torch.cuda.Stream") else None

    def global_name(self, name: Value, scope: Scope) -> Value:
        """`globals()[name]`."""
        if not isinstance(name, str):
            return None
        found, value = scope.module.find(name)
        if found or name != "__builtins__":
            return value
        return Ref(("builtins",))

    def module(self, name: Value, place: ast.AST) -> Value:
        """`sys.modules[name]`."""
        if not isinstance(name, str):
            # `sys.modules[__name__]` is the candidate itself.
            return None
        top = name.partition(".")[0]
        if top in FORBIDDEN_IMPORTS or name in ("__main__", "runner", "judge"):
            text = f"sys.modules[{name!r}] is refused: a kernel does not reach for other modules"
            self._report.add(Level.REJECT, "import", place, text)
        return Ref((name,))

    def stored(self, base: Value, name: Value, place: ast.AST, value: Value = None) -> None:
        """An attribute is set or deleted."""
        if isinstance(name, str) and name in ("__class__", *FORBIDDEN_ATTRIBUTES):
            text = f"replaces {name}: what an object is does not change"
            self._report.add(Level.REJECT, "patch", place, text)
            return
        if base is TENSOR:
            self._on_tensor(name, place, value)
        if not isinstance(base, Ref):
            return
        shown = name if isinstance(name, str) and not isinstance(name, Partly) else "..."
        for path in base.paths:
            full = f"{path}.{shown}"
            if path.partition(".")[0] not in LIBRARIES or "()" in path:
                continue
            if full.startswith(SETTINGS):
                if shown in PRECISION or any(part in shown for part in PRECISION):
                    text = f"sets {full}, which the reference and the baselines do not share"
                    self._report.add(Level.FLAG, "setting", place, text)
                continue
            text = f"replaces {full}, which belongs to a library"
            self._report.add(Level.REJECT, "patch", place, text)
            return

    def _on_tensor(self, name: Value, place: ast.AST, value: Value) -> None:
        if name in ("data", "grad", "requires_grad", "names"):
            return
        if isinstance(value, Func | Partial):
            text = f"gives a tensor a method{_shown(name)}; forward returns plain tensors"
            self._report.add(Level.REJECT, "patch", place, text)
        else:
            self._report.add(
                Level.FLAG, "tensor", place, f"gives a tensor an attribute{_shown(name)}"
            )

    def stored_item(self, base: Value, index: Value, place: ast.AST) -> None:
        """An element is set or deleted."""
        if not isinstance(base, Ref):
            return
        path = base.paths[0]
        if path.endswith(".__dict__"):
            self.stored(Ref((path[:-9],)), index, place)
        elif path in ("sys.modules", "builtins", "sys.path_importer_cache"):
            text = f"replaces an entry of {path}, which belongs to Python"
            self._report.add(Level.REJECT, "patch", place, text)
        elif path in ("builtins.globals()", "builtins.locals()"):
            text = "sets a name of the module by a text; write the assignment out"
            self._report.add(Level.FLAG, "globals", place, text)
        elif path == "os.environ":
            self._report.add(Level.NOTE, "call", place, "sets the environment")

    def called(self, path: str, args: Sequence[Value], place: ast.AST) -> None:
        """A function that is not the candidate's is called."""
        known = CALLS.get(path)
        if known is not None:
            level, rule, why = known
            verdict = "is refused: " if level is Level.REJECT else "is called: "
            shown = path.removeprefix("builtins.")
            self._report.add(level, rule, place, f"{shown} {verdict}{why}")
        if path in _DECODERS:
            self._decodes = True
        if path in _WRITES_FILES:
            self._file(path, args, place)
        elif path in _FOLDERS:
            self._report.add(Level.FLAG, "file", place, "makes a folder; a kernel needs no files")
        elif path.endswith(_SETTERS):
            self._setter(path, args, place)
        elif path.endswith(_DICT_SETTERS) and ".__dict__." in path:
            self.stored(Ref((path[: path.rfind(".__dict__")],)), None, place)
        elif path.startswith("sys.modules.") and path.endswith(_DICT_SETTERS):
            text = "changes sys.modules, which belongs to Python"
            self._report.add(Level.REJECT, "patch", place, text)
        elif path.startswith(("sys.meta_path.", "sys.path_hooks.")):
            text = "changes how modules are imported"
            self._report.add(Level.REJECT, "patch", place, text)
        elif path.startswith("sys.path."):
            self._report.add(Level.FLAG, "import", place, "imports from other folders")
        elif path.startswith(_REGISTERS_OPS):
            self._operator(path, args, place)
        else:
            self._forbidden_part(path, place)

    def _forbidden_part(self, path: str, place: ast.AST) -> None:
        top = path.partition(".")[0]
        if _is_allowed_part(path):
            return
        if top in FORBIDDEN_IMPORTS and not path.startswith(ALLOWED_FROM_FITNESS[0]):
            text = f"{path} is refused: {FORBIDDEN_IMPORTS[top]}"
            self._report.add(Level.REJECT, "import", place, text)
        elif top == "torch":
            for part, reason in FORBIDDEN_MODULES.items():
                if path.startswith(part):
                    self._report.add(Level.REJECT, "call", place, f"{path} is refused: {reason}")

    def _operator(self, path: str, args: Sequence[Value], place: ast.AST) -> None:
        name = args[0] if args else None
        space = name.partition(":")[0] if isinstance(name, str) else ""
        if space in ("aten", "prims", "_"):
            text = f"{path}({name!r}) replaces operators of torch, which belong to it"
            self._report.add(Level.REJECT, "patch", place, text)

    def _setter(self, path: str, args: Sequence[Value], place: ast.AST) -> None:
        owner = path.rpartition(".")[0]
        if path.endswith(("item__",)):
            self.stored_item(Ref((owner,)), args[0] if args else None, place)
        elif owner in ("builtins.super()", "torch.nn.Module", "builtins.object", "builtins.type"):
            if args and isinstance(args[0], Ref):
                self.stored(args[0], args[1] if len(args) > 1 else None, place)
        else:
            # Of a type: the object comes first.
            base = args[0] if len(args) > 2 and isinstance(args[0], Ref) else Ref((owner,))
            self.stored(base, args[-2] if len(args) > 1 else None, place)

    def _file(self, path: str, args: Sequence[Value], place: ast.AST) -> None:
        first = args[0] if args else None
        if path == "builtins.open" and isinstance(first, int) and not isinstance(first, bool):
            text = "opens a file descriptor; a kernel reads and writes none"
            self._report.add(Level.REJECT, "file", place, text)
            return
        for name in args[:2]:
            if isinstance(name, str) and (
                name.startswith(SHARED_FOLDERS) or _OF_PROCESSES.match(name)
            ):
                text = f"uses {name[:60]}: a kernel keeps nothing for another process"
                self._report.add(Level.REJECT, "file", place, text)
                return
        if path == "builtins.open" and args[:1] not in (["/proc/cpuinfo"], ["/proc/meminfo"]):
            self._report.add(Level.FLAG, "file", place, "opens a file; a kernel needs none")

    def handed_on(self, function: Value, args: Sequence[Value], place: ast.AST) -> None:
        """The arguments of any call; some functions are followed to what they call."""
        if isinstance(function, Ref) and function.paths[0] in _FOLLOWED:
            return
        for value in args:
            if isinstance(value, Ref):
                name = value.paths[0].removeprefix("builtins.")
                if name in BY_NAME and value.paths[0].startswith("builtins."):
                    text = f"hands {name} on to another function; call it where it stands"
                    self._report.add(Level.REJECT, "call", place, text)

    def may_run(self, text: Value, place: ast.AST) -> bool:
        """A text is run as Python; returns whether it can be read."""
        if isinstance(text, Ref) and text.paths[0] == "builtins.compile()":
            return False
        if not isinstance(text, str):
            return self._unreadable(place)
        if isinstance(text, Partly):
            rest = text.replace(HOLE, "").strip()
            if len(rest) < 12 or HOLE in rest:
                return self._unreadable(place)
        if self._decodes:
            said = "runs a text that was coded; write the code out"
            self._report.add(Level.REJECT, "exec", place, said)
        else:
            self._report.add(Level.FLAG, "call", place, "runs a text as code; write the code out")
        return True

    def _unreadable(self, place: ast.AST) -> bool:
        said = "runs a text that cannot be read before it runs; write the code out"
        self._report.add(Level.REJECT, "exec", place, said)
        return False

    def defined_class(self, made: Class) -> None:
        """A class of the candidate's."""
        for base in made.bases:
            path = base.paths[0] if isinstance(base, Ref) else ""
            if path in ("torch.Tensor", "torch.nn.Parameter"):
                lazy = _INTERCEPTS & made.names.keys()
                level = Level.REJECT if lazy else Level.FLAG
                text = f"{made.node.name} is a kind of tensor; forward returns plain tensors"
                self._report.add(level, "subclass", made.node, text)
            elif path.endswith(("TorchDispatchMode", "TorchFunctionMode")):
                text = f"{made.node.name} intercepts torch's functions"
                self._report.add(Level.REJECT, "patch", made.node, text)
            elif path.partition(".")[0] in ALLOWED_PARTS:
                self._forbidden_part(path, made.node)

    def made_type(self, args: Sequence[Value], place: ast.AST) -> None:
        """`type(name, bases, names)`."""
        bases = args[1] if len(args) > 1 else None
        if isinstance(bases, tuple) and any(
            isinstance(b, Ref) and b.paths[0] == "torch.Tensor" for b in bases
        ):
            text = "makes a kind of tensor; forward returns plain tensors"
            self._report.add(Level.REJECT, "subclass", place, text)

    def decorated(self, path: str, place: ast.AST) -> None:
        """A decorator that is not the candidate's."""
        if path.startswith("atexit."):
            text = "atexit is refused: a kernel leaves nothing to run later"
            self._report.add(Level.REJECT, "call", place, text)

    def text(self, text: str, place: ast.expr) -> None:
        """A constant text, wherever it stands."""
        if text[0] == "/":
            self._path(text, place)
        elif len(text) > 40 and cpp.looks_like_cpp(text):
            self.cpp_text(text, place)

    def sources(self, values: Sequence[Value], place: ast.AST) -> None:
        """Texts that become native code."""
        for value in values:
            if isinstance(value, tuple):
                self.sources(value, place)
            elif isinstance(value, str) and len(value) > 3 and value not in self._texts:
                self.cpp_text(value, place)

    def cpp_text(self, text: str, place: ast.AST) -> None:
        """A text in C++ or CUDA, whose first line is where the literal begins."""
        self._texts.add(text)
        if is_known(text):
            self._texts.add(str(text))
        cpp.examine(text, self._report, getattr(place, "lineno", 1))

    def _path(self, text: str, place: ast.expr) -> None:
        if text.startswith(ALWAYS_REFUSED) or _OF_PROCESSES.match(text):
            said = f"names {text[:60]}: a kernel reaches into no process and keeps nothing for one"
            self._report.add(Level.REJECT, "file", place, said)
        elif text.startswith(SHARED_FOLDERS):
            self._report.add(
                Level.FLAG, "file", place, f"names {text[:60]}; a kernel needs no files"
            )


def _is_allowed_part(path: str) -> bool:
    top, _, rest = path.partition(".")
    return rest.partition(".")[0].partition("()")[0] in ALLOWED_PARTS.get(top, ())


def _shown(name: Value) -> str:
    return f" ({name})" if isinstance(name, str) else ""
