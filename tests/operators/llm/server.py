"""A small real server with OpenAI's chat, files and batches, that misbehaves on request.

What it replies to a chat request is decided by a function of the request; the replies are made by
the functions below. Batches are worked off when a test says so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KEY = "sk-local-0123456789abcdef"


@dataclass(frozen=True)
class Request:
    """A chat request: which one it was, counted from 0, and what it said."""

    number: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return self.body["messages"][-1]["content"]


@dataclass(frozen=True)
class Reply:
    """What is sent: after `delay_s`, and only the first `cut` bytes of it."""

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: int | None = None
    dribble_s: float = 0.0


def as_json(body: object, **more: Any) -> Reply:
    return Reply(json.dumps(body).encode(), **more)


def completion(text: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    }


def says(text: str | None, finish_reason: str = "stop", **more: Any) -> Reply:
    return as_json(completion(text, finish_reason), **more)


def error(status: int, message: str, **more: Any) -> Reply:
    headers = more.pop("headers", {})
    return as_json({"error": {"message": message, **more}}, status=status, headers=headers)


def echo(request: Request) -> Reply:
    return says(f"you said: {request.text}")


class LocalServer:
    """Runs while it is entered.

    Attributes:
        reply: What to say to a chat request.
        requests: Chat requests so far.
        most_at_once: Chat requests under way at the same time, at most.
        batches: By id; `finish` works them off.
        files: Contents by id.
        hidden: A status that every request for a batch gets, 0 for none.
    """

    def __init__(self, reply: Callable[[Request], Reply] = echo) -> None:
        self.reply = reply
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.hidden = 0
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self._now = 0

    def __enter__(self) -> LocalServer:
        outer = self

        class Handler(_Handler):
            server_of = outer

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def chat(self, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self.lock:
            request = Request(len(self.requests), body, headers)
            self.requests.append(request)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            reply = self.reply(request)
            self.ending.wait(reply.delay_s)
            return reply
        finally:
            with self.lock:
                self._now -= 1

    def lines(self, batch_id: str) -> list[dict[str, Any]]:
        content = self.files[self.batches[batch_id]["input_file_id"]]
        return [json.loads(line) for line in content.decode().splitlines()]

    def finish(
        self,
        batch_id: str,
        status: str = "completed",
        result: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
    ) -> None:
        """End a batch: `result` makes a line of output of one of input, or none."""
        out, wrong = [], []
        for line in self.lines(batch_id):
            done = (result or batch_echo)(line)
            if done is not None:
                (wrong if done.get("error") else out).append(json.dumps(done))
        # Results come in any order.
        for name, rows in (("output_file_id", out[::-1]), ("error_file_id", wrong)):
            if rows:
                self.batches[batch_id][name] = self.keep("\n".join(rows).encode())
        self.batches[batch_id]["status"] = status

    def keep(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name


def batch_echo(line: dict[str, Any]) -> dict[str, Any]:
    text = f"you said: {line['body']['messages'][-1]['content']}"
    return batch_line(line, completion(text))


def batch_line(line: dict[str, Any], body: object, status: int = 200) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "r", "body": body}
    return {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: LocalServer

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, outer = urlsplit(self.path).path, self.server_of
        if path == "/v1/chat/completions":
            self._send(
                outer.chat(json.loads(content), {n.lower(): v for n, v in self.headers.items()})
            )
        elif path == "/v1/files":
            name = outer.keep(_uploaded(content))
            self._send(as_json({"id": name, "object": "file", "purpose": "batch"}))
        elif path == "/v1/batches":
            asked = json.loads(content)
            made = {"id": f"batch-{len(outer.batches)}", "object": "batch", "status": "validating"}
            outer.batches[made["id"]] = {**made, **asked}
            self._send(as_json(outer.batches[made["id"]]))
        else:
            self._send(error(404, "no such path"))

    def do_GET(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")[1:]
        outer = self.server_of
        if parts[0] == "batches" and outer.hidden:
            self._send(error(outer.hidden, "not now"))
        elif parts == ["batches"]:
            rows = list(outer.batches.values())[::-1]
            self._send(as_json({"object": "list", "data": rows, "has_more": False}))
        elif parts[0] == "batches" and parts[1] in outer.batches:
            self._send(as_json(outer.batches[parts[1]]))
        elif parts[0] == "files" and parts[1] in outer.files:
            self._send(Reply(outer.files[parts[1]]))
        else:
            self._send(error(404, "no such thing"))

    def _send(self, reply: Reply) -> None:
        self.close_connection = reply.cut is not None
        try:
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json", **reply.headers}
            for name, value in {**headers, "Content-Length": str(len(reply.content))}.items():
                self.send_header(name, value)
            self.end_headers()
            content = reply.content[: reply.cut]
            step = 1 if reply.dribble_s else max(1, len(content))
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                time.sleep(reply.dribble_s)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def _uploaded(content: bytes) -> bytes:
    """The file in a multipart form."""
    boundary = content.split(b"\r\n", 1)[0]
    for part in content.split(boundary):
        head, _, rest = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return rest.removesuffix(b"\r\n")
    raise ValueError("no file in the form")
