"""The Batch API over real HTTP: collected, handed in, taken up again by a later session."""

from __future__ import annotations

import json
import time

import pytest

from operators.dialogue import Prompt
from operators.llm.batch import BatchClient
from operators.llm.settings import ModelSettings
from populations.call import Finish, Message
from populations.errors import ConfigError, StoreError
from tests.operators.llm.server import KEY, batch_echo, batch_line, completion

PATIENCE_S = 60.0


def until(holds) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


@pytest.fixture
def session(server, tmp_path):
    """Makes clients on one run directory, one after the other as sessions do."""
    made: list[BatchClient] = []

    def make(**more) -> BatchClient:
        base = {"model": "tiny", "base_url": server.url, "api_key_env": "LOCAL_KEY", "retries": 0}
        settings = ModelSettings("night/1", provider="batch", **{**base, **more})
        client = BatchClient(settings, directory=tmp_path / "b", collect_s=0.2, poll_s=0.02)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


def put(client, number: int = 0, text: str = ""):
    asked = Prompt((Message("user", text or f"question {number}"),))
    return client.ask(asked, proposal=number, turn=0, operator="draft")


def put_all(client, count: int):
    futures = [put(client, number) for number in range(count)]
    until(client.dormant)
    return futures


def test_questions_go_together_and_answers_find_their_own(session, server):
    client = session(temperature=0.5, price_out=1.0)
    futures = put_all(client, 5)
    assert list(server.batches) == ["batch-0"]
    made = server.batches["batch-0"]
    assert (made["endpoint"], made["completion_window"]) == ("/v1/chat/completions", "24h")
    first = server.lines("batch-0")[0]
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    assert first["body"]["temperature"] == 0.5
    server.finish("batch-0")
    answers = [future.result(PATIENCE_S) for future in futures]
    assert [answer.text for answer in answers] == [f"you said: question {i}" for i in range(5)]
    assert {(a.finish, a.model, a.tokens_out) for a in answers} == {
        (Finish.COMPLETE, "night/1", 20)
    }
    assert answers[0].cost_usd == pytest.approx(20e-6)
    assert not client.dormant()


def test_a_later_question_goes_into_a_batch_of_its_own(session, server):
    client = session()
    early = put_all(client, 1)
    late = put(client, 7)
    assert not client.dormant()
    until(client.dormant)
    server.finish("batch-1")
    assert late.result(PATIENCE_S).text == "you said: question 7"
    assert not early[0].done()


def test_a_later_session_waits_for_the_same_batch(session, server):
    first = session()
    futures = put_all(first, 3)
    first.close()
    assert all(future.cancelled() for future in futures)
    second = session()
    again = put_all(second, 3)
    assert len(server.batches) == 1
    server.finish("batch-0")
    assert [f.result(PATIENCE_S).text for f in again][2] == "you said: question 2"


def test_results_that_came_while_nobody_ran_are_there_before_anybody_sleeps(session, server):
    first = session()
    put_all(first, 2)
    first.close()
    server.finish("batch-0")
    second = session()
    again = [put(second, number) for number in range(2)]
    while not all(future.done() for future in again):
        assert not second.dormant()
    third = session()
    assert put(third, 1).result(PATIENCE_S).text == "you said: question 1"
    assert len(server.batches) == 1


def test_another_text_is_another_question(session, server):
    first = session()
    put_all(first, 1)
    first.close()
    second = session()
    put(second, 0, "something else")
    until(second.dormant)
    assert len(server.batches) == 2


def test_a_batch_whose_id_was_never_noted_is_found(session, server, tmp_path):
    first = session()
    put_all(first, 2)
    first.close()
    (path,) = (tmp_path / "b").iterdir()
    kept = json.loads(path.read_text())
    assert kept["batches"][0]["id"] == "batch-0"
    kept["batches"][0]["id"] = ""
    path.write_text(json.dumps(kept))
    put_all(session(), 2)
    assert len(server.batches) == 1
    assert json.loads(path.read_text())["batches"][0]["id"] == "batch-0"


def test_a_batch_that_was_never_made_is_made(session, server, tmp_path):
    first = session()
    put_all(first, 2)
    first.close()
    server.batches.clear()
    (path,) = (tmp_path / "b").iterdir()
    path.write_text(path.read_text().replace("batch-0", ""))
    put_all(session(), 2)
    (made,) = server.batches
    assert len(server.lines(made)) == 2


def test_lines_that_failed_expired_or_are_missing(session, server):
    futures = put_all(session(), 5)
    kinds = {
        0: lambda line: batch_line(line, {"error": {"message": f"bad {KEY}"}}, 400),
        1: lambda line: {
            "custom_id": line["custom_id"],
            "response": None,
            "error": {"code": "batch_expired", "message": "not run in time"},
        },
        2: lambda _: None,
        3: lambda line: batch_line(line, {"choices": "none"}),
        4: lambda line: batch_line(line, completion("cut", "length")),
    }
    server.finish("batch-0", "expired", lambda line: kinds[int(line["custom_id"][:5])](line))
    answers = [future.result(PATIENCE_S) for future in futures]
    assert [a.finish for a in answers] == [Finish.FAILED] * 4 + [Finish.TRUNCATED]
    assert answers[0].text == "400: bad [LOCAL_KEY]"
    assert answers[1].text == "not run in time"
    assert answers[2].text == "batch batch-0 expired without an answer"
    assert "malformed" in answers[3].text


def test_what_failed_may_be_asked_again(session, server):
    client = session()
    first = put_all(client, 2)
    server.finish("batch-0", result=lambda line: batch_echo(line) if "00000" in str(line) else None)
    assert first[1].result(PATIENCE_S).finish is Finish.FAILED
    assert first[0].result(PATIENCE_S).finish is Finish.COMPLETE
    again = put(client, 1)
    until(client.dormant)
    server.finish("batch-1")
    assert again.result(PATIENCE_S).text == "you said: question 1"


def test_a_batch_that_is_refused_says_why(session, server):
    futures = put_all(session(), 1)
    server.batches["batch-0"]["errors"] = {"object": "list", "data": [{"message": "queue is full"}]}
    server.finish("batch-0", "failed", lambda _: None)
    text = futures[0].result(PATIENCE_S).text
    assert text == "batch batch-0 failed without an answer: queue is full"


def test_a_refused_parameter_goes_into_a_new_batch_without_it(session, server):
    futures = put_all(session(temperature=0.5), 3)
    wrong = {"error": {"message": "Unsupported value: 'temperature'", "param": "temperature"}}
    server.finish("batch-0", result=lambda line: batch_line(line, wrong, 400))
    until(lambda: "batch-1" in server.batches)
    assert len(server.lines("batch-1")) == 3
    assert all("temperature" not in line["body"] for line in server.lines("batch-1"))
    server.finish("batch-1")
    assert {future.result(PATIENCE_S).finish for future in futures} == {Finish.COMPLETE}


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_will_not_tell_for_a_while_loses_nothing(session, server, caplog, status):
    client = session()
    futures = put_all(client, 2)
    server.hidden = status
    until(lambda: caplog.records)
    time.sleep(0.1)
    assert client.dormant()
    (warning,) = caplog.messages
    assert "batch batch-0 cannot be looked at: tiny at 127.0.0.1:" in warning
    assert f"{status}: not now" in warning
    server.finish("batch-0")
    server.hidden = 0
    assert {future.result(PATIENCE_S).finish for future in futures} == {Finish.COMPLETE}


def test_a_batch_that_is_gone_fails_its_questions(session, server):
    futures = put_all(session(), 2)
    server.batches.clear()
    assert {future.result(PATIENCE_S).finish for future in futures} == {Finish.FAILED}
    assert "404: no such thing" in futures[0].result().text


def test_a_server_that_takes_no_batches(session, server):
    client = session(base_url=server.url.replace("/v1", "/v2"))
    answer = put(client).result(PATIENCE_S)
    assert (answer.finish, client.dormant()) == (Finish.FAILED, False)
    assert "404: no such path" in answer.text


def test_a_full_disk_leaves_nobody_waiting(session, server, tmp_path):
    client = session()
    futures = put_all(client, 2)
    (path,) = (tmp_path / "b").iterdir()
    path.unlink()
    path.mkdir()  # cannot be replaced by a file
    server.finish("batch-0", result=lambda _: None)
    assert {future.result(PATIENCE_S).finish for future in futures} == {Finish.FAILED}


def test_the_same_question_twice_is_one_line(session, server):
    client = session()
    futures = [put(client), put(client)]
    until(client.dormant)
    assert len(server.lines("batch-0")) == 1
    server.finish("batch-0")
    assert {future.result(PATIENCE_S).text for future in futures} == {"you said: question 0"}


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2, "batches": []}', '{"version": 1}'])
def test_a_list_that_cannot_be_read_is_told(session, tmp_path, text):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "night%2F1.json").write_text(text)
    with pytest.raises(StoreError, match=r"night%2F1\.json"):
        session()


def test_a_missing_key_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("LOCAL_KEY", raising=False)
    with pytest.raises(ConfigError, match="needs a key"):
        BatchClient(ModelSettings("m", api_key_env="LOCAL_KEY"), directory=tmp_path)
