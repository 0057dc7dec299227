"""The page of results: nothing is left out, and what is open is said to be."""

from tests.adversarial.results_page import load, page
from tests.adversarial.rows import ROWS

CAUGHT = {
    "caught": True,
    "behind_the_gate": True,
    "gate": "",
    "problem": "",
    "cheat": {"outcome": "wrong_values", "text": "a | b\nc", "speedup": None},
    "verified": None,
    "honest_gate": "",
    "honest": {"outcome": "passed", "text": "", "speedup": 1.0},
}


def shown(key, **changes):
    content = {"machine": {}, "rows": {key: {**CAUGHT, **changes}}}
    text = page({"cpu": content, "cuda": {"machine": {}, "rows": {}}})
    return next(line for line in text.splitlines() if line.startswith(f"| {key} | "))


def test_every_row_has_a_line_for_each_device():
    text = page({device: {"machine": {}, "rows": {}} for device in ("cpu", "cuda")})
    for row in ROWS:
        for device in ("cpu", "cuda"):
            lines = [x for x in text.splitlines() if x.startswith(f"| {row.key} | ")]
            assert len([x for x in lines if f"| {device} |" in x]) == 1, row.key


def test_a_line_says_what_stopped_it():
    assert "wrong_values: a / b c | passed |" in shown("A1")
    assert "| refused |" in shown("A1", gate="line 3: no")
    assert "**open**" in shown("A1", behind_the_gate=False)
    assert "**the gate alone**" in shown("A1", behind_the_gate=False, gate="line 3: no")
    assert "gains nothing" in shown("A3", cheat={"outcome": "passed", "text": "", "speedup": 1.0})
    verified = {"outcome": "cheated", "text": "late"}
    assert "verification, cheated: late" in shown("A7", verified=verified)


def test_a_false_alarm_is_told():
    wrong = {"outcome": "wrong_values", "text": "", "speedup": None}
    assert "**refused or wrong**" in shown("A1", honest=wrong)
    assert "**refused or wrong**" in shown("A1", honest_gate="line 1: no")


def test_what_is_recorded_belongs_to_rows_of_the_device():
    for device in ("cpu", "cuda"):
        assert set(load(device)["rows"]) <= {row.key for row in ROWS if device in row.targets}
