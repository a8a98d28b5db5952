"""The hub of events: the past, the stream, and readers that cannot keep up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from engine.events import BACKLOG, HISTORY, NANO, Events
from engine.model.events import Message


class Clock:
    """Each look is a second later."""

    def __init__(self) -> None:
        self.seconds = 0

    def __call__(self) -> int:
        self.seconds += 1
        return self.seconds * NANO


def publish(events: Events, count: int) -> None:
    for number in range(count):
        events.publish("container", "start", str(number))


async def all_of(messages: AsyncIterator[Message]) -> list[str]:
    return [message.id async for message in messages]


async def test_the_past_comes_only_when_it_is_asked_for() -> None:
    events = Events()
    publish(events, 3)
    with events.subscribe() as messages:
        publish(events, 1)
        assert (await anext(messages)).id == "0"
    with events.subscribe(since=0) as messages:
        assert [(await anext(messages)).id for _ in range(4)] == ["0", "1", "2", "0"]


async def test_the_last_256_are_kept() -> None:
    events = Events()
    publish(events, HISTORY + 10)
    with events.subscribe(until=events.clock()) as messages:
        ids = await all_of(messages)
    assert len(ids) == HISTORY and ids[0] == "10"


async def test_since_and_until_are_both_meant_inclusively() -> None:
    events = Events(Clock())
    publish(events, 5)
    with events.subscribe(since=2 * NANO, until=4 * NANO) as messages:
        assert await all_of(messages) == ["1", "2", "3"]


async def test_a_stream_ends_at_until_without_an_event() -> None:
    events = Events()
    with events.subscribe(until=events.clock() + NANO // 50) as messages:
        assert await asyncio.wait_for(all_of(messages), 5) == []


async def test_a_reader_far_behind_is_cut_off_and_the_others_are_not() -> None:
    events = Events()
    with events.subscribe() as slow, events.subscribe() as quick:
        for number in range(BACKLOG + 5):
            events.publish("image", "load", str(number))
            assert (await anext(quick)).id == str(number)
        assert len(await all_of(slow)) == BACKLOG
        assert events.readers == 1
    assert events.readers == 0


def test_a_message_on_the_wire() -> None:
    events = Events(Clock())
    with events.subscribe(since=0):
        events.publish("container", "die", "c1", {"image": "busybox", "name": "web", "exitCode": "3"})
    shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(events._history[0]))
    assert shown == {
        "status": "die",
        "id": "c1",
        "from": "busybox",
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": "c1", "Attributes": {"image": "busybox", "name": "web", "exitCode": "3"}},
        "scope": "local",
        "time": 1,
        "timeNano": NANO,
    }


def test_a_network_has_no_mirrors() -> None:
    events = Events(Clock())
    events.publish("network", "connect", "n1", {"name": "bridge"})
    assert not {"status", "id", "from"} & msgspec.to_builtins(events._history[0]).keys()
