"""The panes of the images: the table, the layers and the history of the selected one, and what is on its way."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.message import Message

from engine.model.tree import Stack
from tui.panes.pane import Pane
from tui.panes.tab import Tab
from tui.remote import Remote
from tui.view import images, layers, transfers
from tui.view.images import Entry, Weights
from tui.view.scene import Scene
from tui.view.table import Order, Rows
from tui.view.text import line, wrap
from tui.view.transfers import Transfer
from tui.widgets.lines import Lines, Sheet


class ImagesPane(Pane):
    """The table. `selected` is the key of an entry."""

    number = 1

    class Selected(Message):
        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self) -> None:
        super().__init__()
        self.query_text = ""
        self.hidden = False
        self.marks: frozenset[str] = frozenset()
        self.order = Order()
        self.rows: tuple[Entry, ...] = ()
        self.weights = Weights({})

    def compose(self) -> ComposeResult:
        yield Lines(id="usage")
        yield Lines(id="table-head")
        yield Sheet(id="table", cursor=True)

    def show(self, scene: Scene, selected: str) -> None:
        """The rows are known even where the pane is not seen: others ask for them."""
        if self.weights.images is not scene.world.images:
            self.weights = Weights(scene.world.images)
        self.rows = images.entries(scene, self.weights, self.query_text, hidden=self.hidden, by=self.order)
        super().show(scene, selected)

    def paint(self, scene: Scene, selected: str) -> None:
        count = f" · {len(self.marks)} marked" if self.marks else ""
        self.entitle(f"Images · {images.counts(scene)}{count}", scene, self._hints())
        head, sheet = self.query_one("#table-head", Lines), self.sheet
        self.query_one("#usage", Lines).paint([(*line("  "), *images.usage(scene, self.weights))] if scene.world.images else [])
        if not self.rows:
            head.paint([])
            words = images.EMPTY if not scene.world.images else ("No image matches; Esc shows all again.",)
            sheet.paint([line(row, "dim") for text in words for row in wrap(text, sheet.inner_width)], [])
            return
        indent = 2 if self.marks else 0
        columns = images.layout(self.rows, scene.now, sheet.inner_width - indent)
        head.paint([(*line("  " + " " * indent), *images.head(columns, self.order))])
        at = next((n for n, row in enumerate(self.rows) if row.key == selected), None)
        elsewhere = at is not None and at != sheet.row
        sheet.row = max(0, min(sheet.row, len(self.rows) - 1)) if at is None else at
        marks = self.marks
        marked = (lambda row: row.key in marks) if marks else None
        sheet.paint(Rows(self.rows, lambda row: images.body(row, columns, scene.now), marked))
        if at is None:
            self.post_message(self.Selected(self.rows[sheet.row].key))
        elif elsewhere:
            sheet.go(at)

    def sort(self, by: int) -> None:
        """By the next column of the table, or the one before."""
        keys = images.SORTED
        self.order = Order(column=keys[(keys.index(self.order.column) + by) % len(keys)])

    def flip(self) -> None:
        """The other way round."""
        self.order = replace(self.order, up=not self.order.up)

    def _hints(self) -> str:
        parts = [f"filter: {self.query_text}"] if self.query_text else []
        parts += ["parents too, z hides them"] if self.hidden else []
        return " · ".join(parts) or f"/ filter · Shift-← → sort: {self.order.column or 'by name'}"

    @on(Sheet.Moved)
    def _moved(self, event: Sheet.Moved) -> None:
        event.stop()
        if self.rows:
            self.post_message(self.Selected(self.rows[event.row].key))


class _Told(Tab):
    """What the engine is asked about an image: once, for what an image is does not change."""

    def __init__(self, engine: Remote, *, cursor: bool = False) -> None:
        super().__init__(engine, cursor=cursor)
        self.remote = engine
        self.scene: Scene | None = None
        self.error = ""

    def look(self, scene: Scene) -> None:
        self.scene, self._held = scene, scene.held
        self.show()

    def fail(self, sentence: str) -> None:
        self.error = sentence

    def show(self) -> None:
        if self.error:
            self.paint([line(text, "bad") for text in wrap(f"✘ {self.error}", self.inner_width)], [])
        elif self.scene:
            self.fill(self.scene)

    def fill(self, scene: Scene) -> None:
        raise NotImplementedError


class LayersSheet(_Told):
    label: ClassVar[str] = "Layers"
    stack: Stack | None = None

    def clear(self) -> None:
        self.stack, self.error = None, ""

    async def fetch(self, id: str) -> None:
        self.stack = await self.remote.stack(id)

    def fill(self, scene: Scene) -> None:
        self.paint(layers.of_image(self.stack, scene.now, self.inner_width) if self.stack else [])


class HistorySheet(_Told):
    label: ClassVar[str] = "History"
    told: list[dict[str, Any]] | None = None

    def clear(self) -> None:
        self.told, self.error = None, ""

    async def fetch(self, id: str) -> None:
        self.told = await self.remote.image_history(id)

    def fill(self, scene: Scene) -> None:
        self.paint(*images.history(self.told or (), scene.now, self.inner_width))


class TellingPane(Pane):
    """Follows the selected image."""

    def __init__(self, fed: _Told) -> None:
        super().__init__()
        self.fed = fed

    def compose(self) -> ComposeResult:
        yield self.fed

    @property
    def sheet(self) -> Sheet:
        return self.fed

    def paint(self, scene: Scene, selected: str) -> None:
        image = images.find(scene, selected)
        called = (selected if images.names(image) else images.NONE) if image else ""
        self.entitle(f"{self.fed.label} · {called}" if image else self.fed.label, scene, "Enter: the files" if image else "")
        id = image.id if image else ""
        if id != self.fed.selected:
            self.fed.follow(id)
        self.fed.look(scene)


class ImageLayersPane(TellingPane):
    number = 2

    def __init__(self, engine: Remote) -> None:
        super().__init__(LayersSheet(engine))


class HistoryPane(TellingPane):
    number = 3

    def __init__(self, engine: Remote) -> None:
        super().__init__(HistorySheet(engine, cursor=True))


class TransfersPane(Pane):
    number = 4

    def compose(self) -> ComposeResult:
        yield Sheet(id="transfers", cursor=True)

    @property
    def transfer(self) -> Transfer | None:
        """The one under the cursor."""
        all = self._shown[0].transfers if self._shown else ()
        return all[self.sheet.row] if 0 <= self.sheet.row < len(all) else None

    def paint(self, scene: Scene, selected: str) -> None:
        self.entitle(f"On their way · {len(scene.transfers)}", scene, "Esc gives it up, Tab leaves it to itself")
        self.sheet.paint(*transfers.lines(scene.transfers, self.sheet.inner_width))

    def go(self, key: int) -> None:
        """Put the cursor on a transfer."""
        all = self._shown[0].transfers if self._shown else ()
        self.sheet.go(next((n for n, transfer in enumerate(all) if transfer.key == key), 0))
