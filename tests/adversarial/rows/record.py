"""One row of the table, and the groups of outcomes that rows share."""

from __future__ import annotations

from dataclasses import dataclass, field

from populations.outcome import Outcome

VALUES = frozenset((Outcome.WRONG_VALUES, Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE))
CHEATED = frozenset((Outcome.CHEATED,))
ENDED = frozenset((Outcome.RUNTIME_ERROR, Outcome.TIMEOUT))
REFUSED = frozenset((Outcome.REJECTED, Outcome.COMPILE_ERROR))
NONE: frozenset[Outcome] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to fool a judge, with the kernel that tries it and an honest one like it.

    Attributes:
        row: The catalogue's name: a letter for the group and a number.
        variant: Distinguishes several kernels of one row; empty for the first.
        name: A few words.
        trick: What the kernel does, in one sentence.
        wins: How it would win if nobody stopped it.
        problem: Name of the problem file.
        neighbour_problem: The honest kernel's, where it is another one.
        caught: Outcomes that stop it once it runs; empty where only the gate is to.
        gains_nothing: Whether it may also pass, measured no faster than its honest neighbour: what
            it returns is right, and what it hoped to save it cannot.
        same_kernel: Whether the honest kernel is the very same one without the trick, so that its
            speed alone is what the cheating one is held against.
        layer: What is to stop it behind the gate: confinement, checks, timing, outside clock.
        open_behind: Why nothing behind the gate stops it yet, or not every time; "" where something
            does.
        naive: How a naive judge is fooled: a mode of `tests.adversarial.naive`, or "" where that is
            not shown.
        faster: Whether the naive judge also measures it faster. False where the gain needs another
            machine or size, or where its verdict has no time.
        targets: Where it is run.
        absent: Target -> why the trick does not exist there; with both, the row cannot apply.
        policy: Fields of the `EvaluationSpec` that the row is judged with.
    """

    row: str
    name: str
    trick: str
    wins: str
    problem: str = "linear"
    variant: str = ""
    neighbour_problem: str = ""
    caught: frozenset[Outcome] = NONE
    gains_nothing: bool = False
    same_kernel: bool = False
    layer: str = "checks"
    open_behind: str = ""
    naive: str = ""
    faster: bool = True
    targets: tuple[str, ...] = ("cpu", "cuda")
    absent: dict[str, str] = field(default_factory=dict)
    policy: dict[str, bool] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Unique: row and variant."""
        return f"{self.row}.{self.variant}" if self.variant else self.row

    @property
    def stem(self) -> str:
        """The beginning of its kernels' file names."""
        number = f"{self.row[0].lower()}{int(self.row[1:]):02d}"
        return f"{number}_{self.variant}" if self.variant else number

    @property
    def neighbour(self) -> str:
        """Name of the honest kernel's problem file."""
        return self.neighbour_problem or self.problem

    @property
    def by_gate_alone(self) -> bool:
        """Whether nothing but the static gate (or the toolchain) can tell: a matter of policy."""
        return not self.caught and not self.gains_nothing
