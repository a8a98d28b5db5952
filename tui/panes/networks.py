"""Pane 3: the networks and what is plugged into them, as a tree that a person walks in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, overload

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.actions import NETWORKS
from tui.panes.pane import Pane
from tui.view import networks
from tui.view.networks import Layout, Row
from tui.view.scene import Scene
from tui.view.text import Line, line, wrap
from tui.widgets.lines import Sheet


class Tree(Sequence[Line]):
    """The tree's lines, made when they are looked at: of 500 cables only the visible cost anything."""

    def __init__(self, scene: Scene, rows: Sequence[Row], columns: Layout, selected: str, width: int) -> None:
        self.scene, self.rows, self.columns, self.selected, self.width = scene, rows, columns, selected, width

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        return networks.body(self.scene, self.rows[index], self.columns, self.selected, self.width)


class NetworksSheet(Sheet):
    """Its keys are its own while it has the focus; what they do is the screen's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(a.keys, f"screen.{a.name}", a.help, show=False, id=f"networks.{a.name}") for a in NETWORKS
    ]


class NetworksPane(Pane):
    number = 3

    class Selected(Message):
        """The cursor stands on a cable of this container."""

        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Row, ...] = ()
        self.folded: frozenset[str] = frozenset()
        self._key = ("", "")
        """Of the row under the cursor, which stays there whatever comes and goes around it."""
        self._awaited = ("", "")
        self._selected = ""
        self._grown: tuple[object, object, frozenset[str], int] = (None, None, frozenset(), 0)
        """What the tree was grown from: containers, networks, what is folded, and the width."""
        self._columns: Layout = ()

    def compose(self) -> ComposeResult:
        yield NetworksSheet(cursor=True)

    @property
    def row(self) -> Row | None:
        """Under the cursor."""
        return self.rows[self.sheet.row] if self.rows else None

    def paint(self, scene: Scene, selected: str) -> None:
        sheet, width = self.sheet, self.sheet.inner_width
        self.entitle("Networks", scene, "Enter: both ends · n new · a connect · d remove")
        self._grow(scene, width)
        if not self.rows:
            sheet.paint([line(text, "dim") for text in wrap("There is no network.", width)], [])
            return
        keys = [row.key for row in self.rows]
        if self._awaited in keys:
            self._key, self._awaited = self._awaited, ("", "")
        followed = selected != self._selected and self._follow(selected)
        gone = self._key not in keys
        if gone and (self._key[0], "") in keys:
            self._key = (self._key[0], "")  # its cable was pulled: stay with its network
        sheet.row = keys.index(self._key) if self._key in keys else max(0, min(sheet.row, len(keys) - 1))
        self._key = keys[sheet.row]
        sheet.paint(Tree(scene, self.rows, self._columns, selected, width))
        if followed:
            sheet.go(sheet.row)

    def _grow(self, scene: Scene, width: int) -> None:
        """The tree anew, where something of it may have changed: samples alone never do that."""
        containers, known, folded, before = self._grown
        world = scene.world
        if world.containers is containers and world.networks is known and (self.folded, width) == (folded, before):
            return
        self.rows = networks.tree(world, self.folded)
        self._columns = networks.layout(self.rows, width)
        self._grown = world.containers, world.networks, self.folded, width

    def _follow(self, selected: str) -> bool:
        """The other panes show another container by now: go to its first cable, unless the cursor is on one."""
        self._selected = selected
        if self._key[1] == selected:
            return False
        found = next((row.key for row in self.rows if row.container and row.container.id == selected), None)
        self._key = found or self._key
        return found is not None

    @on(Sheet.Moved)
    def _moved(self, event: Sheet.Moved) -> None:
        event.stop()
        if row := self.row:
            self._key = row.key
            if row.container:
                self.post_message(self.Selected(row.container.id))

    def go(self, network: str) -> None:
        """Put the cursor on a network, given by its id; one that is not seen yet gets it when it is."""
        self._key = self._awaited = (network, "")
        if self._shown:
            self.show(*self._shown)

    def fold(self, *, fold: bool) -> None:
        """Show the cables of the network under the cursor no longer, or again."""
        if row := self.row:
            id = row.network.id
            self.folded = self.folded | {id} if fold else self.folded - {id}
            if fold:
                self._key = (id, "")
            if self._shown:
                self.show(*self._shown)
