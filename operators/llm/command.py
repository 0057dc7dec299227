"""A program as the model: it is run for each question, the prompt on its standard input."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import IO

from operators.dialogue import Prompt
from operators.llm import pages
from operators.llm.exchange import LONGEST_ANSWER_BYTES
from operators.llm.keys import keys_in_environment
from operators.llm.settings import ModelSettings
from operators.llm.wire import one_line
from populations.call import Answer, Finish
from populations.errors import ConfigError

# Of what a failed program wrote to its standard error, this much of the end is kept.
_LAST_LINES, _TAIL_BYTES = 5, 16 * 1024
# Between asking a program to end and ending it.
_GRACE_S = 2.0
# How soon `close` is noticed, and how long the pipe of a program that has ended must be silent.
_TICK_S = 0.1


class Command:
    """Runs `command` for each question. See `operators.llm.answerer.Answerer`.

    It is the user's own program: it gets the user's environment and is not confined. Its standard
    output is the answer if it ends with status 0; else the answer is FAILED with the last lines of
    its standard error. It runs in a process group of its own, which is ended with it after
    `timeout_s` and by `close`. What it prints is rid of the environment's secrets. `retries` means
    nothing here.
    """

    def __init__(self, settings: ModelSettings) -> None:
        """Look for the program.

        Raises:
            ConfigError: There is no such program.
        """
        if not settings.command or not shutil.which(settings.command[0]):
            program = settings.command[0] if settings.command else ""
            raise ConfigError(f"model {settings.name!r}: no program {program!r} to run as command")
        self._settings = settings
        self._keys = keys_in_environment()
        self._places = threading.Semaphore(settings.parallel)
        self._ended = threading.Event()
        self._under_way: dict[Future[Answer], threading.Thread] = {}

    def __repr__(self) -> str:
        return f"Command({self._settings.name!r}, {self._settings.command[0]!r})"

    def ask(self, prompt: Prompt, *, proposal: int, turn: int, operator: str) -> Future[Answer]:  # noqa: ARG002 - one interface
        """Run the program as soon as one of the `parallel` places is free."""
        future: Future[Answer] = Future()
        if self._ended.is_set():
            future.cancel()
            return future
        name = f"model {self._settings.name}"
        thread = threading.Thread(target=self._serve, args=(future, prompt), name=name, daemon=True)
        self._under_way[future] = thread
        future.add_done_callback(lambda done: self._under_way.pop(done, None))
        thread.start()
        return future

    def dormant(self) -> bool:
        """Never: the program is at it, in this session."""
        return False

    def close(self) -> None:
        """End the programs that run; their futures are cancelled."""
        self._ended.set()
        left = list(self._under_way.items())
        for future, _ in left:
            future.cancel()
        for _, thread in left:
            thread.join()

    def _serve(self, future: Future[Answer], prompt: Prompt) -> None:
        with self._places:
            if self._ended.is_set():
                return
            start = time.monotonic()
            try:
                finish, text = self._run(pages.render(prompt.messages))
            except Exception as error:  # noqa: BLE001 - whatever a program brings about is an answer
                finish, text = Finish.FAILED, f"{type(error).__name__}: {one_line(error)}"
            latency_s = time.monotonic() - start
        if future.set_running_or_notify_cancel():
            text = self._keys.scrub(text)
            future.set_result(Answer(text, finish, self._settings.name, latency_s=latency_s))

    def _run(self, text: str) -> tuple[Finish, str]:
        # The prompt comes from a file, so that nobody has to feed it to a program that reads
        # slowly or not at all.
        with tempfile.TemporaryFile() as prompt, tempfile.TemporaryFile() as complaint:
            prompt.write(text.encode("utf-8", errors="replace"))
            prompt.seek(0)
            with subprocess.Popen(
                self._settings.command,
                stdin=prompt,
                stdout=subprocess.PIPE,
                stderr=complaint,
                start_new_session=True,
            ) as process:
                try:
                    printed = self._listen(process)
                except TimeoutError:
                    return Finish.FAILED, f"no answer within {self._settings.timeout_s:g} s"
                finally:
                    _end(process)
            answer = printed[:LONGEST_ANSWER_BYTES].decode("utf-8-sig", errors="replace")
            if len(printed) > LONGEST_ANSWER_BYTES:
                return Finish.TRUNCATED, answer
            if status := process.returncode:
                return Finish.FAILED, f"exit status {status}: {_last_lines(complaint)}"
            return (Finish.COMPLETE if answer.strip() else Finish.EMPTY), answer

    def _listen(self, process: subprocess.Popen[bytes]) -> bytes:
        """What the program prints until it has ended, or until that is more than an answer.

        Raises:
            TimeoutError: It took too long, or nobody wants to know any more.
        """
        deadline, printed, silent = time.monotonic() + self._settings.timeout_s, bytearray(), False
        with selectors.DefaultSelector() as selector:
            if process.stdout is not None:
                selector.register(process.stdout, selectors.EVENT_READ)
            # What it started may hold the pipe open for longer than it lives itself.
            while not (silent and process.poll() is not None):
                if self._ended.is_set() or time.monotonic() > deadline:
                    raise TimeoutError
                ready = selector.select(_TICK_S) if selector.get_map() else []
                silent = not ready
                for key, _ in ready:
                    part = os.read(key.fd, 1 << 16)
                    printed += part
                    if not part:
                        selector.unregister(key.fileobj)
                    if len(printed) > LONGEST_ANSWER_BYTES:
                        return bytes(printed)
                if not selector.get_map():
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_TICK_S)
        return bytes(printed)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs with all that it started, first asking."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        # What it started may outlive it, or not.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)


def _last_lines(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    text = file.read().decode("utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-_LAST_LINES:]) or "it said nothing"
