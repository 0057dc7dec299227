"""First kernels from TorchInductor: what it generates for a problem, as a candidate to edit.

`inductor_seed` is the door. Torch is imported in a child process only:

    trace      the reference as a graph of its state and inputs, and TorchInductor's code for it
    wrapper    that code taken apart: kernels, and the Python that calls them
    cpp        C++ kernels as plain loops that compile without torch's headers
    triton     Triton kernels with a fixed, marked configuration instead of torch's heuristics
    model      the part of the problem file that builds the reference's state
    compose    one module of these parts

The graph is compiled for the first selected workload. Extents that other selected workloads change
become arguments; a workload that this does not carry to (another dtype, another number of
dimensions, a size that the reference treats specially) gets a graph of its own in the same module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from fitness.spec import EvaluationSpec
from populations.errors import ProblemError

LIMIT_S = 600.0


def inductor_seed(spec: EvaluationSpec) -> str:
    """A candidate's source made from what TorchInductor generates for the problem.

    On "cpu" its kernels are C++ for `load_cpp`, on "cuda" Triton. What TorchInductor leaves to a
    library stays a call of torch, so that the source may hold no kernel at all. It serves the
    workloads selected in `spec` and raises ValueError for inputs of other shapes. Takes about 10
    seconds, in a process of its own.

    Args:
        spec: The problem, the device, the workloads and the number of threads.

    Raises:
        ProblemError: The problem file is at fault, or TorchInductor's code for it cannot be turned
            into a candidate; says why.
    """
    request = {**asdict(spec), "problem": str(spec.problem.absolute()), "cache_dir": ""}
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": str(spec.threads),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        # What is found in a cache is not generated.
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "fitness.inductor.generate"],
                input=json.dumps(request),
                env={**environment, "TORCHINDUCTOR_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LIMIT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise ProblemError(
            f"{spec.problem}: TorchInductor took over {LIMIT_S:.0f} s; give a seed file instead"
        ) from error
    lines = done.stdout.splitlines()
    try:
        answer: dict[str, str] = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError) as error:
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ProblemError(
            f"{spec.problem}: the process that runs TorchInductor ended with "
            f"{done.returncode}: {tail[0]}"
        ) from error
    if "error" in answer:
        raise ProblemError(answer["error"])
    return answer["source"]
