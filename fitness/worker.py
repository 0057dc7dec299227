"""The process of one judge: set up once, then one answer per request."""

from __future__ import annotations

import importlib
import random
import socket
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fitness.attendant import Attendant
from fitness.baselines import BaselineClient
from fitness.bench import prepare, settings_of
from fitness.cases import CaseBank
from fitness.contents import ContentsBank
from fitness.crowding import no_room, ran_out
from fitness.judge import Judge
from fitness.lease import DeviceLease
from fitness.problem import Problem
from fitness.roofline import Roofline
from fitness.runners import Runners
from fitness.sandbox.channel import Channel
from fitness.sandbox.zygote import Spawner
from fitness.spec import EvaluationSpec
from fitness.verification import against_itself, verify
from populations.errors import EvoError, WorkerDied, WorkerError


def serve(channel: Channel, argument: Mapping[str, Any], spawner: Spawner) -> None:
    """Judge until the pool ends the channel.

    Every answer is a pair: ("ready", facts), ("done", result), ("progress", line) ahead of one of
    the others, ("error", an EvoError) or ("broken", a traceback of ours).

    Args:
        channel: To the pool. First comes one descriptor, a channel to the baselines' process.
        argument: `spec`, `model_seed`, `secret` (seed of this judge's generator),
            `baselines_pid` and `locks` (folder of the device locks).
        spawner: Starts the candidates' processes.
    """
    try:
        judge = _judge(channel, argument, spawner)
    except EvoError as error:
        channel.send_trusted(("error", error))
        return
    channel.send_trusted(("ready", {"workloads": judge.bank.workloads}))
    try:
        while True:
            channel.send_trusted(_answer(judge, channel, channel.receive_trusted(None)))
    except WorkerDied:
        # The pool is done with this judge, or gone.
        return
    finally:
        judge.close()


def _judge(channel: Channel, argument: Mapping[str, Any], spawner: Spawner) -> Judge:
    (descriptor,) = channel.receive_fds(60.0)
    baselines = Channel(socket.socket(fileno=descriptor), trusted=True)
    spec: EvaluationSpec = argument["spec"]
    prepare(settings_of(spec))
    if spec.device == "cuda":
        _compile_launchers()
    rng = random.Random(argument["secret"])
    problem = Problem(spec.problem)
    bank = CaseBank(problem, spec, model_seed=argument["model_seed"], rng=rng)
    locks = Path(argument["locks"])
    # On a device a process that waits would hold memory, and its end is not to disturb anybody.
    beside = spec.device == "cpu"
    lease = DeviceLease(spec.torch_device, locks)
    runners = Runners(
        spec,
        spawner,
        lease,
        attendant=Attendant(DeviceLease(spec.torch_device, locks)) if beside else None,
        model_seed=argument["model_seed"],
    )
    return Judge(
        spec,
        bank,
        spawner,
        BaselineClient(baselines, argument["baselines_pid"], spec.device),
        lease,
        memory=DeviceLease(f"{spec.torch_device}-memory", locks),
        runners=runners,
        contents=ContentsBank(problem, spec, bank.answer, rng),
        model_seed=argument["model_seed"],
        rng=rng,
        roofline=Roofline(problem, spec, model_seed=argument["model_seed"]),
    )


def _compile_launchers() -> None:
    """Have Triton compile what it needs for any kernel, into our own cache."""
    with suppress(Exception):  # without Triton there is nothing to prepare
        driver: Any = importlib.import_module("triton.runtime.driver")
        driver.driver.active  # noqa: B018 - looking at it makes it


def _answer(judge: Judge, channel: Channel, request: tuple[str, Any]) -> tuple[str, Any]:
    kind, content = request
    try:
        if kind == "evaluate":
            return "done", judge.evaluate(*content)
        if kind == "verify":
            candidate, seed, names = content
            return "done", verify(
                judge,
                candidate,
                seed,
                baselines=names,
                progress_line=lambda line: channel.send_trusted(("progress", line)),
            )
        if kind == "itself":
            return "done", against_itself(judge, *content)
        raise WorkerError(f"a judge does not know how to {kind}")
    except WorkerDied:
        raise
    except EvoError as error:
        return "error", error
    except Exception as error:  # noqa: BLE001 - our own mistake must reach the person
        if ran_out(error):
            return "error", no_room(judge.spec.torch_device, "the judge")
        return "broken", traceback.format_exc()
