"""OpenAI's Batch API: questions are handed in together, answers come within a day."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from operators.dialogue import Prompt
from operators.llm import pages
from operators.llm.background import Background
from operators.llm.batch_lines import URL, Line, complaint_of, read_line, read_lines, write_lines
from operators.llm.batch_list import Batch, BatchList
from operators.llm.connection import Connection
from operators.llm.settings import ModelSettings
from operators.llm.wire import Reading, one_line
from populations.call import Answer, Finish

_LOG = logging.getLogger(__name__)
# States in which nothing more will come of a batch.
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})
_NO_SUCH_THING = 404
# The metadata field that carries a batch's token.
_TOKEN = "evo"
# Batches looked through for one whose id was never learnt.
_LOOK_BACK = 100


@dataclass(slots=True)
class _Question:
    """One that is under way.

    Attributes:
        prompt: What is asked.
        reading: To come.
        waits: Whether the provider has it and had no answer at the last look.
    """

    prompt: Prompt
    reading: asyncio.Future[Reading]
    waits: bool = False


class BatchClient:
    """One model by the Batch API. See `operators.llm.answerer.Answerer`.

    Questions are collected for `collect_s` into one batch. The run directory lists the batches and
    what they hold: a later session that asks the same again waits for the batch that has it, and
    one that was killed while a batch was being made finds it by the token sent along. A question
    that fails is forgotten, so that asking it again puts it into a new batch. While a batch cannot
    be looked at (no network, an expired key), its questions wait and a warning is logged. Prices
    are those of the settings: state the batch's own. `parallel` means nothing here.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        directory: Path,
        collect_s: float = 5.0,
        poll_s: float = 20.0,
    ) -> None:
        """Read the key and the list of batches; the first question starts a thread.

        Args:
            settings: The model's.
            directory: Of the lists, one file a model.
            collect_s: How long a batch waits for company after its first question.
            poll_s: Pause between two looks at the batches.

        Raises:
            ConfigError: There is no key, or `base_url` is no address of a server.
            StoreError: The list cannot be read.
        """
        self._settings = settings
        self._connection = Connection(settings)
        # Typed loosely: what comes back is read by hand.
        self._api: Any = self._connection.api
        self._batches = BatchList(directory / f"{quote(settings.name, safe='')}.json")
        self._lost = {batch.token: batch for batch in self._batches if not batch.id}
        self._background = Background(f"model {settings.name}", at_end=self._connection.api.close)
        self._collect_s, self._poll_s = collect_s, poll_s
        self._asked: dict[Future[Answer], str] = {}
        self._questions: dict[str, _Question] = {}
        self._queue: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._finding = asyncio.Lock()
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"BatchClient({self._connection!r})"

    def ask(self, prompt: Prompt, *, proposal: int, turn: int, operator: str) -> Future[Answer]:  # noqa: ARG002 - one interface
        """Put the question into the next batch, unless a batch holds it already."""
        name = f"{proposal:05d}-{turn}-{pages.digest(prompt.messages)}"
        future = self._background.submit(self._answer(name, prompt))
        self._asked[future] = name
        future.add_done_callback(lambda done: self._asked.pop(done, None))
        return future

    def dormant(self) -> bool:
        """Whether questions are under way, all handed in, and none answered at the last look."""
        names = list(self._asked.values())
        open_questions = [self._questions.get(name) for name in names]
        return bool(names) and all(question and question.waits for question in open_questions)

    def close(self) -> None:
        """Stop looking; the batches go on, and the list says where."""
        self._background.close()

    async def _answer(self, name: str, prompt: Prompt) -> Answer:
        start = time.monotonic()
        try:
            question = self._questions.get(name)
            if question is None:
                loop = asyncio.get_running_loop()
                question = self._questions[name] = _Question(prompt, loop.create_future())
                await self._place(name)
            # Another question of the same name may wait for the same reading.
            reading = await asyncio.shield(question.reading)
        except Exception as error:  # noqa: BLE001 - whatever a server brings about is an answer
            reading = self._connection.reading_of(error)
            self._settle(None, name, reading)
        return self._connection.answer(reading, latency_s=time.monotonic() - start)

    async def _place(self, name: str) -> None:
        """Find the batch that holds a question, or queue it for the next one."""
        async with self._finding:
            held = self._batches.holding(name)
            if held is not None and held.token in self._lost:
                await self._find_lost()
        if self._batches.holding(name) is None:
            self._queue.append(name)
            self._start("collect", self._collect)
        else:
            self._wake.set()
            self._start("watch", self._watch)

    def _start(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        if what not in self._tasks or self._tasks[what].done():
            self._tasks[what] = asyncio.create_task(self._guard(work))

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`; should it fail by itself (a full disk), no question waits for ever."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - nobody else would see it
            reading = self._connection.reading_of(error)
            for name in list(self._questions):
                self._settle(None, name, reading)

    async def _find_lost(self) -> None:
        """Learn the ids of batches that an earlier session made but did not live to note."""
        page = await self._api.batches.list(limit=_LOOK_BACK)
        for made in page.data:
            batch = self._lost.pop((made.metadata or {}).get(_TOKEN, ""), None)
            if batch is not None:
                batch.id = made.id
        never_made, self._lost = list(self._lost.values()), {}
        for batch in never_made:
            self._batches.forget(batch, list(batch.questions))
        self._batches.save()

    async def _collect(self) -> None:
        """Make batches of what is queued until nothing is."""
        while self._queue:
            await asyncio.sleep(self._collect_s)
            names, self._queue = self._queue, []
            batch = Batch(uuid4().hex, questions=names)
            try:
                await self._submit(batch)
            except Exception as error:  # noqa: BLE001 - whatever a server brings about is an answer
                reading = self._connection.reading_of(error)
                for name in names:
                    self._settle(batch, name, reading)
                continue
            for name in names:
                self._questions[name].waits = True
            self._start("watch", self._watch)

    async def _submit(self, batch: Batch) -> None:
        content = write_lines({name: self._body(name) for name in batch.questions})
        file = await self._api.files.create(
            file=(f"evo-{batch.token}.jsonl", content), purpose="batch"
        )
        self._batches.add(batch)
        made = await self._api.batches.create(
            input_file_id=file.id,
            endpoint=URL,
            completion_window="24h",
            metadata={_TOKEN: batch.token},
        )
        batch.id = made.id
        self._batches.save()

    def _body(self, name: str) -> dict[str, Any]:
        return self._connection.parameters.body(self._questions[name].prompt)

    async def _watch(self) -> None:
        """Look at every batch that holds an open question, until there is none."""
        while True:
            self._wake.clear()
            batches = [batch for batch in self._batches if batch.id and self._open(batch)]
            if not batches:
                return
            for batch in batches:
                await self._look(batch)
            try:
                await asyncio.wait_for(self._wake.wait(), self._poll_s)
            except TimeoutError:
                continue

    def _open(self, batch: Batch) -> list[str]:
        held = (name for name in batch.questions if name in self._questions)
        return [name for name in held if self._batches.holding(name) is batch]

    async def _look(self, batch: Batch) -> None:
        import openai

        names = self._open(batch)
        try:
            state = await self._api.batches.retrieve(batch.id)
            lines = await self._lines(state) if state.status in _OVER else None
        except Exception as error:  # noqa: BLE001 - what is not an answer is looked for again
            reading = self._connection.reading_of(error)
            if isinstance(error, openai.APIStatusError) and error.status_code == _NO_SUCH_THING:
                for name in names:
                    self._settle(batch, name, reading)
                return
            # A server that is away, or a key that has expired: the batch is paid for, so wait.
            self._warn(f"batch {batch.id} cannot be looked at: {reading.text}")
            lines = None
        if lines is None:
            for name in names:
                self._questions[name].waits = True
            return
        missing = Reading(Finish.FAILED, one_line(self._connection.keys.scrub_error(_why(state))))
        # One refused parameter comes back with every question.
        sent = {name: self._body(name) for name in names}
        for name in names:
            self._take(batch, name, lines.get(name, {}), sent[name], missing)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            _LOG.warning("%s", text)

    async def _lines(self, state: Any) -> dict[str, Line]:
        """The lines of a batch's results, by question."""
        lines: dict[str, Line] = {}
        for file_id in (state.output_file_id, state.error_file_id):
            if file_id:
                content = await self._api.files.content(file_id)
                text = content.content.decode("utf-8", errors="replace")
                lines |= read_lines(self._connection.keys.scrub(text))
        return lines

    def _take(
        self, batch: Batch, name: str, line: Line, sent: Mapping[str, Any], missing: Reading
    ) -> None:
        """Read one line of the results, empty where there is none."""
        reading = read_line(line, missing=missing)
        if reading.finish is Finish.FAILED and self._connection.parameters.learn(
            sent.keys(), *complaint_of(line)
        ):
            self._batches.forget(batch, [name])
            self._questions[name].waits = False
            self._queue.append(name)
            self._start("collect", self._collect)
            return
        self._settle(batch, name, reading)

    def _settle(self, batch: Batch | None, name: str, reading: Reading) -> None:
        """Hand a question's reading over; what failed is forgotten by `batch`."""
        question = self._questions.pop(name, None)
        if question is not None and not question.reading.done():
            question.reading.set_result(reading)
        if batch is not None and reading.finish is Finish.FAILED:
            self._batches.forget(batch, [name])


def _why(state: Any) -> str:
    """Why a batch has no line for a question."""
    errors = getattr(state.errors, "data", None) or []
    said = "; ".join(str(error.message) for error in errors if error.message)
    return f"batch {state.id} {state.status} without an answer{f': {said}' if said else ''}"
