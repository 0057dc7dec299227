"""Start OpenEvolve: `VENV/bin/python driver.py URL PROGRAM FOLDER ITERATIONS SEED`.

Run by OpenEvolve's own Python. Its keys have their defaults, but for those below: whole programs
rather than differences, one process, so that an evaluation's number is its place, and nothing
that writes more to disk than is needed.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from pathlib import Path


def main() -> None:
    """Search."""
    # Not a dependency: only the Python that runs this has it.
    package = importlib.import_module("openevolve")
    config_of = importlib.import_module("openevolve.config").Config.from_dict
    url, program, folder, iterations, seed = sys.argv[1:]
    config = config_of(
        {
            "max_iterations": int(iterations),
            "checkpoint_interval": 10**9,
            "random_seed": int(seed),
            "language": "python",
            "diff_based_evolution": False,
            "max_code_length": 10**6,
            "log_level": "ERROR",
            "llm": {
                "api_base": url,
                "api_key": "none",
                "models": [{"name": "landscape", "weight": 1.0}],
            },
            "database": {"random_seed": int(seed), "log_prompts": False},
            "evaluator": {
                "parallel_evaluations": 1,
                "cascade_evaluation": False,
                "max_retries": 0,
                "enable_artifacts": False,
            },
        }
    )
    logging.disable(logging.WARNING)
    evaluation = Path(__file__).with_name("evaluation.py")
    search = package.OpenEvolve(program, str(evaluation), config=config, output_dir=folder)
    asyncio.run(search.run(iterations=int(iterations)))


if __name__ == "__main__":
    main()
