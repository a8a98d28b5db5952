"""Tab Inspect: a whole record as JSON, to fold, to search in, and to copy from."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from engine.model.interface import EngineInterface
from tui.panes.tab import Tab
from tui.view import inspect
from tui.view.inspect import Node, Path
from tui.view.text import line, wrap


class InspectTab(Tab):
    label = "Inspect"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search", show=False),
        Binding("n", "found(1)", "next match", show=False),
        Binding("N", "found(-1)", "previous match", show=False),
        Binding("enter", "fold", "fold, unfold", show=False),
        Binding("c", "copy_value", "copy the value", show=False),
        Binding("C", "copy_path", "copy the path", show=False),
    ]

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine, cursor=True)
        self.nodes: list[Node] = []
        self.folded: frozenset[Path] = frozenset()
        self.wanted = ""
        self.error = ""

    def clear(self) -> None:
        self.nodes, self.error, self.row = [], "", 0

    async def told(self, id: str) -> Any:
        """The record, any msgspec value."""
        return await self.engine.inspect(id)

    async def fetch(self, id: str) -> None:
        self.nodes, self.error = inspect.flatten(await self.told(id)), ""

    def fail(self, sentence: str) -> None:
        self.nodes, self.error = [], sentence

    def hint(self) -> str:
        if self.wanted:
            return f"/ {self.wanted}: {sum(inspect.has(node, self.wanted) for node in self.nodes)} · n N · Esc"
        return "/ search · Enter fold · c copy C its path"

    @property
    def seen(self) -> list[Node]:
        return inspect.unfolded(self.nodes, self.folded)

    def show(self) -> None:
        if self.error:
            self.paint([line(text, "bad") for text in wrap(f"✘ {self.error}", self.inner_width)], [])
        else:
            self.paint(*inspect.lines(self.seen, self.folded, self.wanted, self.inner_width))

    # Folding

    def action_fold(self) -> None:
        seen = self.seen
        if not seen or not seen[self.row].path:
            return
        path = seen[self.row].path
        if seen[self.row].size < 0:
            path = path[:-1]
        if path:
            self.folded ^= {path}
            self._show_at(path)

    def _show_at(self, path: Path) -> None:
        self.show()
        self.go(next((n for n, node in enumerate(self.seen) if node.path == path), self.row))

    # Searching

    def action_search(self) -> None:
        self.post_message(self.Searching(self))

    def seek(self, text: str) -> None:
        self.wanted = text
        self._find(self.row, 1, here=True)

    def action_found(self, by: int) -> None:
        self._find(self.row, by)

    def _find(self, row: int, by: int, *, here: bool = False) -> None:
        """Go to the next match after a row, folded or not, and round the end."""
        seen, nodes = self.seen, self.nodes
        if self.wanted and seen:
            at = next(n for n, node in enumerate(nodes) if node is seen[min(row, len(seen) - 1)])
            order = [(at + by * step) % len(nodes) for step in range(0 if here else 1, len(nodes) + 1)]
            if hit := next((nodes[n] for n in order if inspect.has(nodes[n], self.wanted)), None):
                self.folded -= {hit.path[:cut] for cut in range(len(hit.path))}
                self.show()
                self.go(next(n for n, node in enumerate(self.seen) if node is hit))
        self.show()
        self.post_message(self.Hinted())

    def back(self) -> bool:
        if not self.wanted:
            return False
        self.seek("")
        return True

    # Copying

    def action_copy_value(self) -> None:
        if seen := self.seen:
            node = seen[self.row]
            what = inspect.path_text(node.path) if node.path else "the whole record"
            self.post_message(self.Copied(inspect.copied(node), what))

    def action_copy_path(self) -> None:
        if seen := self.seen:
            path = inspect.path_text(seen[self.row].path)
            self.post_message(self.Copied(path, f"the path {path}"))
