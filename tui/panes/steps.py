"""Tab Steps: what the engine did last with the container, or is doing."""

from __future__ import annotations

from engine.model.interface import EngineInterface
from engine.model.run import Plan
from tui.panes.tab import Tab
from tui.view import steps
from tui.view.text import line, wrap


class StepsTab(Tab):
    """The last or the running operation, step by step."""

    label = "Steps"

    def __init__(self, engine: EngineInterface) -> None:
        super().__init__(engine)
        self.plan: Plan | None = None
        self.error = ""

    def clear(self) -> None:
        self.plan, self.error = None, ""

    async def fetch(self, id: str) -> None:
        self.plan, self.error = await self.engine.steps(id), ""

    def fail(self, sentence: str) -> None:
        self.error = sentence

    def show(self) -> None:
        failed = [line(f"✘ {text}", "bad") for text in wrap(self.error, self.inner_width - 2)] if self.error else []
        self.paint([*failed, *(steps.lines(self.plan, self.inner_width) if self.plan or not failed else ())])
