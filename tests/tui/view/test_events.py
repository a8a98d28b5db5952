"""How an event names what it tells of."""

from __future__ import annotations

from engine.model.events import Actor, Message
from tui.view import events
from tui.view.text import plain

ID = "0123456789abcdef" * 4


def test_an_event_names_the_container_it_tells_of_and_cuts_the_id_of_one_that_is_gone() -> None:
    actor = Actor(id="b" * 64, attributes={"name": "bridge", "container": ID, "type": "bridge"})
    connect = Message(type="network", action="connect", actor=actor, scope="local", time=1, time_nano=10**9)
    assert "container=web type=bridge" in plain(events.body(connect, 120, {ID: "web"}))
    assert f"container={ID[:12]} type=bridge" in plain(events.body(connect, 120))


def test_an_image_without_a_name_is_told_by_its_id() -> None:
    id = f"sha256:{ID}"
    gone = Message(
        type="image", action="delete", actor=Actor(id=id, attributes={"name": id}), scope="local", time=1, time_nano=10**9
    )
    assert f"{ID[:12]}  " in plain(events.body(gone, 120)) and "sha256" not in plain(events.body(gone, 120))
