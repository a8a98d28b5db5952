"""Bridges, cables, addresses and routes, by netlink.

Links are made through pyroute2; reading, taking away and whatever happens inside a namespace goes through `rtnetlink.py`, in
threads. Never pyroute2's own `netns=`: it forks.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace
from pyroute2 import AsyncIPRoute

from engine.host import bell, bridges, cables, forwarding, interfaces, ranges, rtnetlink
from engine.host.bell import Bell
from engine.host.forwarding import Forwarding
from engine.host.netns import inode, inside
from engine.host.rtnetlink import Address, Link
from engine.host.things import Sighting, Traffic
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.network import Endpoint, Network
from engine.model.wiring import Wire

T = TypeVar("T")
Tables = tuple[dict[str, Link], list[Address]]

COUNTERS = "/proc/thread-self/net/dev"


class KernelLinks:
    """The port `Links` on the real kernel. A `netns` is a name below `<exec root>/netns/`, or a path."""

    def __init__(self, exec_root: str) -> None:
        self._namespaces = os.path.join(exec_root, "netns")
        self._forwarding = Forwarding(os.path.join(exec_root, "forwarding.json"))
        self._made: dict[str, Network] = {}
        self._making = asyncio.Lock()
        self._bell = Bell(socket.NETLINK_ROUTE, bell.LINKS | bell.ADDRESSES)
        self._dump: Tables = ({}, [])
        self._dumped_at = -1
        self._dumping = asyncio.Lock()
        self._uplinks_bell = Bell(socket.NETLINK_ROUTE, bell.LINKS | bell.ROUTES | bell.FORWARDING)
        self._refreshed_at = -1
        self._watch = Bell(socket.NETLINK_ROUTE, bell.LINKS | bell.ADDRESSES)

    # The bridge

    async def make_bridge(self, network: Network) -> None:
        """The bridge with its addresses, up, and forwarding for it and the uplinks. Made again when somebody deleted it.

        A bridge that a person has made is used where the network's options name it: it gets our addresses besides its own and
        is not removed. Raises `HostFailed` when the name belongs to any other link that is not ours.
        """
        with doing(f"make the bridge {network.bridge}"):
            async with self._making, forwarding.turn():
                link = (await self._look())[0].get(network.bridge)
                if link and not (bridges.is_ours(link, network) or bridges.is_usable(link, network)):
                    raise cables.stranger(network.bridge, f"choose another name with {bridges.naming(network)}, or remove")
                if link is None:
                    async with AsyncIPRoute() as kernel:
                        # With the address given the MAC never changes when ports join, and marks the bridge as ours.
                        await kernel.link("add", ifname=network.bridge, kind="bridge", address=network.mac, mtu=network.mtu)
                links, addresses = await self._look()
                await short(bridges.set_up, links[network.bridge], network, addresses)
                await self._note(links, network)
                await short(self._forwarding.open)
                self._made[network.bridge] = network

    async def drop_bridge(self, network: Network) -> None:
        """The bridge away, and the uplinks' forwarding as it was."""
        with doing(f"remove the bridge {network.bridge}"):
            async with self._making, forwarding.turn():
                links, addresses = await self._look()
                if link := links.get(network.bridge):
                    await short(bridges.drop, link, network, addresses)
                self._made.pop(network.bridge, None)
                others = bridges.other_aliases(links, network.bridge)
                leave = bridges.strangers_use_ipv6(links, addresses, network.bridge)
                await short(self._forwarding.close, network.bridge, others, leave_ipv6=leave)

    async def look_bridge(self, bridge: str) -> str | None:
        links, addresses = await self._look()
        link = links.get(bridge)
        if link is None or link.kind != "bridge":
            return None
        own = " ".join(str(a) for a in addresses if a.index == link.index and not a.link_local)
        ports = sum(port.master == link.index for port in links.values())
        return f"{bridge} {_state(link)}, {own or 'no address'}, {ports} port{'' if ports == 1 else 's'}"

    async def refresh(self) -> None:
        """Switch forwarding on for uplinks that came after the bridge (a cable, a VPN), and again where somebody switched it
        off. Costs nothing while nothing changes."""
        rings = self._uplinks_bell.rings()
        silent = self._forwarding.silent and await short(self._forwarding.fallen)
        if rings == self._refreshed_at and not silent:
            return
        with doing("switch forwarding on"):
            async with self._making, forwarding.turn():
                links, _ = await self._look()
                for name in self._made.keys() & links.keys():
                    await self._note(links, self._made[name])
                if self._made:
                    await short(self._forwarding.open)
        self._refreshed_at = rings

    async def used(self) -> tuple[str, ...]:
        """Ranges and addresses this host uses, of both families: routes, own addresses, name servers."""
        with doing("read the host's routes"):
            return await short(ranges.used)

    # The cable

    async def plug(self, endpoint: Endpoint, netns: str, owner: str) -> None:
        """Put a cable whose bridge has gone and come again back as well: what the container has on its end stays untouched.

        Raises `HostFailed` when the name belongs to a link that is not ours, and without bridge or namespace.
        """
        with doing(f"plug {endpoint.veth} into {endpoint.bridge}"):
            await short(cables.plug, endpoint, self._path(netns), owner)

    async def unplug(self, endpoint: Endpoint, owner: str) -> None:
        with doing(f"unplug {endpoint.veth}"):
            await short(cables.unplug, endpoint, owner)

    async def look_plug(self, endpoint: Endpoint, owner: str) -> str | None:
        """None also when a link of that name is not ours, or no port of the bridge."""
        with doing(f"look at {endpoint.veth}"):
            return await short(cables.look, endpoint, owner)

    # The address

    async def address(self, endpoint: Endpoint, netns: str) -> None:
        """Addresses of both families and link up. No routes but the kernel's own."""
        with doing(f"give {endpoint.interface} the address {endpoint.address or endpoint.address6}"):
            await short(inside, self._path(netns), lambda: interfaces.give_addresses(endpoint))

    async def unaddress(self, endpoint: Endpoint, netns: str) -> None:
        """Addresses and routes away, link down. No namespace or no link: nothing to do."""
        with doing(f"take the address {endpoint.address or endpoint.address6} from {endpoint.interface}"):
            await short(_inside, self._path(netns), lambda: interfaces.take_addresses(endpoint.interface))

    async def look_address(self, endpoint: Endpoint, netns: str) -> str | None:
        """None unless the link is up and has every address."""
        return await self._look_inside(netns, lambda: interfaces.look_addresses(endpoint))

    async def route(self, endpoint: Endpoint | None, netns: str) -> None:
        """The default routes lead by this endpoint's gateways from now on; None: there are none."""
        by = endpoint.interface if endpoint else "nothing"
        with doing(f"lead the default route by {by}"):
            enter = inside if endpoint else _inside
            await short(enter, self._path(netns), lambda: interfaces.set_routes(endpoint))

    async def look_route(self, endpoint: Endpoint | None, netns: str) -> str | None:
        """The default routes, when they are exactly this endpoint's; with None: a word when there is none."""
        return await self._look_inside(netns, lambda: interfaces.look_routes(endpoint))

    async def wire(self, endpoint: Endpoint, netns: str) -> Wire:
        """Both ends of a cable as they are now, and what the container has on its own."""
        wire = await self._look_inside(netns, lambda: interfaces.wire_inside(endpoint)) or Wire()
        with doing(f"read the counters of {endpoint.veth}"):
            here = await short(rtnetlink.look, endpoint.veth)
        if here is None:
            return wire
        links, _ = await self._look()
        bridge = next((link.name for link in links.values() if link.index == here[0].master), "")
        return replace(wire, host=interfaces.end(*here), bridge=bridge)

    # All day long

    async def changed(self) -> None:
        """Wait until a link or an address of the host has changed since this last returned. For one who waits at a time.

        A container's own changes are its own affair, but what ends here is seen: its end of a cable deleted or switched off.
        """
        await self._watch.ring()
        self._watch.rings()

    async def sightings(self) -> set[Sighting]:
        links, _ = await self._look()
        names = {link.index: link.name for link in links.values() if link.kind == "bridge"}
        return {("plug", link.name, names[link.master], link.alias) for link in links.values() if link.master in names}

    async def counters(self) -> dict[str, tuple[int, int]]:
        """Bytes received and sent so far by every interface of the host. What a cable's end here receives, the container sent.

        From proc_pid_net(5): a fifth of what the same numbers cost by netlink.
        """
        return await short(_counters)

    async def traffic(self, endpoint: Endpoint) -> Traffic | None:
        """All that a cable has carried, seen from the container's end; None without one."""
        with doing(f"read the counters of {endpoint.veth}"):
            found = await short(rtnetlink.look, endpoint.veth)
        if found is None:
            return None
        here = found[1]
        return Traffic(
            rx_packets=here.tx_packets,
            tx_packets=here.rx_packets,
            rx_bytes=here.tx_bytes,
            tx_bytes=here.rx_bytes,
            rx_errors=here.tx_errors,
            tx_errors=here.rx_errors,
            rx_dropped=here.tx_dropped,
            tx_dropped=here.rx_dropped,
        )

    # Inside

    def _path(self, netns: str) -> str:
        return os.path.join(self._namespaces, netns)

    async def _look(self) -> Tables:
        """Links by name, and addresses, as they are: read again when the kernel says that one has changed."""
        async with self._dumping:
            rings = self._bell.rings()
            if rings != self._dumped_at:
                self._dump = await short(_read)
                self._dumped_at = rings
            return self._dump

    async def _look_inside(self, netns: str, call: Callable[[], T]) -> T | None:
        """None also where the namespace is gone."""
        path = self._path(netns)
        with doing(f"look into the network namespace {path}"):
            try:
                return await short(_inside, path, call)
            except OSError as error:
                # It went while we looked: no file, or one with nothing mounted on it.
                if error.errno in (errno.ENOENT, errno.EINVAL):
                    return None
                raise

    async def _note(self, links: dict[str, Link], network: Network) -> None:
        """Keep what the switches were that this network needs, on the bridge too, for other engines."""
        link, others = links[network.bridge], bridges.other_aliases(links, network.bridge)
        switches = await short(bridges.switches, links, network)
        alias = await short(self._forwarding.note, network.bridge, switches, others)
        if bridges.is_ours(link, network) and link.alias != alias:
            await short(rtnetlink.set_alias, link.index, alias)


def _read() -> Tables:
    return {link.name: link for link in rtnetlink.links()}, rtnetlink.addresses()


def _inside(path: str, call: Callable[[], T]) -> T | None:
    """Run a call in the namespace, unless it is gone."""
    return None if inode(path) is None else inside(path, call)


def _counters() -> dict[str, tuple[int, int]]:
    with open(COUNTERS, "rb") as file:
        lines = file.read().decode().splitlines()[2:]  # after two lines of titles
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        columns = numbers.split(None, 9)
        found[name.strip()] = int(columns[0]), int(columns[8])
    return found


def _state(link: Link) -> str:
    return "up" if link.up else "down"
