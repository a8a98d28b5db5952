"""Query values and filters, as dockerd reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import filters
from engine.api.query import NANO, moment, nanoseconds
from engine.model.errors import Invalid

NOW = 1_800_000_000 * NANO


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("0", 0),
        ("1700000000", 1_700_000_000 * NANO),
        ("1700000000.000000001", 1_700_000_000 * NANO + 1),
        ("1700000000.5", 1_700_000_000 * NANO + NANO // 2),
        ("10m", NOW - 600 * NANO),
        ("1h30m", NOW - 5400 * NANO),
        ("-10s", NOW + 10 * NANO),
        ("1.5s", NOW - 3 * NANO // 2),
        ("0s", NOW),
        ("2026-01-01T00:00:00Z", nanoseconds(datetime(2026, 1, 1, tzinfo=UTC))),
        ("2026-01-01T01:00:00+01:00", nanoseconds(datetime(2026, 1, 1, tzinfo=UTC))),
        ("2026-01-01", nanoseconds(datetime(2026, 1, 1, tzinfo=UTC))),
        ("2026-01-01T00:00:00.123456789Z", nanoseconds(datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC))),
    ],
)
def test_a_moment(text: str, expected: int | None) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["soon", "1e9", "10x", "m", "-", "1700000000.", "2026-13-01", "١٢", "1" * 40, "5m extra", "9" * 400 + "h"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(Invalid):
        moment(text, NOW)


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_invalid(text: str) -> None:
    try:
        found = moment(text, NOW)
    except Invalid:
        return
    assert found is None or isinstance(found, int)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))
def test_a_moment_written_in_any_form_is_the_same(at: datetime) -> None:
    at = at.replace(tzinfo=UTC)
    ns = nanoseconds(at)
    assert moment(f"{ns // NANO}.{ns % NANO:09}", NOW) == moment(at.isoformat(), NOW) == ns
    assert at == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=ns // 1000)


KNOWN = filters.names("status label")


def test_both_spellings_of_filters() -> None:
    assert filters.parse('{"status":["a","b"]}', KNOWN) == {"status": ("a", "b")}
    assert filters.parse('{"status":{"a":true,"b":false}}', KNOWN) == {"status": ("a",)}
    assert filters.parse("", KNOWN) == filters.parse("{}", KNOWN) == {}


@given(st.text(max_size=60))
def test_any_text_is_filters_or_invalid(text: str) -> None:
    try:
        found = filters.parse(text, KNOWN)
    except Invalid:
        return
    assert found.keys() <= KNOWN


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"other":["a"]}', '{"status":"a"}', '{"status":[1]}', '{"status":null}', '{"status":{"a":1}}']
)
def test_what_is_no_filter(text: str) -> None:
    with pytest.raises(Invalid):
        filters.parse(text, KNOWN)


def test_labels_must_all_be_there() -> None:
    has = {"a": "1", "b": ""}
    for wanted, there in ((("a",), True), (("a=1", "b"), True), (("b=",), True), (("a=2",), False), (("a", "c"), False)):
        assert filters.labels({"label": wanted}, has) is there
