"""In which order free ports are looked for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.host.ports.holder.ports import candidates, overlap

NUMBERS = st.integers(min_value=1, max_value=65535)


@given(low=NUMBERS, count=st.integers(min_value=1, max_value=300), after=st.integers(min_value=0, max_value=65535))
def test_every_number_once_beginning_behind_the_last(low: int, count: int, after: int) -> None:
    high = min(low + count, 65535)
    found = list(candidates(low, high, after))
    assert sorted(found) == list(range(low, high + 1))
    assert found[0] == (after + 1 if low <= after < high else low)
    assert all(b == a + 1 for a, b in pairwise(found) if a != high)


def test_a_wildcard_overlaps_its_own_family_only() -> None:
    assert overlap("0.0.0.0", "127.0.0.1") and overlap("127.0.0.1", "0.0.0.0") and overlap("::", "::1")
    assert not overlap("0.0.0.0", "::") and not overlap("::", "127.0.0.1") and not overlap("127.0.0.1", "127.0.0.2")
