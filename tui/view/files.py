"""A tree of files made of layers: the lines, and what is told of the one under the cursor."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from engine.model.tree import Change, ChangeKind, Comparison, Content, Difference, Entry, Layer, Listing
from tui.view import ansi
from tui.view.figures import size
from tui.view.layers import MARKS, WORDS, instruction, label
from tui.view.text import GAP, Line, Span, clean, line, pad, shorten, shorten_left, width_of, wrap

_SIGNS = {"symlink": "@", "fifo": "|", "socket": "=", "device": "#"}
NOTE = 26
"""Columns for what a path hides."""


class Row(NamedTuple):
    """A line of the tree."""

    path: str
    depth: int
    entry: Entry | None
    """None in the list of changes, until its directory is listed."""
    change: ChangeKind | None = None
    opened: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        return self.entry is not None and self.entry.kind == "directory"


def join(path: str, name: str) -> str:
    return f"{path.rstrip('/')}/{name}"


def tree(listings: Mapping[str, Listing], opened: Collection[str], changes: Mapping[str, ChangeKind]) -> list[Row]:
    """All lines, as far as directories are opened and listed. Directories come first."""
    rows: list[Row] = []
    waiting = [Row("", -1, None, opened=True)]
    while waiting:
        row = waiting.pop()
        if row.depth >= 0:
            rows.append(row)
        listing = listings.get(row.path or "/") if row.opened else None
        if listing:
            ordered = sorted(listing.entries, key=lambda entry: (entry.kind != "directory", entry.name), reverse=True)
            for entry in ordered:
                path = join(row.path, entry.name)
                waiting.append(Row(path, row.depth + 1, entry, changes.get(path), path in opened))
    return rows


def changed(changes: Iterable[Change], listings: Mapping[str, Listing]) -> list[Row]:
    """Only what has changed, with the directories above it."""
    entries = {join(path, entry.name): entry for path, listing in listings.items() for entry in listing.entries}
    return [Row(each.path, each.path.count("/") - 1, entries.get(each.path), each.kind, opened=True) for each in changes]


def body(row: Row, layers: Sequence[Layer], wanted: str, width: int) -> Line:
    """`+ ▾ etc/   12 kB   rw+2   hides ro 1 3 kB`. Where it is narrow, what a path hides shows as `!`."""
    entry = row.entry
    sign, tone = MARKS[row.change] if row.change is not None else (" ", "")
    fold = ("▾ " if row.opened else "▸ ") if row.is_directory else "  "
    amount = size(entry.size) if entry and entry.kind == "file" else ""
    note, note_tone = _note(entry, layers)
    room = NOTE if width >= 70 else 1
    if room == 1 and note:
        note = "!"
    left = max(8, width - 2 - 7 - 2 - 6 - 2 - room - 2)
    name = fold + clean(row.name) + _sign(entry)
    lead = "  " * min(row.depth, left // 4)
    shown = pad(lead + name, left)
    spans = [Span(f"{sign} ", tone), *_found(shown, wanted, "strong" if row.is_directory else tone)]
    spans += [GAP, Span(pad(amount, 7, right=True), "dim"), GAP, Span(pad(_from(entry, layers), 6), "accent")]
    return (*spans, GAP, Span(shorten(note, room), note_tone))


def _found(text: str, wanted: str, tone: str) -> list[Span]:
    at = text.lower().find(wanted.lower()) if wanted else -1
    if at < 0:
        return [Span(text, tone)]
    end = at + len(wanted)
    return [Span(text[:at], tone), Span(text[at:end], "found"), Span(text[end:], tone)]


def _sign(entry: Entry | None) -> str:
    if entry is None or entry.kind == "file":
        return ""
    return "/" if entry.kind == "directory" else _SIGNS.get(entry.kind, "")


def _from(entry: Entry | None, layers: Sequence[Layer]) -> str:
    if entry is None:
        return ""
    more = len(entry.layers) - 1
    return label(layers, entry.layers[0]) + (f"+{more}" if more else "")


def _note(entry: Entry | None, layers: Sequence[Layer]) -> tuple[str, str]:
    """What is under a path, in a few words."""
    if entry is None:
        return "", ""
    hidden = ""
    if entry.hides:
        first = entry.hides[0]
        amount = f" {size(first.size)}" if first.kind == "file" else ""
        more = f" +{len(entry.hides) - 1}" if len(entry.hides) > 1 else ""
        hidden = f"hides {label(layers, first.layer)}{amount}{more}"
    if entry.kind == "whiteout":
        return f"whiteout {hidden}".strip(), "bad"
    if entry.opaque:
        return f"opaque {hidden}".strip(), "warn"
    if entry.kind == "symlink":
        return f"→ {shorten_left(clean(entry.target), NOTE - 2)}", "dim"
    return hidden, "warn"


def about(row: Row, layers: Sequence[Layer], width: int) -> list[Line]:
    """All that is known of a path but its content."""
    entry = row.entry
    told = [*_wrapped(clean(row.path), width, "strong")]
    if row.change is not None:
        sign, tone = MARKS[row.change]
        told += [line(f"{sign} {WORDS[row.change]} against the image", tone)]
    if entry is None:
        return told
    if entry.kind == "whiteout":
        told += _wrapped(
            f"a whiteout in {label(layers, entry.layers[0])}: the path is deleted for whoever looks from above", width
        )
    else:
        told += _wrapped(_permissions(entry), width)
        when = datetime.fromtimestamp(entry.mtime, UTC).astimezone()
        told += [line(f"changed {when:%Y-%m-%d %H:%M:%S}", "dim")]
    if entry.target:
        told += _wrapped(f"points to {clean(entry.target)}", width)
    for number, where in enumerate(entry.layers):
        head = "from" if number == 0 else "merged with"
        told += _wrapped(f"{head} {_named(layers, where)}", width, "accent" if number == 0 else "dim")
    if entry.opaque:
        told += _wrapped("opaque: what layers below have in this directory is not merged into it", width, "warn")
    for hidden in entry.hides:
        amount = f" of {size(hidden.size)}" if hidden.kind == "file" else ""
        told += _wrapped(f"hides a {hidden.kind}{amount} in {_named(layers, hidden.layer)}", width, "warn")
    return told


def _permissions(entry: Entry) -> str:
    kinds = {"directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}
    text = stat.filemode(kinds.get(entry.kind, stat.S_IFREG) | entry.mode)
    amount = f"  {size(entry.size)}" if entry.kind == "file" else ""
    return f"{entry.kind}  {text} {entry.mode:04o}  {entry.uid}:{entry.gid}{amount}"


def _named(layers: Sequence[Layer], number: int) -> str:
    by = instruction(layers[number].made_by) if number < len(layers) and layers[number].made_by else ""
    return label(layers, number) + (f": {clean(by)}" if by else "")


def preview(content: Content, width: int) -> list[Line]:
    """The beginning of a file, if it is text. Nothing in it reaches the terminal but characters."""
    if not content.data:
        return [line("empty", "dim")]
    if b"\0" in content.data:
        return [line(f"binary, {size(content.size)}", "dim")]
    text = content.data.decode(errors="replace")
    lines = [line(part) for row in text.splitlines() for part in _broken(ansi.plain(row), width)]
    if content.size > len(content.data):
        lines.append(line(f"… {size(len(content.data))} of {size(content.size)}", "dim"))
    return lines


def _broken(text: str, width: int) -> list[str]:
    return [text] if len(text) <= width and text.isascii() else wrap(text, width)


def _wrapped(text: str, width: int, tone: str = "") -> list[Line]:
    return [line(row, tone) for row in wrap(text, width, indent="  ")]


def differences(found: Comparison, wanted: str, width: int) -> list[Line]:
    """One line for each path that is not the same in both."""
    return [difference(each, found, wanted, width) for each in found.differences]


def difference(each: Difference, found: Comparison, wanted: str, width: int) -> Line:
    """`< only in web      /etc/motd`, `≠ size, mode      /bin/sh`."""
    sign, tone = {"first": ("<", "warn"), "second": (">", "accent")}.get(each.only, ("≠", ""))
    only = {"first": found.first, "second": found.second}.get(each.only, "")
    head = (
        Span(f"{sign} ", tone),
        Span(pad(f"only in {only}" if only else ", ".join(each.what), min(26, width // 3)), tone),
        GAP,
    )
    path = clean(each.path) + ("/" if each.kind == "directory" else _SIGNS.get(each.kind, ""))
    return (*head, *_found(shorten_left(path, max(8, width - width_of(head))), wanted, ""))
