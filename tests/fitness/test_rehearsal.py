"""What the server does beforehand for all its children."""

from __future__ import annotations

from pathlib import Path

from fitness.sandbox.limits import Limits
from fitness.sandbox.zygote import Zygote
from tests.fitness import sandbox_children


def test_setting_threads_starts_none_in_a_child() -> None:
    preload = ("fitness.rehearsal", sandbox_children.__name__)
    with Zygote(preload=preload, environment={"OMP_NUM_THREADS": "2"}) as zygote:
        zygote.layers()
        servers = Path(f"/proc/{zygote.pid}/task/{zygote.pid}/children").read_text().split()
        # One with threads could not be forked safely.
        assert [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in servers] == [1]
        entry = f"{sandbox_children.__name__}:prepared"
        for limits in (Limits(), None):
            with zygote.spawn(entry, 2, limits=limits) as child:
                assert child.channel.receive(20) == [2, 1]


def test_what_a_child_makes_lies_together() -> None:
    preload = ("torch", "fitness.rehearsal", sandbox_children.__name__)
    with Zygote(preload=preload, environment={}) as zygote:
        entry = f"{sandbox_children.__name__}:places"
        with zygote.spawn(entry, 100, limits=Limits()) as child:
            # They fill 24 pages, and each length has pages of its own.
            assert child.channel.receive(20) < 40
