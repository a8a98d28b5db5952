"""update: other limits and another restart policy, for a container that may be running."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container
from engine.model.settings import HostConfig
from engine.spec import updates


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
