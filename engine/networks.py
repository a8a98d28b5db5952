"""The engine's networks: `bridge`, whose range is chosen once and kept, and `none`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_interface

import msgspec
from msgspec.structs import replace

from engine.host import Host
from engine.model.container import Container, Endpoint
from engine.model.errors import EngineError
from engine.model.network import Network
from engine.spec.addresses import lowest_free, network
from engine.spec.rows import network_name

log = logging.getLogger(__name__)

POOLS = (("10.84.0.0/14", 16), ("10.96.0.0/14", 16), ("192.168.128.0/17", 20))
"""Where the bridge's range is looked for. Docker's stored networks own 172.17 to 172.31 even while it is down."""


@dataclass
class Networks:
    host: Host
    pools: tuple[tuple[str, int], ...] = POOLS
    bip: str = ""
    """The bridge's own address with prefix length, as `--bip` gives it; else chosen from the pools."""
    all: dict[str, Network] = field(default_factory=dict)
    _claims: dict[str, str] = field(default_factory=dict)
    """Addresses decided on by operations whose record is not saved yet, by container."""
    _mending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> None:
        """Read the records, decide what is missing, and bring the bridge and its rules up."""
        for id, data in (await self.host.records.load("network")).items():
            try:
                kept = msgspec.json.decode(data, type=Network)
            except msgspec.MsgspecError as error:
                raise EngineError(f"cannot read the record of network {id[:12]}: {error}", "mend or remove it") from error
            self.all[kept.name] = kept
        if "none" not in self.all:
            await self._keep(Network(id=secrets.token_hex(32), name="none", driver="null", created=self.host.clock.now()))
        bridge = self.all.get("bridge") or await self._first_bridge()
        if self.bip and ip_interface(self.bip) != ip_interface(f"{bridge.gateway}/{network(bridge.subnet).prefixlen}"):
            bridge = await self._keep(replace(bridge, subnet=str(ip_interface(self.bip).network), gateway=_ip(self.bip)))
        if bridge.bridge != self.host.facts.bridge:
            bridge = await self._keep(replace(bridge, bridge=self.host.facts.bridge))
        await self.make()

    async def make(self) -> None:
        """The bridge and its rules, made again where somebody took them away."""
        bridge = self.all["bridge"]
        await self.host.links.make_bridge(bridge)
        await self.host.firewall.make(bridge)

    async def mend(self) -> None:
        """Put the bridge and its rules back where somebody took them away. Cheap where nobody did."""
        bridge = self.all["bridge"]
        async with self._mending:
            if await self.host.links.look_bridge(bridge.bridge) is None:
                log.warning("the bridge %s was gone and is made again", bridge.bridge)
                await self.host.links.make_bridge(bridge)
            if await self.host.firewall.look(bridge) is None:
                log.warning("the firewall rules of %s were gone and are made again", bridge.bridge)
                await self.host.firewall.make(bridge)

    async def close(self) -> None:
        """Take the bridge and its rules away; the record stays, so the range is the same next time."""
        if bridge := self.all.get("bridge"):
            await self.host.firewall.drop(bridge)
            await self.host.links.drop_bridge(bridge)

    def wire(self, c: Container, others: Iterable[Container]) -> Container:
        """Decide where a container is plugged in. Whoever means it calls `claim` in the same tick."""
        if network_name(c) == "none":
            return replace(c, endpoint=None)
        own = self.all[network_name(c)]
        taken = [o.endpoint.address for o in others if o.endpoint and o.id != c.id and _in_use(o)]
        claimed = [address for id, address in self._claims.items() if id != c.id]
        address = lowest_free(own.subnet, [own.gateway, *taken, *claimed])
        octets = bytes(int(part) for part in address.split("."))
        endpoint = Endpoint(
            network=own.name,
            network_id=own.id,
            endpoint_id=secrets.token_hex(32),
            bridge=own.bridge,
            veth=f"veth{c.id[:11]}",
            interface="eth0",
            address=address,
            prefix=network(own.subnet).prefixlen,
            gateway=own.gateway,
            mac="02:42:" + octets.hex(":"),
        )
        return replace(c, endpoint=endpoint)

    def claim(self, c: Container) -> None:
        """From now on nobody else is given its address. `release` ends the claim."""
        if c.endpoint:
            self._claims[c.id] = c.endpoint.address

    def release(self, id: str) -> None:
        """From now on the record alone speaks for the address."""
        self._claims.pop(id, None)

    async def _first_bridge(self) -> Network:
        subnet = str(ip_interface(self.bip).network) if self.bip else await self.host.links.choose_subnet(self.pools, ())
        gateway = _ip(self.bip) if self.bip else lowest_free(subnet, ())
        mac = "02:42:" + secrets.token_bytes(4).hex(":")
        own = Network(
            id=secrets.token_hex(32),
            name="bridge",
            driver="bridge",
            created=self.host.clock.now(),
            bridge=self.host.facts.bridge,
            subnet=subnet,
            gateway=gateway,
            mac=mac,
        )
        return await self._keep(own)

    async def _keep(self, own: Network) -> Network:
        await self.host.records.save("network", own.id, msgspec.json.encode(own), sync=True)
        self.all[own.name] = own
        return own


def _ip(interface: str) -> str:
    return str(ip_interface(interface).ip)


def _in_use(c: Container) -> bool:
    """An address is taken while its container runs, and while an operation may still hold it."""
    return c.status.alive or "PlugVeth" in c.held or (c.run is not None and c.run.open)
