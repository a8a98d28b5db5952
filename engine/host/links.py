"""Bridges, cables, addresses and routes, by netlink.

Reading and taking away go through `rtnetlink.py`, making through pyroute2. Never pyroute2's own `netns=`: it forks. Instead
the netlink socket is opened by a thread that enters the namespace and ends there; the socket stays bound to it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

from pyroute2 import AsyncIPRoute

from engine.host import Sighting, Traffic, bell, forwarding, rtnetlink
from engine.host.bell import Bell
from engine.host.netns import inode, inside
from engine.host.rtnetlink import Address, Link
from engine.host.threads import short
from engine.host.tools import doing
from engine.model.container import Endpoint
from engine.model.errors import HostFailed
from engine.model.network import Network
from engine.spec.addresses import choose_subnet

Tables = tuple[dict[str, Link], list[Address]]

DEFAULT = "0.0.0.0/0"

COUNTERS = "/proc/thread-self/net/dev"

RESOLV_CONF = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
"""The second holds the real name servers where the first names systemd's stub."""


class KernelLinks:
    """The port `Links` on the real kernel. A `netns` is a name below `<exec root>/netns/`, or a path."""

    def __init__(self, exec_root: str) -> None:
        self._namespaces = os.path.join(exec_root, "netns")
        self._forwarding = forwarding.Forwarding(os.path.join(exec_root, "forwarding.json"))
        self._made: set[str] = set()
        self._bell = Bell(socket.NETLINK_ROUTE, bell.LINKS | bell.ADDRESSES)
        self._dump: Tables = ({}, [])
        self._dumped_at = -1
        self._dumping = asyncio.Lock()
        self._uplinks_bell = Bell(socket.NETLINK_ROUTE, bell.LINKS | bell.ROUTES | bell.FORWARDING)
        self._refreshed_at = -1

    # The bridge

    async def make_bridge(self, network: Network) -> None:
        """The bridge with its address, up, and forwarding for it and the uplinks. Made again when somebody deleted it.

        Raises `HostFailed` when the name belongs to a link that is not ours.
        """
        with doing(f"make the bridge {network.bridge}"):
            link = (await self._look())[0].get(network.bridge)
            if link and not _is_bridge_of(link, network):
                raise _stranger(network.bridge, "choose another name with --bridge, or remove")
            alias = await self._note_uplinks(network.bridge)
            prefix = IPv4Network(network.subnet).prefixlen
            async with AsyncIPRoute() as kernel:
                if link is None:
                    # With the address given the MAC never changes when ports join, and marks the bridge as ours.
                    await kernel.link("add", ifname=network.bridge, kind="bridge", address=network.mac, mtu=network.mtu)
                index = await _index(kernel, network.bridge)
                await kernel.link("set", index=index, ifalias=alias, mtu=network.mtu, state="up")
                await _set_address(kernel, index, IPv4Interface(f"{network.gateway}/{prefix}"))
            await short(_own_sysctls, network.bridge)
            await short(self._forwarding.open)
            self._made.add(network.bridge)

    async def drop_bridge(self, network: Network) -> None:
        """The bridge away, and the uplinks' forwarding as it was."""
        with doing(f"remove the bridge {network.bridge}"):
            links = (await self._look())[0]
            link = links.get(network.bridge)
            if link and _is_bridge_of(link, network):
                await short(rtnetlink.delete_link, link.index)
            self._made.discard(network.bridge)
            await short(self._forwarding.close, _other_aliases(links, network.bridge))

    async def look_bridge(self, bridge: str) -> str | None:
        links, addresses = await self._look()
        link = links.get(bridge)
        if link is None or link.kind != "bridge":
            return None
        own = " ".join(f"{a.address}/{a.prefix}" for a in addresses if a.index == link.index)
        ports = sum(port.master == link.index for port in links.values())
        return f"{bridge} {_state(link)}, {own or 'no address'}, {ports} port{'' if ports == 1 else 's'}"

    async def refresh(self) -> None:
        """Switch forwarding on for uplinks that came after the bridge (a cable, a VPN). Costs nothing while nothing changes."""
        rings = self._uplinks_bell.rings()
        if rings == self._refreshed_at:
            return
        with doing("switch forwarding on"):
            links, _ = await self._look()
            for bridge in self._made & links.keys():
                alias = await self._note_uplinks(bridge)
                if links[bridge].alias != alias:
                    async with AsyncIPRoute() as kernel:
                        await kernel.link("set", index=await _index(kernel, bridge), ifalias=alias)
            if self._made:
                await short(self._forwarding.open)
        self._refreshed_at = rings

    async def choose_subnet(self, pools: tuple[tuple[str, int], ...], taken: tuple[str, ...]) -> str:
        """The first free range of the pools: no route, address or name server of this host lies in it, and nothing `taken`."""
        with doing("read the host's routes"):
            return choose_subnet(pools, (*taken, *await short(_used)))

    # The cable

    async def plug(self, endpoint: Endpoint, netns: str, owner: str) -> None:
        """Raises `HostFailed` when the name belongs to a link that is not ours, and without bridge or namespace."""
        path = self._path(netns)
        with doing(f"plug {endpoint.veth} into {endpoint.bridge}"):
            links = (await self._look())[0]
            bridge = links.get(endpoint.bridge)
            if bridge is None or bridge.kind != "bridge":
                raise HostFailed(f"there is no bridge {endpoint.bridge}", "restart the engine: it makes its bridge")
            if await short(inode, path) is None:
                raise HostFailed(f"the network namespace {path} is gone", "start the container anew")
            if there := links.get(endpoint.veth):
                if not _is_cable_of(there, owner):
                    raise _stranger(endpoint.veth, "remove")
                if await short(_is_plugged, there, bridge, endpoint, path, owner):
                    return
                await short(rtnetlink.delete_link, there.index)
            async with AsyncIPRoute() as kernel:
                await _add_cable(kernel, endpoint, bridge, path, owner)

    async def unplug(self, endpoint: Endpoint, owner: str) -> None:
        with doing(f"unplug {endpoint.veth}"):
            link = (await self._look())[0].get(endpoint.veth)
            if link and _is_cable_of(link, owner):
                await short(rtnetlink.delete_link, link.index)

    async def look_plug(self, endpoint: Endpoint, owner: str) -> str | None:
        """None also when a link of that name is not ours, or no port of the bridge."""
        links, _ = await self._look()
        link, bridge = links.get(endpoint.veth), links.get(endpoint.bridge)
        if not link or not bridge or link.alias != owner or link.master != bridge.index:
            return None
        return f"{link.name} {_state(link)}, port of {bridge.name}, mtu {link.mtu}"

    # The address

    async def address(self, endpoint: Endpoint, netns: str) -> None:
        with doing(f"give {endpoint.interface} the address {endpoint.address}"):
            async with self._inside(netns) as kernel:
                index = await _index(kernel, endpoint.interface)
                interface = IPv4Interface(f"{endpoint.address}/{endpoint.prefix}")
                await kernel.addr("replace", index=index, **_request(interface))
                await kernel.link("set", index=index, state="up")
                await kernel.route("replace", dst="default", gateway=endpoint.gateway, oif=index)

    async def unaddress(self, endpoint: Endpoint, netns: str) -> None:
        """Address and route away, link down. No namespace or no link: nothing to do."""
        with doing(f"take the address {endpoint.address} from {endpoint.interface}"):
            path = self._path(netns)
            if await short(inode, path) is not None:
                await short(inside, path, lambda: _unaddress(endpoint.interface))

    async def look_address(self, endpoint: Endpoint, netns: str) -> str | None:
        """None unless all three are there: the address, the link up, the default route."""
        path = self._path(netns)
        if await short(inode, path) is None:
            return None
        with doing(f"look into the network namespace {path}"):
            try:
                return await short(inside, path, lambda: _look_inside(endpoint))
            except OSError as error:
                # It went while we looked: no file, or one with nothing mounted on it.
                if error.errno in (errno.ENOENT, errno.EINVAL):
                    return None
                raise

    # All day long

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
            here = await short(rtnetlink.traffic, endpoint.veth)
        return here and Traffic(
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

    @asynccontextmanager
    async def _inside(self, netns: str) -> AsyncIterator[AsyncIPRoute]:
        """The same, in a container's namespace."""
        async with AsyncIPRoute(fileno=await short(inside, self._path(netns), _netlink_socket)) as kernel:
            yield kernel

    async def _note_uplinks(self, bridge: str) -> str:
        links, _ = await self._look()
        uplinks = await short(_uplinks, links, bridge)
        return await short(self._forwarding.note, uplinks, _other_aliases(links, bridge))


def _read() -> Tables:
    return {link.name: link for link in rtnetlink.links()}, rtnetlink.addresses()


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


def _netlink_socket() -> int:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE).detach()


async def _index(kernel: AsyncIPRoute, name: str) -> int:
    for index in await kernel.link_lookup(ifname=name):
        return int(index)
    raise OSError(errno.ENODEV, f"there is no link {name}")


async def _set_address(kernel: AsyncIPRoute, index: int, wanted: IPv4Interface) -> None:
    """The one address of a link: `--bip` may have named another the last time."""
    for old in await short(rtnetlink.addresses):
        if old.index == index and (old.address, old.prefix) != (str(wanted.ip), wanted.network.prefixlen):
            await short(rtnetlink.delete_address, old)
    await kernel.addr("replace", index=index, **_request(wanted))


def _request(wanted: IPv4Interface) -> dict[str, str | int]:
    net = wanted.network
    return {"address": str(wanted.ip), "prefixlen": net.prefixlen, "broadcast": str(net.broadcast_address)}


async def _add_cable(kernel: AsyncIPRoute, endpoint: Endpoint, bridge: Link, path: str, owner: str) -> None:
    """One message makes both ends where they belong. The ifalias needs a second: until then the MAC tells whose it is."""
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await kernel.link(
            "add",
            ifname=endpoint.veth,
            kind="veth",
            address=_mac_of(owner),
            mtu=bridge.mtu,
            master=bridge.index,
            state="up",
            peer={"ifname": endpoint.interface, "net_ns_fd": namespace, "address": endpoint.mac, "mtu": bridge.mtu},
        )
    finally:
        os.close(namespace)
    await kernel.link("set", index=await _index(kernel, endpoint.veth), ifalias=owner)


def _mac_of(owner: str) -> str:
    """MAC of the host's end: locally administered, unicast, the rest from the owner's name."""
    return bytes((0x02, *hashlib.sha256(owner.encode()).digest()[:5])).hex(":")


def _is_cable_of(link: Link, owner: str) -> bool:
    return link.kind == "veth" and (link.alias == owner or (not link.alias and link.mac == _mac_of(owner)))


def _is_bridge_of(link: Link, network: Network) -> bool:
    return link.kind == "bridge" and link.mac == network.mac.lower()


def _is_plugged(link: Link, bridge: Link, endpoint: Endpoint, path: str, owner: str) -> bool:
    """Is the whole cable there, both ends?"""
    if not (link.up and link.alias == owner and link.master == bridge.index):
        return False
    return any(end.name == endpoint.interface and end.mac == endpoint.mac.lower() for end in inside(path, rtnetlink.links))


def _unaddress(interface: str) -> None:
    for link in rtnetlink.links():
        if link.name == interface:
            for address in rtnetlink.addresses():
                if address.index == link.index:
                    rtnetlink.delete_address(address)
            rtnetlink.take_down(link.index)


def _look_inside(endpoint: Endpoint) -> str | None:
    link = next((link for link in rtnetlink.links() if link.name == endpoint.interface and link.up), None)
    if link is None:
        return None
    has_address = Address(link.index, endpoint.address, endpoint.prefix) in rtnetlink.addresses()
    has_route = any(route.gateway == endpoint.gateway and link.index in route.links for route in rtnetlink.routes())
    if not (has_address and has_route):
        return None
    return f"{link.name} up, {endpoint.address}/{endpoint.prefix}, default via {endpoint.gateway}, mac {link.mac}"


def _own_sysctls(bridge: str) -> None:
    forwarding.write(bridge, "1")
    with suppress(FileNotFoundError), open(f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra", "w") as file:
        file.write("0")  # a container must not configure the host's side by router advertisements


def _uplinks(links: dict[str, Link], bridge: str) -> list[str]:
    """Links by which packets come back: those with a default route, and all others with a route that are no bridge.

    Other bridges belong to other engines and hypervisors, unless the host's own way out leads over one.
    """
    routes = rtnetlink.routes()
    routed = {index for route in routes for index in route.links}
    default = {index for route in routes if route.destination == DEFAULT for index in route.links}
    return [
        link.name
        for link in links.values()
        if link.name not in ("lo", bridge) and (link.index in default or (link.index in routed and link.kind != "bridge"))
    ]


def _other_aliases(links: dict[str, Link], bridge: str) -> list[str]:
    return [link.alias for link in links.values() if link.kind == "bridge" and link.name != bridge]


def _used() -> list[str]:
    """Every range and address this host uses or asks: routes, own addresses, name servers."""
    used = [route.destination for route in rtnetlink.routes()]
    used += [f"{address.address}/{address.prefix}" for address in rtnetlink.addresses()]
    for path in RESOLV_CONF:
        with suppress(FileNotFoundError), open(path) as file:
            used += _name_servers(file.read())
    return used


def _name_servers(text: str) -> list[str]:
    """IPv4 name servers of a resolv.conf(5)."""
    servers = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                with suppress(AddressValueError):
                    servers.append(str(IPv4Address(server)))
    return servers


def _stranger(name: str, remedy: str) -> HostFailed:
    return HostFailed(f"a link named {name} exists that is not ours", f"{remedy} it: ip link del {name}", errno.EEXIST)
