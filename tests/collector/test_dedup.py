"""Telling new spans from repeated ones."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.dedup import IdFilter


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=200), max_size=8))
def test_the_filter_never_forgets(batches: list[list[int]]) -> None:
    """An id that was added is always found again, also across growth."""
    known = IdFilter(64)
    for batch in batches:
        known.add(np.array(batch, np.uint64))
    for batch in batches:
        assert known.maybe(np.array(batch, np.uint64)).all()


def test_the_filter_seldom_errs() -> None:
    """Fewer than one in 10,000 unknown ids passes, random or sequential, after two doublings."""
    known = IdFilter(1 << 16)
    rng = np.random.default_rng(7)
    for _ in range(40):
        known.add(rng.integers(1, 2**64, 5_000, dtype=np.uint64))
    assert known.maybe(rng.integers(1, 2**64, 500_000, dtype=np.uint64)).mean() < 1e-4
    assert known.maybe(np.arange(1, 500_000, dtype=np.uint64)).mean() < 1e-4
