"""Questions as files: whoever writes the answers is the model, now or while no run is alive."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from operators.dialogue import Prompt
from operators.llm import pages
from operators.llm.settings import ModelSettings
from operators.llm.wire import one_line
from populations.call import Answer, Finish

# Longer answers are cut off.
LONGEST_ANSWER_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class _Waiting:
    """A question that lies in the directory."""

    stem: str
    prompt: Prompt
    proposal: int
    turn: int
    operator: str
    futures: list[Future[Answer]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    # What the answer's file looked like, and since when it has looked like that.
    seen: tuple[int, int, int] | None = None
    seen_since: float = 0.0


class Exchange:
    """A directory of questions and answers. See `operators.llm.answerer.Answerer`.

    `00042-0.prompt.md` is the first question of proposal 42, `00042-0.answer.md` its answer. A file
    counts as a whole answer when it has not changed for `settle_s` and is not empty. Questions and
    answers stay: asking the same again takes up what lies there, and another question of the same
    number replaces one that has no answer yet, or else is called `00042-0.2`. No more tokens are
    counted than the answerer tells, which is none. `parallel`, `timeout_s` and `retries` mean
    nothing here: files wait.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        directory: Path,
        poll_s: float = 0.5,
        settle_s: float = 2.0,
    ) -> None:
        """Watch a directory; it is made with the first question.

        Args:
            settings: The model's.
            directory: Of questions and answers; several models and runs may share one.
            poll_s: Pause between two looks at it.
            settle_s: How long an answer must have stayed as it is.
        """
        self._settings = settings
        self._directory = directory
        self._poll_s, self._settle_s = poll_s, settle_s
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._list_is_old = False
        self._taking = 0  # answers that are no longer waited for, and not handed over yet

    def __repr__(self) -> str:
        return f"Exchange({self._settings.name!r}, {str(self._directory)!r})"

    def ask(self, prompt: Prompt, *, proposal: int, turn: int, operator: str) -> Future[Answer]:
        """Write the question down, unless it lies there already."""
        future: Future[Answer] = Future()
        if self._ended.is_set():
            future.cancel()
            return future
        waiting = _Waiting("", prompt, proposal, turn, operator, [future])
        try:
            with self._lock:
                self._put(waiting)
        except OSError as error:
            text = f"the question cannot be written: {one_line(error)}"
            future.set_result(Answer(text, Finish.FAILED, self._settings.name))
            return future
        if self._watcher is None:
            name = f"model {self._settings.name}"
            self._watcher = threading.Thread(target=self._watch, name=name, daemon=True)
            self._watcher.start()
        return future

    def dormant(self) -> bool:
        """Whether questions wait and no answer to any of them is there, whole or in the making."""
        with self._lock:
            if self._taking:
                return False
            stems = list(self._waiting)
        return bool(stems) and not any(pages.has_text(self._answer_path(stem)) for stem in stems)

    def close(self) -> None:
        """Stop watching; the questions stay for whoever answers them."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        with self._lock:
            left, self._waiting = list(self._waiting.values()), {}
        for waiting in left:
            for future in waiting.futures:
                future.cancel()

    def _question_path(self, stem: str) -> Path:
        return self._directory / f"{stem}{pages.QUESTION}"

    def _answer_path(self, stem: str) -> Path:
        return self._directory / f"{stem}{pages.ANSWER}"

    def _put(self, waiting: _Waiting) -> None:
        """Find the question's place, write it there if it is not there yet, and wait for it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        digest = pages.digest(waiting.prompt.messages)
        first, count = f"{waiting.proposal:05d}-{waiting.turn}", 1
        while True:
            stem = first if count == 1 else f"{first}.{count}"
            there = pages.digest_on(self._question_path(stem))
            if there == digest or not (
                stem in self._waiting or pages.has_text(self._answer_path(stem))
            ):
                break
            count += 1
        if stem in self._waiting:
            self._waiting[stem].futures += waiting.futures
            return
        waiting.stem = stem
        if there != digest:
            text = pages.page(
                waiting.prompt.messages,
                stem=stem,
                proposal=waiting.proposal,
                turn=waiting.turn,
                operator=waiting.operator,
                model=self._settings.name,
            )
            pages.write(self._question_path(stem), text)
        self._waiting[stem] = waiting
        self._list_is_old = True

    def _watch(self) -> None:
        over = False
        while not over:
            # One look more after the end: the list is to be right.
            over = self._ended.wait(self._poll_s)
            with self._lock:
                waiting = list(self._waiting.values())
            for question in waiting:
                try:
                    self._look(question)
                except OSError:
                    continue  # gone, or not ours to read yet: the next look may find it
            if self._list_is_old:
                self._list_is_old = False
                try:
                    pages.write_list(self._directory)
                except OSError:
                    continue  # people do without it

    def _look(self, question: _Waiting) -> None:
        """Take up the answer to a question if it is there and whole."""
        path = self._answer_path(question.stem)
        if not pages.has_text(path):
            question.seen = None
            return
        stat = path.stat()
        now, seen = time.monotonic(), (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if seen != question.seen:
            question.seen, question.seen_since = seen, now
        if now - question.seen_since < self._settle_s:
            return
        with path.open("rb") as file:
            content = file.read(LONGEST_ANSWER_BYTES + 1)
        there = pages.digest_on(self._question_path(question.stem))
        with self._lock:
            self._waiting.pop(question.stem, None)
            self._list_is_old = True
            if there is not None and there != pages.digest(question.prompt.messages):
                self._put_elsewhere(question)
                return
            self._taking += 1
        answer = self._answer(content, time.monotonic() - question.since)
        for future in question.futures:
            if future.set_running_or_notify_cancel():
                future.set_result(answer)
        with self._lock:
            self._taking -= 1

    def _put_elsewhere(self, question: _Waiting) -> None:
        """Another run's question has taken the place of one of ours, so the answer is not ours."""
        stem, question.seen = question.stem, None
        try:
            self._put(question)
        except OSError:
            self._waiting[stem] = question  # the next look tries again
            raise

    def _answer(self, content: bytes, latency_s: float) -> Answer:
        text = content[:LONGEST_ANSWER_BYTES].decode("utf-8-sig", errors="replace")
        finish = Finish.COMPLETE if text.strip() else Finish.EMPTY
        if len(content) > LONGEST_ANSWER_BYTES:
            finish = Finish.TRUNCATED
        return Answer(text, finish, self._settings.name, latency_s=latency_s)
