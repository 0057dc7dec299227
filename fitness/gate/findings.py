"""What the gate says about a source, and what an experiment allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What follows from a finding."""

    REJECT = "reject"
    FLAG = "flag"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the gate saw.

    Attributes:
        level: What follows from it.
        rule: Stable name of the rule.
        line: Line in the module, from 1; 0 for the module as a whole.
        text: What was seen, and what would be right.
    """

    level: Level
    rule: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an experiment allows its candidates; what it does not is rejected with its line.

    Everything is allowed by default, and shown. The question of whose work it is has no answer
    that fits every experiment: a first kernel made from TorchInductor calls `torch.mm` where
    Inductor does, a good kernel may leave a GEMM to cuBLAS and fuse the rest, and a search must be
    able to start from such a kernel. So calls of libraries and computing with torch are notes, and
    the measured share of own kernels stands beside a champion. State between calls is a flag: to
    pack the weights once, or to keep a workspace, is common and honest; answers kept by their
    inputs are what the judge's fresh contents find.

    Attributes:
        allow_library_calls: Products, convolutions and attention of torch, cuBLAS, cuDNN, BLAS.
        allow_torch_compute: Any operation of torch that computes on tensors in `forward`.
            Allocation, views, casts and copies are not computing.
        allow_state: What one call of `forward` leaves for the next: attributes, globals, caches,
            CUDA graphs, static variables of C++.
    """

    allow_library_calls: bool = True
    allow_torch_compute: bool = True
    allow_state: bool = True
