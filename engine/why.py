"""Why can A not reach B? The path is followed hop by hop in the kernel's state, and really tried.

What stops it is told by the first hop that is not as it must be. An attempt that fails without an evident reason is made again
while the firewall is traced, so that the very rule is named which drops it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from ipaddress import ip_address

from engine.core import Engine
from engine.host.sight import Answer, Attempt, Listener, Sight
from engine.model.container import Container
from engine.model.errors import HostFailed, Invalid, NotFound
from engine.model.network import BUILT_IN, Binding, Endpoint, Network
from engine.model.reach import Hop, Outcome, Verdict
from engine.spec import reach
from engine.spec.resolution import NAME_SERVER, resolv_conf, values
from engine.spec.wiring import mode, shares_with, translated, way_out

QUICK, PATIENT = 0.3, 1.0
"""Seconds for the first attempt, and for the traced one."""
NAME_SECONDS = 2.0
HOST, OUTSIDE = "host", "outside"
ANYWHERE = {4: "203.0.113.1", 6: "2001:db8::1"}
"""Of documentation (RFC 5737, RFC 3849): whatever is outside. Nothing is sent there; the route is asked for."""
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True)
class End:
    said: str
    netns: str | None
    """Path of its network namespace; empty: the host's; None: it is somewhere outside."""
    c: Container | None = None
    wired: Container | None = None
    """The container whose cables it uses: itself, or the one whose namespace it lives in."""
    address: str = ""
    """The one that was asked for."""
    name: str = ""
    """Of somebody outside, for a name server."""

    @property
    def outside(self) -> bool:
        return self.netns is None

    @property
    def cables(self) -> tuple[Endpoint, ...]:
        """Where an address was asked for, the one that has it."""
        own = self.wired.endpoints if self.wired else ()
        return tuple(e for e in own if self.address in (e.address, e.address6)) or own

    @property
    def enter(self) -> str:
        """The command that enters its namespace."""
        return f"nsenter --net={self.netns} " if self.netns else ""


@dataclass(frozen=True)
class Question:
    a: End
    b: End
    port: int
    protocol: str
    family: int

    @property
    def what(self) -> str:
        return f"{self.port}/{self.protocol}" if self.port else "ping"


class Why:
    """Implements `WhyInterface` on an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.host = engine, engine.host

    async def why(self, source: str, target: str, port: int = 0, protocol: str = "", *, family: int | None = None) -> Verdict:
        began = time.monotonic()
        here = await self.host.reach.look("")
        a, b = (self._find(said.strip(), here) for said in (source, target))
        q, hops = _check(a, b, port, protocol, family), []
        async with aclosing(self._path(q)) as path:
            async for hop in path:
                hops.append(hop)
                if hop.outcome is Outcome.STOPPED:
                    break
        ms = (time.monotonic() - began) * 1000
        return Verdict(source=a.said, target=b.said, port=port, protocol=q.protocol, hops=tuple(hops), ms=ms)

    # The two ends

    def _find(self, said: str, here: Sight) -> End:
        if said in (HOST, OUTSIDE):
            return End(said, "" if said == HOST else None)
        address = _address(said)
        if address in here.addresses:
            return End(said, "", address=address)
        if address:
            for c in self.engine.ledger.records.values():
                if any(address in (e.address, e.address6) for e in c.plugged):
                    return self._container(said, c, address)
            return End(said, None, address=address)
        try:
            return self._container(said, self.engine.resolve(said))
        except NotFound:
            if "." not in said:
                raise
            return End(said, None, name=said)

    def _container(self, said: str, c: Container, address: str = "") -> End:
        wired: Container | None = c
        if shared := shares_with(c):
            wired = self.engine.ledger.get(shared)
        if wired is None or mode(wired) == "host":
            return End(said, "", c, address=address)
        return End(said, self.host.netns.path(wired.sandbox), c, wired, address)

    # The path

    async def _path(self, q: Question) -> AsyncGenerator[Hop, None]:
        for end in (q.a, q.b):
            if end.c:
                yield await self._lives(end.c)
        for end in (q.a, q.b):
            if end.wired and q.a.netns != q.b.netns:
                yield reach.networks(end.wired, mode(end.wired), end.cables)
        async with aclosing(self._through(q)) as through:
            async for hop in through:
                yield hop

    def _through(self, q: Question) -> AsyncGenerator[Hop, None]:
        a, b = q.a, q.b
        if a.netns is not None and a.netns == b.netns:
            return self._arrive(q, a.netns, b.address or LOOPBACK[q.family])
        if a.wired and b.wired:
            return self._between(q)
        if a.outside:
            return self._inwards(q)
        return self._outwards(q) if b.outside else self._with_host(q)

    async def _lives(self, c: Container) -> Hop:
        task = await self.host.tasks.look(c.id)
        alive = task is not None and task.status != "stopped"
        return reach.lives(c, task.pid if task and alive else 0, await self.host.cgroups.freezer(c.id) if alive else None)

    async def _cable(self, q: Question, end: End, e: Endpoint) -> AsyncGenerator[Hop, None]:
        assert end.wired and end.netns
        here = await self.host.reach.look("")
        there = await self.host.netns.look(end.wired.sandbox)
        inside = await self.host.reach.look(end.netns) if there else None
        yield reach.cable(end.wired, e, here, inside, end.enter)
        if inside:
            yield reach.address(end.wired, e, q.family, inside)

    async def _between(self, q: Question) -> AsyncGenerator[Hop, None]:
        """Two containers with cables of their own."""
        a, b = q.a, q.b
        assert a.wired and b.wired
        pair = reach.meeting(a.cables, b.cables)
        ends = pair or (way_out(a.cables) or a.cables[0], b.cables[0])
        for end, e in zip((a, b), ends, strict=True):
            async for hop in self._cable(q, end, e):
                yield hop
        address = b.address or reach.address_of(ends[1], q.family)
        if pair is None:
            listeners = (await self.host.reach.look(b.netns or "")).listeners
            tried = await self._try(q, a.netns or "", address, q.port, listeners, address)
            yield reach.together(a.wired, b.wired, a.cables, b.cables, tried)
        async for hop in self._arrive(q, a.netns or "", address, shared=self._network(ends[0]) if pair else None):
            yield hop
        if b.c and not b.address and pair:
            async for hop in self._named(q, ends[0], address):
                yield hop

    async def _with_host(self, q: Question) -> AsyncGenerator[Hop, None]:
        """A container and the host it runs on."""
        a, b = q.a, q.b
        e = way_out(a.cables) or (a.cables or b.cables)[0]
        async for hop in self._cable(q, a if a.wired else b, e):
            yield hop
        address = b.address or (reach.address_of(e, q.family) if b.wired else await self._hosts_address(e, q.family))
        found = await self.host.reach.route(a.netns or "", address)
        yield reach.route(a.said if a.wired else "", address, found, a.enter)
        async for hop in self._arrive(q, a.netns or "", address):
            yield hop

    async def _outwards(self, q: Question) -> AsyncGenerator[Hop, None]:
        """From a container, or the host, to somebody outside."""
        a, b, e = q.a, q.b, way_out(q.a.cables)
        if a.wired:
            async for hop in self._cable(q, a, e or a.cables[0]):
                yield hop
            if e is None:
                yield reach.closed_in(a.wired, a.cables[0])
        address = b.address or ANYWHERE[q.family]
        if b.name:
            address, hop = await self._resolve(q)
            yield hop
        if e:
            yield reach.route(a.said, address, await self.host.reach.route(a.netns or "", address), a.enter)
            yield reach.forwarding(e.bridge, q.family, await self.host.reach.forwards(e.bridge, q.family))
        found = await self.host.reach.route("", address)
        yield reach.route("", address, found, "")
        assert found
        if e:
            yield reach.forwarding(found.interface, q.family, await self.host.reach.forwards(found.interface, q.family))
        if b.said == OUTSIDE:
            address = found.gateway or address  # the next router stands for all that is behind it
        async for hop in self._arrive(q, a.netns or "", address):
            yield hop

    async def _inwards(self, q: Question) -> AsyncGenerator[Hop, None]:
        """From outside to the host, or to a container by a port of the host."""
        b = q.b
        found = await self.host.reach.route("", q.a.address or ANYWHERE[q.family])
        here, port, ear, by_nat = await self.host.reach.look(""), q.port, "", True
        uplink = here.interfaces.get(found.interface) if found else None
        alike = tuple(dict.fromkeys((found.source, *uplink.addresses))) if found and uplink else ()
        address = b.address or next(iter(alike), "")
        if b.wired:
            e = way_out(b.cables)
            if e is None:
                yield reach.closed_in(b.wired, b.cables[0])
                return
            p = reach.publishing(b.wired, q.port, q.protocol, q.family, alike)
            if isinstance(p, Hop):
                yield p
                return
            by_nat = translated([Binding(protocol=p.protocol, port=p.port, host_ip=p.host_ip)], e)
            led, held = await self.host.firewall.look_forward(b.wired.id), await self.host.ports.look(b.wired.id)
            yield reach.published(b.wired, p, here, alike, held, led, translated=by_nat)
            async for hop in self._cable(replace(q, family=4 if not e.address6 else q.family), b, e):
                yield hop
            port, ear = p.host_port, reach.address_of(e, q.family) or e.address
            address = address if ip_address(p.host_ip).is_unspecified else p.host_ip
        async with self.host.reach.outside(q.family) as (stranger, gateway):
            address = address or gateway
            async for hop in self._arrive(q, stranger, address, port, ear=ear or address, relayed=not by_nat):
                yield hop

    # The end of the path

    async def _arrive(
        self,
        q: Question,
        netns: str,
        address: str,
        port: int = 0,
        *,
        ear: str = "",
        shared: Network | None = None,
        relayed: bool = False,
    ) -> AsyncGenerator[Hop, None]:
        """Try it from a namespace; then say what firewalls, the other end's sockets and the attempt tell.

        `port`: what is asked for where it is not the target's own, `ear`: the target's address where it is not `address`;
        `relayed`: what answers is not the target, but the relay in front of it.
        """
        b, ear = q.b, ear or address
        listeners = () if b.netns is None else (await self.host.reach.look(b.netns)).listeners
        tried = await self._try(q, netns, address, port or q.port, listeners, ear)
        drop = tried.drop
        where = next((end.said for end in (q.a, b) if drop and drop.netns and end.netns == drop.netns), "")
        yield reach.rules(tried, shared, where)
        if q.port and not b.outside:
            hop = reach.listening(b.said, ear, q.port, q.protocol, listeners)
            if hop.outcome is Outcome.OK or relayed or tried.answer is not Answer.ANSWERED:
                yield hop  # else what answers has ears, seen or not
        neighbour, state = await self._neighbour(netns, address)
        if b.outside and state not in reach.AWAY:
            neighbour, state = await self._neighbour("", address)
        yield reach.answer(b.said, q.what, tried, QUICK + PATIENT, neighbour, state, address, beyond=b.outside)

    async def _try(self, q: Question, netns: str, address: str, port: int, listeners: Iterable[Listener], ear: str) -> Attempt:
        """Once, and where it fails without a reason that can be seen, once more and traced."""
        tried = await self.host.reach.connect(netns, address, port, q.protocol, QUICK)
        heard = [each for each in listeners if (each.port, each.protocol) == (q.port, q.protocol) and reach.hears(each, ear)]
        deaf = q.port and not q.b.outside and not heard
        if tried.answer is Answer.ANSWERED or (tried.answer is Answer.REFUSED and deaf):
            return tried
        traced = tuple(end.netns for end in (q.a, q.b) if end.netns)
        return await self.host.reach.connect(netns, address, port, q.protocol, PATIENT, traced)

    async def _neighbour(self, netns: str, address: str) -> tuple[str, str]:
        """The next on the way, and what the kernel knows of it."""
        found = await self.host.reach.route(netns, address)
        neighbour = (found.gateway if found else "") or address
        return neighbour, (await self.host.reach.look(netns)).neighbours.get(neighbour, "")

    def _network(self, e: Endpoint) -> Network | None:
        return self.engine.networks.ledger.get(e.network_id)

    async def _hosts_address(self, e: Endpoint, family: int) -> str:
        """The bridge's own where it has one, else the one that the host uses towards the outside."""
        n = self._network(e)
        subnet = (n.ipv4 if family == 4 else n.ipv6) if n else None
        if subnet and subnet.gateway in (await self.host.reach.look("")).addresses:
            return subnet.gateway
        found = await self.host.reach.route("", ANYWHERE[family])
        return found.source if found else LOOPBACK[family]

    # Names

    async def _named(self, q: Question, e: Endpoint, address: str) -> AsyncGenerator[Hop, None]:
        """Does one container find the other by its name, too?"""
        a, b = q.a.c, q.b.c
        assert a and b
        written = [*(a.host_config.extra_hosts or ()), *e.links]
        if address in e.links.values() or any(text.partition(":")[0] == b.name for text in written):
            return
        if e.network in BUILT_IN:
            yield reach.nameless(a.name, b.name, e.network, address)
        else:
            found, trouble = await self._ask(q.a.netns or "", (NAME_SERVER,), b.name)
            yield reach.named(a.name, NAME_SERVER, b.name, found, address, trouble)

    async def _resolve(self, q: Question) -> tuple[str, Hop]:
        """The address of somebody outside, as the asking end is told it."""
        a, name = q.a, q.b.name
        host = await self.host.names.host_servers()
        text = "".join(f"nameserver {server}\n" for server in host)
        servers = values(resolv_conf(a.wired, text), "nameserver") if a.wired else host
        found, trouble = await self._ask(a.netns or "", servers, name)
        found = tuple(each for each in found if ip_address(each).version == q.family)
        return next(iter(found), ""), reach.named(a.said, ", ".join(servers), name, found, "", trouble)

    async def _ask(self, netns: str, servers: tuple[str, ...], name: str) -> tuple[tuple[str, ...], str]:
        """The first server that answers is believed, as libraries do. And why none did."""
        trouble = "no name server"
        for server in servers:
            try:
                return await self.host.reach.resolve(netns, server, name, NAME_SECONDS), ""
            except HostFailed as error:
                trouble = error.message
        return (), trouble


def _address(said: str) -> str:
    """An address in its one way of being written; empty: it is none. Raises `Invalid` for one that means each one's own."""
    try:
        address = ip_address(said)
    except ValueError:
        return ""
    if address.is_loopback or address.is_unspecified:
        raise Invalid(f"{said} means somebody else at each end", "name the container, or say host")
    return str(address)


def _check(a: End, b: End, port: int, protocol: str, family: int | None) -> Question:
    """Raises `Invalid` for what cannot be asked."""
    protocol = protocol or ("tcp" if port else "icmp")
    if protocol not in (("tcp", "udp") if port else ("icmp",)):
        raise Invalid(
            f"cannot try {protocol} {'on a port' if port else 'without a port'}", "give a port with tcp or udp, or none"
        )
    if not 0 <= port < 65536:
        raise Invalid(f"{port} is no port", "give 1 to 65535, or none for a ping")
    if a.name:
        raise Invalid(f"{a.said} cannot be asked to try", "begin at a container, host, outside, or an address")
    if a.outside and b.outside:
        raise Invalid(f"neither {a.said} nor {b.said} is on this host", "give one end that is")
    if a.outside and b.wired and not port:
        raise Invalid("from outside only published ports lead to a container", "give the container's port")
    versions = {ip_address(end.address).version for end in (a, b) if end.address} | ({family} if family else set())
    if len(versions) > 1 or not versions <= {4, 6}:
        raise Invalid("one end is of IPv4, the other of IPv6", "give both of one family")
    return Question(a, b, port, protocol, versions.pop() if versions else 4)
