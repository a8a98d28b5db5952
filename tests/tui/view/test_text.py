from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.view.text import clean, commands, pad, paragraphs, plain, shorten, shorten_left, width_of, wrap

words = st.lists(st.text(alphabet="abcxyz0189", min_size=1, max_size=12), min_size=1, max_size=12).map(" ".join)


@given(words, st.integers(12, 40))
def test_wrapping_breaks_between_words_and_loses_none(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert all(cell_len(row) <= width for row in rows)
    assert " ".join(rows).split() == text.split()


@given(st.text(max_size=60), st.integers(1, 30))
def test_what_is_fitted_is_never_wider(text: str, width: int) -> None:
    assert cell_len(shorten(text, width)) <= width
    assert cell_len(shorten_left(text, width)) <= width
    assert all(cell_len(row) <= width for row in wrap(clean(text), max(2, width)) if width >= 2)


@given(words, st.integers(14, 40))
def test_shortening_never_cuts_a_word(text: str, width: int) -> None:
    short = shorten(text, width)
    assert short == text or set(short.removesuffix("…").split()) <= set(text.split())


def test_a_long_path_is_wrapped_at_its_separators() -> None:
    rows = wrap("mount -o lowerdir=/var/lib/longshore/one:/var/lib/longshore/two", 30, indent="    ")
    assert "".join(row.strip() for row in rows).replace("mount-o", "mount -o").replace(" ", "") == (
        "mount-olowerdir=/var/lib/longshore/one:/var/lib/longshore/two"
    )
    assert all(row.rstrip()[-1] in "/:=," or row.endswith("two") or row == "mount -o" for row in rows)
    assert all(row.startswith("    ") for row in rows[1:])


def test_an_image_name_keeps_its_end() -> None:
    assert shorten_left("registry.example.org/team/worker:2.1", 16) == "…/worker:2.1"


def test_padding_counts_cells() -> None:
    assert cell_len(pad("数", 6)) == 6
    assert pad("7", 4, right=True) == "   7"


def test_foreign_text_cannot_steer_the_terminal() -> None:
    assert clean("\x1b[31mred\x1b[0m\x1b]52;c;aGk=\x07 \x9b2Jend\r") == "red \ufffd2Jend\ufffd"


def test_code_in_prose_takes_its_tone_across_lines() -> None:
    lines = paragraphs("one `two three` four\nfive\n\nsix", 12)
    assert [plain(row) for row in lines] == ["one two", "three four", "five", "", "six"]
    assert [span.text for row in lines for span in row if span.tone == "code"] == ["two", "three"]


def test_commands_hang() -> None:
    rows = commands(("ip link add veth0 type veth peer name eth0", "ip link"), 24)
    assert plain(rows[0]).startswith("  ip")
    assert plain(rows[1]).startswith("      ")
    assert plain(rows[-1]) == "  ip link"
    assert all(width_of(row) <= 24 for row in rows)
