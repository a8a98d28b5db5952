"""Detach keys: what can be written, and that they are found however a terminal's bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.sessions.detach import DEFAULT, Scanner, parse


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", DEFAULT),
        ("ctrl-@", b"\0"),
        ("ctrl-a", b"\x01"),
        ("ctrl-z", b"\x1a"),
        ("ctrl-[", b"\x1b"),
        ("ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1c\x1d\x1e\x1f"),
        ("a", b"a"),
        ("~,.", b"~."),
        ("DEL", b"\x7f"),
        ("ctrl-a,d", b"\x01d"),
    ],
)
def test_keys(text: str, keys: bytes) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "ctrl-", "ctrl-A", "ctrl-1", "ctrl-ab", "ctrl-p ctrl-q", "ä", "ab", "shift-a", "ctrl--"]
)
def test_what_no_key_is(text: str) -> None:
    with pytest.raises(Invalid, match="detach keys"):
        parse(text)


@given(st.text(max_size=12))
def test_any_text_is_keys_or_a_sentence(text: str) -> None:
    try:
        keys = parse(text)
    except Invalid as error:
        assert error.hint
    else:
        assert len(keys) == len(text.split(","))


def _cut(data: st.DataObject, whole: bytes) -> list[bytes]:
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    return [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]


few = st.binary(max_size=30).map(lambda raw: bytes(97 + byte % 3 for byte in raw))
"""Of three letters, so that beginnings of the keys come often."""


@given(few.filter(bool), few, st.data())
def test_the_keys_are_found_and_nothing_else_is_lost(keys: bytes, typed: bytes, data: st.DataObject) -> None:
    scanner, passed, found = Scanner(keys), b"", False
    for piece in _cut(data, typed):
        through, found = scanner.feed(piece)
        passed += through
        if found:
            break
    assert found == (keys in typed)
    assert passed + (b"" if found else scanner.rest()) == typed.partition(keys)[0]


@given(few.filter(bool), st.binary(max_size=30).map(lambda raw: bytes(byte | 0x80 for byte in raw)))
def test_what_cannot_be_the_keys_passes_at_once(keys: bytes, typed: bytes) -> None:
    assert Scanner(keys).feed(typed) == (typed, False)
