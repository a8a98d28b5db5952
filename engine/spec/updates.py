"""What `update` may change of a container, and what the runtime is told of it (reference 4.8). Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from engine.host import Facts
from engine.model.container import Container
from engine.model.errors import Conflict, Invalid
from engine.model.settings import HostConfig
from engine.spec import limits, oci
from engine.spec.settings import verify_restart_policy

LIMITS = (
    "blkio_weight",
    "cpu_shares",
    "nano_cpus",
    "cpu_period",
    "cpu_quota",
    "cpuset_cpus",
    "cpuset_mems",
    "memory",
    "memory_swap",
    "memory_reservation",
    "pids_limit",
)
"""Fields of `HostConfig` that a living container can be given anew."""


def updated(c: Container, body: dict[str, Any], facts: Facts) -> tuple[HostConfig, tuple[str, ...]]:
    """The host config after an update, and warnings. What the body leaves out, or says 0 for, stays as it is.

    Raises `Invalid`, and `Conflict` for what does not go with the settings it has.
    """
    asked = _decode(body)
    given = {name: value for name in LIMITS if (value := getattr(asked, name)) not in (0, "", None)}
    if asked.pids_limit is not None and asked.pids_limit <= 0:
        given["pids_limit"] = limits.UNLIMITED
    now, policy = c.host_config, asked.restart_policy
    verify_restart_policy(asked)
    warnings: list[str] = []
    # By itself first: what can never be right is the request's fault, what does not go with the rest is a conflict.
    limits.verify(replace(HostConfig(), **_complete(given, now)), facts, warnings)
    _conflicts(given, now)
    if policy.name:
        if now.auto_remove and policy.name != "no":
            raise Conflict(f"cannot update {c.name}: it is removed when it ends", "create it without AutoRemove")
        given["restart_policy"] = policy
    warnings.clear()
    after = limits.verify(replace(now, **given), facts, warnings)
    return after, tuple(warnings)


def _decode(body: dict[str, Any]) -> HostConfig:
    try:
        return msgspec.convert({key: value for key, value in body.items() if value is not None}, HostConfig)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot update: {error}", "send the limits and the RestartPolicy as a JSON object") from error


def _complete(given: dict[str, Any], now: HostConfig) -> dict[str, Any]:
    """Swap and reservation may be given without the memory they go with: that stays."""
    return {"memory": now.memory, **given} if given.keys() & {"memory_swap", "memory_reservation"} else given


def _conflicts(given: dict[str, Any], now: HostConfig) -> None:
    if "nano_cpus" in given and (now.cpu_period or now.cpu_quota):
        raise Conflict("cannot set NanoCpus: CpuPeriod or CpuQuota is set already", "update these instead")
    if given.keys() & {"cpu_period", "cpu_quota"} and now.nano_cpus:
        raise Conflict("cannot set CpuPeriod or CpuQuota: NanoCpus is set already", "update NanoCpus instead")
    if "memory_swap" not in given and given.get("memory", 0) > now.memory_swap and (now.memory or now.memory_swap):
        raise Conflict(
            "cannot set Memory above MemorySwap, which is memory and swap together", "give MemorySwap along with Memory"
        )


def resources(hc: HostConfig) -> dict[str, Any]:
    """`linux.resources` of the runtime specification for the limits that an update can touch."""
    told = {name: part for name, part in oci.resources(hc).items() if name != "devices"}
    memory = {key: value for key, value in told.get("memory", {}).items() if key in ("limit", "reservation", "swap")}
    if hc.memory_swap == limits.UNLIMITED:
        memory["swap"] = limits.UNLIMITED
    return {name: part for name, part in (told | {"memory": memory}).items() if part}
