"""How a container is connected: what its mode means, who of its endpoints leads out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from engine.model.container import Container
from engine.model.network import BUILT_IN, DEFAULT, Attachment, Binding, Endpoint, Target

SHARED = "container:"


def mode(c: Container) -> str:
    """`bridge`, `host`, `none`, `container:<id>`, or the name or id of a network."""
    if c.config.network_disabled:
        return "none"
    asked = c.host_config.network_mode
    return DEFAULT if asked in ("", "default", "bridge") else asked


def shares_with(c: Container) -> str:
    """The id of the container whose namespace it lives in; empty: not another's."""
    asked = mode(c)
    return asked.removeprefix(SHARED) if asked.startswith(SHARED) else ""


def own_namespace(c: Container) -> bool:
    """Has it a network namespace of its own?"""
    return mode(c) != "host" and not shares_with(c)


def attachments(c: Container) -> dict[str, Attachment]:
    """What it is to be plugged into, the network of its mode first, then by name."""
    asked = mode(c)
    if not own_namespace(c) or asked == "none":
        return {}
    return {name: c.networks[name] for name in sorted(c.networks, key=lambda name: (name != asked, name))}


def way_out(endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The endpoint that has the default route and the published ports: the first by name that leads out."""
    return min((e for e in endpoints if e.gateway and not e.internal), key=lambda e: e.network, default=None)


def target(e: Endpoint) -> Target:
    return Target(bridge=e.bridge, address=e.address, address6=e.address6)


def translated(bindings: Iterable[Binding], out: Endpoint) -> bool:
    """Does the kernel translate any of them? What comes by IPv6 to a container without it is the relay's, as is `::1`."""
    return any(":" not in b.host_ip or (out.address6 and b.host_ip != "::1") for b in bindings)


def has_names(endpoints: Iterable[Endpoint]) -> bool:
    """Is one of its networks a person's own? Only those have a name service."""
    return any(e.network not in BUILT_IN for e in endpoints)
