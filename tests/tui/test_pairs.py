"""Names with values, as they are written in a field of a form."""

from __future__ import annotations

import pytest

from engine.model.errors import Invalid
from tui.pairs import pairs
from tui.screens.forms import OPTIONS, option


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        (" , ", {}),
        ("a=b", {"a": "b"}),
        ("a=b, c = d,e=", {"a": "b", "c ": " d", "e": ""}),
        ("owner='me, you',b=\"c d\"", {"owner": "me, you", "b": "c d"}),
        ("a=b=c#d,flag", {"a": "b=c#d", "flag": ""}),
    ],
)
def test_pairs_are_read(text: str, read: dict[str, str]) -> None:
    assert pairs(text) == read


@pytest.mark.parametrize("text", ["=b", "a=b, =c", "a='b"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        pairs(text)


def test_an_option_is_known_by_its_last_words() -> None:
    assert option("mtu") == "com.docker.network.driver.mtu"
    assert option("bridge.name") == option("name") == "com.docker.network.bridge.name"
    assert option("host_ipv4") == "com.docker.network.host_ipv4"
    assert all(option(each) == each for each in OPTIONS)
    with pytest.raises(Invalid):
        option("tu")
