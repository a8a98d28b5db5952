"""Answers without an end: logs, events, watch. What comes, in what form, and that a reader who goes leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.api.query import NANO
from engine.host.things import LogQuery
from engine.model.errors import HostFailed
from engine.model.frames import Changed, Frame, Snapshot
from engine.model.interface import LogLine
from engine.model.status import Status
from tests.engine.api.conftest import Served, serve, until
from tests.engine.worlds import REACH

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ATTRS = {"tier": "front", "app name": "a,b=&"}
LINES = tuple(
    LogLine(stream=stream, time=AT + timedelta(seconds=second), log=text, attrs=ATTRS if stream == "stderr" else {})
    for second, (stream, text) in enumerate(
        (("stdout", b"one\n"), ("stderr", b"two\n"), ("stdout", b"\xff\x00part"), ("stdout", b"end\n"))
    )
)


class Log:
    """A log that tells how it was read, and whether it is still held."""

    def __init__(self, *, endless: bool = False, broken: bool = False) -> None:
        self.endless, self.broken = endless, broken
        self.asked = LogQuery()
        self.open = 0

    async def read(self, id: str, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        self.asked = query
        self.open += 1
        try:
            for line in LINES if query.tail is None else LINES[len(LINES) - query.tail :]:
                yield line
            if self.broken:
                raise HostFailed("the disk is gone")
            while self.endless:
                await asyncio.sleep(3600)
        finally:
            self.open -= 1


@pytest.fixture
async def log(served: Served, monkeypatch: pytest.MonkeyPatch) -> Log:
    await REACH[Status.RUNNING](served.engine)
    log = Log()
    monkeypatch.setattr(served.engine.host.stdio, "read", log.read)
    return log


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Take the multiplexed stream apart."""
    found = []
    while data:
        assert data[1:4] == b"\0\0\0"
        size = int.from_bytes(data[4:8], "big")
        found.append((data[0], data[8 : 8 + size]))
        data = data[8 + size :]
    return found


async def logs(served: Served, query: str) -> list[tuple[int, bytes]]:
    answer = await served.ask("GET", f"/containers/web/logs?{query}")
    assert answer.status == 200, answer.data
    return frames(answer.data)


async def test_logs_come_in_frames(served: Served, log: Log) -> None:
    assert await logs(served, "stdout=1&stderr=1") == [(1, b"one\n"), (2, b"two\n"), (1, b"\xff\x00part"), (1, b"end\n")]
    assert await logs(served, "stderr=true") == [(2, b"two\n")]
    assert log.asked == LogQuery(driver="json-file")


@pytest.mark.parametrize(
    ("version", "kind"),
    [("", "application/vnd.docker.multiplexed-stream"), ("/v1.41", "application/vnd.docker.raw-stream")],
)
async def test_the_content_type_follows_the_version(served: Served, log: Log, version: str, kind: str) -> None:
    answer = await served.ask("GET", f"{version}/containers/web/logs?stdout=1")
    assert answer.headers["Content-Type"] == kind


@pytest.mark.parametrize(("text", "tail"), [("2", 2), ("0", 0), ("all", None), ("-1", None), ("", None), ("1e3", None)])
async def test_tail_is_a_number_or_all(served: Served, log: Log, text: str, tail: int | None) -> None:
    await logs(served, f"stdout=1&tail={text}")
    assert log.asked.tail == tail


async def test_timestamps_have_nine_digits(served: Served, log: Log) -> None:
    assert (await logs(served, "stdout=1&timestamps=1"))[0] == (1, b"2026-01-01T12:00:00.000000000Z one\n")
    assert (await logs(served, "stdout=1&timestamps=1&details=1"))[0] == (1, b"2026-01-01T12:00:00.000000000Z  one\n")


async def test_details_come_after_the_time_sorted_and_escaped(served: Served, log: Log) -> None:
    lines = await logs(served, "stderr=1&timestamps=1&details=1")
    assert lines == [(2, b"2026-01-01T12:00:01.000000000Z app+name=a%2Cb%3D%26,tier=front two\n")]


async def test_since_and_until_are_asked_of_the_log_in_its_microseconds(served: Served, log: Log) -> None:
    start = int(AT.timestamp())
    await logs(served, f"stdout=1&since={start + 1}.000000001&until={start + 2}.500000999")
    assert log.asked.since == AT + timedelta(seconds=1, microseconds=1)
    assert log.asked.until == AT + timedelta(seconds=2, microseconds=500_000)
    await logs(served, "stdout=1&since=999999999999h&until=-999999999999h")
    assert (log.asked.since, log.asked.until) == (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    await logs(served, "stdout=1&until=0")
    assert log.asked.until is None


async def test_a_container_whose_driver_keeps_nothing_has_no_logs(served: Served) -> None:
    await served.create(HostConfig={"LogConfig": {"Type": "none", "Config": {}}})
    answer = await served.ask("GET", "/containers/web/logs?stdout=1")
    assert (answer.status, "configured logging driver does not support reading" in answer.json["message"]) == (501, True)


async def test_an_error_behind_the_head_is_a_frame_of_its_own(served: Served, log: Log) -> None:
    log.broken = True
    assert (await logs(served, "stdout=1"))[-1] == (3, b"Error grabbing logs: the disk is gone\n")


async def test_follow_ends_for_what_does_not_run(served: Served, log: Log) -> None:
    log.endless = True
    async with served.session.get("/containers/web/logs?stdout=1&follow=1") as response:
        assert (await response.content.readexactly(12))[8:] == b"one\n"
        assert log.asked.follow and log.open == 1
        response.close()
    await until(lambda: log.open == 0)
    log.endless = False
    await served.engine.do("kill", "web")
    await logs(served, "stdout=1&follow=1")
    assert not log.asked.follow


async def events(served: Served, query: str) -> list[dict[str, Any]]:
    """What is told until a moment that is past already."""
    answer = await served.ask("GET", f"/events?{query}")
    assert answer.status == 200, answer.data
    return [msgspec.json.decode(line) for line in answer.data.splitlines()]


async def test_events_live_with_the_head_sent_at_once(served: Served) -> None:
    await served.create(Labels={"tier": "front"})
    async with served.session.get("/events") as response:
        await served.engine.do("start", "web")
        told = [msgspec.json.decode(await response.content.readline()) for _ in range(2)]
    assert [(m["Type"], m["Action"]) for m in told] == [("network", "connect"), ("container", "start")]
    start = told[1]
    assert start["Actor"]["Attributes"] == {"image": "busybox", "name": "web", "tier": "front"}
    assert start["status"] == "start" and start["id"] == start["Actor"]["ID"] and start["from"] == "busybox"
    assert start["scope"] == "local" and start["timeNano"] // NANO == start["time"]


async def test_a_whole_life_in_events(served: Served) -> None:
    await served.create()
    for verb in ("start", "pause", "unpause", "stop", "start", "kill", "start", "remove"):
        await served.engine.do(verb, "web", {"force": True} if verb == "remove" else {})
    now = served.engine.events.clock()
    told = await events(served, f"since=0&until={now // NANO}.{now % NANO:09}")
    assert [m["Action"] for m in told] == [
        *("create", "connect", "start", "pause", "unpause", "kill", "disconnect", "die", "stop"),
        *("connect", "start", "kill", "disconnect", "die"),
        *("connect", "start", "kill", "disconnect", "die", "destroy"),
    ]
    assert [m["Actor"]["Attributes"]["signal"] for m in told if m["Action"] == "kill"] == ["15", "9", "9"]
    assert [m["Actor"]["Attributes"]["exitCode"] for m in told if m["Action"] == "die"] == ["143", "137", "137"]


async def test_event_filters(served: Served) -> None:
    web = await served.create("web", Labels={"tier": "front"})
    await served.create("other")
    await served.engine.do("start", "web")
    await served.engine.do("start", "other")
    served.engine.events.publish("container", "health_status: healthy", web, {"name": "web", "image": "busybox"})
    served.engine.events.publish("image", "load", "sha256:1", {"name": "busybox:latest"})
    until_now = f"&until={(served.engine.events.clock() + NANO) // NANO}"

    async def actions(text: str) -> list[str]:
        return [m["Action"] for m in await events(served, f"since=0{until_now}&filters={text}")]

    assert await actions('{"container":["web"]}') == ["create", "start", "health_status: healthy"]
    assert await actions(f'{{"container":["{web[:12]}"],"event":["start"]}}') == ["start"]
    assert await actions('{"type":["network"]}') == ["connect", "connect"]
    assert await actions('{"type":["image"]}') == ["load"]
    assert await actions('{"event":["health_status"]}') == ["health_status: healthy"]
    assert await actions('{"event":["health_status: healthy"]}') == ["health_status: healthy"]
    assert await actions('{"event":["health"]}') == []
    assert await actions('{"label":["tier=front"],"event":["create"]}') == ["create"]
    assert await actions('{"network":["bridge"]}') == ["connect", "connect"]
    assert "load" in await actions('{"image":["busybox"]}')
    assert await actions('{"image":["busybox:latest"]}') == ["load"]
    assert await actions('{"scope":["swarm"]}') == []


@pytest.mark.parametrize("query", ['filters={"colour":["red"]}', "filters=[", "since=soon", "until=x"])
async def test_event_queries_that_cannot_be_read(served: Served, query: str) -> None:
    assert (await served.ask("GET", f"/events?{query}")).status == 400


async def test_an_events_reader_that_vanishes_is_forgotten(served: Served) -> None:
    async with served.session.get("/events") as response:
        assert served.engine.events.readers == 1
        response.close()
    await until(lambda: served.engine.events.readers == 0)


async def test_watch_is_a_snapshot_and_then_what_changes(served: Served) -> None:
    async with served.session.get("/longshore/watch") as response:
        first = msgspec.json.decode(await response.content.readline(), type=Frame)
        assert isinstance(first, Snapshot) and not first.world.containers
        await served.create()
        told = set()
        while "Changed" not in told:
            told.add(type(msgspec.json.decode(await response.content.readline(), type=Frame)).__name__)
        assert served.engine.hub.watched
        response.close()
    await until(lambda: not served.engine.hub.watched)


async def test_a_watcher_that_does_not_read_costs_a_bounded_backlog(served: Served) -> None:
    ids = [await served.create(f"c{number}") for number in range(3)]
    reader, writer = await asyncio.open_unix_connection(served.path)
    writer.write(b"GET /longshore/watch HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" in await reader.readline()
    rows = [served.engine.hub.world.containers[id] for id in ids]
    for _ in range(300):
        for row in rows:
            served.engine.hub.publish(Changed(row=row))
        await asyncio.sleep(0)
    waiting = [len(one._waiting) for one in served.engine.hub._readers]
    assert waiting and max(waiting) <= len(ids) * 2 + 5
    writer.close()
    await until(lambda: not served.engine.hub.watched)


async def test_the_server_ends_while_readers_hang_on(tmp_path: Any) -> None:
    async with serve(tmp_path) as served:
        responses = [await served.session.get(url) for url in ("/longshore/watch", "/events")]
    for response in responses:
        response.close()
    assert served.engine.events.readers == 0 and not served.engine.hub.watched
