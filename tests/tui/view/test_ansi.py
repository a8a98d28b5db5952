"""Foreign text: colours stay, nothing that steers a terminal gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from tui.view.ansi import SGR, TAB, plain, spans

COLOURS = ("\x1b[31m", "\x1b[0m", "\x1b[38;5;200m", "\x1b[38;2;1;2;3m", "\x1b[48:2::9:9:9m", "\x9b31m", "\x1b[", "\x1b[3")
STRINGS = ("\x1b]0;title\x07", "\x1b]52;c;AAAA\x1b\\", "\x1b]0;open", "\x1bPq#0\x1b\\", "\x1bPopen", "\x9d0;t\x9c", "\x90x\x9c")
MOVES = ("\x1bc", "\x1b(0", "\x1b7", "\x1b[2J", "\x1b[10;10H", "\x1b[?1049h", "\x1b[6n", "\x1b[2K", "\x1b[1K", "\x1b[K")
SINGLE = ("\r", "\b", "\t", "\x07", "\x0e", "\x00", "\x1b", "\u202e", "\u2066", "\u2028")
WIDE = ("e\u0301", "\u200d", "漢", "👩\u200d🚀", "❤\ufe0f")

anything = st.text(st.characters(codec="utf-8"))
foreign = st.lists(st.sampled_from((*COLOURS, *STRINGS, *MOVES, *SINGLE, *WIDE)) | anything).map("".join)
steering = "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
harmless = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters=steering))


def shown(text: str) -> str:
    return "".join(span.text for span in spans(text))


@given(foreign)
def test_no_control_ever_gets_through(text: str) -> None:
    for char in shown(text):
        assert not (ord(char) < 32 or 127 <= ord(char) < 160 or 0x202A <= ord(char) <= 0x202E or 0x2066 <= ord(char) <= 0x2069)


@given(foreign)
def test_every_tone_is_a_style(text: str) -> None:
    for span in spans(text):
        assert span.text
        assert not span.tone or Style.parse(span.tone.removeprefix(SGR)) != Style.null()


@given(foreign)
def test_the_quick_way_gives_the_same_characters(text: str) -> None:
    assert plain(text) == shown(text)


@given(harmless)
def test_text_without_controls_is_unchanged(text: str) -> None:
    assert shown(text) == text


@given(foreign)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    assert shown(shown(text)) == shown(text)


@given(st.lists(st.text(st.sampled_from("ab漢é"), max_size=12), min_size=2, max_size=4))
def test_tabs_end_at_their_stops(parts: list[str]) -> None:
    text, column = shown("\t".join(parts)), 0
    for part in parts[:-1]:
        column = (column + cell_len(part)) // TAB * TAB + TAB
    assert cell_len(text) == column + cell_len(parts[-1])
    assert text.replace(" ", "") == "".join(parts)


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("\x1b[31mx", "sgr color(1)"),
        ("\x1b[1;4;91mx", "sgr bold underline color(9)"),
        ("\x1b[38;5;208mx", "sgr color(208)"),
        ("\x1b[38;2;255;0;10mx", "sgr #ff000a"),
        ("\x1b[38:2::255:0:10mx", "sgr #ff000a"),
        ("\x1b[38:5:208mx", "sgr color(208)"),
        ("\x1b[44;97mx", "sgr color(15) on color(4)"),
        ("\x1b[4:3mx", "sgr underline"),
        ("\x1b[4m\x1b[4:0mx", ""),
        ("\x1b[31m\x1b[mx", ""),
        ("\x1b[31;39mx", ""),
        ("\x1b[1;22mx", ""),
        ("\x1b[5;8mx", ""),
        ("\x1b[38;5;999mx", ""),
        ("\x1b[38;2;1;2mx", "sgr #010200"),
        ("\x1b[38;2;1;2;300mx", ""),
        ("\x1b[38;5;1;1mx", "sgr bold color(1)"),
        ("\x1b[>4;2mx", ""),
        ("\x9b31mx", "sgr color(1)"),
        ("\x1b[99999999999999999999mx", ""),
    ],
)
def test_colours_are_read(text: str, tone: str) -> None:
    (span,) = spans(text)
    assert (span.text, span.tone) == ("x", tone)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b]0;owned\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bP1$r0m\x1b\\b", "ab"),
        ("a\x1b[2J\x1b[Hb\x07", "ab"),
        ("a\x1b[?1049hb", "ab"),
        ("a\x1b]0;not ended", "a0;not ended"),
        ("a\x1bP not ended", "a not ended"),
        ("a\x1b[31", "a"),
        ("a\x1b", "a"),
        ("50 %\r100 %", "100 %"),
        ("100 %\r 50", " 50 %"),
        ("Loading...\r\x1b[Kdone", "done"),
        ("Loading...\x1b[2K\rdone", "done      "),
        ("abc\x1b[1Kd", "   d"),
        ("ab\b\bxy", "xy"),
        ("\b\bx", "x"),
        ("漢字\r\bx", "x 字"),
        ("漢字\b\bab", "漢ab"),
        ("a漢\b!", "a !"),
        ("ab\re\u0301", "e\u0301b"),
        ("a\tb\r\tc", "a       c"),
        ("hello\r", "hello"),
        ("a\vb\x00c", "a bc"),
        ("a\u202eb", "a\ufffdb"),
    ],
)
def test_what_is_seen(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_overprinted_text_keeps_the_colours_of_what_is_left() -> None:
    assert spans("\x1b[31mred red\r\x1b[32mok") == (("ok", "sgr color(2)"), ("d red", "sgr color(1)"))


@pytest.mark.parametrize("piece", ["\x9d", "\x90", "\x1b]", "\x1bP", "\x1b[", "\x1b[1;", "\x1b", "\x9b 1"])
def test_unfinished_sequences_in_a_row_take_no_longer_than_they_are(piece: str) -> None:
    """Each looks for its end only up to the next: were it the end of the line, this would take very long."""
    assert plain(piece * 100_000).count(" ") <= 100_000
