"""The feed: one worker that takes all waiting frames, folds them into one world, and hands it over at most every 100 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from engine.model.errors import EngineError
from engine.model.frames import Changed, Frame, Gone, Sampled, Snapshot, StepMoved, fold
from engine.model.interface import EngineInterface
from engine.model.status import Status
from engine.model.world import World
from tui.view.figures import Meter, measure
from tui.view.scene import Link

PAINT_SECONDS = 0.1
RETRY_SECONDS = (1, 2, 4, 8, 15, 30)
STALE_SECONDS = (5, 10, 20, 30, 60, 120, 300, 600)
"""Ages that are shown. A running container is sampled every second, so silence means that the line is slow or dead."""


class Delivery(Struct, frozen=True, kw_only=True):
    world: World
    meters: dict[str, Meter]
    link: Link
    touched: frozenset[str] = frozenset()
    """Containers whose record or run changed."""


def now() -> datetime:
    return datetime.now(UTC)


class Feed:
    def __init__(self, engine: EngineInterface, deliver: Callable[[Delivery], None]) -> None:
        self.engine, self.deliver = engine, deliver
        self.world = World()
        self.meters: dict[str, Meter] = {}
        self.link = Link()
        self._waiting: list[Frame] = []
        self._news = asyncio.Event()
        self._last = now()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._hand_over())

    async def _read(self) -> None:
        tries = 0
        while True:
            try:
                async for frame in self.engine.watch():
                    tries = 0
                    self._waiting.append(frame)
                    self._last = now()
                    self._say(Link(up=True))
                reason = "the engine ended the connection"
            except (EngineError, OSError) as error:
                reason = str(error)
            delay = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
            tries += 1
            self._say(Link(reason=reason, next_try=now() + timedelta(seconds=delay)))
            await asyncio.sleep(delay)

    def _say(self, link: Link) -> None:
        self.link = link
        self._news.set()

    async def _hand_over(self) -> None:
        while True:
            await self._wait()
            self._news.clear()
            frames, self._waiting = self._waiting, []
            touched: set[str] = set()
            for frame in frames:
                self._take(frame, touched)
            self.deliver(Delivery(world=self.world, meters=self.meters, link=self.link, touched=frozenset(touched)))
            await asyncio.sleep(PAINT_SECONDS)

    def _take(self, frame: Frame, touched: set[str]) -> None:
        self.world = fold(self.world, frame)
        match frame:
            case Snapshot():
                touched.update(self.world.containers)
                self.meters = measure({}, self.world.samples.values(), self.world.engine.memory)
            case Sampled():
                fresh = measure(self.meters, frame.samples, self.world.engine.memory)
                self.meters = {id: meter for id, meter in (self.meters | fresh).items() if id in self.world.containers}
            case Changed():
                touched.add(frame.row.id)
            case Gone() | StepMoved():
                touched.add(frame.id)
            case _:
                pass

    async def _wait(self) -> None:
        """Until there is news, or the world has grown visibly older."""
        while not self._news.is_set():
            try:
                async with asyncio.timeout(self._until_older()):
                    await self._news.wait()
            except TimeoutError:
                self._say(Link(up=True, age=max(age for age in STALE_SECONDS if age <= self._age() + 0.5)))

    def _age(self) -> float:
        return (now() - self._last).total_seconds()

    def _until_older(self) -> float | None:
        if not self.link.up or all(row.status is not Status.RUNNING for row in self.world.containers.values()):
            return None
        return next((age - self._age() for age in STALE_SECONDS if age > self.link.age), None)
