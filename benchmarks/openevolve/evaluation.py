"""The file that OpenEvolve evaluates programs by: a table answers, and what it said is noted.

Run by OpenEvolve's own Python, in its processes: beside the table's code only NumPy is needed.
`LANDSCAPE`, `LANDSCAPE_SEED` and `LANDSCAPE_LOG` in the environment say which table, which seed of
the noise, and where to write a line for each evaluation.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from fitness.landscape.evaluator import TableEvaluator
from fitness.landscape.table import load
from populations.kernel import Candidate


def evaluate(program_path: str) -> dict[str, Any]:
    """Measure one program; the score is the measured speedup, 0 for one that fails."""
    evaluator, log = _evaluator(), Path(os.environ["LANDSCAPE_LOG"])
    # OpenEvolve strips what a model answers.
    source = Path(program_path).read_text(encoding="utf-8").strip() + "\n"
    number = len(log.read_bytes().splitlines()) if log.exists() else 0
    candidate = Candidate(number, source, evaluator.landscape.language)
    found = evaluator.evaluate(candidate)
    score = found.speedup.value if found.speedup else 0.0
    line = {"digest": candidate.digest, "row": evaluator.row(candidate), "score": score}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return {"combined_score": score}


@lru_cache(maxsize=1)
def _evaluator() -> TableEvaluator:
    table = load(Path(os.environ["LANDSCAPE"]))
    return TableEvaluator(table, seed=int(os.environ["LANDSCAPE_SEED"]))
