"""One line to type an answer into, below what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static


class Prompt(Horizontal):
    """Asks. `changed` hears every letter, `done` the answer, or None for Esc; what `done` refuses with False stays open."""

    DEFAULT_CSS: ClassVar[str] = """
    Prompt { height: 1; }
    Prompt Static { width: auto; color: $primary; text-style: bold; }
    Prompt Input { width: 1fr; }
    """

    def __init__(
        self,
        label: str,
        value: str,
        hint: str,
        done: Callable[[str | None], bool],
        changed: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__()
        self._label, self._value, self._hint = label, value, hint
        self._done, self._changed = done, changed

    def compose(self) -> ComposeResult:
        yield Static(self._label, markup=False)
        field = Input(self._value, placeholder=self._hint, compact=True)
        field.cursor_blink = False  # what does not change costs nothing
        yield field

    @property
    def input(self) -> Input:
        return self.query_one(Input)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._changed(event.value)

    @on(Input.Submitted)
    def _answered(self, event: Input.Submitted) -> None:
        event.stop()
        self._end(event.value)

    def key_escape(self, event: events.Key) -> None:
        event.stop()
        self._end(None)

    def _end(self, answer: str | None) -> None:
        if self._done(answer):
            self.remove()
