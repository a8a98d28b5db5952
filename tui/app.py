"""The dashboard: takes an engine's interface, keeps one scene, and gives it to whichever screen is shown."""

from __future__ import annotations

import base64
import os
import time
import traceback
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import platformdirs
from msgspec.structs import replace
from rich.console import RenderableType
from textual._compositor import ChopsUpdate
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Event, Key
from textual.reactive import var
from textual.screen import Screen
from textual.worker import WorkerFailed

from engine.model.errors import AlreadySo, EngineError
from engine.model.interface import NO_PARAMS, Done, Params
from engine.model.run import Move, Plan, Way
from engine.model.status import Verb
from engine.model.world import ContainerRow
from tui import themes
from tui.actions import ACTIONS, IMAGES, NETWORKS
from tui.feed import Delivery, Feed, now
from tui.remote import Remote
from tui.screens.images import ImagesScreen
from tui.screens.lesson import LessonScreen
from tui.screens.main import MainScreen
from tui.transfers import Transfers
from tui.typeahead import TypeAhead
from tui.undo import Deed
from tui.view.docker import command
from tui.view.figures import duration, level, settle, smooth
from tui.view.scene import Notice, Scene
from tui.view.transfers import Transfer
from tui.widgets.lines import STYLES
from tui.widgets.terminal import CountingDriver, TightUpdate

QUIET = 64
"""Bytes per second below which the line counts as quiet: showing the figure itself costs about so much."""


class LongshoreApp(App[None]):
    """The dashboard on an engine.

    `docker`: the command that reaches the same engine, `docker -H unix:///run/longshore/engine.sock`. It is shown and copied.
    `read_only`: nothing can be changed from here, and the header says so.
    """

    TITLE = "longshore"
    CSS_PATH = "longshore.tcss"
    COMPONENT_CLASSES: ClassVar[set[str]] = STYLES
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "quit", show=False, priority=True)]

    scene: var[Scene] = var(lambda: Scene(now=now()))
    notice: var[Notice] = var(Notice())

    def __init__(self, engine: Remote, *, read_only: bool = False, docker: str = "docker") -> None:
        super().__init__()
        self.engine, self.read_only, self.docker = engine, read_only, docker
        self.feed = Feed(engine, self._delivered)
        self.typed = TypeAhead(self, super().on_event)
        self.transfers = Transfers(self)
        self.done: tuple[Deed, ...] = ()
        """What was done last from here, for undo."""
        self._held: Scene | None = None
        self._counted = (0, time.monotonic())
        self._rate = self._cpu = 0.0
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.fitting()
        self.animation_level = "none"

    def get_default_screen(self) -> MainScreen:
        return MainScreen(self)

    def on_mount(self) -> None:
        self.run_worker(self.feed.run(), group="feed")
        self.run_worker(self.typed.run(), group="typed")
        self._minute()

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key) and not event.is_forwarded:
            self.typed.put(event)
        else:
            await super().on_event(event)

    # The scene

    def _minute(self) -> None:
        """The one thing that goes by the clock: the clock, and the ages beside it."""
        self._assign(replace(self._latest(), now=now(), written=self._written()))
        self.set_timer(60 - now().second, self._minute)

    def _latest(self) -> Scene:
        return self._held or self.scene

    def _delivered(self, delivery: Delivery) -> None:
        if not self.is_running:
            return  # the screens are being taken down
        old, host = self._latest(), delivery.world.host
        first = old.world.host != host and not self._cpu
        changed = old.world.host is not host
        self._cpu = host.cpu if first else smooth(self._cpu, host.cpu) if changed else self._cpu
        self._assign(
            replace(
                old,
                world=delivery.world,
                meters=delivery.meters,
                link=delivery.link,
                now=now(),
                host_cpu=round(settle(old.host_cpu, self._cpu, 2)),
                host_bars=(*old.host_bars[1:], level(self._cpu)) if changed else old.host_bars,
                host_memory=settle(old.host_memory, host.memory_used, 1 << 27),
                written=self._written(),
            )
        )
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen | LessonScreen) and delivery.touched and self._held is None:
                screen.touched(delivery.touched)

    def _assign(self, scene: Scene) -> None:
        if self._held is None:
            self.scene = scene
        else:
            self._held = scene

    def hold(self) -> None:
        """Hold the screen still, or show what happened meanwhile."""
        if self._held is None:
            self.scene = replace(self.scene, held=True)
            self._held = self.scene
        else:
            held, self._held = self._held, None
            self.scene = replace(held, held=False)

    def _written(self) -> float:
        """Bytes per second to the terminal, smoothed over some seconds."""
        total, (before, when) = getattr(self._driver, "written", 0), self._counted
        seconds = time.monotonic() - when
        if seconds >= 1:
            self._counted = (total, time.monotonic())
            self._rate += ((total - before) / seconds - self._rate) * min(1.0, seconds / 5)
        shown = self._latest().written
        return 0.0 if self._rate < QUIET else settle(shown, self._rate, max(QUIET, shown / 4))

    def show_transfers(self, transfers: tuple[Transfer, ...]) -> None:
        self._assign(replace(self._latest(), transfers=transfers))

    # Deeds

    async def perform(
        self, verb: str, row: ContainerRow | None, params: Params = NO_PARAMS, back: Params = NO_PARAMS, network: str = ""
    ) -> Done | None:
        """Run a verb to its end and say how it went. None when it failed.

        `back`: what undo needs to know. `network`: the name of one, where the verb is about that.
        """
        name = row.name if row else network or params.get("name", "")
        docker = command(verb, name, params, self.docker)
        self.notice = Notice(command=docker, text="…", tone="dim")
        began = time.monotonic()
        try:
            done = await self.engine.do(verb, row.id if row else network, params)
        except AlreadySo as error:
            self.notice = Notice(command=docker, text=f"- {error}", tone="warn")
            return None
        except (EngineError, OSError) as error:
            self.notice = Notice(command=docker, text=f"✘ {error}", tone="bad")
            return None
        self.done = (Deed(Verb(verb), row, params, back),) if row else ()
        took = duration((time.monotonic() - began) * 1000)
        warned = "".join(f"; ! {warning}" for warning in done.warnings)
        self.notice = Notice(command=docker, text=f"✔ {took}{warned}", tone="warn" if warned else "good")
        return done

    def finish(self, plan: Plan, move: Move) -> None:
        """Bring a left lesson to its end, forward or back."""

        async def end() -> None:
            try:
                if move is Move.ABORT and plan.way is Way.FORWARD:
                    plan_now = await self.engine.advance(plan.container, Move.ABORT)
                    if not plan_now.running:
                        return
                await self.engine.advance(plan.container, Move.RUN)
            except (EngineError, OSError) as error:
                self.say(f"✘ {error}", "bad")

        self.run_worker(end(), group="finish")

    def say(self, text: str, tone: str = "") -> None:
        self.notice = Notice(text=text, tone=tone)

    def copy_to_clipboard(self, text: str) -> None:
        """By OSC 52; inside tmux also wrapped, for an outer terminal that tmux passes through to."""
        super().copy_to_clipboard(text)
        if self._driver and "TMUX" in os.environ:
            coded = base64.b64encode(text.encode()).decode()
            self._driver.write(f"\x1bPtmux;\x1b\x1b]52;c;{coded}\x07\x1b\\")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        main = (*ACTIONS, *(action for action in NETWORKS if action.changes))
        table = main if isinstance(screen, MainScreen) else IMAGES if isinstance(screen, ImagesScreen) else ()
        for action in table:
            if action.name != "palette":
                key = f"  ({action.key})" if action.key else ""
                yield SystemCommand(f"{action.label}{key}", action.help, partial(self.run_action, action.name, screen))
        yield SystemCommand("theme", "Choose colours: dark, light, or the terminal's own sixteen", self.action_change_theme)

    # The terminal

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.DEFAULTS

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        return CountingDriver if driver is LinuxDriver else driver

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """Nothing shines through an opaque screen; Textual takes the one below for visible, and repaints where that changes."""
        opaque = bool(self._screen_stack) and self.screen.styles.background.a == 1
        return [] if opaque else super()._background_screens

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = TightUpdate(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)

    def _handle_exception(self, error: Exception) -> None:
        """An error of our own: the terminal is given back with a sentence, and the report goes into a file."""
        super()._handle_exception(error)
        self._exit_renderables.clear()
        self._exit_renderables.append(_report(error))


def _report(error: BaseException) -> str:
    if isinstance(error, WorkerFailed):
        error = error.error
    sentence = f"longshore has ended on an error of its own ({type(error).__name__}). Engine and containers go on."
    path = Path(platformdirs.user_log_dir("longshore")) / f"crash-{datetime.now():%Y%m%d-%H%M%S}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)))
    except OSError as refused:
        return f"{sentence} The report could not be written: {refused}."
    return f"{sentence} The report is in {path}"
