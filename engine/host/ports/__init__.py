"""Published ports: sockets of the host that hold them, kept by a process that outlives the engine (`holder`, by `run.py`).

This is the engine's side: tell it what to hold, start it again when it died, and say in a sentence why a port cannot be had.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from engine.host.helper import Helper
from engine.host.ports import run as program
from engine.host.ports.refused import No, refusal
from engine.host.tools import doing
from engine.model.errors import HostFailed
from engine.model.network import Binding, Published, Target

T = TypeVar("T")

log = logging.getLogger(__name__)

IDLE = 90.0
"""Seconds until the relay forgets a UDP client that is silent: as long as Docker's."""


class _Held(Struct):
    held: list[tuple[str, int, str, int]]
    pid: int

    def published(self) -> tuple[Published, ...]:
        return tuple(Published(protocol=p, port=port, host_ip=ip, host_port=n) for p, port, ip, n in self.held)


class _Owners(Struct):
    owners: set[str]


class HostPorts:
    """The port `Ports` on the real host. `holder.serve` says what the process does and when it ends."""

    def __init__(self, exec_root: str, *, idle: float = IDLE) -> None:
        path = os.path.join(exec_root, "ports.sock")
        self.called: Callable[[str], str] = lambda owner: owner[:12]
        self._taken: dict[str, bytes] = {}
        """By owner, the request that takes exactly what it has: for a holder that has to be started again."""
        self._helper = Helper(
            path, (program.__file__, path, str(idle)), "the process that holds published ports", self._taken.values, _warn
        )

    async def take(
        self, owner: str, bindings: tuple[Binding, ...], target: Target, what: str = "publish ports"
    ) -> tuple[Published, ...]:
        """See `Ports.take`. What is held beyond these bindings is given back. Cheap when all is held. Raises `HostFailed`."""
        with doing("hold the published ports"):
            answer = await self._helper.ask(_take(owner, bindings, target))
        if b'"errno"' in answer:
            raise await refusal(msgspec.json.decode(answer, type=No), what, self.called)
        published = _decode(answer, _Held).published()
        exactly = (Binding(protocol=p.protocol, port=p.port, host_ip=p.host_ip, first=p.host_port) for p in published)
        self._taken[owner] = _take(owner, tuple(exactly), target)
        return published

    async def give_back(self, owner: str) -> None:
        """Held no longer, and the connections the relay carries end. Raises `HostFailed`."""
        self._taken.pop(owner, None)
        if await self._helper.there():
            with doing("give the published ports back"):
                _decode(await self._helper.ask(msgspec.json.encode(("give", owner))), dict)

    async def look(self, owner: str) -> str | None:
        """`0.0.0.0:8080 tcp, [::]:8080 tcp held by pid 123`."""
        if not await self._helper.there():
            return None
        with doing("look at the published ports"):
            found = _decode(await self._helper.ask(msgspec.json.encode(("look", owner))), _Held)
        ports = ", ".join(f"{str(p).partition('->')[0]} {p.protocol}" for p in found.published())
        return f"{ports} held by pid {found.pid}" if ports else None

    async def owners(self) -> set[str]:
        """Everybody for whom ports are held."""
        if not await self._helper.there():
            return set()
        with doing("look at the published ports"):
            return _decode(await self._helper.ask(b'["owners"]'), _Owners).owners

    async def close(self) -> None:
        """Leave. The holder goes on while it holds anything."""
        await self._helper.close()


def _take(owner: str, bindings: tuple[Binding, ...], target: Target) -> bytes:
    wanted = [(b.protocol, b.port, b.host_ip, b.first, b.last) for b in bindings]
    return msgspec.json.encode(("take", owner, wanted, (target.address, target.address6)))


def _decode(answer: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=type)
    except msgspec.ValidationError:
        raise HostFailed(f"the process that holds published ports says: {answer.decode(errors='replace')}") from None


def _warn(trouble: str) -> None:
    log.warning("%s", trouble or "the process that holds published ports runs again")
