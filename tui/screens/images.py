"""The images: a table, the layers and the history of the selected one, and what is on its way to or from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from tui import actions
from tui.panes.images import HistoryPane, ImageLayersPane, ImagesPane, TransfersPane
from tui.panes.pane import Pane
from tui.screens.compare import CompareScreen
from tui.screens.files import FilesScreen
from tui.screens.help import Help
from tui.screens.imagedeeds import ImageDeeds
from tui.screens.inspect import InspectScreen
from tui.view import footer, header
from tui.view.images import Entry, find
from tui.view.scene import Notice, Scene
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

ROOMY = (100, 30)
"""Columns and rows from which all panes are shown; below, one at a time."""


class ImagesScreen(ImageDeeds):
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings(actions.IMAGES, "images.")
    AUTO_FOCUS = "#table"

    def __init__(self, app: LongshoreApp) -> None:
        super().__init__()
        self.longshore = app
        self.selected = self.wanted = ""
        self.marks: frozenset[str] = frozenset()
        self.mark_from = ""
        """The entry from which a range of marks begins."""
        self.active = 1
        self.zoomed = False
        self.followed = 0
        """The transfer to put the cursor on as soon as it is seen."""

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        yield ImagesPane()
        with Horizontal(id="middle"):
            yield ImageLayersPane(self.longshore.engine)
            yield HistoryPane(self.longshore.engine)
        yield TransfersPane()
        yield Input(id="filter", placeholder="a part of a name or id; Enter keeps, Esc clears", compact=True)
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self._arrange()
        self.watch(self.longshore, "scene", self.show)
        self.watch(self.longshore, "notice", lambda: self.show_bars(self.longshore.scene))

    @property
    def panes(self) -> list[Pane]:
        return list(self.query(Pane))

    @property
    def table(self) -> ImagesPane:
        return self.query_one(ImagesPane)

    @property
    def entry(self) -> Entry | None:
        return next((row for row in self.table.rows if row.key == self.selected), None)

    @property
    def aimed(self) -> list[Entry]:
        if self.marks:
            return [row for row in self.table.rows if row.key in self.marks]
        return [self.entry] if self.entry else []

    # Painting

    def show(self, scene: Scene) -> None:
        """Paint everything from the scene; what looks the same costs nothing."""
        if self.wanted and find(scene, self.wanted):
            self.selected, self.wanted = self.wanted, ""
        self.marks = frozenset(key for key in self.marks if find(scene, key))
        self.table.marks = self.marks
        if self._is_seen(self.query_one(TransfersPane)) != self.query_one(TransfersPane).display:
            self._arrange()
        for pane in self.panes:
            pane.show(scene, self.selected)
        if self.followed:
            self.query_one(TransfersPane).go(self.followed)
            self.followed = 0
        self.show_bars(scene)

    def show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        status = self.query_one("#status", Lines)
        lines = footer.status(scene, "", app.notice, width)
        if status.styles.height is None or status.styles.height.value != len(lines):
            status.styles.height = len(lines)
        status.paint(lines)
        items = [(a.key, self._label(a), self._can(a)) for a in actions.IMAGES if a.footer]
        self.query_one("#footer", Lines).paint([footer.keys(items, width, footer.ALWAYS)])

    def _label(self, action: actions.Action) -> str:
        if action.name == "back" and self.active == TransfersPane.number:
            return "give it up"
        return f"{action.label} {len(self.marks)}" if self.marks and action.bulk else action.label

    def _can(self, action: actions.Action) -> bool:
        if action.changes and self.longshore.read_only:
            return False
        return bool(self.aimed) if action.name in ("new", "tag", "remove", "inspect", "history") else True

    @on(ImagesPane.Selected)
    def _selected(self, event: ImagesPane.Selected) -> None:
        self.selected = event.key
        self.show(self.longshore.scene)

    def select(self, key: str) -> None:
        """Select an entry; one that is not seen yet as soon as it is."""
        self.wanted = key
        self.show(self.longshore.scene)

    # Panes

    def on_resize(self, event: events.Resize) -> None:
        self._arrange()
        self.call_after_refresh(lambda: self.show(self.longshore.scene))

    def on_descendant_focus(self) -> None:
        for pane in self.panes:
            if pane.has_focus_within and pane.number != self.active:
                self.active = pane.number
                self._arrange()
        self.show_bars(self.longshore.scene)

    @property
    def _is_narrow(self) -> bool:
        return self.zoomed or self.size.width < ROOMY[0] or self.size.height < ROOMY[1]

    def _is_seen(self, pane: Pane) -> bool:
        """The transfers have a place only while there are some."""
        if pane.number == TransfersPane.number and not self.longshore.scene.transfers:
            return False
        return not self._is_narrow or pane.number == self.active

    def _arrange(self) -> None:
        """All panes, or only the active one where there is no room."""
        if self.active == TransfersPane.number and not self.longshore.scene.transfers:
            self.active = 1
            self.call_later(self.action_pane, 1)
        self.set_class(self._is_narrow, "one")
        for pane in self.panes:
            pane.display = self._is_seen(pane)
        self.query_one("#middle").display = not self._is_narrow or self.active in (2, 3)

    def action_pane(self, number: int) -> None:
        if number == TransfersPane.number and not self.longshore.scene.transfers:
            self.longshore.say("nothing is on its way; p pulls an image, L loads one", "warn")
            return
        self.active = number
        self._arrange()
        self.panes[number - 1].sheet.focus()
        self.show(self.longshore.scene)

    def action_turn(self, by: int) -> None:
        count = len(self.panes) - (not self.longshore.scene.transfers)
        self.action_pane((self.active - 1 + by) % count + 1)

    def action_history(self) -> None:
        self.action_pane(HistoryPane.number)

    def action_zoom(self) -> None:
        self.zoomed = not self.zoomed
        self._arrange()

    @on(Sheet.Opened)
    def action_open(self) -> None:
        self.action_files()

    def action_files(self) -> None:
        if self.active != TransfersPane.number and (entry := self.entry):
            self.longshore.push_screen(FilesScreen(self.longshore, entry.image.id, entry.target))

    def action_inspect(self) -> None:
        if entry := self.entry:
            self.longshore.push_screen(InspectScreen(self.longshore, entry.image.id, entry.target))

    def action_compare(self) -> None:
        rows = self.aimed
        if self.marks and len(rows) == 2:
            self.longshore.push_screen(CompareScreen(self.longshore, rows[0].target, rows[1].target))
        else:
            self.longshore.say("mark two images with Space, then = compares their files", "warn")

    def follow(self, key: int) -> None:
        """Look at a transfer that has just begun."""
        self.followed = key
        self.action_pane(TransfersPane.number)

    def action_back(self) -> None:
        """One thing at a time: the transfer, the message, the marks, the filter, the zoom, the pane, the screen."""
        moving, table = self.query_one(TransfersPane), self.table
        if self.active == moving.number and moving.transfer:
            self.longshore.transfers.end(moving.transfer.key)
        elif self.longshore.notice != Notice():
            self.longshore.notice = Notice()
        elif self.marks:
            self.action_unmark()
        elif table.query_text:
            self._filter("")
            self.query_one("#filter", Input).value = ""
        elif self.zoomed:
            self.action_zoom()
        elif self.active != 1:
            self.action_pane(1)
        else:
            self.dismiss()

    def action_leave(self) -> None:
        self.dismiss()

    # What is shown

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#filter")
    def _filtering(self, event: Input.Changed) -> None:
        self._filter(event.value)

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        self.action_pane(1)
        self.query_one("#filter").display = False

    def key_escape(self, event: events.Key) -> None:
        field = self.query_one("#filter", Input)
        if field.has_focus:
            event.stop()
            field.value = ""
            self._filtered()

    def _filter(self, text: str) -> None:
        self.table.query_text = text
        self.show(self.longshore.scene)

    def action_hidden(self) -> None:
        self.table.hidden = not self.table.hidden
        self.show(self.longshore.scene)

    def action_mark(self) -> None:
        """Mark the entry, or no longer, and go to the next."""
        if entry := self.entry:
            self.marks ^= {entry.key}
            self.mark_from = entry.key
            self.show(self.longshore.scene)
            self.table.sheet.action_move(1)

    def action_mark_range(self) -> None:
        """Mark all from where the last mark was made to here."""
        keys = [row.key for row in self.table.rows]
        if self.selected in keys:
            here = keys.index(self.selected)
            there = keys.index(self.mark_from) if self.mark_from in keys else here
            self.marks |= set(keys[min(here, there) : max(here, there) + 1])
            self.mark_from = self.selected
            self.show(self.longshore.scene)

    def action_unmark(self) -> None:
        self.marks, self.mark_from = frozenset(), ""
        self.show(self.longshore.scene)

    def action_sort(self, by: int) -> None:
        self.table.sort(by)
        self.show(self.longshore.scene)

    def action_flip(self) -> None:
        self.table.flip()
        self.show(self.longshore.scene)

    def action_hold(self) -> None:
        self.longshore.hold()

    def action_palette(self) -> None:
        self.longshore.action_command_palette()

    def action_help(self) -> None:
        self.longshore.push_screen(Help(actions.IMAGES[0].group))
