"""What may pass: our own nft table, and a chain of our own where another firewall drops what is forwarded.

The table (`ruleset.py`) lets containers out (masqueraded), lets answers back in, leads published ports to them, and keeps
networks and strangers apart. Every change is one transaction, so it is never half there: of nft(8), or where only ports
come and go of `elements.py`. The kernel keeps what concerns whom, each element with its owner's name: an engine that starts
reads it back and changes nothing of it. Beside other firewalls: `beside.py`.
"""

from __future__ import annotations

import asyncio
import logging

from engine.host import bell
from engine.host.bell import Bell
from engine.host.firewall import beside, conntrack, elements, ruleset
from engine.host.firewall.beside import Beside
from engine.host.firewall.ruleset import Elements, Listing, Place
from engine.host.threads import short
from engine.host.tools import ask, tell
from engine.model.errors import HostFailed
from engine.model.network import Endpoint, Network, Published, Target

log = logging.getLogger(__name__)


class NftFirewall:
    """The port `Firewall` on the real kernel. One table and one chain for one engine, named after its first bridge."""

    def __init__(self, bridge: str) -> None:
        ruleset.check_bridge(bridge)
        suffix = "" if bridge == "longshore0" else f"-{bridge}"
        self.table = f"longshore{suffix}"
        self.chain = f"LONGSHORE{suffix}"
        self._beside = Beside(self.chain)
        self._wanted: Elements | None = None
        """What shall be in the kernel. None: not read back yet."""
        self._chains = ""
        """The rules as nft shows them when all is well; empty: not written yet."""
        self._changing = asyncio.Lock()
        self._orders: dict[str, Elements] = {}
        """What owners shall have, that the next transaction carries."""
        self._next: asyncio.Task[None] | None = None
        self._bell = Bell(bell.NETLINK_NETFILTER, bell.RULES)
        self._listing = Listing({}, "")
        self._listed_at = self._refreshed_at = -1

    # Networks

    async def make(self, network: Network) -> None:
        """The rules, with this network among them. Raises `Unavailable` (no nft), `HostFailed` with nft's words, `Invalid`."""
        await self._put(network.bridge, ruleset.of_network(network))
        async with self._changing:
            self._chains = self._chains or (await self._list()).chains  # a former engine's are as good
            await self._repair()
            await self._stand_beside(rewrite=True)

    async def drop(self, network: Network) -> None:
        """This network out of the table; with the last one table and chain go."""
        await self._put(network.bridge, {})
        async with self._changing:
            if any(place.set == "ours" for place in await self._known()):
                await self._stand_beside(rewrite=True)
                return
            await self._tell(ruleset.removal(self.table))
            self._wanted, self._chains = {}, ""
            await self._beside.leave()

    async def look(self, network: Network) -> str | None:
        """Its elements; None when one of them or a rule is missing. nft is asked again only after a change of any rule."""
        wanted = ruleset.of_network(network)
        return _shown(wanted) if self._is_whole(await self._list(), wanted) else None

    # Published ports

    async def forward(self, owner: str, target: Target, ports: tuple[Published, ...]) -> None:
        """Lead ports to a container. A port that was another's is its own now: who holds the port has been settled before.

        What comes by IPv6 to a target without it needs no rule: the relay carries it. Raises `HostFailed`, `Invalid`.
        """
        wanted = ruleset.of_ports(owner, target, ports)
        if ruleset.ours(target.bridge) not in await self._known():
            raise HostFailed(f"cannot lead ports to {target.address}: the network {target.bridge} has no firewall rules")
        await self._put(owner, wanted)

    async def unforward(self, owner: str) -> None:
        await self._put(owner, {})

    def commands(self, owner: str, target: Target, ports: tuple[Published, ...], *, back: bool = False) -> tuple[str, ...]:
        wanted = ruleset.of_ports(owner, target, ports)
        text = ruleset.changes(self.table, *((wanted, {}) if back else ((), wanted)))
        return tuple(f"nft '{line}'" for line in text.splitlines())

    async def look_forward(self, owner: str) -> str | None:
        """The owner's elements, which may be fewer than were made; None without any."""
        found = (await self._list()).elements
        return _shown({place: element for place, element in found.items() if element.owner == owner}) or None

    async def owners(self) -> set[str]:
        """Everybody whom ports lead to: what a crash has left is found by that."""
        return {element.owner for place, element in (await self._list()).elements.items() if place.published}

    # All day long

    async def refresh(self) -> None:
        """Put back what somebody flushed, and add the chain where forwarded packets are dropped by now.

        dockerd may start after us, or an admin reload a firewall. The kernel says whether any rule has changed since; only of
        legacy iptables' it does not.
        """
        rings = self._bell.rings()
        if self._chains and (rings != self._refreshed_at or await beside.legacy_in_use()):
            async with self._changing:
                await self._repair()
                await self._stand_beside(rewrite=False)
            self._refreshed_at = rings

    async def rules(self, endpoint: Endpoint) -> tuple[str, ...]:
        """What of the tables applies to one endpoint, now, with counters: of packets, and of connections where they begin."""
        return ruleset.concerning(endpoint, await self._text("list"))

    async def strangers_drop(self) -> bool:
        """Does another firewall drop forwarded packets? Asks, and changes nothing."""
        return await beside.strangers_drop()

    # Changes

    async def _put(self, owner: str, wanted: Elements) -> None:
        """The owner's elements, in place of any former ones of its own, and of others' at the same places.

        What is asked for while a transaction is under way goes into the next one, together: taking a single element away
        costs as much as a thousand, 20 ms, most of it the kernel's waiting (RCU). Begun, it is finished: nobody stops nft.
        """
        self._orders[owner] = wanted
        if self._next is None:
            self._next = asyncio.create_task(self._carry())
        await asyncio.shield(self._next)

    async def _carry(self) -> None:
        async with self._changing:
            orders, self._orders, self._next = self._orders, {}, None
            before = await self._known()
            wanted = {place: element for order in orders.values() for place, element in order.items()}
            gone = {
                place: element
                for place, element in before.items()
                if (element.owner in orders or place in wanted) and wanted.get(place) != element
            }
            fresh = {place: element for place, element in wanted.items() if before.get(place) != element}
            if gone or fresh:
                await self._write({place: e for place, e in before.items() if place not in gone} | fresh, gone, fresh)
                await self._forget_flows(gone | fresh)

    # The table. Callers hold the lock.

    async def _write(self, wanted: Elements, gone: Elements, fresh: Elements) -> None:
        """The change alone; where that is not possible, all of it: somebody was at the table, or an older engine made it."""
        whole = fresh and not self._chains
        try:
            if not whole and all(place.published for place in gone | fresh):
                await short(elements.change, self.table, gone, fresh)
            else:
                await self._tell((ruleset.skeleton(self.table) if whole else "") + ruleset.changes(self.table, gone, fresh))
        except (HostFailed, OSError) as error:
            log.info("firewall: the table is made anew: %s", error)
            await self._rewrite(wanted)
            return
        self._wanted = wanted
        if whole:
            self._chains = (await self._list()).chains

    async def _rewrite(self, wanted: Elements) -> None:
        rules = ruleset.skeleton(self.table) + ruleset.changes(self.table, (), wanted)
        await self._tell(ruleset.removal(self.table) + rules)
        self._wanted = wanted
        self._chains = (await self._list()).chains

    async def _repair(self) -> None:
        """Make it anew when something of it is missing, or a rule is another. Elements that somebody added are left alone."""
        wanted = await self._known()
        if not self._is_whole(await self._list(), wanted):
            log.warning("firewall rules of %s were gone or changed, and are made again", self.table)
            await self._rewrite(wanted)

    def _is_whole(self, listing: Listing, wanted: Elements) -> bool:
        """Are the rules there, the same as were written, and these elements?"""
        rules = bool(listing.chains) and listing.chains == (self._chains or listing.chains)
        return rules and wanted.items() <= listing.elements.items()

    async def _known(self) -> Elements:
        """What shall be in the kernel: at first, what is in it."""
        if self._wanted is None:
            found = (await self._list()).elements
            self._wanted = found if self._wanted is None else self._wanted  # another may have been here meanwhile
        return self._wanted

    async def _list(self) -> Listing:
        rings = self._bell.rings()
        if rings != self._listed_at:
            self._listing = await short(ruleset.parse, await self._text("-s", "list"))
            self._listed_at = rings
        return self._listing

    async def _text(self, *how: str) -> str:
        return (await ask("nft", *how, "table", "inet", self.table))[1]

    async def _tell(self, text: str) -> None:
        await tell("nft", "-f", "-", stdin=text)

    async def _stand_beside(self, *, rewrite: bool) -> None:
        places = await self._known()
        ipv4 = [element.owner for place, element in places.items() if place.set == "ours"]
        ipv6 = [element.owner for place, element in places.items() if place.set == "own6"]
        await self._beside.accept(ipv4, ipv6, rewrite=rewrite)

    async def _forget_flows(self, changed: Elements) -> None:
        ports = [port for place in changed if (port := _udp_port(place))]
        try:
            if ports:
                await short(conntrack.forget, ports)
        except OSError as error:
            log.warning("firewall: flows of UDP to the ports %s are not forgotten: %s", ports, error)


def _shown(found: Elements) -> str:
    return ", ".join(f"{place.set} {place.key}{element.value and ' : ' + element.value}" for place, element in found.items())


def _udp_port(place: Place) -> conntrack.Port | None:
    """The UDP port that an element leads somewhere."""
    match place.key.split(" . "):
        case ["udp", port]:
            return conntrack.Port(int(place.set[-1]), "", int(port))
        case ["udp", address, port]:
            return conntrack.Port(int(place.set[-1]), address, int(port))
    return None
