"""The lines of the Layers pane and of the tree of files, in every width."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model.tree import Change, ChangeKind, Content, Entry, Hidden, Listing
from tests.tui.made import row, small_world
from tests.tui.trees import CHANGES, DIRECTORIES, MADE, STACK
from tui.view import files, layers
from tui.view.scene import Scene
from tui.view.text import plain, width_of

LISTINGS = {path: Listing(path=path, layers=(0, 1, 3), entries=entries) for path, entries in DIRECTORIES.items()}
SCENE = Scene(now=MADE + timedelta(hours=3), world=small_world())


@pytest.mark.parametrize("width", range(34, 130, 8))
def test_the_stack_fits(width: int) -> None:
    found = layers.looked(None, STACK, CHANGES)
    shown = layers.lines(SCENE, row("web"), width, found)
    assert all(width_of(each) <= width for each in shown)
    text = "\n".join(map(plain, shown))
    assert "3 h" in text and "- /etc/old" in text
    assert "1 added, 1 changed, 1 deleted" in text or "+1 ~1 -1" in text or width < 40


def test_what_changed_last_comes_first() -> None:
    first = layers.looked(None, STACK, CHANGES)
    again = layers.looked(first, STACK, (*CHANGES, Change(path="/zz", kind=ChangeKind.ADDED)))
    assert again.recent[0] == "/zz" and set(again.recent) == {"/zz", "/etc/motd", "/etc/old", "/new"}
    gone = layers.looked(again, STACK, CHANGES[:2])
    assert gone.recent == ("/etc/motd",)
    back = layers.looked(again, STACK, (*CHANGES[:3], replace(CHANGES[3], kind=ChangeKind.MODIFIED)))
    assert back.recent[0] == "/new"


def test_directories_that_only_hold_a_change_are_not_counted() -> None:
    assert [change.path for change in layers.leaves(CHANGES)] == ["/etc/motd", "/etc/old", "/new"]
    assert layers.counts(()) == "no changes"


def test_directories_first_and_only_open_ones_are_walked_into() -> None:
    shut = files.tree(LISTINGS, set(), {})
    assert [each.path for each in shut] == ["/bin", "/etc", "/new", "/pipe"]
    opened = files.tree(LISTINGS, {"/etc", "/etc/conf.d"}, {"/etc/motd": ChangeKind.MODIFIED})
    assert [each.path for each in opened] == ["/bin", "/etc", "/etc/conf.d", "/etc/motd", "/etc/old", "/new", "/pipe"]
    assert opened[3].depth == 1 and opened[3].change is ChangeKind.MODIFIED


@pytest.mark.parametrize("width", (40, 60, 69, 70, 100, 200))
def test_a_line_of_the_tree_fits_and_tells_by_more_than_colour(width: int) -> None:
    rows = files.tree(LISTINGS, {"/etc"}, {change.path: change.kind for change in CHANGES})
    shown = {each.path: files.body(each, STACK.layers, "", width) for each in rows}
    assert all(width_of(each) <= width for each in shown.values())
    assert plain(shown["/etc/motd"]).startswith("~ ") and plain(shown["/etc/old"]).startswith("- ")
    assert "hides ro 1 3 kB" in plain(shown["/etc/motd"]) or (width < 70 and plain(shown["/etc/motd"]).rstrip().endswith("!"))


@given(st.text(), st.integers(10, 120))
def test_whatever_a_file_is_called_and_holds_the_terminal_is_safe(text: str, width: int) -> None:
    entry = Entry(name=text, kind="symlink", layers=(0,), target=text, hides=(Hidden(layer=3, kind="file", size=1),))
    one = files.Row(files.join("/", text), 0, entry)
    content = Content(path="/", layer=0, size=9, data=text.encode(errors="replace"))
    shown = [files.body(one, STACK.layers, "", width), *files.about(one, STACK.layers, width), *files.preview(content, width)]
    for each in shown:
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in plain(each))


def test_what_is_no_text_is_not_shown() -> None:
    assert plain(files.preview(Content(path="/x", layer=0, size=2000, data=b"\x7fELF\0"), 40)[0]) == "binary, 2 kB"
    assert plain(files.preview(Content(path="/x", layer=0, size=0, data=b""), 40)[0]) == "empty"
    assert plain(files.preview(Content(path="/x", layer=0, size=90_000, data=b"a"), 40)[-1]) == "… 1 B of 90 kB"
