"""The child process of `inductor_seed`: an `EvaluationSpec` as JSON in, the source as JSON out."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from fitness.inductor.wrapper import UntranslatableError
from fitness.problem import Problem
from fitness.spec import EvaluationSpec
from populations.errors import ProblemError


def seed_source(spec: EvaluationSpec) -> str:
    """What `inductor_seed` returns, made in this process."""
    from fitness.inductor.compose import compose
    from fitness.inductor.model import reference_text
    from fitness.inductor.trace import graphs

    problem = Problem(spec.problem)
    try:
        text = reference_text(spec.problem.read_text(encoding="utf-8"))
        return compose(spec, text, graphs(problem, spec))
    except UntranslatableError as error:
        raise ProblemError(
            f"{spec.problem}: no seed can be made from TorchInductor: {error}; "
            "give a seed file instead"
        ) from error


def main() -> int:
    """Read one request from standard input, answer on the last line of standard output."""
    request: dict[str, Any] = json.loads(sys.stdin.read())
    for name in ("workloads", "baselines"):
        request[name] = tuple(request[name])
    for name in ("problem", "cache_dir"):
        request[name] = Path(request[name])
    warnings.simplefilter("ignore")
    try:
        answer = {"source": seed_source(EvaluationSpec(**request))}
    except ProblemError as error:
        answer = {"error": " ".join(str(error).split())}
    sys.stdout.flush()
    print(f"\n{json.dumps(answer)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
