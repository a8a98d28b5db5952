import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.spec.signals import NAMES, parse_signal


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("term", 15),
        ("Sigterm", 15),
        ("15", 15),
        ("KILL", 9),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("rtmax-1", 63),
        ("64", 64),
    ],
)
def test_names_and_numbers(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "SIG", "RTMIN+31", "RTMAX-31", "RTMIN-1", "1.0", "٣", " 9", "SIGSIGTERM", "9\n"]
)
def test_no_signals(text: str) -> None:
    with pytest.raises(Invalid, match="is no signal"):
        parse_signal(text)


@given(st.sampled_from(sorted(NAMES)), st.booleans(), st.booleans())
def test_spelling_does_not_matter(name: str, prefix: bool, lower: bool) -> None:
    text = ("SIG" if prefix else "") + name
    assert parse_signal(text.lower() if lower else text) == NAMES[name]


@given(st.text(max_size=12))
def test_any_text_is_a_signal_or_invalid(text: str) -> None:
    try:
        assert 1 <= parse_signal(text) <= signal.SIGRTMAX
    except Invalid as error:
        assert repr(text) in str(error)
