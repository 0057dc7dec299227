"""The judge's end of a candidate's process: ask, wait with a limit, and say how it ended."""

from __future__ import annotations

import math
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from fitness.batches import LATE_LOOKS, Batches, ProcessSubject
from fitness.cases import Case, Constants, StateChange
from fitness.clocks import ClockError, bring
from fitness.compiling import ASIDE, BACK
from fitness.contents import CheckedCall, TimedInputs, to_json
from fitness.diagnostics.printed import excerpt
from fitness.exchange import OutputRegion
from fitness.pace import Answer, Late, Pacemaker, Request, Silence
from fitness.sandbox.zygote import Exit, Spawner
from fitness.spec import EvaluationSpec
from fitness.subject import Subject
from fitness.vacancy import Vacancy
from populations.errors import WorkerDied, WorkerTimeout
from populations.kernel import Candidate
from populations.outcome import Outcome

OUTPUT_SHOWN = 2000
# Compilations of one question for which the lease is given back: taking it again may have to wait,
# which does not count towards the candidate's time.
_MOST_ASIDE = 32
_SIGNALS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "arithmetic fault, a division by zero for one",
    signal.SIGABRT: "abort",
    signal.SIGKILL: "killed, out of memory for one",
    signal.SIGXCPU: "CPU time limit",
    signal.SIGXFSZ: "file size limit",
    signal.SIGSYS: "a forbidden system call",
}


class Fault(Exception):
    """The candidate is at fault; says with what outcome and text."""

    def __init__(
        self, outcome: Outcome, text: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(text)
        self.outcome = outcome
        self.text = text
        self.details = dict(details or {})


class CandidateProcess:
    """One candidate's confined process, from its start to its end.

    Everything it is asked must be answered within `run_limit_s` in total; the time between
    questions does not count. Every method raises `Fault` when the candidate fails.
    """

    def __init__(
        self,
        candidate: Candidate,
        spec: EvaluationSpec,
        spawner: Spawner,
        *,
        seed: int,
        folder: Path,
        read: tuple[Path, ...] = (),
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
        vacancy: Vacancy | None = None,
    ) -> None:
        """Start it.

        Args:
            candidate: Its source is run.
            spec: The limits and settings.
            spawner: Starts processes.
            seed: For torch's generator at construction.
            folder: A private folder is made in here and removed at the end.
            read: What the process may read; empty for all that its user may.
            aside: What to enter while it compiles; see `fitness.compiling`.
            vacancy: A process that was begun ahead with the same spec, taken over.
        """
        self.candidate = candidate
        self._aside = aside
        self._device = spec.device
        self._left_s = spec.run_limit_s
        self._limit_s = spec.run_limit_s
        self._exit: Exit | None = None
        self._seed = seed
        self._vacancy = vacancy or Vacancy(spec, spawner, folder=folder, read=read)
        self._folder = self._vacancy.folder
        self._child = self._vacancy.child

    def prepare(self) -> None:
        """Wait until it has a context on the device; of the candidate nothing has run then."""
        self._ask("before it was constructed", {"do": "prepare"}, [])

    def construct(self, constants: Constants, dtype: str) -> dict[str, Any]:
        """Build the candidate's model for a dtype."""
        return self._ask(
            "while it was constructed",
            {
                "do": "construct",
                "source": self.candidate.source,
                "seed": self._seed,
                "tree": constants.tree,
                "specs": [s.to_json() for s in constants.specs],
                "names": constants.names,
                "dtype": dtype,
            },
            [constants.descriptor],
        )

    def call(self, cases: Sequence[Case], outputs: OutputRegion) -> dict[str, Any]:
        """Call it on cases of one workload, one after the other in the same memory.

        Args:
            cases: The inputs, alike but for their contents, and what outputs are expected.
            outputs: Where it writes the outputs of all of them, as far as their shapes fit.
        """
        case = cases[0]
        return self._ask(
            f"on workload {case.workload!r}",
            {
                "do": "case",
                "trees": [c.tree for c in cases],
                "specs": [s.to_json() for s in case.specs],
                "dtype": case.dtype,
                "outputs": [s.to_json() for s in case.output_specs],
            },
            [*(c.descriptor for c in cases), outputs.descriptor],
        )

    def set_state(self, change: StateChange, dtype: str) -> bool:
        """Change entries of its state in place; False where its state is not the reference's."""
        answer = self._ask(
            "while its weights were changed",
            {
                "do": "state",
                "names": change.names,
                "specs": [s.to_json() for s in change.specs],
                "dtype": dtype,
            },
            [change.descriptor],
        )
        return bool(answer.get("done"))

    def profile(
        self, case: Case, calls: int, *, trace: bool = False, limit_s: float = math.inf
    ) -> dict[str, Any]:
        """Call it under the profiler on a case's inputs; see `fitness.profiled`.

        Args:
            case: The inputs.
            calls: How often it is called.
            trace: Whether each launch is asked for, too, with what it was launched with.
            limit_s: Time that this, and whatever it is asked later, may take.
        """
        self._left_s = min(self._left_s, limit_s)
        return self._ask(
            f"while it was profiled on workload {case.workload!r}",
            {
                "do": "profile",
                "tree": case.tree,
                "specs": [s.to_json() for s in case.specs],
                "dtype": case.dtype,
                "calls": calls,
                "trace": trace,
            },
            [case.descriptor],
        )

    def resources(self) -> dict[str, Any]:
        """What its compiled kernels say of themselves; see `fitness.diagnostics.loaded`."""
        return self._ask("while its compiled kernels were looked at", {"do": "resources"}, [])

    @contextmanager
    def subject(
        self,
        inputs: TimedInputs,
        case: Case,
        rng: random.Random,
        *,
        name: str = "candidate",
        checked: Sequence[CheckedCall] = (),
        share: float = 0.0,
        kept: int = LATE_LOOKS,
    ) -> Iterator[Subject]:
        """The candidate on a workload, for timing; it is asked nothing else then.

        Args:
            inputs: What it is called on.
            case: A case of the same workload, for what the model and its outputs are like.
            rng: Draws the secrets of its calls.
            name: What it is called in the measurement.
            checked: Calls among the timed ones whose outputs are looked at; what is wrong with one
                is told at the end.
            share: How often, after the first.
            kept: How many are left for looks that are asked for.
        """
        when = f"while workload {inputs.workload!r} was timed"
        question = {
            "do": "pace",
            **to_json(inputs),
            "dtype": case.dtype,
            "outputs": [s.to_json() for s in case.output_specs],
        }
        pacemaker = Pacemaker()
        nonce = self._send(question, [pacemaker.theirs.fileno(), inputs.descriptor], when)
        pacemaker.handed_over()
        batches = Batches(
            lambda request: self.batch(pacemaker, nonce, request, when),
            rng,
            device=self._device,
            checkpoints=checked,
            share=share,
            kept=kept,
        )
        try:
            yield ProcessSubject(batches, name, self._child.pid)
        except (ClockError, Fault):
            _refuse(batches, when)
            raise
        finally:
            pacemaker.close()
        _refuse(batches, when)
        self._receive(nonce, when)

    def batch(self, pacemaker: Pacemaker, nonce: str, request: Request, when: str) -> Answer:
        """One batch of `subject`."""
        if request.processor >= 0:
            bring(self._child.pid, request.processor)
        start = time.monotonic()
        try:
            answer = pacemaker.batch(request, self._left_s)
        except Late as error:
            raise self._late(when) from error
        except Silence as error:
            pacemaker.close()
            # It raised, died or makes answers up; the channel tells which.
            self._receive(nonce, when)
            text = f"the process gave an answer of its own making {when}"
            raise Fault(Outcome.CHEATED, text) from error
        self._left_s -= time.monotonic() - start
        return answer

    def __enter__(self) -> CandidateProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> Exit:
        """Kill it and remove its folder. Callable twice."""
        if self._exit is None:
            self._exit = self._vacancy.end()
        return self._exit

    def _ask(self, when: str, question: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        return self._receive(self._send(question, descriptors, when), when)

    def _send(self, question: dict[str, Any], descriptors: list[int], when: str) -> str:
        nonce = secrets.token_hex(8)
        self._tell({**question, "nonce": nonce}, when, descriptors)
        return nonce

    def _tell(self, message: dict[str, Any], when: str, descriptors: Sequence[int] = ()) -> None:
        try:
            self._child.channel.send(message)
            if descriptors:
                self._child.channel.send_fds(list(descriptors))
        except WorkerTimeout as error:
            raise self._late(when) from error
        except WorkerDied as error:
            raise Fault(Outcome.RUNTIME_ERROR, self._ending(when)) from error

    def _receive(self, nonce: str, when: str) -> dict[str, Any]:
        answer = self._message(when)
        compiled = 0
        while answer == {ASIDE: nonce}:
            with self._aside() if compiled < _MOST_ASIDE else nullcontext():
                answer = self._message(when)
            if answer != {BACK: nonce}:
                break
            self._tell({BACK: nonce}, when)
            answer, compiled = self._message(when), compiled + 1
        if not isinstance(answer, dict) or answer.get("nonce") != nonce:
            raise Fault(Outcome.CHEATED, f"the process gave an answer of its own making {when}")
        if "error" in answer:
            raise self._raised(when, answer["error"])
        return answer

    def _message(self, when: str) -> Any:
        start = time.monotonic()
        try:
            message = self._child.channel.receive(max(self._left_s, 0.0))
        except WorkerTimeout as error:
            raise self._late(when) from error
        except WorkerDied as error:
            raise Fault(Outcome.RUNTIME_ERROR, self._ending(when)) from error
        self._left_s -= time.monotonic() - start
        return message

    def _late(self, when: str) -> Fault:
        text = f"no answer within {self._limit_s:g} s {when}{self._printed()}"
        return Fault(Outcome.TIMEOUT, text)

    def _ending(self, when: str) -> str:
        try:
            # The exit is known an instant after the channel closed.
            ending = self._child.wait(1.0)
        except WorkerTimeout:
            ending = self._child.kill()
        if ending.signal:
            name = signal.Signals(ending.signal)
            how = f"was killed by {name.name} ({_SIGNALS.get(name, 'a signal')})"
        else:
            how = f"ended by itself with status {ending.status}"
        return f"the process {how} {when}{self._printed()}"

    def _raised(self, when: str, error: Any) -> Fault:
        if not isinstance(error, dict):
            return Fault(Outcome.CHEATED, f"the process gave an answer of its own making {when}")
        lines = error.get("lines")
        shown = [f"{error.get('type')}: {error.get('text')}"]
        shown += [f"  {line}" for line in lines] if isinstance(lines, list) else []
        text = f"raised {when}: " + "\n".join(shown)
        return Fault(Outcome.RUNTIME_ERROR, text + self._printed())

    def _printed(self) -> str:
        self.end()
        text = self._child.output().strip().replace(f"{self._folder}/", "")
        return f"\nits output:\n{excerpt(text, OUTPUT_SHOWN)}" if text else ""


def _refuse(batches: Batches, when: str) -> None:
    """Raise Fault where an output that was looked at is wrong."""
    if fault := batches.fault():
        text = f"right when it was checked, wrong {when}: {fault}"
        raise Fault(Outcome.CHEATED, text)
