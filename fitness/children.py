"""The pool's own processes, as it holds them: the baselines' and the judges'."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from fitness import baselines
from fitness.baselines import BaselineClient
from fitness.lease import runtime_folder
from fitness.sandbox.channel import Channel
from fitness.sandbox.zygote import Child, Spawner, Zygote
from fitness.spec import EvaluationSpec
from populations.errors import WorkerError, WorkerTimeout

START_LIMIT_S = 600.0
# What killed a judge may have killed the baselines too, and that is known a moment later.
_GONE_S = 1.0
Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Take note of nothing."""


class Served:
    """A child of ours that is ended with `close`."""

    def __init__(self, child: Child) -> None:
        self.child = child

    def close(self) -> None:
        """End it. Callable twice."""
        with suppress(WorkerError):
            self.child.kill()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BaselineProcess(Served):
    """The baselines' process."""

    def __init__(self, spawner: Spawner, spec: EvaluationSpec, model_seed: int) -> None:
        argument = {"spec": spec, "model_seed": model_seed}
        super().__init__(spawner.spawn("fitness.baseline_server:serve", argument, limits=None))
        self._device = spec.device
        self._lock = threading.Lock()

    def connect(self) -> Channel:
        """A new channel to it."""
        with self._lock:
            return baselines.connect(self.child.channel)

    def client(self) -> BaselineClient:
        """A conversation with it."""
        return BaselineClient(self.connect(), self.child.pid, self._device)


class SharedBaselines:
    """The baselines' process of all workers; begun when first needed, replaced when it died."""

    def __init__(self, zygote: Zygote, spec: EvaluationSpec, model_seed: int) -> None:
        self._arguments = (zygote, spec, model_seed)
        self._lock = threading.Lock()
        self._server: BaselineProcess | None = None

    def server(self) -> BaselineProcess:
        """The process, begun now unless it is there."""
        with self._lock:
            if self._server is None:
                self._server = BaselineProcess(*self._arguments)
            return self._server

    def close(self) -> None:
        """End it, if it was begun."""
        with self._lock:
            if self._server is not None:
                self._server.close()
            self._server = None

    def renew(self) -> None:
        """Forget the process if it is no longer there."""
        with self._lock:
            if self._server is None:
                return
            try:
                self._server.child.wait(_GONE_S)
            except WorkerTimeout:
                return
            except WorkerError:
                pass
            self._server.close()
            self._server = None


class JudgeProcess(Served):
    """A judge's process, set up and ready."""

    def __init__(
        self,
        zygote: Zygote,
        spec: EvaluationSpec,
        model_seed: int,
        rng: random.Random,
        server: BaselineProcess,
    ) -> None:
        argument = {
            "spec": spec,
            "model_seed": model_seed,
            "secret": rng.getrandbits(64),
            # The judge reads in its own /proc how long the process waits for a processor.
            "baselines_pid": server.child.pid_inside,
            # Found here once: the environment of the other processes is another one.
            "locks": str(runtime_folder()),
        }
        super().__init__(zygote.spawn("fitness.worker:serve", argument, limits=None, zygote=True))
        try:
            with closing(server.connect()) as conversation:
                self.child.channel.send_fds([conversation.fileno()])
            self._answer(START_LIMIT_S, silent)
        except BaseException:
            self.close()
            raise

    def ask(self, kind: str, content: object, limit_s: float, progress: Progress = silent) -> Any:
        """Put one request and wait for what comes of it."""
        self.child.channel.send_trusted((kind, content))
        return self._answer(limit_s, progress)

    def _answer(self, limit_s: float, progress: Progress) -> Any:
        while True:
            kind, content = self.child.channel.receive_trusted(limit_s)
            if kind == "error":
                raise content
            if kind == "broken":
                raise WorkerError(f"a judge failed:\n{content}")
            if kind != "progress":
                return content
            progress(content)
