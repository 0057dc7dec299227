from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.sandbox import pages
from fitness.sandbox.output import Excerpt


@settings(database=None)
@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 400))
def test_beginning_and_end_are_kept(pieces: list[bytes], limit: int) -> None:
    excerpt, whole = Excerpt(limit), b"".join(pieces)
    for piece in pieces:
        excerpt.add(piece)
    kept = excerpt.text()
    half = max(0, limit - 64) // 2
    assert len(kept) <= max(limit, 64)
    if len(whole) <= 2 * half:
        assert kept == whole
    else:
        note = f"[... {len(whole) - 2 * half} bytes dropped ...]".encode()
        assert note in kept
        assert kept.startswith(whole[:half])
        assert kept.endswith(whole[len(whole) - half :])


@pytest.mark.parametrize(("size", "long"), [(100, False), (200, True)])
def test_much_is_noticed(size: int, long: bool) -> None:
    assert Excerpt(164 + 64).add(b"x" * size) is long


def test_gathering_pages_changes_nothing() -> None:
    content = bytearray(range(256)) * (1 << 14)
    before = hash(bytes(content))
    for address, size in pages.large_page_ranges()[:4]:
        assert address % size == 0
        pages.gather(address, size)
    pages.gather(0, 4096)
    assert hash(bytes(content)) == before
