"""What may pass: our own nft table, and a chain of our own where another firewall drops what is forwarded.

Our table is written whole, in one transaction of nft(8), so it is never half there. It lets containers out (masqueraded), lets
answers back in, and keeps networks and strangers apart. An accept in it does not override a drop in another table: where
Docker or ufw drop forwarded packets, accepts for our bridges go into a chain in *their* table, through the iptables program
(a native rule there would break `iptables -S`). They are plain `-i`/`-o` accepts after Docker's own rules, and return what
goes to Docker's bridges, so its unpublished ports stay closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.host import bell
from engine.host.bell import Bell
from engine.host.threads import short
from engine.host.tools import ask, find, tell
from engine.model.errors import Invalid
from engine.model.network import Network

BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""A link's name that is also a plain word for nft and iptables (a trailing `*` or `+` would match other links)."""

DOCKERS_BRIDGES = ("docker0", "br-+")

LEGACY_TABLES = "/proc/net/ip_tables_names"
"""Names the tables of legacy iptables in use. Asking that program makes them, so it is asked only when they are there."""

FINAL = r"-A FORWARD -j (DROP|REJECT)\b"
"""A rule that drops every packet that gets there, as iptables(8) saves it."""

IN_SAVED = re.compile(rf"^(-P FORWARD DROP|{FINAL})", re.MULTILINE)
"""Such a rule or policy."""

IN_NFT = re.compile(r"policy drop;|^\s*(counter packets \d+ bytes \d+ )?(drop|reject)\b", re.MULTILINE)
"""The same, as nft(8) lists it."""


class _Iptables(NamedTuple):
    """One of the two programs behind the name iptables: each has tables of its own."""

    program: str
    legacy: bool


class NftFirewall:
    """The port `Firewall` on the real kernel. One table and one chain for one engine, named after its first bridge."""

    def __init__(self, bridge: str) -> None:
        _check(bridge)
        suffix = "" if bridge == "longshore0" else f"-{bridge}"
        self.table = f"longshore{suffix}"
        self.chain = f"LONGSHORE{suffix}"
        self._networks: dict[str, Network] = {}
        self._bell = Bell(bell.NETLINK_NETFILTER, bell.RULES)
        self._listing = ""
        self._listed_at = self._refreshed_at = -1

    async def make(self, network: Network) -> None:
        """The table, with this network in it. Raises `Unavailable` without nft, `HostFailed` with nft's words."""
        _check(network.bridge)
        self._networks[network.bridge] = network
        await self._write()
        await self._accept(rewrite=True)

    async def drop(self, network: Network) -> None:
        """This network out of the table; with the last one the table and the chain go."""
        self._networks.pop(network.bridge, None)
        await self._write()
        if self._networks:
            await self._accept(rewrite=True)
            return
        for iptables in await self._programs():
            await self._withdraw(iptables)

    async def look(self, network: Network) -> str | None:
        """The masquerade rule, as nft lists it; nft is asked again when the kernel says that some rule has changed."""
        rings = self._bell.rings()
        if rings != self._listed_at:
            _, self._listing, _ = await ask("nft", "list", "chain", "inet", self.table, "postrouting")
            self._listed_at = rings
        lines = (line.strip() for line in self._listing.splitlines())
        return next((line for line in lines if "masquerade" in line and network.subnet in line.split()), None)

    async def refresh(self) -> None:
        """Add the chain where forwarded packets are dropped by now: dockerd may start after us, or an admin flush its tables.

        The kernel says whether any rule has changed since; only of legacy iptables' it does not.
        """
        rings = self._bell.rings()
        if self._networks and (rings != self._refreshed_at or await short(_legacy_in_use)):
            await self._accept(rewrite=False)
            self._refreshed_at = rings

    async def strangers_drop(self) -> bool:
        """Does another firewall drop forwarded packets? Asks, and changes nothing."""
        programs = await self._programs() or [_Iptables("iptables", legacy=False)]  # which _list asks nft about
        return any([_drops(iptables, await self._list(iptables, "FORWARD")) for iptables in programs])

    # Our own table

    async def _write(self) -> None:
        await tell("nft", "-f", "-", stdin=ruleset(self.table, tuple(self._networks.values())))

    # Beside others

    async def _programs(self) -> list[_Iptables]:
        """Which iptables to ask, of those installed. None: nobody can have made rules with it."""
        modern = find("iptables-nft") or find("iptables")
        legacy = (find("iptables-legacy") or find("iptables")) if await short(_legacy_in_use) else None
        return [_Iptables(program, program is legacy) for program in (modern, legacy) if program]

    async def _accept(self, *, rewrite: bool) -> None:
        """Where FORWARD drops: jump to our chain, with our bridges in it."""
        for iptables in await self._programs():
            forward = await self._list(iptables, "FORWARD")
            if _drops(iptables, forward) and (rewrite or f" {self.chain}\n" not in forward):
                await self._join(iptables)

    async def _list(self, iptables: _Iptables, chain: str) -> str:
        """A chain of the table `filter`; empty when there is none. Asking nft, as iptables-nft does not, makes no table."""
        if iptables.legacy:
            return (await ask(iptables.program, "-w", "-S", chain))[1]
        return (await ask("nft", "list", "chain", "ip", "filter", chain))[1]

    async def _join(self, iptables: _Iptables) -> None:
        """Write the chain, and jump to it last, but before a final drop: what is others' is judged first."""
        forward = (await tell(iptables.program, "-w", "-S", "FORWARD")).splitlines()
        await tell(f"{iptables.program}-restore", "-w", "--noflush", stdin="\n".join(self._chain_rules(forward)) + "\n")

    def _chain_rules(self, forward: list[str]) -> Iterator[str]:
        yield "*filter"
        yield f":{self.chain} - [0:0]"
        ours = list(self._networks)
        yield from (f"-A {self.chain} -o {bridge} -j ACCEPT" for bridge in ours)
        yield from (f"-A {self.chain} -o {bridge} -j RETURN" for bridge in DOCKERS_BRIDGES)
        yield from (f"-A {self.chain} -i {bridge} -j ACCEPT" for bridge in ours)
        rules = [rule for rule in forward if rule.startswith("-A ")]
        if f"-A FORWARD -j {self.chain}" not in rules:
            place = next((n for n, rule in enumerate(rules, 1) if re.match(FINAL, rule)), len(rules) + 1)
            yield f"-I FORWARD {place} -j {self.chain}"
        yield "COMMIT"

    async def _withdraw(self, iptables: _Iptables) -> None:
        """Our jump and our chain away, whatever is left of them."""
        if not await self._list(iptables, self.chain):
            return
        while not (await ask(iptables.program, "-w", "-D", "FORWARD", "-j", self.chain))[0]:
            pass
        for action in ("-F", "-X"):
            await ask(iptables.program, "-w", action, self.chain)


def ruleset(table: str, networks: tuple[Network, ...]) -> str:
    """The transaction that puts the table in place of any former one; without networks, takes it away."""
    clear = f"add table inet {table}\ndelete table inet {table}\n"
    if not networks:
        return clear
    masquerade = "\n".join(f'    ip saddr {net.subnet} oifname != "{net.bridge}" masquerade' for net in networks)
    within = "\n".join(f'    iifname "{net.bridge}" oifname "{net.bridge}" accept' for net in networks)
    ours = ", ".join(f'"{net.bridge}"' for net in networks)
    return f"""{clear}table inet {table} {{
  set ours {{
    type ifname
    elements = {{ {ours} }}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
{masquerade}
  }}
  chain forward {{
    type filter hook forward priority filter - 1
    iifname != @ours oifname != @ours accept
    ct state established,related accept
{within}
    oifname @ours drop
  }}
}}
"""


def _drops(iptables: _Iptables, forward: str) -> bool:
    return bool((IN_SAVED if iptables.legacy else IN_NFT).search(forward))


def _check(bridge: str) -> None:
    if not BRIDGE.fullmatch(bridge):
        raise Invalid(f"invalid bridge name {bridge!r}", "use at most 15 letters, digits, '_', '.' and '-'")


def _legacy_in_use() -> bool:
    try:
        with open(LEGACY_TABLES) as file:
            return "filter" in file.read().split()
    except FileNotFoundError:
        return False
