"""Values the tests of this directory start from."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.host import Facts
from engine.model.container import Container
from engine.model.settings import Config, HostConfig
from engine.spec import capabilities, settings

ID = "0123456789ab" * 5 + "cdef"

FACTS = Facts(
    kernel=(6, 1),
    cgroup_version=1,
    controllers=frozenset({"memory", "swap", "cpu", "cpuset", "pids", "blkio", "freezer", "devices"}),
    capabilities=capabilities.ALL,
    cpus=4,
)
"""A host that has everything."""

BARE = Facts(kernel=(6, 1), cgroup_version=2, capabilities=tuple(sorted(capabilities.DEFAULT)), cpus=4)
"""A host without a single controller."""


def container(
    config: Config | None = None, host_config: HostConfig | None = None, facts: Facts = FACTS, *args: str
) -> Container:
    path, *rest = args or ("/bin/sh", "-c", "true")
    return Container(
        id=ID,
        name="made",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        path=path,
        args=tuple(rest),
        config=config or Config(),
        host_config=settings.adapt(host_config or HostConfig(), facts),
    )
