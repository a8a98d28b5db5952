"""The engine's networks: `bridge`, `host`, `none`, and those that people make; who is given which address in them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator
from ipaddress import ip_interface
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.flow.ledger import Ledger
from engine.flow.runner import Gate, Runner
from engine.flow.step import Operation
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import Conflict, EngineError, Forbidden, Invalid, NotFound
from engine.model.network import BUILT_IN, DEFAULT, Attachment, Endpoint, Network, Subnet
from engine.operations.remove_network import remove_network
from engine.spec import links
from engine.spec.addresses import check_range, choose, choose_subnet, mac, network, unique_local
from engine.spec.endpoints import check, check_target
from engine.spec.ipam import asked, with_gateway
from engine.spec.newnetwork import decode
from engine.spec.ports import wanted as wanted_ports
from engine.spec.wiring import attachments, mode, own_namespace, shares_with

log = logging.getLogger(__name__)

POOLS = (("10.84.0.0/14", 16), ("10.96.0.0/14", 16), ("192.168.128.0/17", 20))
"""Where ranges are looked for. Docker's stored networks own 172.17 to 172.31 even while it is down."""


class Networks:
    def __init__(self, host: Host, pools: tuple[tuple[str, int], ...] = POOLS, bip: str = "", mtu: int = 1500) -> None:
        self.host, self.pools, self.bip, self.mtu = host, pools, bip, mtu
        self.ledger: Ledger[Network] = Ledger(host.records, "network", msgspec.json.encode, _decode)
        self.runner: Runner[Host, Network] = Runner(host, self.ledger, host.clock)
        self._claims: dict[str, tuple[Endpoint, ...]] = {}
        """Endpoints decided on by operations whose record is not saved yet, by container."""
        self._mending = asyncio.Lock()
        self._choosing = asyncio.Lock()
        self._last = ""
        """The range of the pools that was handed out last."""

    @property
    def all(self) -> dict[str, Network]:
        """By name."""
        return {n.name: n for n in self.ledger.records.values()}

    def find(self, wanted: str) -> Network:
        """By full id, name, or unique prefix of an id. Raises `NotFound`, `Invalid`."""
        records = self.ledger.records
        if wanted in records:
            return records[wanted]
        found = [n for n in records.values() if n.name == wanted] or [n for n in records.values() if n.id.startswith(wanted)]
        if not wanted or not found:
            raise NotFound(f"network {wanted} not found")
        if len(found) > 1:
            raise Invalid(f"network {wanted} is ambiguous ({len(found)} matches found on id prefix)", "give more of the id")
        return found[0]

    # The engine begins and ends

    async def open(self) -> None:
        """Read the records, decide what is missing, and bring bridges and rules up."""
        await self.ledger.load()
        for n in list(self.ledger.records.values()):
            if n.run and n.run.open:
                try:
                    await self.runner.resume(n)
                except EngineError as error:
                    log.warning("cannot take up network %s: %s", n.name, error)
        now = self.host.clock.now()
        for name, driver in (("none", "null"), ("host", "host")):
            if name not in self.all:
                await self._keep(Network(id=secrets.token_hex(32), name=name, driver=driver, created=now))
        bridge = self.all.get(DEFAULT) or await self._first_bridge()
        if self.bip and ip_interface(self.bip) != ip_interface(f"{bridge.gateway}/{network(bridge.subnet).prefixlen}"):
            bridge = await self._keep(replace(bridge, ipv4=_given(self.bip)))
        if (bridge.bridge, bridge.mtu) != (self.host.facts.bridge, self.mtu):
            bridge = await self._keep(replace(bridge, bridge=self.host.facts.bridge, mtu=self.mtu))
        await self._make(bridge)
        for n in self._bridged():
            if n != bridge:
                try:
                    await self._make(n)
                except EngineError as error:  # containers on it cannot start, and say so; the others can
                    log.warning("cannot bring network %s up: %s", n.name, error)

    async def close(self) -> None:
        """Take bridges and rules away; the records stay, so the ranges are the same next time."""
        for n in self._bridged():
            await self.host.firewall.drop(n)
            await self.host.links.drop_bridge(n)

    async def mend(self, c: Container) -> None:
        """Put back what somebody took away of the networks a container is to be plugged into. Cheap where nobody did."""
        for name in attachments(c):
            n = self.find(name)
            async with self._mending:
                if await self.host.links.look_bridge(n.bridge) is None:
                    log.warning("the bridge %s was gone and is made again", n.bridge)
                    await self.host.links.make_bridge(n)
                if await self.host.firewall.look(n) is None:
                    log.warning("the firewall rules of %s were gone and are made again", n.bridge)
                    await self.host.firewall.make(n)

    def _bridged(self) -> list[Network]:
        return [n for n in self.ledger.records.values() if n.driver == "bridge"]

    async def _make(self, n: Network) -> None:
        await self.host.links.make_bridge(n)
        await self.host.firewall.make(n)

    async def _first_bridge(self) -> Network:
        ipv4 = _given(self.bip) if self.bip else with_gateway(Subnet(subnet=await self._free_range(), gateway=""))
        own = Network(
            id=secrets.token_hex(32),
            name=DEFAULT,
            driver="bridge",
            created=self.host.clock.now(),
            bridge=self.host.facts.bridge,
            mac=_new_mac(),
            ipv4=ipv4,
            mtu=self.mtu,
        )
        return await self._keep(own)

    async def _keep(self, own: Network) -> Network:
        return await self.ledger.save(own, sync=True)

    # People make networks and remove them

    async def new(self, body: Any) -> Network:
        """A record for a network to be made. Its name and its ranges are its own from now on; `run` makes it."""
        async with self._choosing:
            n = await self.settle(body)
            self.ledger.claim(n)
            if n.ipv4 and not n.ipv4.asked:
                self._last = n.subnet
        return n

    async def run(self, operation: Operation[Host, Network], n: Network, gate: Gate | None = None) -> None:
        async with self.ledger.lock(n.id):
            await self.runner.run(operation, n, gate)

    async def settle(self, body: Any) -> Network:
        """Check what `POST /networks/create` asks and decide what is left open: the record that would be made.

        Raises `Conflict`, `Forbidden`, `Invalid`, `NotFound`, `NotBuilt`.
        """
        given = decode(body)
        if given.name in BUILT_IN or given.name == "default":
            raise Forbidden(f"operation is not permitted on predefined {given.name} network", "choose another name")
        if given.name in self.all:
            raise Conflict(f"network with name {given.name} already exists", "choose another name")
        ipv4, ipv6 = asked(given.ipam)
        if ipv6 is None and given.enable_ipv6:
            ipv6 = Subnet(subnet=unique_local(), gateway="")
        ours = [own.subnet for n in self.ledger.records.values() for own in (n.ipv4, n.ipv6) if own]
        for own in (ipv4, ipv6):
            if own:
                check_range(own, ours)
        if ipv4 is None:
            ipv4 = Subnet(subnet=await self._free_range(), gateway="")
        id = secrets.token_hex(32)
        bridge = given.bridge or f"br-{id[:12]}"
        if any(n.bridge == bridge for n in self._bridged()):
            raise Forbidden(f"the bridge {bridge} belongs to another network", "choose another name for it")
        return Network(
            id=id,
            name=given.name,
            driver="bridge",
            created=self.host.clock.now(),
            bridge=bridge,
            mac=_new_mac(),
            ipv4=with_gateway(ipv4),
            ipv6=with_gateway(ipv6) if ipv6 else None,
            internal=given.internal,
            attachable=given.attachable,
            options=given.options or {},
            labels=given.labels or {},
            mtu=given.mtu or self.mtu,
        )

    def removal(self, n: Network, containers: Iterable[Container]) -> Operation[Host, Network]:
        """Raises `Forbidden` for a predefined one and where containers are plugged in."""
        if n.built_in:
            raise Forbidden(f"{n.name} is a pre-defined network and cannot be removed")
        if plugged := [c.name for c in containers if self._plugged(c, n)]:
            raise Forbidden(
                f"cannot remove network {n.name} id {n.id}: it has active endpoints of {', '.join(sorted(plugged))}",
                "disconnect or stop them first",
            )
        return remove_network(n)

    def _plugged(self, c: Container, n: Network) -> bool:
        return any(e.network_id == n.id for e in (*_in_use(c), *self._claims.get(c.id, ())))

    async def _free_range(self) -> str:
        ours = [n.subnet for n in self.ledger.records.values() if n.subnet]
        used = await self.host.links.used()
        return choose_subnet(self.pools, (*ours, *used), self._last)

    # Containers are wired

    def wire(self, c: Container, others: Iterable[Container]) -> Container:
        """Decide where a container is plugged in. Whoever means it calls `claim` in the same tick.

        Raises `NotFound` for a network that is gone, `Forbidden` for an address somebody has.
        """
        bindings = wanted_ports(c.config, c.host_config, self.host_binding(c)) if own_namespace(c) else ()
        others = tuple(others)
        c = replace(c, endpoints=(), bindings=bindings, ports=())
        if shared := shares_with(c):
            check_target(next((o for o in others if o.id == shared), None), shared)
        for name, wanted in attachments(c).items():
            c = replace(c, endpoints=(*c.endpoints, self.endpoint(c, self.find(name), wanted, others)))
        return c

    def endpoint(self, c: Container, n: Network, wanted: Attachment, others: Iterable[Container]) -> Endpoint:
        """Decide on one cable: its names, and addresses nobody else has."""
        if n.ipv4 is None:
            raise Invalid(f"cannot plug {c.name} into {n.name}: it is no bridge", "take another network")
        if n.run and n.run.open:
            raise Conflict(f"cannot plug {c.name} into {n.name}: it is being made or removed", "try again")
        check(n, wanted)
        taken = list(self._taken(c.id, n.id, others))
        address = choose(n.ipv4, wanted.ipv4, [e.address for e in taken])
        address6 = choose(n.ipv6, wanted.ipv6, [e.address6 for e in taken if e.address6]) if n.ipv6 else ""
        if wanted.ipv6 and not n.ipv6:
            raise Invalid(f"cannot give {wanted.ipv6}: the network {n.name} has no IPv6", "create it with --ipv6")
        used = {e.interface for e in c.endpoints}
        endpoint = Endpoint(
            network=n.name,
            network_id=n.id,
            endpoint_id=secrets.token_hex(32),
            bridge=n.bridge,
            veth=f"veth{c.id[:7]}{n.id[:4]}",
            interface=next(name for number in range(len(used) + 1) if (name := f"eth{number}") not in used),
            address=address,
            prefix=network(n.ipv4.subnet).prefixlen,
            gateway="" if n.internal else n.ipv4.gateway,
            mac=wanted.mac or mac(address),
            address6=address6,
            prefix6=network(n.ipv6.subnet).prefixlen if n.ipv6 else 0,
            gateway6=n.ipv6.gateway if n.ipv6 and not n.internal else "",
            mtu=n.mtu,
            internal=n.internal,
            isolated=not n.icc,
        )
        return links.tell(c, endpoint, {o.id: o for o in others})

    def _taken(self, id: str, network_id: str, others: Iterable[Container]) -> Iterator[Endpoint]:
        for other in others:
            if other.id != id:
                yield from (e for e in _in_use(other) if e.network_id == network_id)
        for claimant, endpoints in self._claims.items():
            if claimant != id:
                yield from (e for e in endpoints if e.network_id == network_id)

    def host_binding(self, c: Container) -> str:
        """The host's address that a container's ports are published on where nobody names one."""
        asked = mode(c)
        return next((n.host_binding for n in self._bridged() if asked in (n.name, n.id)), "")

    def claim(self, c: Container) -> None:
        """From now on nobody else is given its addresses. `release` ends the claim."""
        if c.endpoints:
            self._claims[c.id] = c.endpoints

    def release(self, id: str) -> None:
        """From now on the record alone speaks for the addresses."""
        self._claims.pop(id, None)


def _decode(data: bytes) -> Network:
    try:
        return msgspec.json.decode(data, type=Network)
    except msgspec.MsgspecError as error:
        raise EngineError(f"cannot read the network's record: {error}") from error


def _new_mac() -> str:
    return "02:42:" + secrets.token_bytes(4).hex(":")


def _given(interface: str) -> Subnet:
    """The range of an address with prefix length, which is the gateway's."""
    own = ip_interface(interface)
    return Subnet(subnet=str(own.network), gateway=str(own.ip), asked=True)


def _in_use(c: Container) -> tuple[Endpoint, ...]:
    """Addresses are taken while the cable is in, and while an operation may still plug or pull it."""
    return c.endpoints if c.run is not None and c.run.open else c.plugged
