"""How a network namespace looks from inside, and attempts to reach somebody from it.

Whatever happens in a namespace happens in a thread that has entered it for that (`netns.inside`). A socket belongs to the
namespace it was opened in: opened there, it is used from the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from engine.host.netns import inside
from engine.host.reach import probes, sights, stranger
from engine.host.reach.traces import Tracer
from engine.host.sight import Answer, Attempt, Route, Sight
from engine.host.threads import short
from engine.host.tools import doing

HOST = "/proc/self/ns/net"


class KernelReach:
    """The port `Reach` on the real kernel. `own`: name of this engine's own nft table."""

    def __init__(self, own: str) -> None:
        self._own = own

    async def look(self, netns: str) -> Sight:
        with doing(f"look into the network namespace {netns or 'of the host'}"):
            return await short(inside, netns or HOST, sights.look)

    async def route(self, netns: str, address: str) -> Route | None:
        with doing(f"ask for the route to {address}"):
            return await short(inside, netns or HOST, lambda: sights.route(address))

    async def forwards(self, interface: str, family: int) -> bool:
        return await short(sights.forwards, interface, family)

    async def connect(
        self, netns: str, address: str, port: int, protocol: str, seconds: float, traced: tuple[str, ...] | None = None
    ) -> Attempt:
        if traced is None:
            return await probes.probe(netns or HOST, address, port, protocol, seconds)
        route = await self.route(netns, address)
        if route is None:
            return Attempt(answer=Answer.UNREACHABLE, error="Network is unreachable")
        async with AsyncExitStack() as stack:
            tracer = Tracer(self._own, route.source, address, port, protocol)
            for each in dict.fromkeys(("", *traced)):
                await stack.enter_async_context(tracer.watch(each))
            return await tracer.follow(probes.probe(netns or HOST, address, port, protocol, seconds))

    async def resolve(self, netns: str, server: str, name: str, seconds: float) -> tuple[str, ...]:
        return await probes.resolve(netns or HOST, server, name, seconds)

    @asynccontextmanager
    async def outside(self, family: int) -> AsyncIterator[tuple[str, str]]:
        with doing("make a host to try from"):
            made = await short(stranger.make, family)
        try:
            yield made.netns, made.gateway
        finally:
            await short(stranger.drop, made)
