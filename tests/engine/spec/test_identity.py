import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.model.settings import Config
from engine.spec import identity


def test_ids_are_long_hex_and_never_look_like_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["123456789012" + "a" * 52, "12345678901f" + "0" * 52])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    assert identity.new_id() == "12345678901f" + "0" * 52


def test_ids_differ() -> None:
    ids = {identity.new_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch("[0-9a-f]{64}", id) for id in ids)


@pytest.mark.parametrize(("asked", "name"), [("web", "web"), ("/web", "web"), ("0.a_b-C", "0.a_b-C")])
def test_names(asked: str, name: str) -> None:
    assert identity.check_name(asked) == name


@pytest.mark.parametrize("asked", ["", "/", "a", "//web", "-web", ".web", "we b", "web\n", "wëb", "a/b"])
def test_no_names(asked: str) -> None:
    with pytest.raises(Invalid, match="is no container name"):
        identity.check_name(asked)


@given(st.integers(0, 5))
def test_random_names_are_names(attempt: int) -> None:
    name = identity.random_name(attempt)
    assert identity.check_name(name) == name
    assert name[-1].isdigit() == (attempt > 0)
    adjective, noun = name.rstrip("0123456789").split("_")
    assert adjective in identity.ADJECTIVES.split()
    assert noun in identity.NOUNS.split()


def test_words_are_listed_once() -> None:
    for words in (identity.ADJECTIVES.split(), identity.NOUNS.split()):
        assert len(set(words)) == len(words)


def test_hostname_is_the_short_id_unless_given() -> None:
    assert identity.hostname(Config(), "0123456789abcdef") == "0123456789ab"
    assert identity.hostname(Config(hostname="db"), "0123456789abcdef") == "db"
