"""One container through its whole life: every step with its evidence and duration, and the proof that nothing is left.

The proof is looked up in the kernel and on disk, not asked of the engine; so that it can fail, the same look-up must have
found the container while it ran.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import Any

import click

from engine import __version__
from engine.client import Client
from engine.model.container import Container
from engine.model.errors import EngineError, NotFound
from engine.model.frames import fold
from engine.model.interface import NO_PARAMS, Params
from engine.model.run import Move
from engine.model.world import World
from tui.traces import Traces, exec_root, freezer, traces

IMAGE = "busybox:latest"
SCRIPT = "trap 'exit 0' TERM; echo ahoy from $(hostname), process $$ of a world of my own; while :; do sleep 1 & wait $!; done"
ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
SECOND = 1_000_000_000
PROBE = "ip route | grep -q default"
BODY: dict[str, Any] = {
    "Image": IMAGE,
    "Cmd": ["sh", "-c", SCRIPT],
    "Healthcheck": {"Test": ["CMD-SHELL", PROBE], "Interval": SECOND, "Timeout": 5 * SECOND, "Retries": 3},
}
PATIENCE = 30.0
"""Seconds until what should happen at once counts as never."""


async def run(path: str) -> bool:
    """Show it all on standard output. True when nothing is left. Raises `EngineError` where a verb fails."""
    async with Client(path) as engine:
        return await Demo(engine, f"demo-{secrets.token_hex(3)}").run()


class Demo:
    """The walk of one container of this name."""

    def __init__(self, engine: Client, name: str) -> None:
        self.engine, self.name = engine, name

    async def run(self) -> bool:
        click.echo(f"longshore {__version__}: the life of {self.name}, on the engine at {self.engine.path}")
        try:
            await self._do("create", {"name": self.name, "body": BODY})
            await self._do("start")
            c = await self.engine.inspect(self.name)
            found = await self._found(c)
            await self._output()
            await self._healthy()
            await self._do("pause")
            self._kernel_says(c.state.pid, "FROZEN")
            await self._do("unpause")
            self._kernel_says(c.state.pid, "THAWED")
            await self._do("stop")
            await self._do("remove")
        except BaseException:
            await self._give_up()
            raise
        return await self._prove(c, found)

    async def _do(self, verb: str, params: Params = NO_PARAMS) -> None:
        """One verb, and what the engine remembers of its steps."""
        target = "" if verb == "create" else self.name
        if verb == "remove":  # nobody remembers a container that is gone: walk it as a lesson, and read its last page
            await self.engine.begin(verb, target)
            plan = await self.engine.advance(target, Move.RUN)
        else:
            await self.engine.do(verb, target, params)
            plan = await self.engine.steps(self.name)
        click.echo(f"\n{verb} {self.name}  {sum(step.ms for step in plan.steps):.0f} ms")
        for step in plan.steps:
            click.echo(f"  ✔ {step.ms:7.1f} ms  {step.title}")
            for line in (step.now or "gone").splitlines():
                click.echo(_short(f"                 {line}"))
        if plan.error:
            raise EngineError(f"cannot {verb} {self.name}: {plan.error}")

    async def _output(self) -> None:
        """Its first line, as it comes."""
        async with asyncio.timeout(PATIENCE):
            async for line in self.engine.logs(self.name, follow=True):
                click.echo(f"\n  it says: {line.log.decode(errors='replace').rstrip()}")
                return
        raise EngineError(f"{self.name} ended and said nothing", f"look at its log: docker logs {self.name}")

    async def _healthy(self) -> None:
        began, world, here = time.monotonic(), World(), False
        try:
            async with asyncio.timeout(PATIENCE):
                async for frame in self.engine.watch():
                    world = fold(world, frame)
                    row = next((row for row in world.containers.values() if row.name == self.name), None)
                    if row and row.health == "healthy":
                        break
                    if here and not row:
                        raise EngineError(f"{self.name} was removed by somebody else while the demo waited for its health")
                    here = row is not None
        except TimeoutError as error:
            raise EngineError(f"{self.name} did not become healthy within {PATIENCE:.0f} s") from error
        click.echo(f"  it is healthy after {time.monotonic() - began:.1f} s: {PROBE}")

    def _kernel_says(self, pid: int, word: str) -> None:
        told = freezer(pid)
        if told is None:
            raise EngineError(f"cannot find the freezer of process {pid}", "is a cgroup file system mounted?")
        file, said = told
        click.echo(_short(f"  the kernel says {said}: {file}"))
        if said != word:
            raise EngineError(f"the kernel does not say {word} of {self.name}, but {said}")

    async def _found(self, c: Container) -> Traces:
        """Its traces while it runs. Raises `EngineError` when a kind has none: then the proof would prove nothing."""
        self.root = (await self.engine.info())["DockerRootDir"]
        self.exec_root = exec_root([c.short_id])
        found = await asyncio.to_thread(self._traces, c)
        if none := [kind for kind, where in found.items() if not where]:
            raise EngineError(f"cannot find the {none[0]} of {self.name}", "run the demo where the engine runs, as root")
        return found

    def _traces(self, c: Container) -> Traces:
        assert c.layers and c.endpoints
        return traces([c.short_id, c.layers.mount_id], c.endpoints[0].veth, [self.root, *filter(None, [self.exec_root])])

    async def _prove(self, c: Container, before: Traces) -> bool:
        """Look for the same traces again; what ends by itself gets a moment."""
        for _ in range(20):
            after = await asyncio.to_thread(self._traces, c)
            if not any(after.values()):
                break
            await asyncio.sleep(0.1)
        click.echo("\nproof, looked up in the kernel and on disk     while it ran   now")
        for kind, where in before.items():
            click.echo(f"  {kind:<45}{len(where):>12}{len(after[kind]):>6}")
            for path in after[kind]:
                click.echo(f"    left: {path}")
        clean = not any(after.values())
        click.echo("Nothing is left." if clean else "Something is left.")
        return clean

    async def _give_up(self) -> None:
        """Leave no half-shown container behind."""
        try:
            await self.engine.do("remove", self.name, {"force": True})
        except NotFound:
            return
        except EngineError as error:
            click.echo(f"longshore: {error}", err=True)


def _short(line: str) -> str:
    """Ids as people say them: the first twelve digits."""
    return ID.sub(r"\1…", line)
