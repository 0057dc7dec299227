"""The gate: `python -m tests` runs lint, format, types and tests, and says which failed.

On two processors and more the tests of whole runs are beside everything else, whose output comes
when they are over. Further arguments go to pytest, and one thing runs after the other:
`python -m tests -k judge`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Steps = dict[str, list[str]]
CHECKS: Steps = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
}
# About half of the tests' time.
RUNS = "tests/evo"
OTHERS = "--others"


def main() -> int:
    """Run every step, also after one failed; the exit status is 1 if any did."""
    arguments = sys.argv[1:]
    if arguments == [OTHERS]:
        failed = _run({**CHECKS, "other tests": ["pytest", f"--ignore={RUNS}"]})
    elif arguments or (os.cpu_count() or 1) < 2:
        failed = _run({**CHECKS, "tests": ["pytest", *arguments]})
    else:
        failed = _two_at_once()
    if arguments != [OTHERS]:
        print(f"== failed: {', '.join(failed)}" if failed else "== all passed", flush=True)
    return 1 if failed else 0


def _two_at_once() -> list[str]:
    with tempfile.TemporaryFile("w+") as printed:
        command = [sys.executable, "-m", "tests", OTHERS]
        with subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=printed) as others:
            failed = _run({"tests of runs": ["pytest", RUNS]})
        printed.seek(0)
        print(printed.read(), end="", flush=True)
    return [*failed, *(["others, see above"] if others.returncode else [])]


def _run(steps: Steps) -> list[str]:
    failed = []
    for name, command in steps.items():
        print(f"== {name}: {' '.join(command)}", flush=True)
        if subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode:
            print(f"== failed: {name}", flush=True)
            failed.append(name)
    return failed


if __name__ == "__main__":
    sys.exit(main())
