"""One veth pair between a bridge and a container's namespace. Blocking calls; taking one away lasts up to 50 ms."""

from __future__ import annotations

import errno
import hashlib
import os
from functools import partial

from engine.host import rtnetlink
from engine.host.interfaces import has_peer, switch_on
from engine.host.netns import configure, inode, inside
from engine.host.rtnetlink import Link
from engine.model.errors import HostFailed
from engine.model.network import Endpoint


def plug(endpoint: Endpoint, path: str, owner: str) -> None:
    """Make a cable, or put one that is there back into its bridge: what the container has on its end stays untouched.

    Raises `HostFailed` when the name belongs to a link that is not ours, and without bridge or namespace.
    """
    bridge, there = rtnetlink.link(endpoint.bridge), rtnetlink.link(endpoint.veth)
    if bridge is None or bridge.kind != "bridge":
        raise HostFailed(f"there is no bridge {endpoint.bridge}", "restart the engine: it makes its bridges")
    if inode(path) is None:
        raise HostFailed(f"the network namespace {path} is gone", "start the container anew")
    if there and not _is_of(there, owner):
        raise stranger(endpoint.veth, "remove")
    if there and not inside(path, partial(has_peer, there)):
        rtnetlink.delete_link(there.index)
        there = None
    if there is None:
        _make(endpoint, bridge, path, owner)
        # Before the host's end: so that one has a carrier from the start, and the bridge opens the port at once.
        inside(path, partial(switch_on, endpoint.interface))
    elif there.master != bridge.index:
        rtnetlink.join(there.index, bridge.index)
    configure("ipv6", endpoint.veth, "addr_gen_mode", 1)  # no address of its own, which would talk to the container
    rtnetlink.set_port(endpoint.veth, owner, isolated=endpoint.isolated)  # until now the MAC has told whose it is
    for name in (endpoint.veth, endpoint.bridge):
        # The kernel acts on carriers when it finds time, and packets are lost until then. A newer one does it for who asks.
        rtnetlink.link(name)


def unplug(endpoint: Endpoint, owner: str) -> None:
    link = rtnetlink.link(endpoint.veth)
    if link and _is_of(link, owner):
        rtnetlink.delete_link(link.index)


def look(endpoint: Endpoint, owner: str) -> str | None:
    """None also when a link of that name is not ours, or no port of the bridge."""
    bridge, link = rtnetlink.link(endpoint.bridge), rtnetlink.link(endpoint.veth)
    if not link or not bridge or link.alias != owner or link.master != bridge.index:
        return None
    port = "isolated port" if link.isolated else "port"
    return f"{link.name} {'up' if link.up else 'down'}, {port} of {bridge.name}, mtu {link.mtu}"


def stranger(name: str, remedy: str) -> HostFailed:
    return HostFailed(f"a link named {name} exists that is not ours", f"{remedy} it: ip link del {name}", errno.EEXIST)


def _make(endpoint: Endpoint, bridge: Link, path: str, owner: str) -> None:
    """One message makes both ends where they belong."""
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        rtnetlink.add_veth(
            endpoint.veth,
            bridge.index,
            endpoint.interface,
            namespace,
            macs=(_mac_of(owner), endpoint.mac),
            mtu=endpoint.mtu,
        )
    finally:
        os.close(namespace)


def _mac_of(owner: str) -> str:
    """MAC of the host's end: locally administered, unicast, the rest from the owner's name."""
    return bytes((0x02, *hashlib.sha256(owner.encode()).digest()[:5])).hex(":")


def _is_of(link: Link, owner: str) -> bool:
    return link.kind == "veth" and (link.alias == owner or (not link.alias and link.mac == _mac_of(owner)))
