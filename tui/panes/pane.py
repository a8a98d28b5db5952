"""A pane: a frame with a number, a title, and sheets in it."""

from __future__ import annotations

from typing import Self

from rich.text import Text
from textual.containers import Vertical
from textual.geometry import Region

from tui.view.scene import Scene
from tui.view.text import shorten
from tui.widgets.lines import Sheet


class Pane(Vertical):
    number = 0

    def __init__(self) -> None:
        super().__init__(id=f"pane-{self.number}")
        self._titles = ("", "")
        self._titling = False
        self._shown: tuple[Scene, str] | None = None

    def show(self, scene: Scene, selected: str) -> None:
        """Show the scene. `selected` is the id of the selected container, or empty."""
        self._shown = (scene, selected)
        if self.display and self.size.width:
            self.paint(scene, selected)

    def paint(self, scene: Scene, selected: str) -> None:
        raise NotImplementedError

    def on_resize(self) -> None:
        if self._shown:
            self.show(*self._shown)

    @property
    def sheet(self) -> Sheet:
        """The sheet that takes the keys."""
        return self.query_one(Sheet)

    def entitle(self, title: str, scene: Scene, subtitle: str = "") -> None:
        """Set the frame's texts where they differ, and repaint the frame alone: the stock setter repaints the whole pane."""
        fresh = "" if scene.link.word == "live" else f" · {scene.link.sign} {scene.link.word}"
        room = self.outer_size.width - 6
        if self.screen.has_class("one"):
            subtitle = f"Tab: other panes · {subtitle}" if subtitle else "Tab: other panes"
        titles = (shorten(f"{self.number} {title}{fresh}", room), shorten(subtitle, room))
        if titles != self._titles:
            self._titles = titles
            self._titling = True
            self.border_title, self.border_subtitle = (Text(text) for text in titles)
            self._titling = False
            width, height = self.outer_size
            left, top = self.content_offset
            self.refresh(Region(-left, -top, width, 1), Region(-left, height - top - 1, width, 1))

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if self._titling:
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
