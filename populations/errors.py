"""The exceptions of this project, one tree.

    EvoError                 anything we raise on purpose; the command prints one line, exit 2
    ├── InputError           what the user gave is wrong: names file, place and what would be right
    │   ├── ConfigError      the experiment file
    │   ├── ProblemError     the problem file
    │   └── SeedError        a first kernel
    ├── DeviceError          the machine lacks what is asked for (compiler, CUDA, sandbox)
    ├── StoreError           a run directory cannot be used (another experiment, newer schema)
    └── WorkerError          one of our own processes failed; never a candidate's fault
        ├── WorkerTimeout
        └── WorkerDied

What a candidate does wrong is never an exception here: it is an `Outcome`.
"""

from __future__ import annotations


class EvoError(Exception):
    """Root of the tree. The message is one line, fit to be shown to a person."""

    exit_status = 2


class InputError(EvoError):
    """Something the user wrote is wrong."""


class ConfigError(InputError):
    """The experiment file cannot be used as it stands."""


class ProblemError(InputError):
    """The problem file does not meet the problem contract."""


class SeedError(InputError):
    """A first kernel is missing, does not build, or does not compute the reference."""


class DeviceError(EvoError):
    """The machine lacks something that the experiment asks for."""


class StoreError(EvoError):
    """A run directory cannot be opened or written."""


class WorkerError(EvoError):
    """One of our own processes failed."""

    exit_status = 1


class WorkerTimeout(WorkerError):
    """One of our own processes did not answer in time."""


class WorkerDied(WorkerError):
    """One of our own processes ended before it answered."""
