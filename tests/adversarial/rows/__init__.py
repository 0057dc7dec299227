"""The table: what each fixture is, why it would win, where it applies and what should stop it."""

from __future__ import annotations

from tests.adversarial.rows.cached import ROWS as CACHED
from tests.adversarial.rows.clocks import ROWS as CLOCKS
from tests.adversarial.rows.narrow import ROWS as NARROW
from tests.adversarial.rows.policies import ROWS as POLICIES
from tests.adversarial.rows.record import Row
from tests.adversarial.rows.reused import ROWS as REUSED

ROWS: tuple[Row, ...] = (*REUSED, *CACHED, *CLOCKS, *NARROW, *POLICIES)
"""Every row with its variants, in the order of the groups A to E."""
NAMES = (
    *(f"A{n}" for n in range(1, 17)),
    *(f"B{n}" for n in range(1, 10)),
    *(f"C{n}" for n in range(1, 18)),
    *(f"D{n}" for n in range(1, 17)),
    *(f"E{n}" for n in range(1, 14)),
)
"""The rows there must be."""
