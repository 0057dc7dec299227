"""The lines of a batch: what is handed in, and how what comes back is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from operators.llm.wire import REFUSALS, Reading, complaint, error_text, from_json, one_line, read
from populations.call import Finish

URL = "/v1/chat/completions"
Line = Mapping[str, Any]


def write_lines(bodies: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The file of a batch: requests by the names of their questions."""
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": URL, "body": body})
        for name, body in bodies.items()
    ]
    return "\n".join(lines).encode("utf-8", errors="replace")


def read_lines(text: str) -> dict[str, Line]:
    """The lines of a file of results, by question; what is no line is left out."""
    lines = [line for line in map(from_json, text.split("\n")) if isinstance(line, Mapping)]
    return {str(line.get("custom_id")): line for line in lines}


def read_line(line: Line, *, missing: Reading) -> Reading:
    """What a question came to; `missing` where its line says nothing at all."""
    status, body = _response(line)
    if status == 200:
        return read(body)
    if not status:
        said = line.get("error")
        return Reading(Finish.FAILED, error_text(said)) if said else missing
    wrong = body.get("error") if isinstance(body, Mapping) else None
    refused = isinstance(wrong, Mapping) and wrong.get("code") in REFUSALS
    text = one_line(f"{status}: {error_text(body)}")
    return Reading(Finish.REFUSED if refused else Finish.FAILED, text)


def complaint_of(line: Line) -> tuple[int, str]:
    """Status and words of a line that was not answered."""
    status, body = _response(line)
    return status, complaint(body.get("error") if isinstance(body, Mapping) else body)


def _response(line: Line) -> tuple[int, object]:
    """Status (0: none) and body of what the model's server said."""
    response = line.get("response")
    if not isinstance(response, Mapping):
        return 0, None
    status = response.get("status_code")
    return (status if isinstance(status, int) else 0), response.get("body")
