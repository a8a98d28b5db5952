"""The engine's interface: one test for the engine in process and for the client over its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.core import Engine
from engine.host import LogQuery
from engine.model.container import Container, Probe
from engine.model.errors import AlreadySo, Conflict, EngineError, Invalid, NotBuilt, NotFound
from engine.model.frames import Changed, Frame, Gone, Snapshot, StepMoved, fold
from engine.model.interface import EngineInterface, LogLine, Top
from engine.model.run import Mark, Move, Way
from engine.model.status import Status
from engine.model.world import World
from tests.engine.api.conftest import Served, serve
from tests.engine.worlds import BODY


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


@pytest.fixture(params=["in process", "over the socket"])
async def engine(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[EngineInterface]:
    if request.param == "in process":
        yield served.engine
    else:
        async with Client(served.path) as client:
            yield client


async def make(engine: EngineInterface, name: str = "web", **body: Any) -> str:
    return (await engine.do("create", "", {"name": name, "body": BODY | body})).id


def test_both_are_the_interface() -> None:
    in_process: type[EngineInterface] = Engine
    over_the_socket: type[EngineInterface] = Client
    assert in_process is not over_the_socket


async def test_a_life(engine: EngineInterface) -> None:
    done = await engine.do("create", "", {"name": "web", "body": BODY | {"HostConfig": {"Memory": 1 << 30}}})
    assert len(done.id) == 64 and done.warnings
    for verb, status in (("start", "running"), ("pause", "paused"), ("unpause", "running"), ("stop", "exited")):
        assert (await engine.do(verb, "web")).id == done.id
        assert (await engine.inspect(done.id[:12])).status == status
    assert [row.id for row in await engine.containers()] == [done.id]
    assert (await engine.do("remove", "web")).id == done.id
    assert await engine.containers() == []


async def test_inspect_is_the_whole_record(engine: EngineInterface, served: Served) -> None:
    id = await make(engine, Labels={"tier": "front"}, Healthcheck={"Test": ["CMD", "true"]})
    await engine.do("start", "web")
    assert await engine.inspect("web") == served.engine.resolve(id)


async def test_images(engine: EngineInterface, served: Served) -> None:
    assert await engine.images() == await served.engine.images()


@pytest.mark.parametrize(
    ("verb", "target", "params", "kind"),
    [
        ("start", "nobody", {}, NotFound),
        ("start", "", {}, Invalid),
        ("dance", "web", {}, Invalid),
        ("pause", "web", {}, Conflict),
        ("stop", "web", {}, AlreadySo),
        ("unpause", "web", {}, EngineError),
        ("create", "", {"name": "web", "body": BODY}, Conflict),
        ("create", "", {"name": "x", "body": BODY}, Invalid),
        ("create", "", {"body": {"Image": 7}}, Invalid),
        ("create", "", {"body": BODY | {"HostConfig": {"Privileged": True}}}, NotBuilt),
        ("create", "", {"body": {"Image": "none-such"}}, NotFound),
        ("create", "", {"name": 7, "body": BODY}, Invalid),
        ("stop", "web", {"t": "soon"}, Invalid),
        ("stop", "web", {"signal": 15}, Invalid),
        ("kill", "web", {"sig": "HUP"}, Invalid),
        ("remove", "web", {"force": "no"}, Invalid),
        ("start", "web", {"force": True}, Invalid),
    ],
)
async def test_errors_have_one_kind_and_one_text(
    engine: EngineInterface, served: Served, verb: str, target: str, params: dict[str, Any], kind: type[EngineError]
) -> None:
    await make(engine)
    with pytest.raises(EngineError) as told:
        await engine.do(verb, target, params)
    with pytest.raises(EngineError) as straight:
        await served.engine.do(verb, target, params)
    assert type(told.value) is kind
    assert str(told.value).partition('"')[0] == str(straight.value).partition('"')[0]
    assert told.value.status == straight.value.status


async def test_a_plan_changes_nothing(engine: EngineInterface, served: Served) -> None:
    await make(engine)
    before = served.engine.resolve("web"), served.world.owned()
    plan = await engine.plan("start", "web")
    assert plan.verb == "start" and plan.name == "web" and not plan.running
    assert len(plan.steps) > 3 and all(step.title and step.lesson and step.mark is Mark.WAITING for step in plan.steps)
    assert (served.engine.resolve("web"), served.world.owned()) == before


async def test_a_lesson(engine: EngineInterface) -> None:
    await make(engine)
    plan = await engine.begin("start", "web")
    assert plan.running and plan.lesson and plan.at == 0
    plan = await engine.advance("web", Move.NEXT)
    assert plan.at == 1 and plan.steps[0].mark is Mark.DONE and plan.steps[0].now
    plan = await engine.advance("web", Move.BACK)
    assert plan.at == 0 and plan.steps[0].mark is Mark.UNDONE and not plan.steps[0].now
    with pytest.raises(Conflict):
        await engine.advance("web", Move.BACK)
    with pytest.raises(Conflict):
        await engine.do("start", "web")
    plan = await engine.advance("web", Move.RUN)
    assert plan.way is Way.DONE and not plan.running
    assert (await engine.inspect("web")).status is Status.RUNNING
    assert (await engine.steps("web")).way is Way.DONE
    with pytest.raises(Conflict):
        await engine.advance("web", Move.NEXT)


async def test_a_lesson_given_up(engine: EngineInterface, served: Served) -> None:
    await make(engine)
    before = served.world.owned()
    await engine.begin("start", "web")
    await engine.advance("web", Move.NEXT)
    await engine.advance("web", Move.NEXT)
    await engine.advance("web", Move.ABORT)
    plan = await engine.advance("web", Move.RUN)
    assert plan.way is Way.UNDONE
    assert (await engine.inspect("web")).status is Status.CREATED
    assert served.world.owned() == before


async def test_watch_folds_into_the_engines_own_world(engine: EngineInterface, served: Served) -> None:
    await make(engine, "old")
    async with aclosing(engine.watch()) as frames:  # type: ignore[type-var]
        first = await anext(frames)
        assert isinstance(first, Snapshot) and [row.name for row in first.world.containers.values()] == ["old"]
        world, seen = first.world, []
        await make(engine)
        await engine.do("start", "web")
        await engine.do("remove", "old")
        while world != served.engine.hub.world:
            frame = await asyncio.wait_for(anext(frames), 5)
            world = fold(world, frame)
            seen.append(frame)
    assert [row.name for row in world.containers.values()] == ["web"]
    assert {Changed, Gone, StepMoved} <= {type(frame) for frame in seen}
    numbers = [first.seq, *(frame.seq for frame in seen)]
    assert numbers == sorted(set(numbers))


async def test_a_watcher_that_comes_later_gets_a_fresh_snapshot(engine: EngineInterface, served: Served) -> None:
    async with aclosing(engine.watch()) as frames:  # type: ignore[type-var]
        await anext(frames)
    await make(engine)
    async with aclosing(engine.watch()) as frames:  # type: ignore[type-var]
        again = await anext(frames)
    assert isinstance(again, Snapshot) and again.world == served.engine.hub.world


async def test_wait(engine: EngineInterface) -> None:
    await make(engine)
    waiting = asyncio.create_task(engine.wait("web", "next-exit"))
    gone = asyncio.create_task(engine.wait("web", "removed"))
    await engine.do("start", "web")
    await engine.do("kill", "web")
    assert await waiting == 137
    assert await engine.wait("web") == 137
    await engine.do("remove", "web")
    assert await gone == 137
    with pytest.raises(Invalid):
        await engine.wait("web", "bored")
    with pytest.raises(NotFound):
        await engine.wait("web")


async def test_logs(engine: EngineInterface) -> None:
    await make(engine)
    await engine.do("start", "web")
    lines = [line async for line in engine.logs("web", tail=5)]
    assert [(line.stream, line.log) for line in lines] == [("stdout", b"hello\n")]
    assert lines[0].time.tzinfo
    with pytest.raises(NotFound):
        await anext(engine.logs("nobody"))


async def test_logs_between_two_times(engine: EngineInterface, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[LogQuery] = []
    real = served.engine.host.stdio.read

    def read(id: str, query: LogQuery) -> AsyncGenerator[LogLine, None]:
        asked.append(query)
        return real(id, query)

    monkeypatch.setattr(served.engine.host.stdio, "read", read)
    await make(engine)
    since, until = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert [line async for line in engine.logs("web", since=since, until=until)]
    (query,) = asked
    assert (query.since, query.until) == (since, until)


async def test_the_processes_of_a_container(engine: EngineInterface, served: Served) -> None:
    await make(engine)
    with pytest.raises(Conflict):
        await engine.top("web")
    await engine.do("start", "web")
    pid = (await engine.inspect("web")).state.pid
    assert await engine.top("web", "aux") == Top(titles=("PID", "CMD"), processes=((str(pid), "sleep 1000"),))
    with pytest.raises(NotFound):
        await engine.signal("web", 1, "HUP")
    with pytest.raises(Invalid):
        await engine.signal("web", pid, "LOUD")
    await engine.signal("web", pid, "KILL")
    assert await engine.wait("web") == 137


async def test_a_probe_where_nobody_looks(engine: EngineInterface) -> None:
    await make(engine)
    with pytest.raises(Conflict, match="cannot probe web"):
        await engine.probe("web")


async def test_a_probe(engine: EngineInterface, served: Served) -> None:
    result = Probe(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 2, tzinfo=UTC), exit_code=0, output="fine")

    async def probe(c: Container) -> Probe:
        return result

    served.engine.on_probe = probe
    await make(engine)
    assert await engine.probe("web") == result


async def test_two_watchers_see_the_same(engine: EngineInterface) -> None:
    async def until_gone() -> World:
        world = World()
        async with aclosing(engine.watch()) as frames:  # type: ignore[type-var]
            async for frame in frames:
                world = fold(world, frame)
                if _began(frame):
                    began.set()
                if isinstance(frame, Gone):
                    return world
        raise AssertionError("the stream has ended")

    def _began(frame: Frame) -> bool:
        return isinstance(frame, Snapshot)

    began = asyncio.Event()
    first, second = asyncio.create_task(until_gone()), asyncio.create_task(until_gone())
    await began.wait()
    await make(engine)
    await engine.do("remove", "web")
    assert await asyncio.wait_for(first, 5) == await asyncio.wait_for(second, 5)
