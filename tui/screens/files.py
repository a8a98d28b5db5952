"""The files of a container or an image: every path with the layer it comes from and what it hides, and what is in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from engine.model.errors import EngineError
from engine.model.tree import Change, Content, Layer, Listing
from tui import actions
from tui.view import files, footer, header
from tui.view.files import Row
from tui.view.scene import Scene
from tui.view.text import BLANK, Line, clean, line, wrap
from tui.widgets.lines import Lines, Sheet

if TYPE_CHECKING:
    from tui.app import LongshoreApp

ROOMY = 100
"""Columns from which the content stands beside the tree; below, in its place."""
SETTLE_SECONDS = 0.12
"""How long the cursor must rest on a path before its content is fetched."""


class FilesScreen(Screen[None]):
    """`target`: a container's or an image's id or name, `called` what people call it."""

    BINDINGS: ClassVar[list[BindingType]] = actions.bindings(actions.FILES, "files.")
    AUTO_FOCUS = "#tree"

    def __init__(self, app: LongshoreApp, target: str, called: str) -> None:
        super().__init__()
        self.longshore, self.target, self.called = app, target, called
        self.stack: tuple[Layer, ...] = ()
        self.listings: dict[str, Listing] = {}
        self.changes: tuple[Change, ...] = ()
        self.opened: set[str] = set()
        self.rows: list[Row] = []
        self.wanted = self.trouble = ""
        self.only = self.reading = False
        self.read: tuple[str, Content | str] = ("", "")
        """The path whose content was fetched, and that content or why there is none."""

    def compose(self) -> ComposeResult:
        yield Lines(id="header", classes="bar")
        with Horizontal(id="files"):
            yield Sheet(id="tree", classes="framed", cursor=True)
            yield Sheet(id="content", classes="framed")
        yield Input(id="search", placeholder="a part of a name; Enter keeps, Esc clears", compact=True)
        yield Lines(id="status")
        yield Lines(id="footer", classes="bar")

    def on_mount(self) -> None:
        self.query_one("#search").display = False
        self.watch(self.longshore, "scene", self._show_bars)
        self.watch(self.longshore, "notice", lambda: self._show_bars(self.longshore.scene))
        self.run_worker(self._load(), group="load", exclusive=True)

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self.show)

    @property
    def tree_sheet(self) -> Sheet:
        return self.query_one("#tree", Sheet)

    @property
    def row(self) -> Row | None:
        at = self.tree_sheet.row
        return self.rows[at] if 0 <= at < len(self.rows) else None

    # Fetching

    async def _load(self) -> None:
        """All that is open, anew. The tree is there before the changes are."""
        try:
            self.stack = (await self.longshore.engine.stack(self.target)).layers
            fresh = {}
            for path in ("/", *sorted(self.opened)):
                if path == "/" or path in self.listings:
                    fresh[path] = await self.longshore.engine.listing(self.target, path)
            self.listings, self.trouble = fresh, ""
            self.show()
            self.changes = await self.longshore.engine.changes(self.target)
        except (EngineError, OSError) as error:
            self.trouble = str(error)
        self.show()

    async def _open(self, path: str) -> None:
        try:
            self.listings[path] = await self.longshore.engine.listing(self.target, path)
            self.opened.add(path)
        except (EngineError, OSError) as error:
            self.longshore.say(f"✘ {error}", "bad")
        self.show()

    async def _read(self, row: Row) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        if row.entry is None:  # in the list of changes: nobody has listed its directory yet
            await self._list_above(row.path)
        row = self.row or row
        if row.entry and row.entry.kind == "file":
            try:
                self.read = row.path, await self.longshore.engine.content(self.target, row.path)
            except (EngineError, OSError) as error:
                self.read = row.path, str(error)
        self._show_content()

    async def _list_above(self, path: str) -> None:
        parent = path.rpartition("/")[0] or "/"
        try:
            self.listings[parent] = await self.longshore.engine.listing(self.target, parent)
        except (EngineError, OSError):
            return  # it went with its directory: the mark says so
        self.show()

    # Painting

    def show(self) -> None:
        """The tree, with the cursor on the path it was on."""
        if not self.query("#footer"):
            return  # the screen was left before the answer came
        sheet, under = self.tree_sheet, self.row
        kinds = {change.path: change.kind for change in self.changes}
        if self.only:
            self.rows = files.changed(self.changes, self.listings)
        else:
            self.rows = files.tree(self.listings, self.opened, kinds)
        width = sheet.inner_width
        sheet.border_title = Text(f"Files · {self.called}{' · only what has changed' if self.only else ''}")
        sheet.border_subtitle = Text(f"/ {self.wanted}" if self.wanted else "")
        if self.rows:
            sheet.paint([files.body(row, self.stack, self.wanted, width) for row in self.rows])
            if under:
                sheet.go(next((n for n, row in enumerate(self.rows) if row.path == under.path), sheet.row))
        else:
            sheet.paint([line(text, tone) for text, tone in self._empty(width)], [])
        self._look()

    def _empty(self, width: int) -> list[tuple[str, str]]:
        if self.trouble:
            return [(text, "bad") for text in wrap(f"✘ {self.trouble}", width)]
        text = "Nothing has changed." if self.only else "No files." if self.listings else "…"
        return [(row, "dim") for row in wrap(text, width)]

    def _look(self) -> None:
        """Show what is known of the path under the cursor; its content comes when the cursor rests."""
        self._show_content()
        row = self.row
        if row and self.read[0] != row.path and (row.entry is None or row.entry.kind == "file"):
            self.run_worker(self._read(row), group="content", exclusive=True)

    def _show_content(self) -> None:
        if not self.query("#footer"):
            return
        sheet, row = self.query_one("#content", Sheet), self.row
        width = sheet.inner_width
        shown: list[Line] = files.about(row, self.stack, width) if row else []
        path, content = self.read
        if row and row.path == path:
            shown += [BLANK]
            if isinstance(content, Content):
                shown += files.preview(content, width)
            else:
                shown += [line(text, "bad") for text in wrap(f"✘ {content}", width)]
        sheet.border_title = Text(clean(row.name) if row else "")
        sheet.paint(shown)
        self._show_bars(self.longshore.scene)

    def _show_bars(self, scene: Scene) -> None:
        app, width = self.longshore, self.size.width
        self.query_one("#header", Lines).paint([header.line(scene, None, width, read_only=app.read_only)])
        status = self.query_one("#status", Lines)
        lines = footer.status(scene, "", app.notice, width)
        status.styles.height = len(lines)
        status.paint(lines)
        items = [(a.key, a.label, True) for a in actions.FILES if a.footer]
        self.query_one("#footer", Lines).paint([footer.keys(items, width)])

    def _arrange(self) -> None:
        roomy = self.size.width >= ROOMY
        tree, content = self.tree_sheet, self.query_one("#content", Sheet)
        tree.display = roomy or not self.reading
        content.display = roomy or self.reading
        (content if self.reading else tree).focus()

    # Keys

    @on(Sheet.Moved, "#tree")
    def _moved(self) -> None:
        self._look()

    @on(Sheet.Opened)
    def action_open(self) -> None:
        """A directory opens or closes; of anything else the content is read."""
        row = self.row
        if row is None or self.reading:
            return
        if row.is_directory and not self.only:
            self.action_unfold() if row.path not in self.opened else self.action_fold()
        else:
            self._turn(reading=True)

    def action_unfold(self) -> None:
        row = self.row
        if row and row.is_directory and not self.only and row.path not in self.opened:
            self.run_worker(self._open(row.path), group="open")

    def action_fold(self) -> None:
        """Close the directory, or go to the one that this is in."""
        row = self.row
        if row is None or self.only:
            return
        if row.path in self.opened:
            self.opened.discard(row.path)
            self.show()
            return
        parent = row.path.rpartition("/")[0]
        at = next((n for n, each in enumerate(self.rows) if each.path == parent), None)
        if at is not None:
            self.tree_sheet.go(at, tell=True)

    def _turn(self, *, reading: bool) -> None:
        self.reading = reading
        self._arrange()
        self.call_after_refresh(self.show)

    def action_turn(self) -> None:
        self._turn(reading=not self.reading)

    def action_only(self) -> None:
        self.only = not self.only
        self.show()

    def action_reload(self) -> None:
        self.read = ("", "")
        self.run_worker(self._load(), group="load", exclusive=True)

    def action_copy(self) -> None:
        if row := self.row:
            path = clean(row.path)
            self.longshore.copy_to_clipboard(path)
            self.longshore.say(f"copied {path}", "good")

    def action_leave(self) -> None:
        self.dismiss()

    def action_back(self) -> None:
        """One thing at a time: the content, the search, the filter, the screen."""
        if self.reading:
            self._turn(reading=False)
        elif self.wanted:
            self._seek("")
        elif self.only:
            self.action_only()
        else:
            self.dismiss()

    # Searching

    def action_search(self) -> None:
        field = self.query_one("#search", Input)
        field.value = ""
        field.display = True
        field.focus()

    @on(Input.Changed, "#search")
    def _searching(self, event: Input.Changed) -> None:
        if self.query_one("#search").display:
            self._seek(event.value)

    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        self.query_one("#search").display = False
        self.tree_sheet.focus()

    def key_escape(self, event: events.Key) -> None:
        if self.query_one("#search", Input).has_focus:
            event.stop()
            self._searched()
            self._seek("")

    def _seek(self, text: str) -> None:
        self.wanted = text
        self._find(0)
        self.show()

    def action_again(self, by: int) -> None:
        self._find(by)

    def _find(self, by: int) -> None:
        """Go to the next name that has what is looked for, among the lines there are; 0: the one stood on counts too."""
        count, at = len(self.rows), self.tree_sheet.row
        order = range(count) if by == 0 else range(1, count + 1)
        found = ((at + (by or 1) * step) % count for step in order)
        hit = next((n for n in found if self.wanted.lower() in self.rows[n].name.lower()), None) if self.wanted else None
        if hit is not None:
            self.tree_sheet.go(hit, tell=True)
