"""What a create request of an older API means today (reference 2.1). Pure.

Only the spelling of the documentation is looked at: clients old enough to pass a gate write it.
"""

from __future__ import annotations

from typing import Any

Version = tuple[int, ...]


def at(version: Version, body: dict[str, Any], cgroup_version: int) -> dict[str, Any]:
    """The body as a client of `version` meant it."""
    given = body.get("HostConfig")
    if not isinstance(given, dict):
        return body
    host_config = dict(given)
    if version < (1, 25):
        host_config["AutoRemove"] = False  # these clients remove by themselves
    if version < (1, 40):
        host_config["KernelMemoryTCP"] = 0
    if version < (1, 40) and not host_config.get("IpcMode"):
        host_config["IpcMode"] = "shareable"
    if version < (1, 41) and cgroup_version == 1 and not host_config.get("CgroupnsMode"):
        host_config["CgroupnsMode"] = "host"
    if version < (1, 42):
        host_config.pop("ConsoleSize", None)
    else:
        host_config["KernelMemory"] = 0
    if version < (1, 43):
        host_config.pop("Annotations", None)
    return body | {"HostConfig": host_config}
