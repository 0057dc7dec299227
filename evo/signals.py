"""How a command ends: its exit status, and what Ctrl-C and SIGTERM do.

The first signal ends a search in good order, the next one the command.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from populations.errors import EvoError

if TYPE_CHECKING:
    from evo.search import Search

# Exit status of a command that a signal ended.
INTERRUPTED = 130
# And of a run that goes on when models have answered (EX_TEMPFAIL: try again later).
WAITING = 75
# And of a command whose output nobody reads to the end, as a shell reports SIGPIPE.
PIPE_CLOSED = 141
Handler = Callable[[int, FrameType | None], None]


def guarded(command: Callable[[], int]) -> int:
    """Carry out a command; one line on standard error says what kept it from its end.

    Returns:
        The exit status: the command's own; 1 when one of our own processes failed; 2 for bad
        input; 130 after a signal.
    """
    # SIGTERM is to unwind as Ctrl-C does, so that every process and file is closed.
    with _handled(signal.default_int_handler):
        try:
            return command()
        except EvoError as error:
            print(f"evo: {' '.join(str(error).split())}", file=sys.stderr)
            return error.exit_status
        except KeyboardInterrupt:
            print("evo: interrupted", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has seen enough (`| head`); nothing is left to say it to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED


@contextmanager
def interrupting(search: Search) -> Iterator[None]:
    """Let the first signal ask the search to end, and a second one raise KeyboardInterrupt.

    An exception between a commit and the note of it would leave the search in doubt about what it
    has stored; a request is taken up where nothing is half done.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(number, frame)
        asked = True
        search.interrupt()

    with _handled(ask):
        yield


@contextmanager
def _handled(handler: Handler) -> Iterator[None]:
    """Install a handler for both signals; one that is ignored (by nohup, say) stays so."""
    before = {}
    # Only a process's main thread may set handlers, and there a command runs.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
