"""update: other limits, another restart policy, or a link less, for a container that may be running."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.flow.step import Operation, Reverse, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import Conflict
from engine.model.network import DEFAULT
from engine.model.settings import HostConfig
from engine.spec import updates
from engine.spec.links import kept

Change = Callable[[dict[str, str]], dict[str, str]]


@dataclass(frozen=True)
class ChangeLimits(Step[Host, Container]):
    """Change the limits

    A limit is a number in a file of the container's cgroup: how much memory, how many processes, how much of the CPUs.
    The kernel reads it at every allocation, every fork, every tick, so a new number holds from the next moment on; no
    process is stopped for it, and none is told.

    A limit below what is in use already is refused by the kernel for memory, and simply holds back what comes next for
    processes.
    """

    before: dict[str, Any]
    """`HostConfig` keys as they were; and `after`, as they will be."""
    after: dict[str, Any]
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        told = self.before if back else self.after
        words = ", ".join(f"{key} {_word(told.get(key))}" for key in self.after)
        return f"Set {words}" if words else "Set what is set already"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        runc = f"runc --root {host.facts.exec_root}/runtime-runc/longshore"
        told = msgspec.json.encode(updates.resources(self._config(c, self.before if back else self.after))).decode()
        return (f"echo '{told}' | {runc} update -r - {c.id}",) if c.state.status.alive else ()

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"cat /proc/{c.state.pid or '<pid>'}/cgroup", f"cat {host.facts.root}/containers/{c.id}/config.v2.json")

    async def do(self, host: Host, c: Container) -> Container:
        return await self._set(host, c, self.after)

    async def undo(self, host: Host, c: Container) -> Container:
        return await self._set(host, c, self.before)

    async def evidence(self, host: Host, c: Container) -> str | None:
        told = _told(c.host_config)
        if any(told.get(key) != value for key, value in self.after.items()):
            return None
        return await host.cgroups.limits(c.id) if c.state.status.alive else "in the record, for the next start"

    async def _set(self, host: Host, c: Container, told: dict[str, Any]) -> Container:
        config = self._config(c, told)
        if c.state.status.alive:
            await host.tasks.update(c.id, updates.resources(config))
        return replace(c, host_config=config)

    @staticmethod
    def _config(c: Container, told: dict[str, Any]) -> HostConfig:
        return msgspec.convert(_told(c.host_config) | told, HostConfig)


def _told(hc: HostConfig) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(hc)
    return config


def _word(value: Any) -> str:
    return str(value.get("Name", value)) if isinstance(value, dict) else str(value)


def update(c: Container, after: HostConfig) -> Operation[Host, Container]:
    """`after`: the host config as it is to be, checked."""
    old, new = _told(c.host_config), _told(after)
    changed = {key for key in new if new[key] != old[key]}
    step = ChangeLimits({key: old[key] for key in sorted(changed)}, {key: new[key] for key in sorted(changed)})
    return Operation("update", (step,))


@dataclass(frozen=True)
class Know(Step[Host, Container]):
    """Know another container by a name

    On the default bridge there is no name service. Instead a container can be linked to another: the other's address
    stands in its `hosts` under a name of its own choice, and variables in its environment tell of the other's ports.

    The file can be changed while the container runs. The environment of a process cannot: only those started from now on
    are told otherwise.
    """

    id: str
    """The other's."""
    alias: str
    told: dict[str, str]
    """The lines of `hosts`: names, and the address."""
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"{'Forget' if back else 'Know'} {self.id[:12]} by the name {self.alias}"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"cat {host.facts.root}/containers/{c.id}/hosts",)

    async def do(self, host: Host, c: Container) -> Container:
        links = dict.fromkeys((*(c.host_config.links or ()), self._link))
        return await self._write(host, c, tuple(links), lambda lines: {**lines, **self.told})

    async def undo(self, host: Host, c: Container) -> Container:
        links = tuple(link for link in c.host_config.links or () if link != self._link)
        return await self._write(
            host, c, links, lambda lines: {names: at for names, at in lines.items() if names not in self.told}
        )

    async def evidence(self, host: Host, c: Container) -> str | None:
        return f"{c.name} knows {self.id[:12]} by the name {self.alias}" if self._link in (c.host_config.links or ()) else None

    @property
    def _link(self) -> str:
        return f"{self.id}:{self.alias}"

    @staticmethod
    async def _write(host: Host, c: Container, links: tuple[str, ...], change: Change) -> Container:
        endpoints = tuple(replace(e, links=change(e.links)) if e.network == DEFAULT else e for e in c.endpoints)
        c = replace(c, host_config=replace(c.host_config, links=links), endpoints=endpoints)
        if c.plugged:
            await host.files.make_network(c)
        return c


def unlink(c: Container, alias: str) -> Operation[Host, Container]:
    """`docker rm --link web/db`. Raises `Conflict` where it is linked to nobody by that name."""
    id = next((id for id, known in kept(c) if known == alias), "")
    if not id:
        raise Conflict(f"cannot remove the link {c.name}/{alias}: there is none")
    told = {names: address for e in c.endpoints for names, address in e.links.items() if names.split()[0] == alias}
    return Operation("update", (Reverse(Know(id, alias, told)),))
