"""The chat client over real HTTP: what comes back, what is sent, what goes wrong."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from concurrent.futures import Future, wait

import pytest

from operators.dialogue import Prompt
from operators.llm.client import ChatClient
from operators.llm.settings import ModelSettings
from populations.call import Answer, Finish, Message
from populations.errors import ConfigError
from tests.operators.llm.server import (
    KEY,
    LocalServer,
    Reply,
    Request,
    as_json,
    completion,
    echo,
    error,
    says,
)

PATIENCE_S = 60.0


def prompt(text: str = "faster, please", **more: int) -> Prompt:
    return Prompt((Message("system", "You write kernels."), Message("user", text)), **more)


class Asking:
    """Clients of one server, closed at the end."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.clients: list[ChatClient] = []

    def client(self, **more: object) -> ChatClient:
        base = {"base_url": self.server.url, "api_key_env": "LOCAL_KEY", "retries": 0}
        settings = ModelSettings("local", **{"model": "tiny", **base, **more})
        self.clients.append(ChatClient(settings))
        return self.clients[-1]

    def __call__(self, text: str | Prompt = "faster, please", **more: object) -> Answer:
        asked = text if isinstance(text, Prompt) else prompt(text)
        future = put(self.client(**more), asked)
        return future.result(PATIENCE_S)


def put(client: ChatClient, asked: Prompt, proposal: int = 0) -> Future[Answer]:
    return client.ask(asked, proposal=proposal, turn=0, operator="draft")


def always(reply: Reply):
    """The same for everybody."""
    return lambda _: reply


@pytest.fixture
def ask(server):
    asking = Asking(server)
    yield asking
    for client in asking.clients:
        client.close()


def test_an_answer_with_its_usage_and_its_price(ask, server):
    answer = ask("hello", price_in=2.0, price_cached=0.5, price_out=10.0)
    assert answer.text == "you said: hello"
    assert (answer.finish, answer.model) == (Finish.COMPLETE, "local")
    assert (answer.tokens_in, answer.tokens_cached, answer.tokens_out) == (100, 60, 20)
    assert answer.cost_usd == pytest.approx((40 * 2.0 + 60 * 0.5 + 20 * 10.0) / 1e6)
    assert 0 < answer.latency_s < PATIENCE_S
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_only_what_is_set_is_sent(ask, server):
    ask(prompt(max_tokens=77))
    ask(temperature=0.0, reasoning_effort="high")
    plain, full = (request.body for request in server.requests)
    assert plain == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "You write kernels."},
            {"role": "user", "content": "faster, please"},
        ],
        "max_tokens": 77,
    }
    assert (full["temperature"], full["reasoning_effort"]) == (0.0, "high")
    assert full["max_tokens"] == ModelSettings("x").max_tokens


def test_the_server_is_asked_for_no_more_than_the_context_holds(ask, server):
    ask("x" * 3000, context=2048)
    (request,) = server.requests
    assert request.body["max_tokens"] < 2048 - 1000


@pytest.mark.parametrize(
    ("reply", "finish", "text"),
    [
        (says("cut he", "length"), Finish.TRUNCATED, "cut he"),
        (says("", "length"), Finish.TRUNCATED, ""),
        (says(" \n"), Finish.EMPTY, " \n"),
        (says(None), Finish.EMPTY, ""),
        (says("I may n", "content_filter"), Finish.REFUSED, "I may n"),
        (says(None, "content_filter"), Finish.REFUSED, "filter"),
        (as_json(completion(None, refusal="No.")), Finish.REFUSED, "No."),
        (as_json(completion([{"type": "text", "text": "par"}, {"text": "ts"}])), None, "parts"),
        (error(400, "not that", code="content_filter"), Finish.REFUSED, "not that"),
        (error(404, "model 'tiny' not found"), Finish.FAILED, "404: model 'tiny' not found"),
        (error(401, "who are you?"), Finish.FAILED, "401: who are you?"),
        (Reply(b"<html>busy</html>", status=502), Finish.FAILED, "502: <html>busy</html>"),
        (Reply(b"<html>hi</html>"), Finish.FAILED, "malformed answer: <html>hi</html>"),
        (Reply(b"[" * 5000), Finish.FAILED, "malformed"),
        (Reply(b""), Finish.FAILED, "malformed"),
        (as_json({"ok": True}), Finish.FAILED, "malformed"),
        (as_json([1, 2]), Finish.FAILED, "malformed"),
        (as_json({"choices": []}), Finish.FAILED, "malformed"),
        (as_json({"choices": [{}]}), Finish.FAILED, "malformed"),
        (as_json({"choices": 7, "usage": [3]}), Finish.FAILED, "malformed"),
        (as_json({"error": {"code": 502, "message": "upstream"}}), Finish.FAILED, "upstream"),
        (says("half an ans", "error"), Finish.FAILED, "broken off"),
        (says("x" * 100, cut=20), Finish.FAILED, "no connection"),
    ],
)
def test_every_end_is_told_apart(ask, server, reply, finish, text):
    server.reply = always(reply)
    answer = ask()
    assert answer.finish is (finish or Finish.COMPLETE)
    assert text in answer.text
    assert "\n" not in answer.text or finish is Finish.EMPTY
    assert len(answer.text) < 600


def test_an_answer_can_always_be_kept(ask, server):
    """JSON can say what UTF-8 cannot: half a surrogate pair."""
    server.reply = always(Reply(json.dumps(completion("a\ud800b")).encode()))
    assert ask().text == "a?b"


def test_what_a_malformed_answer_cost_is_counted(ask, server):
    bodies = [{"usage": {"prompt_tokens": 10, "completion_tokens": 1}}, completion("better")]
    server.reply = lambda request: as_json(bodies[request.number])
    answer = ask(retries=1)
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("better", 110, 21)


def test_reasoning_counted_in_the_total_alone_is_paid_for(ask, server):
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 100}
    server.reply = always(as_json({**completion("x"), "usage": usage}))
    assert ask(price_out=1.0).cost_usd == pytest.approx(90e-6)


@pytest.mark.parametrize(
    "fault",
    [
        error(429, "slow down", headers={"Retry-After": "0.2"}),
        error(500, "oops"),
        says("x" * 100, cut=20),
        says("too late", delay_s=3.0),
        Reply(b"nonsense"),
        as_json({"choices": []}),
    ],
)
def test_a_passing_fault_is_got_over(ask, server, fault):
    server.reply = lambda request: fault if request.number == 0 else echo(request)
    answer = ask("again", retries=2, timeout_s=1.0)
    assert (answer.finish, answer.text) == (Finish.COMPLETE, "you said: again")
    assert len(server.requests) == 2


def test_the_pause_that_the_server_asks_for_is_made(ask, server):
    limit = error(429, "slow down", headers={"Retry-After": "0.8"})
    server.reply = lambda request: echo(request) if request.number else limit
    assert ask(retries=1).latency_s >= 0.8


def test_faults_that_stay_are_told(ask, server):
    server.reply = always(error(429, "quota is used up", headers={"Retry-After": "0.01"}))
    answer = ask(retries=2)
    assert answer.finish is Finish.FAILED
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert answer.text == f"tiny at {host}: 429: quota is used up"
    assert len(server.requests) == 3


def test_a_slow_answer_ends_in_time(ask, server):
    server.reply = always(says("never", delay_s=PATIENCE_S))
    assert "no answer within 0.3 s (1 tries)" in ask(timeout_s=0.3).text


def test_an_answer_that_trickles_ends_in_time(ask, server):
    server.reply = always(says("never", dribble_s=0.2))
    answer = ask(timeout_s=1.0)
    assert (answer.finish, answer.latency_s < 20) == (Finish.FAILED, True)


def test_nobody_there(ask, server):
    answer = ask(base_url="http://127.0.0.1:9/v1")
    assert "no connection (1 tries)" in answer.text


def refuses(name: str, message: str, status: int = 400):
    """A server that does not take a parameter."""

    def reply(request: Request) -> Reply:
        return error(status, message, param=name) if name in request.body else echo(request)

    return reply


@pytest.mark.parametrize(
    ("name", "message", "instead"),
    [
        (
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead.",
            "max_completion_tokens",
        ),
        ("temperature", "Unsupported value: 'temperature' does not support 0.5", None),
        ("reasoning_effort", "Unrecognized request argument supplied: reasoning_effort", None),
        ("reasoning_effort", '"tiny" does not support thinking', None),
    ],
)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(ask, server, name, message, instead):
    server.reply = refuses(name, message)
    client = ask.client(temperature=0.5, reasoning_effort="low")
    first, second = (put(client, prompt(str(i))).result(PATIENCE_S) for i in range(2))
    assert (first.text, second.text) == ("you said: 0", "you said: 1")
    assert [name in request.body for request in server.requests] == [True, False, False]
    assert instead is None or instead in server.requests[-1].body


def test_a_value_that_is_refused_is_no_reason_to_leave_a_parameter_out(ask, server):
    server.reply = refuses("max_tokens", "max_tokens is too large: 16000, at most 4096")
    assert "too large" in ask().text
    assert len(server.requests) == 1


def test_several_questions_may_learn_the_same_thing(ask, server):
    server.reply = refuses("temperature", "Unsupported value: 'temperature'")
    client = ask.client(temperature=0.5, parallel=4)
    futures = [put(client, prompt(str(i)), i) for i in range(4)]
    assert {f.result(PATIENCE_S).finish for f in futures} == {Finish.COMPLETE}


def test_no_more_than_parallel_are_under_way(ask, server):
    server.reply = always(says("x", delay_s=0.05))
    client = ask.client(parallel=3)
    done, late = wait([put(client, prompt(str(i)), i) for i in range(12)], PATIENCE_S)
    assert (len(done), len(late), server.most_at_once) == (12, 0, 3)
    assert not client.dormant()


def test_close_cancels_what_is_under_way(ask, server):
    server.reply = always(says("never", delay_s=PATIENCE_S))
    client = ask.client(parallel=1)
    futures = [put(client, prompt(str(i)), i) for i in range(2)]
    until(lambda: server.requests)
    client.close()
    client.close()
    assert all(future.cancelled() for future in futures)
    assert put(client, prompt()).cancelled()


def until(holds, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def leaky(where: str, text: str) -> Reply:
    """A server that repeats the key."""
    return {
        "status": error(401, f"Incorrect API key provided: {text}"),
        "long": error(400, "x" * 380 + text),
        "html": Reply(f"<html>{text}</html>".encode(), status=500),
        "nonsense": Reply(("y" * 380 + text).encode()),
        "empty": as_json({"error": {"message": text}}),
        "answer": says(f"your key is {text}"),
        "refusal": as_json(completion(None, refusal=text)),
        "header": error(429, "no", headers={"X-Echo": text}),
    }[where]


@pytest.mark.parametrize(
    "where", ["status", "long", "html", "nonsense", "empty", "answer", "refusal", "header"]
)
def test_the_key_never_leaves(ask, server, caplog, where):
    server.reply = lambda request: leaky(where, request.headers["authorization"].split()[1])
    with caplog.at_level(logging.DEBUG):
        client = ask.client()
        answer = put(client, prompt()).result(PATIENCE_S)
    assert server.requests[0].headers["authorization"].endswith(KEY)
    seen = f"{answer!r} {client!r} {caplog.text} {client._connection.keys!r}"
    # Half a key would be a part of it too.
    assert KEY[:12] not in seen
    if where not in {"header", "long", "nonsense"}:
        assert "[LOCAL_KEY]" in answer.text


def test_a_key_with_odd_characters_is_found_in_every_spelling(ask, server, monkeypatch):
    key = 'p/w+"quoted\\'
    monkeypatch.setenv("LOCAL_KEY", key)
    server.reply = always(error(400, f"{key} p%2Fw%2B%22quoted%5C"))
    assert ask().text.endswith(": 400: [LOCAL_KEY] [LOCAL_KEY]")


def test_a_short_placeholder_is_taken_out_of_errors_but_not_out_of_code(ask, server, monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", "EMPTY")
    assert ask("state = EMPTY").text == "you said: state = EMPTY"
    server.reply = always(error(401, "bad key EMPTY, EMPTYING"))
    assert "[LOCAL_KEY], EMPTYING" in ask().text


def test_a_missing_key_is_told_at_once(server, monkeypatch):
    monkeypatch.delenv("LOCAL_KEY")
    settings = ModelSettings("far", base_url="https://u:pw@far.example/v1", api_key_env="LOCAL_KEY")
    with pytest.raises(ConfigError, match=r"'far': far\.example/v1 needs a key.* LOCAL_KEY is not"):
        ChatClient(settings)


@pytest.mark.parametrize("key", ["sk-proj-0123456789", "gsk_0123456789abcdef"])
def test_a_key_in_place_of_its_variables_name_is_not_repeated(key):
    with pytest.raises(ConfigError, match="variable that api_key_env names is not set") as raised:
        ChatClient(ModelSettings("far", api_key_env=key))
    assert key not in str(raised.value)


@pytest.mark.parametrize("key", ["two\nlines-of-secret", "schlüssel-geheim"])
def test_a_key_that_cannot_be_sent_is_told_without_it(monkeypatch, key):
    monkeypatch.setenv("LOCAL_KEY", key)
    with pytest.raises(ConfigError, match="odd characters") as raised:
        ChatClient(ModelSettings("far", api_key_env="LOCAL_KEY"))
    assert key not in str(raised.value)


def test_a_server_on_this_machine_needs_no_key(ask, server, monkeypatch):
    monkeypatch.delenv("LOCAL_KEY")
    assert ask("hi").text == "you said: hi"
    assert server.requests[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/", "http://", "http://h:port/"])
def test_an_address_that_is_none_is_told(monkeypatch, url):
    monkeypatch.setenv("LOCAL_KEY", KEY)
    with pytest.raises(ConfigError, match="is no address of a server"):
        ChatClient(ModelSettings("m", base_url=url, api_key_env="LOCAL_KEY"))


def test_openai_itself_is_sent_its_own_name_of_the_length(monkeypatch):
    monkeypatch.setenv("LOCAL_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    client = ChatClient(ModelSettings("m", api_key_env="LOCAL_KEY"))
    body = client._connection.parameters.body(prompt())
    client.close()
    assert "max_completion_tokens" in body
    assert "max_tokens" not in body


def test_load_with_faults_of_every_kind(ask, server):
    """64 questions, a tenth of the requests go wrong: nothing is lost."""
    faults = [
        error(429, "slow down", headers={"Retry-After": "0.05"}),
        error(500, "oops"),
        says("x" * 100, cut=30),
        says("too late", delay_s=4.0),
        Reply(b"nonsense"),
        as_json({"choices": []}),
        as_json({"error": {"message": "upstream"}}),
    ]
    kinds: Counter[int] = Counter()

    def reply(request: Request) -> Reply:
        if request.number % 9 == 8:
            kind = request.number // 9 % len(faults)
            kinds[kind] += 1
            return faults[kind]
        return says(f"answer to {request.text}", delay_s=0.2)

    server.reply = reply
    client = ask.client(parallel=64, retries=4, timeout_s=2.0)
    futures = [put(client, prompt(f"question {i}"), i) for i in range(64)]
    done, late = wait(futures, 2 * PATIENCE_S)
    assert not late
    assert len(done) == 64
    assert [f.result().text for f in futures] == [f"answer to question {i}" for i in range(64)]
    assert len(kinds) == len(faults)
    assert server.most_at_once > 32
