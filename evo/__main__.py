"""The `evo` command. Subcommands import their modules only when called, so that it starts fast."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

# Name -> (module whose `main` it is, one line of help).
COMMANDS = {
    "run": ("evo.run", "search for a faster kernel: evo run experiments/conv1d.toml"),
    "check": ("evo.check", "verify an experiment before anything is spent"),
    "doctor": ("evo.doctor", "what this machine can confine, compile and measure"),
    "bench": ("evo.bench", "measure a kernel against every baseline, over all workloads"),
    "verify": ("evo.verify", "is a kernel from anywhere right, and is it faster?"),
    "replay": ("evo.replay", "grow a recorded run's lineage again, without device or model"),
    "lineage": ("evo.lineage", "how a run's champion came to be, and what brought it"),
    "sweep": ("evo.sweep", "try settings of the search itself: evo sweep experiments/sweeps/..."),
    "report": ("evo.outputs", "write the report and the lineage of a run again"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to `evo.<command>.main`; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="evo",
        description="Evolutionary search for compute kernels.",
        epilog="\n".join(f"  {name:8} {text}" for name, (_, text) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, help="see below; evo COMMAND --help")
    chosen = parser.parse_args(arguments[:1]).command
    command: Callable[[Sequence[str]], int] = import_module(COMMANDS[chosen][0]).main
    return command(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
