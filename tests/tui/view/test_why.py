"""How a path is drawn, and what is typed as a port. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.model.errors import Invalid
from engine.model.reach import Verdict
from tests.tui.paths import STOP, WAY
from tui.view import why
from tui.view.text import plain

VERDICT = Verdict(source="web", target="db", port=5432, protocol="tcp", hops=(*WAY, STOP))


@pytest.mark.parametrize("width", [30, 60, 120])
def test_nothing_is_wider_than_the_screen_and_nothing_is_left_out(width: int) -> None:
    drawn = [plain(line) for line in why.lines(VERDICT, width)]
    assert all(cell_len(line) <= width for line in drawn)
    words = "".join(drawn).replace(" ", "").replace("│", "")
    for hop in VERDICT.hops:
        assert hop.title.replace(" ", "") in words and hop.shown.replace(" ", "") in words
    assert VERDICT.sentence.replace(" ", "") in words and STOP.remedy.replace(" ", "") in words


def test_what_names_say_cannot_steer_the_terminal() -> None:
    evil = Verdict(source="\x1b[31mweb", target="db", hops=(WAY[0], *WAY))
    assert "\x1b" not in "".join(why.plain(evil))


@pytest.mark.parametrize(
    ("text", "read"), [("", (0, "")), ("80", (80, "tcp")), (" 53/UDP ", (53, "udp")), ("65535/tcp", (65535, "tcp"))]
)
def test_ports(text: str, read: tuple[int, str]) -> None:
    assert why.port(text) == read


@given(st.text(max_size=8))
def test_every_text_is_a_port_or_refused_with_a_sentence(text: str) -> None:
    try:
        number, protocol = why.port(text)
    except Invalid as error:
        assert error.hint
    else:
        assert 0 <= number < 65536 and protocol in ("", "tcp", "udp")
