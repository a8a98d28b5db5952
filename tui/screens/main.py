"""The main screen: four panes, a header, a footer, and the keys between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from engine.model.world import ContainerRow
from tui import actions
from tui.panes.containers import ContainersPane
from tui.panes.details import DetailsPane
from tui.panes.layers import LayersPane
from tui.panes.logs import LogsTab
from tui.panes.networks import NetworksPane, NetworksSheet
from tui.panes.pane import Pane
from tui.screens.compare import CompareScreen
from tui.screens.dialogs import Confirm
from tui.screens.events import EventsScreen
from tui.screens.files import FilesScreen
from tui.screens.help import Help
from tui.screens.images import ImagesScreen
from tui.screens.networking import Networking
from tui.screens.why import WhyScreen
from tui.view import footer, header
from tui.view.scene import Notice, Scene
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

ROOMY = (100, 30)
"""Columns and rows from which all panes are shown; below, one at a time."""


class MainScreen(Networking):
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings()
    AUTO_FOCUS = "#table"

    def __init__(self, app: LongshoreApp) -> None:
        super().__init__()
        self.longshore = app
        self.selected = self.wanted = ""
        self.marks: frozenset[str] = frozenset()
        self.mark_from = ""
        """The container from which a range of marks begins."""
        self.active = 1
        self.zoomed = False

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        yield ContainersPane()
        with Horizontal(id="middle"):
            yield LayersPane(self.longshore.engine)
            yield NetworksPane()
        yield DetailsPane(self.longshore.engine)
        yield Input(id="filter", placeholder="name, image or state; Enter keeps, Esc clears", compact=True)
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.watch(self.longshore, "scene", self.show)
        self.watch(self.longshore, "notice", lambda: self.show(self.longshore.scene))

    @property
    def panes(self) -> list[Pane]:
        return list(self.query(Pane))

    @property
    def table(self) -> ContainersPane:
        return self.query_one(ContainersPane)

    @property
    def row(self) -> ContainerRow | None:
        return self.longshore.scene.row(self.selected)

    @property
    def aimed(self) -> list[ContainerRow]:
        if self.marks:
            return [row for row in self.table.ordered(self.longshore.scene) if row.id in self.marks]
        return [self.row] if self.row else []

    # Painting

    def show(self, scene: Scene) -> None:
        """Paint everything from the scene; what looks the same costs nothing."""
        if self.wanted in scene.world.containers:
            self.selected, self.wanted = self.wanted, ""
        self.marks &= scene.world.containers.keys()
        self.table.marks = self.marks
        self.query_one(LogsTab).mark(tuple(row.id for row in self.aimed) if self.marks else ())
        for pane in self.panes:
            pane.show(scene, self.selected)
        self.show_bars(scene)

    def show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, self.row, width, read_only=app.read_only)])
        status = self.query_one("#status", Lines)
        lines = footer.status(scene, self.selected, app.notice, width)
        if status.styles.height is None or status.styles.height.value != len(lines):
            status.styles.height = len(lines)
        status.paint(lines)
        aimed, one = self.aimed, [self.row] if self.row else []
        items = [(a.key, a.label, True) for a in actions.LOGS if a.footer] if isinstance(self.focused, LogsTab) else []
        if isinstance(self.focused, NetworksSheet):
            items = [(a.key, a.label, not (a.changes and app.read_only)) for a in actions.NETWORKS if a.footer]
        own = {key for key, _, _ in items} if isinstance(self.focused, NetworksSheet) else set()
        for action in (a for a in actions.ACTIONS if a.footer and a.key not in own):
            rows = aimed if action.bulk else one
            can = actions.usable(rows, read_only=app.read_only)
            items.append((action.key, actions.label(action, rows), can(action)))
        self.query_one("#footer", Lines).paint([footer.keys(items, width, footer.ALWAYS)])

    def touched(self, ids: frozenset[str]) -> None:
        """The records or runs of these containers have changed."""
        if not ids.isdisjoint({self.selected, *self.marks}):
            self.query_one(DetailsPane).touch()

    @on(ContainersPane.Selected)
    def _selected(self, event: ContainersPane.Selected) -> None:
        self.selected = event.id
        self.show(self.longshore.scene)

    def select(self, id: str) -> None:
        """Select a container; one that is not seen yet as soon as it is."""
        self.wanted = id
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

    def _arrange(self) -> None:
        """All panes, or only the active one where there is no room."""
        one = self.zoomed or self.size.width < ROOMY[0] or self.size.height < ROOMY[1]
        self.set_class(one, "one")
        for pane in self.panes:
            pane.display = not one or pane.number == self.active
        self.query_one("#middle").display = not one or self.active in (2, 3)

    def action_pane(self, number: int) -> None:
        self.active = number
        self._arrange()
        self.panes[number - 1].sheet.focus()

    def action_turn(self, by: int) -> None:
        self.action_pane((self.active - 1 + by) % len(self.panes) + 1)

    def action_tab(self, by: int) -> None:
        self.query_one(DetailsPane).turn(by)
        self.show(self.longshore.scene)
        if self.active == DetailsPane.number:
            self.action_pane(DetailsPane.number)

    def action_open(self) -> None:
        if self.active == LayersPane.number:
            self.action_files()
        elif self.active == NetworksPane.number:
            self.open_wiring()
        else:
            self.action_pane(DetailsPane.number)

    def action_files(self) -> None:
        if row := self.row:
            self.longshore.push_screen(FilesScreen(self.longshore, row.id, row.name))
        else:
            self.longshore.say("there is no container to look into; n makes one", "warn")

    def action_image_files(self) -> None:
        if row := self.row:
            self.longshore.push_screen(FilesScreen(self.longshore, row.image_id, row.image))

    def action_compare(self) -> None:
        """The files of two containers, or of one with those of its image."""
        rows = self.aimed
        if len(rows) == 2:
            self.longshore.push_screen(CompareScreen(self.longshore, rows[0].name, rows[1].name))
        elif len(rows) == 1:
            self.longshore.push_screen(CompareScreen(self.longshore, rows[0].name, rows[0].image_id))
        else:
            self.longshore.say("mark two containers with Space, then = compares their files", "warn")

    def action_why(self) -> None:
        """Ask from the first of the marked containers to the second, or from the selected one."""
        ends = [row.name for row in self.aimed[:2]]
        self.longshore.push_screen(WhyScreen(self.longshore, *ends))

    @on(Sheet.Opened)
    def _opened(self) -> None:
        self.action_open()

    def action_logs(self) -> None:
        self._open_tab("Logs")

    def _open_tab(self, label: str) -> None:
        self.query_one(DetailsPane).open(label)
        self.action_pane(DetailsPane.number)
        self.show(self.longshore.scene)

    def action_inspect(self) -> None:
        self._open_tab("Inspect")

    def action_zoom(self) -> None:
        self.zoomed = not self.zoomed
        self._arrange()

    def action_back(self) -> None:
        """One thing at a time: the message, what a tab holds, the marks, the filter, the zoom, the pane."""
        table = self.table
        if self.longshore.notice != Notice():
            self.longshore.notice = Notice()
        elif self.active == DetailsPane.number and self.query_one(DetailsPane).back():
            return
        elif self.marks:
            self.action_unmark()
        elif table.query_text:
            self._filter("")
            self.query_one("#filter", Input).value = ""
        elif self.zoomed:
            self.action_zoom()
        else:
            self.action_pane(1)

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

    def action_stopped(self) -> None:
        table = self.table
        table.stopped = not table.stopped
        self.show(self.longshore.scene)

    # Marks and order

    def action_mark(self) -> None:
        """Mark the container, or no longer, and go to the next."""
        if row := self.row:
            self.marks ^= {row.id}
            self.mark_from = row.id
            self.show(self.longshore.scene)
            self.table.sheet.action_move(1)

    def action_mark_range(self) -> None:
        """Mark all from where the last mark was made to here."""
        ids = [row.id for row in self.table.rows]
        if self.selected in ids:
            here = ids.index(self.selected)
            there = ids.index(self.mark_from) if self.mark_from in ids else here
            self.marks |= set(ids[min(here, there) : max(here, there) + 1])
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

    @work
    async def action_events(self) -> None:
        if id := await self.longshore.push_screen_wait(EventsScreen(self.longshore)):
            self.select(id)
            self.action_pane(1)

    def action_images(self) -> None:
        self.longshore.push_screen(ImagesScreen(self.longshore))

    def action_hold(self) -> None:
        self.longshore.hold()

    def action_palette(self) -> None:
        self.longshore.action_command_palette()

    def action_help(self) -> None:
        self.longshore.push_screen(Help())

    @work
    async def action_leave(self) -> None:
        """Quit; where images are on their way that ends them too, so it is asked first."""
        app, moving = self.longshore, self.longshore.transfers.running
        names = ", ".join(f"{transfer.verb} of {transfer.name}" for transfer in moving)
        question = f"Still on its way: {names}. It ends with the dashboard; what has come is used when it is pulled again."
        if not moving or await app.push_screen_wait(Confirm("Quit", question, "Quit")):
            app.exit()
