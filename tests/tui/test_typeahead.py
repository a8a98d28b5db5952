"""Keys typed in one go reach the screen they were meant for, however late it opens."""

from __future__ import annotations

import pytest
from textual.events import Key
from textual.keys import _character_to_key

from engine.model.frames import Gone
from tests.tui.piloting import dashboard, main, on_screen, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.screens.help import Help
from tui.screens.lesson import LessonScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def burst(app: LongshoreApp, *keys: str) -> None:
    """All at once, as a slow line delivers them."""
    for key in keys:
        name = _character_to_key(key) if len(key) == 1 else key
        app.post_message(Key(name, key if len(key) == 1 else None))


async def test_a_form_gets_what_was_typed_before_it_opened(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        burst(app, "n", *"shops", "tab", *"sleep 9", "enter")
        await until(pilot, lambda: any(kind == "do" for kind, *_ in engine.calls))
        done = [(verb, params) for kind, verb, _, params in engine.calls if kind == "do"]
        assert done == [("create", {"name": "shops", "body": {"Image": "busybox:latest", "Cmd": ["sleep", "9"]}})]


async def test_a_dialog_gets_the_answer_typed_before_it_was_seen(engine: ScriptedEngine) -> None:
    """Its default is the harmless one, also for who types ahead."""
    async with dashboard(engine) as (app, pilot):
        burst(app, "d", "enter", "?")
        await until(pilot, lambda: isinstance(app.screen, Help))
        assert not [call for call in engine.calls if call[0] == "do"]


async def test_a_lesson_gets_the_space_typed_before_it_began(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        burst(app, "t", "enter", "space")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen))
        await until(pilot, lambda: any(kind == "advance" for kind, *_ in engine.calls))


async def test_nothing_is_said_of_a_container_that_is_gone(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        for id in list(app.scene.world.containers):
            engine.publish(Gone(id=id))
        await until(pilot, lambda: on_screen(app, "There is no container yet."))
        assert main(app).query_one("DetailsPane").selected == ""  # type: ignore[attr-defined]
