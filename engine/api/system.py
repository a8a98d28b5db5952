"""`/_ping`, `/version`, `/info`, `/events`."""

from __future__ import annotations

import platform
from typing import Any

from aiohttp import hdrs, web

from engine import API_VERSION, MIN_API_VERSION, __version__
from engine.api import filters
from engine.api.filters import Filters
from engine.api.query import moment
from engine.api.reply import Routes, answer, engine_of, line, stream
from engine.model.events import Message
from engine.model.status import Status

NO_CACHE = {hdrs.CACHE_CONTROL: "no-cache, no-store, must-revalidate", hdrs.PRAGMA: "no-cache"}

EVENT_FILTERS = filters.names("config container daemon event image label network node plugin scope secret service type volume")
BY_PREFIX = ("health_status", "exec_create", "exec_start")
"""Actions that carry more behind a colon."""


async def ping(request: web.Request) -> web.Response:
    """GET and HEAD /_ping: the client learns our version from the headers."""
    headers = NO_CACHE | {"Builder-Version": "2", "Swarm": "inactive"}
    if request.method == "HEAD":
        return web.Response(headers=headers | {hdrs.CONTENT_LENGTH: "0"}, content_type="text/plain")
    return web.Response(text="OK", headers=headers)


async def version(request: web.Request) -> web.Response:
    """GET /version"""
    facts = engine_of(request).host.facts
    engine = {
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": facts.architecture,
        "KernelVersion": facts.kernel_release,
        "BuildTime": "",
    }
    below = (("containerd", facts.containerd_version), ("runc", facts.runc_version))
    return answer(
        {
            "Platform": {"Name": "Longshore"},
            "Components": [
                {"Name": "Engine", "Version": __version__, "Details": engine | {"Experimental": "false"}},
                *({"Name": name, "Version": text, "Details": {}} for name, text in below),
            ],
            "Version": __version__,
            **engine,
        }
    )


async def info(request: web.Request) -> web.Response:
    """GET /info: what we know. Forwarding is switched on for each interface of ours, so it is told as on."""
    engine = engine_of(request)
    facts, records = engine.host.facts, engine.ledger.records.values()
    statuses = [c.status for c in records]
    limits = facts.controllers
    shown: dict[str, Any] = {
        "ID": "",
        "Name": facts.hostname,
        "Containers": len(statuses),
        "ContainersRunning": statuses.count(Status.RUNNING),
        "ContainersPaused": statuses.count(Status.PAUSED),
        "ContainersStopped": sum(not status.alive for status in statuses),
        "Images": len(await engine.images()),
        "Driver": "overlay2",
        "DriverStatus": [],
        "Plugins": {"Volume": [], "Network": ["bridge", "null"], "Authorization": None, "Log": ["json-file"]},
        "MemoryLimit": "memory" in limits,
        "SwapLimit": "swap" in limits,
        "CpuCfsPeriod": "cpu" in limits,
        "CpuCfsQuota": "cpu" in limits,
        "CPUShares": "cpu" in limits,
        "CPUSet": "cpuset" in limits,
        "PidsLimit": "pids" in limits,
        "IPv4Forwarding": True,
        "OomKillDisable": "memory" in limits and facts.cgroup_version == 1,
        "Debug": False,
        "SystemTime": engine.host.clock.now(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "systemd" if facts.systemd_cgroup else "cgroupfs",
        "CgroupVersion": str(facts.cgroup_version),
        "NEventsListener": engine.events.readers,
        "KernelVersion": facts.kernel_release,
        "OperatingSystem": f"Linux {facts.kernel_release}",
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": facts.cpus,
        "MemTotal": facts.memory,
        "DockerRootDir": facts.root,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {"runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False},
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": facts.containerd_version, "Expected": facts.containerd_version},
        "RuncCommit": {"ID": facts.runc_version, "Expected": facts.runc_version},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Warnings": [trouble] if (trouble := engine.hub.world.engine.trouble) else None,
    }
    return answer(shown)


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events: one JSON object a line, until `until` or until the reader goes."""
    engine = engine_of(request)
    given = filters.parse(request.query.get("filters", ""), EVENT_FILTERS)
    since, until = (moment(request.query.get(name, ""), engine.events.clock()) for name in ("since", "until"))
    with engine.events.subscribe(since, until) as messages:
        async with stream(request) as response:
            async for message in messages:
                if matches(given, message):
                    await response.write(line(message))
    return response


def matches(given: Filters, message: Message) -> bool:
    """Does an event pass the filters? A container, network or volume goes by name or the beginning of its id."""
    actor, type = message.actor, message.type
    name = actor.attributes.get("name", "")
    image = actor.attributes.get("image", "") if type == "container" else name
    images = {actor.id, image, image.rpartition(":")[0] or image}
    return (
        filters.any_of(given, "type", type.__eq__)
        and filters.any_of(given, "scope", message.scope.__eq__)
        and filters.any_of(given, "event", lambda text: _is_action(text, message.action))
        and filters.any_of(given, "image", images.__contains__)
        and filters.labels(given, actor.attributes)
        and all(
            filters.any_of(given, kind, lambda text: bool(text) and (actor.id.startswith(text) or name.startswith(text)))
            for kind in ("container", "network", "volume", "daemon", "plugin", "service", "node", "secret", "config")
        )
    )


def _is_action(text: str, action: str) -> bool:
    return action == text or (text in BY_PREFIX and action.startswith(text))


ROUTES: Routes = (
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping),
    ("GET", "/version", version),
    ("GET", "/info", info),
    ("GET", "/events", events),
)
