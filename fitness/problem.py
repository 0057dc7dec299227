"""The problem contract: any KernelBench problem file, and the optional names that it ignores.

A problem file defines `Model` (an `nn.Module`), `get_inputs()` and `get_init_inputs()`. It may also
define:

- `WORKLOADS`: name -> keyword arguments of `get_inputs`, for several shapes. Without it there is
  one workload, "default".
- `BASELINES`: name -> `nn.Module` class with Model's constructor and Model's state_dict.
- `TOLERANCE`: (atol, rtol), or a dictionary from a dtype's name to such a pair. It takes the place
  of the rule in `fitness.correctness` for outputs of these dtypes.
- `EXACT`: True when every output must equal the reference's bit by bit.
- `LAYOUTS`: "given" (the default) or "any". Inputs keep the order in memory that `get_inputs` gives
  them, so that a kernel which reads contiguous inputs as such is right where they are contiguous.
  With "any" a kernel must also be right for the same values transposed in memory.
- `HELD_OUT`: name -> keyword arguments of `get_inputs`, in place of those of the smallest workload:
  shapes that are never timed and that a champion must not get silently wrong. Without it each
  integer argument of the smallest workload becomes in turn 1, the next smaller prime and one more;
  if there is none, only the first rows of the inputs are taken. Shapes that the reference refuses
  are left out.
- `get_cost`, `INPUT_KINDS`, `invariants`: read by other parts.

If all floating inputs of a workload share one dtype, the models are cast to it: KernelBench's
precision rule. The problem file is the user's own and is trusted; it runs in judges and baselines,
never in a candidate's process. Importing this module does not import torch.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.spec import STANDARD_BASELINES
from populations.errors import ProblemError

if TYPE_CHECKING:
    import torch

DEFAULT_WORKLOAD = "default"
COMPILED_SUFFIX = "+compile"
DESCRIBE_LIMIT_S = 300.0
LAYOUTS = ("given", "any")
# Rows to take of inputs whose shapes no argument decides.
_FIRST_ROWS = (1, 7)


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """One workload of a problem.

    Attributes:
        name: Its name.
        inputs: One line per tensor, "float32[8, 64, 128]", in order.
        input_bytes: Bytes of all input tensors.
        dtype: The floating dtype that the models are cast to; empty when inputs do not share one.
    """

    name: str
    inputs: tuple[str, ...]
    input_bytes: int
    dtype: str


@dataclass(frozen=True, slots=True)
class ProblemFacts:
    """What a look at a problem file shows.

    Attributes:
        name: The file's name without its ending.
        workloads: Every workload, smallest inputs first.
        baselines: Names of all baselines, the standard ones first.
        parameters: Number of elements in the reference's state.
        outputs: One line per output tensor of the smallest workload.
        exact: Whether outputs must equal the reference's bit by bit.
    """

    name: str
    workloads: tuple[WorkloadFacts, ...]
    baselines: tuple[str, ...]
    parameters: int
    outputs: tuple[str, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """Inputs of a shape that is not timed.

    Attributes:
        name: As it is reported.
        arguments: Of `get_inputs`; the others are a workload's.
        rows: So many of the first rows of every tensor that has as many as the first; 0: all.
    """

    name: str
    arguments: Mapping[str, Any]
    rows: int = 0


class Problem:
    """A loaded problem file. Needs torch, and runs the file's code in this process."""

    def __init__(self, path: Path) -> None:
        """Load and check the file; raises ProblemError naming it, the fault and what is right."""
        self.path = path
        module = _load_module(path)
        self._get_inputs = _required(path, module, "get_inputs", "a function returning a list")
        self._get_init_inputs = _required(
            path, module, "get_init_inputs", "a function returning Model's arguments as a list"
        )
        self.model_class = _required(path, module, "Model", "a subclass of torch.nn.Module")
        self.workloads = _workloads(path, module, self._get_inputs)
        self.baseline_classes = _baselines(path, module)
        self.tolerances = _tolerances(path, getattr(module, "TOLERANCE", None))
        self.exact = bool(getattr(module, "EXACT", False))
        self._get_cost = getattr(module, "get_cost", None)
        self.layouts = str(getattr(module, "LAYOUTS", LAYOUTS[0]))
        if self.layouts not in LAYOUTS:
            raise ProblemError(f"{path}: LAYOUTS must be one of {', '.join(LAYOUTS)}")
        self._held_out = _held_out(path, module, self._get_inputs)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of all baselines, the standard ones first."""
        own = [n for name in self.baseline_classes for n in (name, name + COMPILED_SUFFIX)]
        return (*STANDARD_BASELINES, *own)

    def inputs(self, workload: str, seed: int) -> list[Any]:
        """Arguments of one call of `forward`, drawn with torch's generator seeded with `seed`."""
        return self.inputs_with(self.workloads[workload], seed, f"workload {workload!r}")

    def inputs_with(self, arguments: Mapping[str, Any], seed: int, what: str) -> list[Any]:
        """The same for other arguments of `get_inputs`; `what` names them in errors."""
        from fitness.bench import seed as seed_torch

        seed_torch(seed)
        with self._as_problem_error(f"get_inputs ({what})"):
            inputs = self._get_inputs(**arguments)
        if not isinstance(inputs, list | tuple):
            raise ProblemError(
                f"{self.path}: get_inputs must return a list, but returned {type(inputs).__name__}"
            )
        return list(inputs)

    def held_out_shapes(self, workload: str) -> list[Shape]:
        """`HELD_OUT`, or shapes near a workload's; the reference may refuse some of them."""
        if self._held_out:
            return [Shape(name, arguments) for name, arguments in self._held_out.items()]
        given = self.workloads[workload]
        bound = inspect.signature(self._get_inputs).bind(**given)
        bound.apply_defaults()
        shapes = []
        for name, value in bound.arguments.items():
            if type(value) is int and value > 0:
                near = [n for n in (1, _prime_below(value), value + 1) if n != value]
                shapes += [Shape(f"{name}={n}", {name: n}) for n in dict.fromkeys(near)]
        return shapes or [Shape(f"first rows: {rows}", {}, rows) for rows in _FIRST_ROWS]

    def init_inputs(self, seed: int) -> list[Any]:
        """Arguments of the models' constructors."""
        from fitness.bench import seed as seed_torch

        seed_torch(seed)
        with self._as_problem_error("get_init_inputs"):
            return list(self._get_init_inputs())

    def model(self, seed: int, baseline: str = "") -> torch.nn.Module:
        """The reference, or a baseline class with the reference's state, on the CPU, uncast."""
        from fitness.bench import seed as seed_torch

        arguments = self.init_inputs(seed)
        seed_torch(seed)
        with self._as_problem_error("Model"):
            model: torch.nn.Module = self.model_class(*arguments)
        if not baseline:
            return model
        with self._as_problem_error(f"BASELINES[{baseline!r}]"):
            other: torch.nn.Module = self.baseline_classes[baseline](*arguments)
            other.load_state_dict(model.state_dict())
        return other

    def cost(self, inputs: list[Any]) -> dict[str, float]:
        """What `get_cost` says of one call on these inputs; empty without `get_cost`."""
        if self._get_cost is None:
            return {}
        with self._as_problem_error("get_cost"):
            cost = {key: float(value) for key, value in self._get_cost(inputs).items()}
        if not all(value >= 0 for value in cost.values()):
            raise ProblemError(f"{self.path}: get_cost must not return less than 0, but got {cost}")
        return cost

    def shared_dtype(self, inputs: list[Any]) -> torch.dtype | None:
        """The dtype that the models are cast to for these inputs; None leaves them as they are."""
        from fitness.exchange import flatten

        try:
            _, tensors = flatten(inputs)
        except TypeError as error:
            raise ProblemError(f"{self.path}: get_inputs: {error}") from error
        dtypes = {t.dtype for t in tensors if t.is_floating_point()}
        return dtypes.pop() if len(dtypes) == 1 else None

    def selected(self, names: tuple[str, ...], kind: str) -> tuple[str, ...]:
        """The given workloads or baselines ("workload", "baseline"), or all for an empty tuple."""
        known = tuple(self.workloads) if kind == "workload" else self.baselines
        for name in names:
            if name not in known:
                raise ProblemError(
                    f"{self.path}: there is no {kind} {name!r}; there are {', '.join(known)}"
                )
        return names or known

    @contextlib.contextmanager
    def _as_problem_error(self, where: str) -> Any:
        try:
            yield
        except ProblemError:
            raise
        except Exception as error:  # the problem file may raise anything
            text = str(error).strip().splitlines()
            raise ProblemError(
                f"{self.path}: {where} raised {type(error).__name__}: {text[0] if text else ''}"
            ) from error


def describe(path: Path) -> ProblemFacts:
    """Check a problem file in a process of its own and return what it holds.

    Takes as long as importing torch and running the reference once on the smallest workload.
    Raises ProblemError with one line: the file, what is wrong with it and what would be right.
    """
    if not path.is_file():
        raise ProblemError(f"{path}: no such problem file")
    command = [sys.executable, "-m", "fitness.problem", str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DESCRIBE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ProblemError(
            f"{path}: building its inputs and running Model once took over {DESCRIBE_LIMIT_S:.0f} s"
        ) from error
    lines = done.stdout.splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError) as error:
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ProblemError(
            f"{path}: the process that read it ended with {done.returncode}: {tail[0]}"
        ) from error
    if "error" in answer:
        raise ProblemError(answer["error"])
    answer["workloads"] = tuple(
        WorkloadFacts(**{**w, "inputs": tuple(w["inputs"])}) for w in answer["workloads"]
    )
    for name in ("baselines", "outputs"):
        answer[name] = tuple(answer[name])
    return ProblemFacts(**answer)


def examine(path: Path) -> ProblemFacts:
    """What `describe` returns, found in this process."""
    import torch

    from fitness.exchange import flatten, spec_of

    problem = Problem(path)
    found = []
    for name in problem.workloads:
        inputs = problem.inputs(name, seed=0)
        dtype = problem.shared_dtype(inputs)
        specs = [spec_of(t) for t in flatten(inputs)[1]]
        found.append(
            WorkloadFacts(
                name=name,
                inputs=tuple(str(s) for s in specs),
                input_bytes=sum(s.nbytes for s in specs),
                dtype=str(dtype).removeprefix("torch.") if dtype else "",
            )
        )
    found.sort(key=lambda w: w.input_bytes)
    model = problem.model(seed=0)
    parameters = sum(t.numel() for t in model.state_dict().values())
    inputs = problem.inputs(found[0].name, seed=0)
    for name in problem.baseline_classes:
        problem.model(seed=0, baseline=name)
    try:
        with torch.no_grad():
            outputs = flatten(model.to(problem.shared_dtype(inputs))(*inputs))[1]
    except Exception as error:
        raise ProblemError(
            f"{path}: Model.forward raised {type(error).__name__} on workload "
            f"{found[0].name!r}: {(str(error).splitlines() or [''])[0]}"
        ) from error
    if not outputs:
        raise ProblemError(f"{path}: Model.forward must return a tensor, but returned none")
    return ProblemFacts(
        name=path.stem,
        workloads=tuple(found),
        baselines=problem.baselines,
        parameters=parameters,
        outputs=tuple(str(spec_of(t)) for t in outputs),
        exact=problem.exact,
    )


def _load_module(path: Path) -> Any:
    if not path.is_file():
        raise ProblemError(f"{path}: no such problem file")
    name = f"_problem_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProblemError(f"{path}: a problem is a Python file, its name ends in .py")
    module = importlib.util.module_from_spec(spec)
    # torch.compile and pickle look a class's module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ProblemError(f"{path}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        raise ProblemError(
            f"{path}: importing it raised {type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}"
        ) from error
    return module


def _required(path: Path, module: Any, name: str, what: str) -> Any:
    value = getattr(module, name, None)
    if value is None:
        raise ProblemError(f"{path}: there is no {name}; a problem defines {name}, {what}")
    if not callable(value):
        raise ProblemError(f"{path}: {name} must be {what}, but is {type(value).__name__}")
    return value


def _workloads(
    path: Path, module: Any, get_inputs: Callable[..., Any]
) -> dict[str, Mapping[str, Any]]:
    workloads = getattr(module, "WORKLOADS", None)
    if workloads is None:
        return {DEFAULT_WORKLOAD: {}}
    return _keyword_arguments(path, "WORKLOADS", workloads, get_inputs)


def _held_out(
    path: Path, module: Any, get_inputs: Callable[..., Any]
) -> dict[str, Mapping[str, Any]]:
    shapes = getattr(module, "HELD_OUT", None)
    return {} if shapes is None else _keyword_arguments(path, "HELD_OUT", shapes, get_inputs)


def _keyword_arguments(
    path: Path, what: str, given: Any, get_inputs: Callable[..., Any]
) -> dict[str, Mapping[str, Any]]:
    if not isinstance(given, Mapping) or not given:
        raise ProblemError(f"{path}: {what} must map a name to arguments of get_inputs")
    signature = inspect.signature(get_inputs)
    for name, arguments in given.items():
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise ProblemError(
                f"{path}: {what}[{name!r}] must be a dictionary of keyword arguments"
            )
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise ProblemError(
                f"{path}: {what}[{name!r}] does not fit get_inputs{signature}: {error}"
            ) from error
    return dict(given)


def _prime_below(number: int) -> int:
    """The largest prime below a number; 1 for numbers up to 2."""
    for candidate in range(number - 1, 1, -1):
        if all(candidate % divisor for divisor in range(2, math.isqrt(candidate) + 1)):
            return candidate
    return 1


def _baselines(path: Path, module: Any) -> dict[str, Callable[..., Any]]:
    baselines = getattr(module, "BASELINES", {})
    if not isinstance(baselines, Mapping):
        raise ProblemError(f"{path}: BASELINES must map a name to a subclass of torch.nn.Module")
    for name, value in baselines.items():
        if not isinstance(value, type) or name in STANDARD_BASELINES or "+" in name:
            raise ProblemError(
                f"{path}: BASELINES[{name!r}] must be a class under a name of its own without '+'"
            )
    return dict(baselines)


def _tolerances(path: Path, given: Any) -> dict[str, tuple[float, float]]:
    """Dtype's name -> (atol, rtol); "*" stands for every floating dtype."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or set(given) == {"atol", "rtol"}:
        given = {"*": given}
    found = {}
    for dtype, pair in given.items():
        values = (pair["atol"], pair["rtol"]) if isinstance(pair, Mapping) else pair
        try:
            atol, rtol = (float(v) for v in values)
        except (TypeError, ValueError) as error:
            raise ProblemError(
                f"{path}: TOLERANCE must be (atol, rtol) or map a dtype's name to such a pair"
            ) from error
        if not (atol >= 0 and rtol >= 0):
            raise ProblemError(f"{path}: TOLERANCE must not be negative, but got {atol}, {rtol}")
        found[str(dtype).removeprefix("torch.")] = (atol, rtol)
    return found


def _main() -> int:
    try:
        answer = asdict(examine(Path(sys.argv[1])))
    except ProblemError as error:
        answer = {"error": " ".join(str(error).split())}
    sys.stdout.flush()
    print(f"\n{json.dumps(answer)}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
