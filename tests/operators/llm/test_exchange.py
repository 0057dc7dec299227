"""Questions as files, and programs that answer them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from operators.dialogue import Prompt
from operators.llm import pages
from operators.llm.command import Command
from operators.llm.exchange import Exchange
from operators.llm.settings import ModelSettings
from populations.call import Answer, Finish, Message
from populations.errors import ConfigError

PATIENCE_S = 60.0


def prompt(text: str = "faster, please") -> Prompt:
    return Prompt((Message("system", "You write kernels."), Message("user", text)))


@pytest.fixture
def exchange(tmp_path):
    """Makes exchanges on one directory, one after the other as sessions do."""
    made: list[Exchange] = []

    def make(name: str = "chat", settle_s: float = 0.05) -> Exchange:
        settings = ModelSettings(name, provider="exchange")
        made.append(Exchange(settings, directory=tmp_path / "x", poll_s=0.01, settle_s=settle_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


def put(exchange, text: str = "faster, please", proposal: int = 42, turn: int = 0):
    return exchange.ask(prompt(text), proposal=proposal, turn=turn, operator="rewrite")


def until(holds) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_question_is_a_page_that_says_what_to_do(exchange, tmp_path):
    put(exchange())
    text = (tmp_path / "x" / "00042-0.prompt.md").read_text()
    head, _, rest = text.partition("-->")
    assert "00042-0.answer.md" in head
    assert "proposal 42, turn 0, asked by rewrite for model chat" in head
    assert rest == "\n\n# SYSTEM\n\nYou write kernels.\n\n# USER\n\nfaster, please\n"


def test_an_answer_that_appears_is_taken_up_and_stays(exchange, tmp_path):
    running = exchange()
    future = put(running)
    assert running.dormant()
    path = tmp_path / "x" / "00042-0.answer.md"
    pages.write(path, "\ufeff```python\nquick = 1\n```\n")
    answer = future.result(PATIENCE_S)
    assert answer.text == "```python\nquick = 1\n```\n"
    assert (answer.finish, answer.model, answer.cost_usd) == (Finish.COMPLETE, "chat", 0.0)
    assert path.exists()
    assert not running.dormant()


def test_an_answer_in_the_making_is_waited_for(exchange, tmp_path):
    running = exchange(settle_s=1.0)
    future = put(running)
    path = tmp_path / "x" / "00042-0.answer.md"
    path.touch()
    assert running.dormant()
    parts = [f"part {i}\n" for i in range(8)]
    with path.open("a") as file:
        for part in parts:
            file.write(part)
            file.flush()
            assert not running.dormant()
            time.sleep(0.05)
    assert future.result(PATIENCE_S).text == "".join(parts)


def test_an_answer_that_was_written_while_nobody_ran_is_taken_up(exchange, tmp_path):
    first = exchange()
    future = put(first)
    first.close()
    assert future.cancelled()
    page = (tmp_path / "x" / "00042-0.prompt.md").read_bytes()
    (tmp_path / "x" / "00042-0.answer.md").write_text("while you slept")
    second = exchange()
    again = put(second)
    assert not second.dormant()
    assert again.result(PATIENCE_S).text == "while you slept"
    assert (tmp_path / "x" / "00042-0.prompt.md").read_bytes() == page


def test_another_text_replaces_a_question_without_an_answer(exchange, tmp_path):
    first = exchange()
    put(first, "old")
    first.close()
    put(exchange(), "new")
    assert names(tmp_path / "x") == ["00042-0.prompt.md", "README.md"]
    assert "new" in (tmp_path / "x" / "00042-0.prompt.md").read_text()


def test_another_text_leaves_a_question_with_an_answer_alone(exchange, tmp_path):
    first = exchange()
    put(first, "old")
    first.close()
    (tmp_path / "x" / "00042-0.answer.md").write_text("to the old one")
    second = exchange()
    new, old = put(second, "new"), put(second, "old")
    (tmp_path / "x" / "00042-0.2.answer.md").write_text("to the new one")
    assert new.result(PATIENCE_S).text == "to the new one"
    assert old.result(PATIENCE_S).text == "to the old one"


def test_an_answer_to_another_runs_question_is_not_taken(exchange, tmp_path):
    mine, theirs = exchange("mine"), exchange("theirs")
    my_answer, their_answer = put(mine, "mine"), put(theirs, "theirs")
    (tmp_path / "x" / "00042-0.answer.md").write_text("to theirs")
    assert their_answer.result(PATIENCE_S).text == "to theirs"
    path = tmp_path / "x" / "00042-0.2.prompt.md"
    until(path.exists)
    assert "# USER\n\nmine" in path.read_text()
    (tmp_path / "x" / "00042-0.2.answer.md").write_text("to mine")
    assert my_answer.result(PATIENCE_S).text == "to mine"


def test_the_same_question_twice_is_one_file_and_two_answers(exchange, tmp_path):
    running = exchange()
    futures = [put(running), put(running)]
    (tmp_path / "x" / "00042-0.answer.md").write_text("both")
    assert [f.result(PATIENCE_S).text for f in futures] == ["both", "both"]


def test_the_list_says_what_waits(exchange, tmp_path):
    running = exchange()
    futures = [put(running, proposal=number) for number in (3, 1, 2)]
    page = tmp_path / "x" / "README.md"
    until(lambda: page.exists() and "3 of 3 wait" in page.read_text())
    (tmp_path / "x" / "00001-0.answer.md").write_text("one")
    futures[1].result(PATIENCE_S)
    until(lambda: "2 of 3 wait" in page.read_text())
    waiting = [line.split("](")[0] for line in page.read_text().splitlines() if line[:2] == "- "]
    assert waiting == ["- [00002-0.prompt.md", "- [00003-0.prompt.md"]


def test_what_is_not_dormant(exchange, tmp_path):
    running = exchange()
    assert not running.dormant()
    futures = [put(running, proposal=number) for number in (1, 2)]
    assert running.dormant()
    (tmp_path / "x" / "00001-0.answer.md").write_text("one")
    assert not running.dormant()
    futures[0].result(PATIENCE_S)
    assert running.dormant()


def test_blank_answers_and_endless_ones(exchange, tmp_path):
    running = exchange()
    blank, endless = (put(running, proposal=number) for number in (1, 2))
    (tmp_path / "x" / "00001-0.answer.md").write_text(" \n")
    pages.write(tmp_path / "x" / "00002-0.answer.md", "x" * (5 << 20))
    assert blank.result(PATIENCE_S).finish is Finish.EMPTY
    assert endless.result(PATIENCE_S).finish is Finish.TRUNCATED


def test_a_directory_that_cannot_be_made_fails_the_question(tmp_path):
    (tmp_path / "x").write_text("a file")
    exchange = Exchange(ModelSettings("chat", provider="exchange"), directory=tmp_path / "x")
    answer = put(exchange).result(0)
    exchange.close()
    assert answer.finish is Finish.FAILED
    assert "cannot be written" in answer.text


# ---- programs


@pytest.fixture
def run():
    """Runs a piece of Python as the command, for one question."""
    made: list[Command] = []

    def ask(code: str, **more) -> Answer:
        return start(code, **more).result(PATIENCE_S)

    def start(code: str, text: str = "faster, please", **more):
        settings = ModelSettings(
            "agent", provider="exchange", command=(sys.executable, "-c", code), **more
        )
        made.append(Command(settings))
        return put(made[-1], text)

    ask.start, ask.made = start, made
    yield ask
    for one in made:
        one.close()


def test_a_program_gets_the_prompt_and_prints_the_answer(run, monkeypatch):
    monkeypatch.setenv("MY_SETTING", "mine")
    answer = run("import os, sys; print(os.environ['MY_SETTING'], sys.stdin.read().upper())")
    assert answer.finish is Finish.COMPLETE
    assert answer.text == "mine # SYSTEM\n\nYOU WRITE KERNELS.\n\n# USER\n\nFASTER, PLEASE\n\n"


@pytest.mark.parametrize(
    ("code", "finish", "text"),
    [
        ("import sys; print('x'); sys.stderr.write('a\\nb\\nc\\nd\\ne\\nf\\n'); sys.exit(3)",
         Finish.FAILED, "exit status 3: b\nc\nd\ne\nf"),
        ("import os; os.kill(os.getpid(), 9)", Finish.FAILED, "exit status -9: it said nothing"),
        ("pass", Finish.EMPTY, ""),
        ("print('did not read')", Finish.COMPLETE, "did not read\n"),
    ],
)  # fmt: skip
def test_how_programs_end(run, code, finish, text):
    answer = run(code, text="y" * 300_000)
    assert (answer.finish, answer.text) == (finish, text)


def test_a_program_that_prints_without_end_is_ended(run):
    answer = run("while True: print('x' * 100_000)")
    assert answer.finish is Finish.TRUNCATED


def test_a_slow_program_is_ended_with_what_it_started(run, tmp_path):
    note = tmp_path / "child"
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    answer = run(code, timeout_s=3.0)
    assert (answer.finish, answer.text) == (Finish.FAILED, "no answer within 3 s")
    until(lambda: not alive(int(note.read_text())))


def test_close_ends_the_programs(run, tmp_path):
    note = tmp_path / "self"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    future = run.start(code)
    until(lambda: note.exists() and note.read_text())
    run.made[0].close()
    assert future.cancelled()
    until(lambda: not alive(int(note.read_text())))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_secrets_of_the_environment_do_not_get_into_answers(run, monkeypatch):
    monkeypatch.setenv("OTHER_API_KEY", "sk-other-0123456789abcdef")
    answer = run("import os, sys; sys.exit('my key is ' + os.environ['OTHER_API_KEY'])")
    assert answer.text == "exit status 1: my key is [OTHER_API_KEY]"


def test_no_more_programs_than_parallel(run, tmp_path):
    code = (
        f"import os, time; d = {str(tmp_path)!r} + '/at'; os.makedirs(d, exist_ok=True);"
        "p = f'{d}/{os.getpid()}'; open(p, 'w').close(); time.sleep(0.1);"
        "print(len(os.listdir(d))); os.remove(p)"
    )
    settings = ModelSettings("agent", "exchange", command=(sys.executable, "-c", code), parallel=2)
    command = Command(settings)
    counts = [put(command, proposal=i) for i in range(5)]
    assert {int(f.result(PATIENCE_S).text) for f in counts} <= {1, 2}
    command.close()


def test_a_program_that_is_not_there_is_told_at_once(tmp_path):
    settings = ModelSettings("agent", provider="exchange", command=(str(tmp_path / "none"),))
    with pytest.raises(ConfigError, match=r"'agent': no program .*none"):
        Command(settings)


def test_a_program_that_vanished_fails_the_question(tmp_path):
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\necho hi\n")
    program.chmod(0o700)
    command = Command(ModelSettings("agent", provider="exchange", command=(str(program),)))
    program.unlink()
    assert put(command).result(PATIENCE_S).finish is Finish.FAILED
    command.close()
