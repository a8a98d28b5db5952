"""Tab Logs: what containers say, merged in time order. `tui.view.logs` keeps it and lays it out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from msgspec.structs import replace
from textual.binding import BindingType
from textual.widget import Widget

from engine.model.errors import EngineError
from engine.model.interface import EngineInterface
from tui import actions
from tui.feed import PAINT_SECONDS
from tui.logreader import LogReader, since
from tui.panes.tab import SETTLE_SECONDS, Tab
from tui.view import logs
from tui.view.logs import Entry, Filter, Look, Page, Rows
from tui.view.scene import Scene
from tui.view.text import Line, line, wrap
from tui.widgets.log import LogSheet
from tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from tui.app import LongshoreApp

SHARE = 4
"""The pause after a painting is so many times as long as the painting took: a flood leaves the keys their time."""


class LogsTab(Tab, LogSheet):
    """Stays at the end while the end is in sight; reading back holds the view still."""

    label = "Logs"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings(actions.LOGS, "logs.")

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine)
        self.reader = LogReader(engine, (), self._paint_soon)
        self.filter = Filter("")
        self.state = logs.State()
        self.look_now = Look(width=80)
        self.page = Page((), self.look_now)
        self.rows = Rows(self.page, None, None)
        self.here: Entry | None = None
        """The matching line a person stands on."""
        self.hits: list[int] = []
        self._anchor: tuple[Entry, int] | None = None
        self.marked: tuple[str, ...] = ()
        self._wanted: tuple[str, ...] = ()
        """The containers that are read."""
        self._names: dict[str, str] = {}
        self._prompt: Prompt | None = None
        self._due = self._fetching = False
        self._cost = 0.0

    # What is read

    def mark(self, ids: tuple[str, ...]) -> None:
        """These containers are marked: their logs are shown together. None: the selected one's."""
        if ids != self.marked:
            self.marked = ids
            if self.selected:
                self.follow(self.selected)

    def follow(self, id: str) -> None:
        self.selected = id
        self.read((self.marked or (id,)) if id else ())

    def read(self, ids: tuple[str, ...]) -> None:
        """Show the lines of these containers; none: stop reading, and keep what is there for when they are shown again."""
        if ids == self._wanted:
            return
        self._wanted = ids
        self.workers.cancel_node(self)
        if ids:
            self.run_worker(self._read(ids))
            return
        if self._prompt:
            self._close(self._prompt)
        self.show()

    async def _read(self, ids: tuple[str, ...]) -> None:
        if ids != self.reader.ids:
            await asyncio.sleep(SETTLE_SECONDS)
            self._begin(ids)
        self._paint_soon()
        await self.reader.run()

    def _begin(self, ids: tuple[str, ...], notes: Sequence[Entry] = ()) -> None:
        """With empty pages, but for these notes."""
        self.reader = LogReader(self.engine, ids, self._paint_soon, since(logs.WINDOWS[self.state.window]))
        self.reader.book.entries = list(notes)
        self.here = None
        self.state = replace(self.state, following=True, below=0)
        self._anchor = None
        self.look(self._longshore.scene)

    def touch(self) -> None:
        self.reader.touch()

    def look(self, scene: Scene) -> None:
        held, self._held = self._held, scene.held
        names = {id: row.name for id in self.reader.ids if (row := scene.row(id))}
        if names != self._names or (held and not self._held):
            self._names = names
            self.show()

    def older(self) -> None:
        """What was said before the oldest line there is."""
        full = len(self.reader.book.entries) >= logs.OLDEST or (self.state.full and not self.state.following)
        if full:
            self._say(f"older lines: {self._longshore.docker} logs {self._named()}")
        elif self._wanted and not self.reader.complete:
            self.run_worker(self._older())

    async def _older(self) -> None:
        try:
            await self.reader.older()
        except (EngineError, OSError) as error:
            self._say(f"✘ {error}", "bad")

    # Painting

    def _paint_soon(self) -> None:
        if not self._due:
            self._due = True
            self.set_timer(max(PAINT_SECONDS, SHARE * self._cost), self.show)

    def show(self) -> None:
        self._due = False
        if self._held:
            self._paint_soon()
            return
        began = time.perf_counter()
        self._lay_out()
        self._cost = time.perf_counter() - began

    def _lay_out(self) -> None:
        state = self.state
        if not self._wanted:
            self.place([], 0, ())
            return
        self.reader.hold(not state.following)
        fresh = self.filter(self.reader.book.fold())
        entries = self.filter(self.reader.book.entries)
        self.look_now = Look(
            width=self.inner_width,
            wrap=state.wrap,
            times=state.times,
            names=self.names if len(self.reader.ids) > 1 else (),
            shift=self.look_now.shift,
        )
        self.page = Page(entries, self.look_now)
        pattern = logs.matcher(state.search)
        self.hits = [n for n, e in enumerate(entries) if pattern.search(e.text)] if pattern else []
        if self.here and self.here not in entries:
            self.here = None
        self.state = replace(
            state,
            below=0 if state.following else state.below + len(fresh),
            full=self.reader.book.room <= 0,
            lines=len(entries),
            of=len(self.reader.book.entries),
            containers=len(self.reader.ids),
        )
        self.rows = rows = Rows(self.page, pattern, self.here, self._after())
        held = self.page.where(*self._anchor) if self._anchor else 0
        self.place(rows, len(rows) if state.following else held, self._foot())
        self._drop_anchor()

    def _drop_anchor(self) -> None:
        """Remember what stands in the first row: it stays there whatever comes and goes."""
        if self.page.height:
            index, row = self.page.at(min(int(self.scroll_y), self.page.height - 1))
            self._anchor = (self.page.entries[index], row)

    def _after(self) -> list[Line]:
        """What stands below the lines."""
        width = self.inner_width - 2
        errors = [
            f"✘ {self._names[r.id]}: {r.error}" if len(self.reader.ids) > 1 and r.id in self._names else f"✘ {r.error}"
            for r in self.reader.readings
            if r.error
        ]
        if errors:
            return [line(row, "bad") for error in errors for row in wrap(error, width)]
        if self.page.entries:
            return []
        if self.filter.text and self.reader.book.entries:
            return [line("No line matches the filter; Esc shows all again.", "dim")]
        if self.state.window:
            return [line(f"Nothing was said in the last {logs.WINDOW_NAMES[self.state.window]}; 0 shows all.", "dim")]
        return [line("It has said nothing yet." if len(self.reader.ids) < 2 else "They have said nothing yet.", "dim")]

    def _foot(self) -> Line:
        here = self.page.entries.index(self.here) if self.here else -1
        at = self.hits.index(here) + 1 if here in self.hits else 0
        return logs.status(replace(self.state, matches=(at, len(self.hits))), self.inner_width)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names.get(reading.id, reading.id[:12]) for reading in self.reader.readings)

    def scrolled(self) -> None:
        at_end = self.scroll_y >= self.max_scroll_y
        self.state = replace(self.state, following=at_end, below=0 if at_end else self.state.below)
        self.reader.hold(not at_end)
        self.foot = self._foot()
        self._drop_anchor()
        if self.scroll_y == 0 and not at_end:
            self.older()

    # Keys

    def action_move(self, rows: int) -> None:
        if rows < 0 and self.scroll_y == 0:
            self.older()
        super().action_move(rows)

    def action_follow(self) -> None:
        self.state = replace(self.state, following=not self.state.following)
        self.show()

    def action_wrap(self) -> None:
        self.look_now = Look(width=80)
        self.state = replace(self.state, wrap=not self.state.wrap)
        self.show()

    def action_shift(self, by: int) -> None:
        """Left and right, where lines are not wrapped."""
        if not self.state.wrap:
            self.look_now = Look(width=80, shift=max(0, self.look_now.shift + by * self.inner_width // 2))
            self.show()

    def action_times(self) -> None:
        after = (logs.TIMES.index(self.state.times) + 1) % len(logs.TIMES)
        self.state = replace(self.state, times=logs.TIMES[after])
        self.show()

    def action_mark(self) -> None:
        now = datetime.now(UTC)
        self.reader.book.note(f"mark {now.astimezone():%H:%M:%S}", now)
        self.show()

    def action_window(self, number: int) -> None:
        """Only what was said in the last minutes; it is asked for anew."""
        self.state = replace(self.state, window=number)
        self.reader.book.fold()
        first = since(logs.WINDOWS[number])
        marks = [e for e in self.reader.book.entries if e.source < 0 and (first is None or e.time >= first)]
        self._begin(self.reader.ids, marks)
        wanted, self._wanted = self._wanted, ()
        self.read(wanted)

    # Searching

    def seek(self, text: str) -> None:
        self.here = None
        self.state = replace(self.state, search=text)
        self.show()

    def action_search(self) -> None:
        def done(answer: str | None) -> bool:
            self.seek(answer or "")
            if self.hits:
                self._stand(self._nearest())
            return self._close()

        self._ask(Prompt("/", "", "a text or a regular expression; Enter keeps, Esc clears", done, self.seek))

    def action_filter(self) -> None:
        def done(answer: str | None) -> bool:
            self._sift(answer or "")
            return self._close()

        hint = "only lines with this text or regular expression; ! in front: without it"
        self._ask(Prompt("&", self.filter.text, hint, done, self._sift))

    def _sift(self, text: str) -> None:
        self.filter = Filter(text)
        self.state = replace(self.state, filter=text)
        self.show()

    def action_again(self, step: int) -> None:
        """The next match, or the one before; around the ends."""
        if not self.hits:
            self._say(f"nothing matches {self.state.search}", "warn")
        elif self.here is None:
            self._stand(self._nearest())
        else:
            at = self.hits.index(self.page.entries.index(self.here)) + step
            if not 0 <= at < len(self.hits):
                self._say("the search goes on at the other end")
            self._stand(self.hits[at % len(self.hits)])

    def _nearest(self) -> int:
        """The last match in view or above it, or else the first below."""
        bottom, _ = self.page.at(min(int(self.scroll_y) + self.view_height, self.page.height) - 1)
        return next((n for n in reversed(self.hits) if n <= bottom), self.hits[0])

    def _stand(self, index: int) -> None:
        """Go to an entry, and bring it into view."""
        self.here = self.rows.here = self.page.entries[index]
        first, end = self.page.starts[index], self.page.starts[index + 1]
        top = int(self.scroll_y)
        if first < top or end > top + self.view_height:
            self.scroll_target_y = self.scroll_y = max(0, min(first - self.view_height // 2, self.max_scroll_y))
        self.foot = self._foot()
        self.repaint()

    def back(self) -> bool:
        if self.state.search:
            self.seek("")
        elif self.filter.text:
            self._sift("")
        else:
            return False
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "again" or bool(self.state.search)  # else the keys are the screen's

    # Out of here

    def action_copy(self) -> None:
        if self.here:
            shown = [self.here]
        elif self.page.height:
            top = min(int(self.scroll_y), self.page.height - 1)
            first, last = self.page.at(top)[0], self.page.at(min(top + self.view_height, self.page.height) - 1)[0]
            shown = list(self.page.entries[first : last + 1])
        else:
            shown = []
        self.app.copy_to_clipboard(logs.as_text(shown, self.look_now))
        self._say(f"copied {len(shown)} line{'s'[: len(shown) != 1]}", "good")

    def action_save(self) -> None:
        def done(answer: str | None) -> bool:
            if answer:
                self.run_worker(self._save(Path(answer).expanduser().absolute()))
                return False
            return self._close()

        name = f"{self._named('-')[:60]}-{datetime.now():%Y%m%d-%H%M%S}.log"
        self._ask(Prompt("save to: ", name, "a file that does not exist yet", done))

    async def _save(self, path: Path) -> None:
        entries = list(self.page.entries)
        text = logs.as_text(entries, self.look_now)
        try:
            await asyncio.to_thread(_write, path, text)
        except FileExistsError:
            self._say(f"✘ {path} exists already; give another name", "bad")
        except OSError as error:
            self._say(f"✘ cannot write {path}: {error.strerror}; give another name", "bad")
        else:
            self._say(f"✔ saved {len(entries)} lines in {path}", "good")
            if self._prompt:
                self._close(self._prompt)

    def _ask(self, prompt: Prompt) -> None:
        if self._prompt:
            self._prompt.remove()
        self._prompt = prompt
        self.run_worker(self._open(prompt))

    async def _open(self, prompt: Prompt) -> None:
        with self._longshore.typed.held():
            await cast(Widget, self.parent).mount(prompt, after=self)
            prompt.input.focus()

    def _close(self, prompt: Prompt | None = None) -> bool:
        """The prompt has had its answer, or is taken away."""
        self._prompt = None
        if prompt:
            prompt.remove()
        self.focus()
        return True

    def _named(self, between: str = " ") -> str:
        return between.join(self.names) or "container"

    @property
    def _longshore(self) -> LongshoreApp:
        return cast("LongshoreApp", self.app)

    def _say(self, text: str, tone: str = "") -> None:
        self._longshore.say(text, tone)


def _write(path: Path, text: str) -> None:
    with path.open("x") as file:
        file.write(text)
