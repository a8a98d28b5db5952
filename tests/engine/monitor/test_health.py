"""The health monitor on a host in memory: what it writes down, what it tells, and what it survives."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from engine.host.simulated_world import SimulatedWorld
from engine.model.container import Container, Health
from engine.model.errors import CannotRun, Conflict, HostFailed
from engine.model.status import Status
from engine.monitor import health as monitor
from engine.monitor.health import Health as Monitor
from engine.sessions.execs import Execs, Timeout
from tests.engine.faults import Faults
from tests.engine.worlds import BODY, engine_on

SECOND = 10**9
CHECKED = BODY | {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 10 * SECOND, "Retries": 2}}


LATE = Timeout(30, b"so far")


class Probes(Execs):
    """Execs that answer from a list, the last for ever. A number is an exit code, an error is raised."""

    def __init__(self) -> None:
        self.answers: list[int | Exception] = [0]
        self.begun: list[tuple[str, ...]] = []
        self.cancelled = 0
        self.go = asyncio.Event()
        """Cleared: probes hang."""
        self.go.set()

    async def run(self, c: Container, command: tuple[str, ...], *, timeout: float, limit: int) -> tuple[int, bytes]:
        self.begun.append(command)
        try:
            await self.go.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer, b"said\n"


class Failing(Faults):
    """A host whose calls of some names fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()
        self.refused = 0

    async def call(self, name: str, call: Any, *args: Any, **kwargs: Any) -> Any:
        if name in self.failing:
            self.refused += 1
            await asyncio.sleep(0)
            raise HostFailed(f"{name} fails")
        return await super().call(name, call, *args, **kwargs)


class Place:
    """An engine, its health monitor, and `web`, a container with a check."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world, self.faults, self.probes = world, Failing(), Probes()

    async def open(self) -> None:
        self.engine = await engine_on(self.world, self.faults)
        self.health = Monitor(self.engine, self.probes)
        self.health.open()

    async def close(self) -> None:
        await self.health.close()
        await self.engine.close()

    @property
    def web(self) -> Container:
        return self.engine.resolve("web")

    @property
    def seen(self) -> Health:
        assert self.web.state.health
        return self.web.state.health

    @property
    def frozen(self) -> bool:
        return self.world.tasks[self.web.id].frozen

    def freeze(self, frozen: bool = True) -> None:
        """Behind the engine's back."""
        self.world.tasks[self.web.id].frozen = frozen

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0)

    async def becomes(self, status: str) -> None:
        await self.until(lambda: self.seen.status == status)

    async def hang(self) -> None:
        """The next probe begins, and does not end."""
        self.probes.go.clear()
        before = len(self.probes.begun)
        await self.until(lambda: len(self.probes.begun) > before)

    def told(self) -> list[str]:
        with self.engine.events.subscribe(since=0, until=self.engine.events.clock()):
            return [m.action for m in self.engine.events._history if m.action.startswith("health_status")]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place(SimulatedWorld())
    await place.open()
    await place.engine.do("create", "", {"name": "web", "body": CHECKED})
    yield place
    await place.close()


async def test_it_becomes_healthy_then_unhealthy_then_healthy(place: Place) -> None:
    place.probes.answers = [0, 1, 1, 0]
    await place.engine.do("start", "web")
    for status in ("starting", "healthy", "unhealthy", "healthy"):
        await place.becomes(status)
    assert place.seen.log[-1].output == "said\n"
    assert place.told() == ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]


async def test_the_first_probe_is_an_interval_after_the_start_and_the_next_one_after_the_last(place: Place) -> None:
    await place.engine.do("start", "web")
    await place.hang()
    started = place.web.state.started_at
    place.world.time += timedelta(seconds=3)  # it takes that long
    place.probes.go.set()
    await place.until(lambda: len(place.seen.log) > 1)
    first, second = place.seen.log[:2]
    assert (first.start - started, first.end - first.start) == (timedelta(seconds=10), timedelta(seconds=3))
    assert second.start - first.end == timedelta(seconds=10)


async def test_the_row_tells_when_the_next_probe_begins_while_one_is_due(place: Place) -> None:
    class Slow:
        """A clock that lets sleepers wake when told."""

        woken = asyncio.Event()
        now = place.engine.host.clock.now

        async def sleep(self, seconds: float) -> None:
            await self.woken.wait()

    def due() -> Any:
        return place.engine.hub.world.containers[place.web.id].probe_due

    slow = Slow()
    place.engine.host = dataclasses.replace(place.engine.host, clock=slow)
    place.probes.go.clear()
    await place.engine.do("start", "web")
    await place.until(lambda: due() == place.web.state.started_at + timedelta(seconds=10))
    slow.woken.set()
    await place.until(lambda: place.probes.begun)
    assert due() is None  # it runs
    slow.woken.clear()
    place.probes.go.set()
    await place.until(lambda: due())
    await place.engine.do("pause", "web")
    assert due() is None


async def test_what_is_in_the_way_of_a_probe_counts_as_a_failure(place: Place) -> None:
    place.probes.answers = [LATE, CannotRun("no such program", 127)]
    await place.engine.do("start", "web")
    await place.becomes("unhealthy")
    late, missing = place.seen.log[:2]
    assert (late.exit_code, late.output) == (-1, "Health check exceeded timeout (30s): so far")
    assert (missing.exit_code, missing.output) == (-1, "no such program")


async def test_a_pause_makes_unhealthy_and_a_probe_an_interval_after_the_thaw_healthy(place: Place) -> None:
    await place.engine.do("start", "web")
    await place.becomes("healthy")
    await place.engine.do("pause", "web")
    assert (place.web.status, place.seen.status) == (Status.PAUSED, "unhealthy")
    place.world.time += timedelta(hours=1)
    place.probes.go.clear()
    begun = len(place.probes.begun)
    thawed = place.world.time
    await place.engine.do("unpause", "web")
    await place.until(lambda: len(place.probes.begun) > begun)
    assert place.world.time - thawed == timedelta(seconds=10) and place.seen.status == "unhealthy"
    place.probes.go.set()
    await place.becomes("healthy")
    assert place.told()[-1] == "health_status: healthy"


@pytest.mark.parametrize("verb", ["pause", "stop", "kill", "remove"])
async def test_a_result_is_dropped_and_its_probe_ended_when_nobody_looks_any_more(place: Place, verb: str) -> None:
    await place.engine.do("start", "web")
    await place.hang()
    before = place.seen.log
    await place.engine.do(verb, "web", {"force": True} if verb == "remove" else {})
    await place.until(lambda: place.probes.cancelled)
    place.probes.go.set()
    await asyncio.sleep(0)
    assert verb == "remove" or (place.seen.log, place.seen.status) == (before, "unhealthy")
    assert not place.told()


async def test_a_start_begins_anew_and_keeps_the_log(place: Place) -> None:
    await place.engine.do("start", "web")
    await place.becomes("healthy")
    await place.engine.do("kill", "web")
    await place.engine.close()
    old = place.seen.log
    place.probes.go.clear()
    await place.engine.do("start", "web")
    assert (place.seen.status, place.seen.failing_streak, place.seen.log) == ("starting", 0, old)
    await place.until(lambda: len(place.probes.begun) > len(old))
    assert place.world.time - place.web.state.started_at == timedelta(seconds=10)


async def test_the_next_engine_goes_on_where_the_last_one_stopped(place: Place) -> None:
    await place.engine.do("start", "web")
    await place.becomes("healthy")
    await place.health.close()
    await place.engine.close()
    last = place.seen
    place.world.time += timedelta(seconds=4)
    following = Place(place.world)
    following.probes.go.clear()
    await following.open()
    await following.until(lambda: following.probes.begun)
    assert following.seen == last
    assert place.world.time - last.log[-1].end == timedelta(seconds=10)
    await following.close()


async def test_it_goes_on_when_a_result_could_not_be_saved(place: Place) -> None:
    place.probes.answers = [1]
    await place.engine.do("start", "web")
    await place.becomes("unhealthy")
    place.faults.failing.add("records.save")
    await place.until(lambda: place.faults.refused > 1)
    place.faults.failing.clear()
    place.probes.answers = [0]
    await place.becomes("healthy")


async def test_a_defect_is_told_and_ends_no_monitor(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.probes.answers = [ZeroDivisionError("of the test"), 0]
    await place.engine.do("start", "web")
    with pytest.raises(HostFailed, match="ZeroDivisionError"):
        await place.engine.probe("web")
    assert caplog.messages == ["cannot look after the health of web"]
    await place.becomes("healthy")


# Frozen from outside


async def test_it_waits_while_somebody_else_has_frozen_it(place: Place) -> None:
    await place.engine.do("start", "web")
    await place.hang()
    place.freeze()
    place.probes.answers = [LATE, 0]
    place.probes.go.set()
    hour = place.world.time + timedelta(hours=1)
    await place.until(lambda: place.world.time > hour)
    assert len(place.probes.begun) == 1
    assert not place.seen.log and place.seen.status == "starting"  # that probe says nothing of its health
    place.freeze(False)
    await place.becomes("healthy")


async def test_a_freeze_in_the_middle_of_a_probe_is_seen_afterwards_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "LOOK_SECONDS", 0.001)
    await place.engine.do("start", "web")
    await place.hang()
    place.freeze()
    await asyncio.sleep(0.05)
    place.freeze(False)
    place.probes.answers = [LATE, 0]
    place.probes.go.set()
    await place.becomes("healthy")
    assert place.seen.log[0].exit_code == 0


# Probe now


async def test_a_probe_that_is_asked_for_begins_at_once_and_counts(place: Place) -> None:
    await place.engine.do("start", "web")
    now = place.world.time
    probe = await place.engine.probe("web")
    assert (probe.start, probe.exit_code, probe.output) == (now, 0, "said\n")
    assert place.seen.log[0] == probe and place.seen.status == "healthy"


async def test_two_who_ask_at_once_share_one_probe_and_so_does_who_asks_during_one(place: Place) -> None:
    await place.engine.do("start", "web")
    place.probes.go.clear()
    two = [asyncio.create_task(place.engine.probe("web")) for _ in range(2)]
    await place.until(lambda: place.probes.begun)
    third, gone = (asyncio.create_task(place.engine.probe("web")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    place.probes.go.set()
    results = await asyncio.gather(*two, third)
    assert results == [place.seen.log[0]] * 3


async def test_nobody_is_answered_by_a_probe_that_was_given_up(place: Place) -> None:
    await place.engine.do("start", "web")
    place.probes.go.clear()
    asked = asyncio.create_task(place.engine.probe("web"))
    await place.until(lambda: place.probes.begun)
    await place.engine.do("pause", "web")
    with pytest.raises(Conflict, match="stopped or paused meanwhile"):
        await asked


async def test_where_no_probe_can_be_the_reason_is_said(place: Place) -> None:
    await place.engine.do("create", "", {"name": "plain", "body": BODY})
    await place.engine.do("start", "plain")
    for name, why in (("web", "it is not running but created"), ("plain", "it has no health check")):
        with pytest.raises(Conflict, match=f"cannot probe {name}: {why}"):
            await place.engine.probe(name)
    await place.engine.do("start", "web")
    place.freeze()
    with pytest.raises(Conflict, match="cannot probe web: its processes are frozen"):
        await place.engine.probe("web")
    place.freeze(False)
    await place.engine.do("pause", "web")
    with pytest.raises(Conflict, match="cannot probe web: it is paused"):
        await place.engine.probe("web")


async def test_a_result_that_could_not_be_saved_is_told_to_who_asked(place: Place) -> None:
    await place.engine.do("start", "web")
    place.faults.failing.add("records.save")
    with pytest.raises(HostFailed, match=r"records\.save fails"):
        await place.engine.probe("web")
