"""Faults: a host whose calls can be made to fail or to be the engine's last, counted one by one."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from engine.host import Host
from engine.model.errors import HostFailed


class Killed(BaseException):
    """The engine process is gone: nothing catches this, as nothing catches SIGKILL."""


KINDS = ("fail before", "fail after", "kill before", "kill after")


class Faults:
    """Which call, by number, meets which fault. `fired` proves that it did."""

    def __init__(self, plan: dict[int, str] | None = None) -> None:
        self.plan = plan or {}
        self.calls: list[str] = []
        self.fired: list[int] = []
        self.dead = False

    def wrap(self, host: Host) -> Host:
        names = [f.name for f in dataclasses.fields(Host) if f.name not in ("facts", "clock")]
        ports: dict[str, Any] = {name: _Port(name, getattr(host, name), self) for name in names}
        return dataclasses.replace(host, **ports)

    async def call(self, name: str, call: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        at = len(self.calls)
        self.calls.append(name)
        fault = self.plan.get(at, "")
        if fault:
            self.fired.append(at)
        if fault.endswith("before"):
            self._strike(fault, name)
        result = await call(*args, **kwargs)
        if fault.endswith("after"):
            self._strike(fault, name)
        return result

    def _strike(self, fault: str, name: str) -> None:
        if fault.startswith("kill"):
            self.dead = True
            raise Killed
        raise HostFailed(f"injected into {name}")


class _Port:
    def __init__(self, name: str, port: Any, faults: Faults) -> None:
        self._name, self._port, self._faults = name, port, faults

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._port, attribute)
        # Waiting for an exit is not a call to the world; it ends with the process or with the engine.
        if not inspect.iscoroutinefunction(value) or attribute == "wait":
            return value
        return lambda *args, **kwargs: self._faults.call(f"{self._name}.{attribute}", value, *args, **kwargs)
