"""The network side of a container as Docker's JSON."""

from __future__ import annotations

from typing import Any

from engine.host import Facts
from engine.model.container import Container
from engine.model.network import DEFAULT, Attachment, Endpoint
from engine.spec import ports
from engine.spec.wiring import attachments, has_names, mode, shares_with

Json = dict[str, Any]


def network_mode(c: Container) -> str:
    return c.host_config.network_mode or "default"


def endpoint_settings(e: Endpoint | None, wanted: Attachment, c: Container) -> Json:
    """One network of a container; only what was asked for while it is not plugged in."""
    given = {"IPv4Address": wanted.ipv4, "IPv6Address": wanted.ipv6}
    named = e is not None and has_names((e,))
    return {
        "IPAMConfig": {key: value for key, value in given.items() if value} or None,
        "Links": list(wanted.links) or None,
        "Aliases": [*wanted.aliases, *((c.short_id,) if named else ())] or None,
        "NetworkID": e.network_id if e else "",
        "EndpointID": e.endpoint_id if e else "",
        "Gateway": e.gateway if e else "",
        "IPAddress": e.address if e else "",
        "IPPrefixLen": e.prefix if e else 0,
        "IPv6Gateway": e.gateway6 if e else "",
        "GlobalIPv6Address": e.address6 if e else "",
        "GlobalIPv6PrefixLen": e.prefix6 if e else 0,
        "MacAddress": e.mac if e else wanted.mac,
        "DriverOpts": wanted.options or None,
    }


def networks(c: Container) -> dict[str, Json]:
    """By name. A container that runs on the host's network, or on none, is told to be on that."""
    if shares_with(c):
        return {}
    if mode(c) in ("none", "host"):
        return {mode(c): endpoint_settings(None, Attachment(), c)}
    told = {}
    for name, wanted in attachments(c).items():
        e = next((e for e in c.plugged if name in (e.network, e.network_id)), None)
        told[e.network if e else name] = endpoint_settings(e, wanted, c)
    return told


MIRRORED = (
    *("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen"),
    *("IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress"),
)


def network_settings(c: Container, facts: Facts) -> Json:
    """The container's wiring. The endpoint of the default bridge is mirrored at the top, for clients from before networks."""
    plugged = next((e for e in c.plugged if e.network == DEFAULT), None)
    settings = endpoint_settings(plugged, Attachment(), c)
    held = "MakeNetworkNamespace" in c.held
    return {
        "Bridge": "",
        "SandboxID": c.id if held else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports.shown(c.ports, c.config) if held else {},
        "SandboxKey": f"{facts.exec_root}/netns/{c.sandbox}" if held else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{key: settings[key] for key in MIRRORED},
        "Networks": networks(c),
    }


def exposed(c: Container) -> list[tuple[int, str]]:
    """The ports the settings name, each with its protocol."""
    return sorted(ports.exposed(c.config))


def published(c: Container) -> list[Json]:
    """Its ports in `docker ps`: where each is published, or that it is only exposed."""
    bound = {(p.port, p.protocol) for p in c.ports}
    told: list[Json] = [
        {"PrivatePort": port, "Type": protocol} for port, protocol in exposed(c) if (port, protocol) not in bound
    ]
    told += [{"IP": p.host_ip, "PrivatePort": p.port, "PublicPort": p.host_port, "Type": p.protocol} for p in c.ports]
    return told
