"""Logs: kept within bounds, merged in time order, searched, filtered, and laid out in rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.model.interface import LogLine
from tests.tui.view.test_ansi import foreign
from tui.view import logs
from tui.view.breaking import breaks
from tui.view.logs import NOTE, Book, Entry, Filter, Look, Page, State, as_text, matcher, status
from tui.view.text import Line, plain, width_of

BEGAN = datetime(2026, 3, 1, 14, 0, 0, tzinfo=UTC)


def said(text: str | bytes, seconds: float = 0, stream: str = "stdout") -> LogLine:
    log = text if isinstance(text, bytes) else text.encode()
    return LogLine(stream=stream, time=BEGAN + timedelta(seconds=seconds), log=log)


def entry(text: str, *, source: int = 0, stream: str = "stdout", seconds: float = 0) -> Entry:
    return Entry(source, stream, BEGAN + timedelta(seconds=seconds), text.encode(errors="replace"))


def told(book: Book) -> list[str]:
    return [e.text for e in book.entries]


def rows(look: Look, e: Entry, found: re.Pattern[str] | None = None) -> list[Line]:
    return [look.line(e, row, found) for row in range(look.height(e))]


class TestBook:
    def test_it_keeps_the_last_lines(self) -> None:
        book = Book(limit=10)
        for n in range(35):
            book.add(0, said(f"{n}\n"))
        book.fold()
        assert told(book) == [str(n) for n in range(25, 35)]

    def test_it_keeps_no_more_bytes_than_it_may_but_always_a_line(self) -> None:
        book = Book()
        for n in range(20):
            book.add(0, said(f"{n} " + "x" * (logs.BYTES // 10) + "\n"))
        book.fold()
        assert len(book.entries) == 9
        assert book.entries[-1].text.startswith("19 ")

    def test_what_waits_is_bounded_too(self) -> None:
        book = Book(limit=10)
        for n in range(10_000):
            book.add(0, said(f"{n}\n"))
        assert len(book._waiting) < 20

    def test_parts_of_a_line_are_joined_in_the_midst_of_letters_and_sequences(self) -> None:
        book = Book()
        whole = "\x1b[31mé\x1b[0m!\n".encode()
        for n in range(len(whole)):
            book.add(0, said(whole[n : n + 1]))
            book.add(0, said(f"{n}\n", stream="stderr"))
        book.fold()
        assert told(book) == ["é!", *(str(n) for n in range(len(whole)))]

    def test_a_line_that_grew_after_it_was_shown_is_shown_as_grown(self) -> None:
        book = Book()
        book.add(0, said("one "))
        book.fold()
        assert told(book) == ["one "]
        book.add(0, said("two\n"))
        book.fold()
        assert told(book) == ["one two"]

    def test_a_line_without_end_is_cut(self) -> None:
        book = Book()
        for _ in range(10):
            book.add(0, said("x" * logs.RECORD))
        book.fold()
        assert [len(e.log) for e in book.entries] == [logs.WHOLE, logs.WHOLE, 2 * logs.RECORD]

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=60), st.integers(1, 5))
    def test_several_containers_are_merged_in_time_order(self, lines: list[tuple[int, int]], folds: int) -> None:
        book = Book()
        for n, (source, seconds) in enumerate(lines):
            book.add(source, said(f"{source}-{n}\n", seconds))
            if n % folds == 0:
                book.fold()
        book.fold()
        assert sorted(told(book)) == sorted(f"{source}-{n}" for n, (source, _) in enumerate(lines))
        if any(source for source, _ in lines):
            assert [e.time for e in book.entries] == sorted(e.time for e in book.entries)

    def test_one_container_keeps_its_own_order_when_the_clock_is_set_back(self) -> None:
        book = Book()
        for n, seconds in enumerate((10, 20, 5, 6)):
            book.add(0, said(f"{n}\n", seconds))
        book.fold()
        assert told(book) == ["0", "1", "2", "3"]

    def test_older_lines_go_in_front_and_are_not_thrown_out_at_once(self) -> None:
        book = Book(limit=2)
        for n in (3, 4):
            book.add(0, said(f"{n}\n", n))
        book.fold()
        book.before([entry("1", seconds=1), entry("2", seconds=2)])
        book.fold()
        assert told(book) == ["1", "2", "3", "4"]


class TestLooking:
    @pytest.mark.parametrize(
        ("typed", "text", "so"),
        [
            ("error", "An ERROR", True),
            ("Error", "An ERROR", False),
            ("Error", "An Error", True),
            (r"e\d+", "E42", True),
            (r"^GET .* 5\d\d$", "GET /x 503", True),
            ("a[", "x A[0]", True),
            ("(", "f(x)", True),
            ("*", "2 * 2", True),
        ],
    )
    def test_a_regular_expression_or_plain_text_smart_about_capitals(self, typed: str, text: str, so: bool) -> None:
        pattern = matcher(typed)
        assert pattern and bool(pattern.search(text)) is so

    def test_a_filter_keeps_what_matches_and_marks(self) -> None:
        lines = [entry("GET 200"), entry("get 500"), entry("mark", stream=NOTE)]
        assert [e.text for e in Filter("500")(lines)] == ["get 500", "mark"]
        assert [e.text for e in Filter("!500")(lines)] == ["GET 200", "mark"]
        assert Filter("")(lines) == lines
        assert Filter("!")(lines) == lines

    def test_a_filter_looks_at_what_is_seen_not_at_colours(self) -> None:
        assert Filter("31m")([entry("\x1b[31mred\x1b[0m")]) == []
        assert Filter("red")([entry("\x1b[31mr\x1b[1med\x1b[0m")])


class TestRows:
    @given(st.text(st.sampled_from("ab /:é漢\u0301"), max_size=200), st.integers(4, 40))
    def test_rows_cover_the_text_and_fit(self, text: str, width: int) -> None:
        starts = breaks(text, width)
        ends = [*starts[1:], len(text)]
        parts = [text[a:b] for a, b in zip(starts, ends, strict=True)]
        assert "".join(parts) == text
        assert starts[0] == 0 and sorted(set(starts)) == list(starts)
        assert all(cell_len(part.removesuffix(" ")) <= width for part in parts)

    def test_words_stay_whole_where_they_fit(self) -> None:
        text = "the quick brown fox jumps over"
        starts = breaks(text, 11)
        assert [text[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True)] == [
            "the quick ",
            "brown fox ",
            "jumps over",
        ]

    def test_joined_characters_are_not_parted(self) -> None:
        text = "👩\u200d🚀" * 10
        starts = breaks(text, 10)
        assert len(starts) > 1 and all(start % 3 == 0 for start in starts)

    def test_an_indent_is_no_place_to_break(self) -> None:
        assert breaks(" " * 8 + "x" * 40, 20)[1] == 20

    def test_a_long_word_breaks_after_a_sign(self) -> None:
        assert breaks("/usr/share/longshore/something", 15)[1] == len("/usr/share/")

    @given(foreign, st.integers(24, 90), st.booleans(), st.integers(0, 30), st.sampled_from(logs.TIMES))
    def test_no_row_is_wider_than_the_view(self, text: str, width: int, wrapped: bool, shift: int, times: str) -> None:
        look = Look(
            width=width, wrap=wrapped, shift=0 if wrapped else shift, times=times, names=("web", "a-long-name-of-a-job")
        )
        e = entry(text, source=1)
        lines = rows(look, e, matcher("a"))
        assert all(width_of(line) <= width for line in lines)
        if wrapped:
            seen = "".join(plain(line)[look.lead :] for line in lines)
            assert seen.replace(" ", "") == e.text.replace(" ", "")

    def test_standard_error_has_a_sign_of_its_own(self) -> None:
        look = Look(width=60)
        assert plain(look.line(entry("bad", stream="stderr"), 0)) == "! bad"
        assert plain(look.line(entry("good"), 0)) == "  good"

    def test_names_stand_before_the_text_each_in_its_own_tone(self) -> None:
        look = Look(width=60, names=("web", "db"))
        web, db = (look.line(entry("x", source=n), 0) for n in (0, 1))
        assert (plain(web), plain(db)) == ("  web x", "  db  x")
        assert web[1].tone != db[1].tone

    def test_timestamps_are_local_time_with_milliseconds(self) -> None:
        e = entry("x", seconds=1.25)
        local = e.time.astimezone()
        assert plain(Look(width=60, times=logs.TIMES[1]).line(e, 0)) == f"  {local:%H:%M:%S}.250 x"
        assert plain(Look(width=60, times=logs.TIMES[2]).line(e, 0)) == f"  {local:%Y-%m-%d %H:%M:%S}.250 x"

    def test_where_there_is_no_room_times_and_names_go(self) -> None:
        look = Look(width=30, times=logs.TIMES[2], names=("web", "db"))
        assert plain(look.line(entry("text"), 0)) == "  text"

    def test_colours_stay_and_matches_stand_out(self) -> None:
        e = entry("\x1b[31mred and\x1b[0m blue")
        assert Look(width=60).line(e, 0) == (("  ", ""), ("red and", "sgr color(1)"), (" blue", ""))
        found = Look(width=60).line(e, 0, matcher("and b"))
        assert found[1:] == (("red ", "sgr color(1)"), ("and b", "found"), ("lue", ""))

    def test_a_match_over_a_break_stands_out_on_both_rows(self) -> None:
        look = Look(width=22)
        lines = rows(look, entry("some words and needle thread"), matcher("and needle"))
        assert [[s.text for s in line if s.tone == "found"] for line in lines] == [["and "], ["needle"]]

    def test_the_line_stood_on_has_a_sign(self) -> None:
        assert plain(Look(width=60).line(entry("x"), 0, here=True)) == "▸ x"

    def test_unwrapped_lines_say_that_they_go_on(self) -> None:
        look = Look(width=32, wrap=False)
        e = entry("0123456789" * 6)
        assert plain(look.line(e, 0)) == "  " + ("0123456789" * 3)[:29] + "›"
        assert plain(Look(width=32, wrap=False, shift=40).line(e, 0)) == "  " + "0123456789" * 2

    def test_a_mark_goes_over_the_whole_width(self) -> None:
        line = Look(width=40).line(entry("mark 14:00:00", stream=NOTE), 0)
        assert plain(line).startswith("── mark 14:00:00 ──") and width_of(line) == 40


class TestPage:
    def test_rows_and_entries_are_found_both_ways(self) -> None:
        page = Page([entry("a" * 30), entry("b"), entry("c" * 70)], Look(width=32))
        assert page.height == 1 + 1 + 3
        assert [page.at(y) for y in range(page.height)] == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
        assert page.where(page.entries[2], 1) == 3

    def test_a_place_that_is_no_longer_shown_is_what_follows_it(self) -> None:
        shown = [entry("a", seconds=1), entry("c", seconds=3)]
        page = Page(shown, Look(width=32))
        assert page.where(entry("b", seconds=2), 0) == 1
        assert page.where(entry("z", seconds=9), 0) == 2

    def test_narrower_rows_keep_the_place(self) -> None:
        entries = [entry("x" * 100) for _ in range(5)]
        narrow = Page(entries, Look(width=30))
        assert narrow.at(narrow.where(entries[3], 9))[0] == 3


def test_text_to_keep_has_neither_colours_nor_wraps() -> None:
    look = Look(width=40, names=("web", "db"), times=logs.TIMES[1])
    lines = [entry("\x1b[31m" + "long " * 20 + "\x1b[0m"), entry("mark", stream=NOTE), entry("x", source=1)]
    clock = f"{BEGAN.astimezone():%H:%M:%S}.000"
    assert as_text(lines, look) == f"{clock} web {'long ' * 20}\n-- mark --\n{clock} db x\n"


@pytest.mark.parametrize("width", range(8, 120, 7))
def test_the_state_fits_and_says_first_whether_it_follows(width: int) -> None:
    state = State(
        following=False, below=12, search="needle", matches=(2, 9), filter="GET", lines=40, of=99, window=2, containers=3
    )
    line = status(state, width)
    assert width_of(line) <= width or len(line) == 1
    assert plain(line).startswith("◌ held")


def test_the_state_says_it_all_where_there_is_room() -> None:
    state = State(following=False, below=1, search="x", matches=(0, 9), filter="GET", lines=40, of=99, window=2, containers=3)
    assert plain(status(state, 200)) == (
        "◌ held · ↓ 1 new line below · /x: in 9 lines · &GET: 40 of 99 · last 5 min · 3 containers"
    )
    assert plain(status(State(of=1, wrap=False), 200)) == "● follow · 1 line · not wrapped"
