"""A server of OpenAI's chat protocol that answers with a child of the program in its prompt.

The parent is the program under "# Current Program"; the other programs of the prompt, which
OpenEvolve shows as its best and as inspiration, are whom it is crossed with.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from benchmarks.openevolve.operators import even_operators
from operators.operator import Situation, Variation
from populations.kernel import Candidate, Kernel
from populations.lineage import Lineage
from populations.outcome import Evaluation, Outcome

if TYPE_CHECKING:
    from types import TracebackType

    from fitness.landscape.table import Landscape

_PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)
_CURRENT = "# Current Program\n"
# Operators that are drawn before the parent itself is the answer.
_ATTEMPTS = 60
# No operator looks at how a parent was judged.
_UNJUDGED = Evaluation(Outcome.REJECTED)


class Model:
    """Makes children; deterministic in the seed and the order of questions."""

    def __init__(self, table: Landscape, seed: int) -> None:
        """Draw from a table's operators."""
        self._language = table.language
        self._operators = list(even_operators(table).values())
        self._seed = seed
        self._asked = 0

    def answer(self, prompt: str) -> str:
        """A child of the prompt's program, or the program itself where nothing applies."""
        self._asked += 1
        rng = random.Random(f"{self._seed}:{self._asked}")
        before, _, rest = prompt.rpartition(_CURRENT)
        current = _PROGRAM.search(rest)
        if current is None:
            raise ValueError("the prompt has no current program")
        parent = current[1].strip() + "\n"
        shown = (text.strip() + "\n" for text in _PROGRAM.findall(before))
        others = [text for text in dict.fromkeys(shown) if text != parent]
        situation = Situation(lineage=Lineage(), rng=rng, device="")
        for _ in range(_ATTEMPTS):
            operator = rng.choice(self._operators)
            texts = [parent]
            if operator.arity > 1:
                if not others:
                    continue
                texts.append(rng.choice(others))
            made = operator.vary(self._kernels(texts), situation)
            if isinstance(made, Variation):
                return made.source
        return parent

    def _kernels(self, texts: Sequence[str]) -> list[Kernel]:
        return [
            Kernel(Candidate(number, text, self._language), _UNJUDGED)
            for number, text in enumerate(texts)
        ]


class Server:
    """Serves a model on this machine alone, on a port of its own; a context manager."""

    def __init__(self, model: Model) -> None:
        """Listen; nothing is answered before the context is entered."""
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                question = json.loads(self.rfile.read(length))
                with lock:
                    source = model.answer(question["messages"][-1]["content"])
                body = json.dumps(_completion(question["model"], source)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """What a client is given as its base."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _completion(model: str, source: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"```python\n{source}```\n"}
    return {
        "id": "0",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
