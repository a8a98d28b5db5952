"""Ranges and addresses this host uses already, of both families. Blocking."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network

from engine.host import rtnetlink

RESOLV_CONF = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
"""The second holds the real name servers where the first names systemd's stub."""


def used() -> tuple[str, ...]:
    """Routes, own addresses, name servers. Without what every link has: loopback, link-local and multicast addresses, and
    without the default routes."""
    found = [route.destination for route in rtnetlink.routes() if not route.default]
    found += [str(address) for address in rtnetlink.addresses()]
    for path in RESOLV_CONF:
        with suppress(FileNotFoundError), open(path) as file:
            found += name_servers(file.read())
    return tuple(dict.fromkeys(one for one in found if _is_of_somebody(one)))


def name_servers(text: str) -> list[str]:
    """Addresses of a resolv.conf(5)'s name servers, without the zone that an address of one link needs."""
    servers = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                with suppress(ValueError):
                    servers.append(str(ip_address(server.partition("%")[0])))
    return servers


def _is_of_somebody(subnet: str) -> bool:
    net = ip_network(subnet, strict=False)
    return not (net.is_loopback or net.is_link_local or net.is_multicast)
