"""What all tables have in common: an order, columns that find their place, a head, and rows that are made when looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar, overload

from msgspec import Struct

from tui.view.text import GAP, Line, Span, pad

T = TypeVar("T")

Layout = tuple[tuple[str, int], ...]
"""Keys of columns from left to right, and their widths."""


class Order(Struct, frozen=True, kw_only=True):
    """How a table is sorted."""

    column: str = ""
    """The key of a column; empty: as the table likes it best."""
    up: bool = True
    """The way round that the column begins with: names from A on, figures from the greatest down."""


def place(need: Mapping[str, int], wanted: Sequence[str], width: int, taken: Mapping[str, int] | None = None) -> dict[str, int]:
    """The columns that fit, those wanted first before others. `taken` are sure of theirs; what needs nothing is left out."""
    found = dict(taken or {})
    for key in wanted:
        if need[key] and total(found) + need[key] + 2 <= width:
            found[key] = need[key]
    return found


def total(widths: Mapping[str, int]) -> int:
    """Cells of a row with these columns."""
    return sum(widths.values()) + 2 * max(0, len(widths) - 1)


def head(columns: Layout, titles: Mapping[str, str], by: Order) -> Line:
    """The titles; the one that is sorted by is marked, and shows which way."""
    cells = []
    for key, width in columns:
        sign = "" if key != by.column else "▾" if by.up else "▴"
        cells.append(Span(pad(f"{titles[key]}{sign}", width), "accent" if sign else "dim"))
    return joined(cells)


def joined(cells: Sequence[Span]) -> Line:
    return tuple(part for cell in cells for part in (GAP, cell))[1:]


class Rows(Sequence[Line], Generic[T]):
    """A table's lines, made when they are looked at: of 500 rows only the visible cost anything."""

    def __init__(self, rows: Sequence[T], body: Callable[[T], Line], marked: Callable[[T], bool] | None = None) -> None:
        """`marked`: says which rows bear a mark; None: none does, and no room is kept for it."""
        self._rows, self._body, self._marked = rows, body, marked

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        row = self._rows[index]
        line = self._body(row)
        return line if self._marked is None else (Span("● " if self._marked(row) else "  ", "accent"), *line)
