"""What every provider has to do, and which of them a model gets."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from operators.dialogue import Prompt
from operators.llm.answerer import Answerer
from operators.llm.batch import BatchClient
from operators.llm.client import ChatClient
from operators.llm.command import Command
from operators.llm.exchange import Exchange
from operators.llm.fake import Asked, ScriptedAnswerer
from operators.llm.providers import answerer
from operators.llm.settings import ModelSettings
from populations.call import Answer, Finish, Message
from tests.operators.llm.server import KEY, Reply, says

PATIENCE_S = 60.0
PROVIDERS = ["chat", "batch", "exchange", "command", "fake"]


class World:
    """One provider with somebody on the other side who answers, or does not."""

    def __init__(self, kind: str, server, folder: Path) -> None:
        self.kind, self.server, self.folder = kind, server, folder
        self.made: list[Answerer] = []
        self.silent = threading.Event()
        server.reply = lambda _: self._reply()
        self._ended = threading.Event()
        self._people = threading.Thread(target=self._answer_in_time, daemon=True)
        self._people.start()

    def answerer(self) -> Answerer:
        base = {"model": "tiny", "base_url": self.server.url, "api_key_env": "LOCAL_KEY"}
        made: Answerer
        if self.kind == "chat":
            made = ChatClient(ModelSettings("m", **base))
        elif self.kind == "batch":
            made = BatchClient(
                ModelSettings("m", **base), directory=self.folder, collect_s=0.05, poll_s=0.02
            )
        elif self.kind == "exchange":
            made = Exchange(
                ModelSettings("m"), directory=self.folder / "x", poll_s=0.01, settle_s=0.05
            )
        elif self.kind == "command":
            code = "import sys, time; time.sleep(600 * int(sys.argv[1])); print('fine')"
            wait = str(int(self.silent.is_set()))
            made = Command(ModelSettings("m", command=(sys.executable, "-c", code, wait)))
        else:
            made = ScriptedAnswerer(lambda _: None if self.silent.is_set() else "fine", model="m")
        self.made.append(made)
        return made

    def end(self) -> None:
        for made in self.made:
            made.close()
        self._ended.set()
        self._people.join()

    def _reply(self) -> Reply:
        return says("fine", delay_s=PATIENCE_S if self.silent.is_set() else 0.0)

    def _answer_in_time(self) -> None:
        while not self._ended.wait(0.02):
            if self.silent.is_set():
                continue
            for name, batch in list(self.server.batches.items()):
                if batch["status"] == "validating":
                    self.server.finish(name)
            for page in (self.folder / "x").glob("*.prompt.md"):
                answer = page.with_name(page.name.replace(".prompt.", ".answer."))
                if not answer.exists():
                    answer.write_text("fine")


@pytest.fixture(params=PROVIDERS)
def world(request, server, tmp_path):
    world = World(request.param, server, tmp_path)
    yield world
    world.end()


def put(answerer: Answerer, number: int = 0, text: str = "question") -> Future[Answer]:
    asked = Prompt((Message("system", "You write kernels."), Message("user", text)))
    return answerer.ask(asked, proposal=number, turn=0, operator="draft")


def test_every_question_is_answered(world):
    answerer = world.answerer()
    answers = [put(answerer, number).result(PATIENCE_S) for number in range(2)]
    assert {answer.finish for answer in answers} == {Finish.COMPLETE}
    assert {answer.model for answer in answers} == {"m"}
    assert all(answer.text.strip() for answer in answers)
    assert all(answer.latency_s >= 0 for answer in answers)


def test_nothing_under_way_is_not_dormant(world):
    answerer = world.answerer()
    assert not answerer.dormant()
    future = put(answerer)
    future.result(PATIENCE_S)
    end = time.monotonic() + PATIENCE_S
    while answerer.dormant():
        assert time.monotonic() < end


def test_asking_returns_at_once_and_close_cancels(world):
    world.silent.set()
    answerer = world.answerer()
    start = time.monotonic()
    futures = [put(answerer, number) for number in range(3)]
    assert time.monotonic() - start < PATIENCE_S / 4
    assert not any(future.done() for future in futures)
    answerer.close()
    answerer.close()
    assert all(future.cancelled() for future in futures)
    assert not answerer.dormant()
    assert put(answerer).cancelled()


def test_odd_prompts_do_no_harm(world):
    """Half a surrogate pair cannot be sent as UTF-8: whatever becomes of it, it is an answer."""
    answerer = world.answerer()
    answers = [put(answerer, n, text).result(PATIENCE_S) for n, text in enumerate(["\ud800", ""])]
    assert {answer.finish for answer in answers} <= {Finish.COMPLETE, Finish.FAILED}


def test_nothing_is_told_of_the_key(world):
    assert KEY not in repr(world.answerer())


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, ChatClient),
        ({"provider": "batch"}, BatchClient),
        ({"provider": "exchange"}, Exchange),
        ({"provider": "exchange", "command": (sys.executable, "-V")}, Command),
    ],
)
def test_the_settings_choose(server, tmp_path, more, kind):
    settings = ModelSettings("m", base_url=server.url, **more)
    made = answerer(settings, run_directory=tmp_path)
    made.close()
    assert type(made) is kind
    assert not list(tmp_path.iterdir()), "nothing is written before a question"


@pytest.mark.parametrize("own", [False, True])
def test_where_an_exchange_lies(tmp_path, own):
    directory = tmp_path / "own" if own else None
    settings = ModelSettings("m", provider="exchange", directory=directory)
    made = answerer(settings, run_directory=tmp_path / "run")
    put(made)
    made.close()
    assert (tmp_path / ("own" if own else "run/exchange") / "00000-0.prompt.md").exists()


def test_nothing_heavy_comes_with_the_import():
    modules = "client", "batch", "exchange", "command", "fake", "providers", "connection"
    code = f"import sys, {', '.join(f'operators.llm.{name}' for name in modules)};" + (
        "print([n for n in sys.modules if n.split('.')[0] in ('openai', 'pydantic', 'httpx2')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- the script


def test_a_script_is_followed_in_order():
    whole = Answer("half", Finish.TRUNCATED, "other", tokens_out=7)
    fake = ScriptedAnswerer(["one", whole, " "], model="m")
    answers = [put(fake, number).result(0) for number in range(4)]
    assert [a.text for a in answers] == ["one", "half", " ", "the script has ended"]
    assert [a.finish.value for a in answers] == ["complete", "truncated", "empty", "failed"]
    assert answers[1] is whole
    assert [asked.proposal for asked in fake.asked] == [0, 1, 2, 3]


def test_a_script_may_take_its_time_and_leave_questions_open():
    def say(asked: Asked) -> str | None:
        return None if asked.proposal == 1 else f"to {asked.prompt.messages[-1].text}"

    fake = ScriptedAnswerer(say, delay_s=lambda asked: 0.1 * (2 - asked.proposal))
    slow, never, quick = (put(fake, number) for number in range(3))
    assert quick.result(0).text == "to question"
    assert not fake.dormant()
    assert slow.result(PATIENCE_S).latency_s == pytest.approx(0.2)
    end = time.monotonic() + PATIENCE_S
    while not fake.dormant():
        assert time.monotonic() < end
    fake.close()
    assert never.cancelled()
