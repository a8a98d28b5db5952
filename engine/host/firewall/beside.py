"""A chain of our own where another firewall drops what is forwarded.

An accept in our table does not override a drop in another: where Docker or ufw drop forwarded packets, accepts for our
bridges go into a chain in *their* table, through the iptables program (a native rule there would break `iptables -S`). They
are plain `-i`/`-o` accepts after Docker's own rules, and return what goes to Docker's bridges, so its unpublished ports stay
closed. What our own table drops stays dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.host.threads import short
from engine.host.tools import ask, find, tell

DOCKERS_BRIDGES = ("docker0", "br-+")

FINAL = r"-A FORWARD -j (DROP|REJECT)\b"
"""A rule that drops every packet that gets there, as iptables(8) saves it."""

LAST = re.compile(rf"{FINAL}|-A FORWARD -j ufw6?-reject-forward\b")
"""The same, or ufw's chain, which may: nothing after it is reached."""

IN_SAVED = re.compile(rf"^(-P FORWARD DROP|{FINAL})", re.MULTILINE)
"""Such a rule or policy."""

IN_NFT = re.compile(r"policy drop;|^\s*(counter packets \d+ bytes \d+ )?(drop|reject)\b", re.MULTILINE)
"""The same, as nft(8) lists it."""


class _Family(NamedTuple):
    nft: str
    iptables: str
    legacy_tables: str
    """Names the tables of legacy iptables in use. Asking that program makes them, so it is asked only when they are there."""


FAMILIES = (
    _Family("ip", "iptables", "/proc/net/ip_tables_names"),
    _Family("ip6", "ip6tables", "/proc/net/ip6_tables_names"),
)


class _Iptables(NamedTuple):
    """One of the two programs behind the name iptables: each has tables of its own."""

    family: _Family
    program: str
    legacy: bool


class Beside:
    """Our chain in the tables `filter` of both families."""

    def __init__(self, chain: str) -> None:
        self.chain = chain

    async def accept(self, ipv4: list[str], ipv6: list[str], *, rewrite: bool) -> None:
        """Where FORWARD drops: jump to our chain, with these bridges in it. A chain that is there is left, unless `rewrite`."""
        for family, bridges in zip(FAMILIES, (ipv4, ipv6), strict=True):
            for iptables in await _programs(family) if bridges else ():
                forward = await _list(iptables, "FORWARD")
                if _drops(iptables, forward) and (rewrite or f" {self.chain}\n" not in forward):
                    await self._join(iptables, bridges)
            if rewrite and not bridges:
                await self._withdraw(family)

    async def leave(self) -> None:
        """Our jumps and our chains away, whatever is left of them."""
        for family in FAMILIES:
            await self._withdraw(family)

    async def _join(self, iptables: _Iptables, bridges: list[str]) -> None:
        """Write the chain, and jump to it last, but before a final drop: what is others' is judged first."""
        forward = (await tell(iptables.program, "-w", "-S", "FORWARD")).splitlines()
        rules = "\n".join(self._rules(bridges, forward)) + "\n"
        await tell(f"{iptables.program}-restore", "-w", "--noflush", stdin=rules)

    def _rules(self, bridges: list[str], forward: list[str]) -> Iterator[str]:
        yield "*filter"
        yield f":{self.chain} - [0:0]"
        yield from (f"-A {self.chain} -o {bridge} -j ACCEPT" for bridge in bridges)
        yield from (f"-A {self.chain} -o {bridge} -j RETURN" for bridge in DOCKERS_BRIDGES)
        yield from (f"-A {self.chain} -i {bridge} -j ACCEPT" for bridge in bridges)
        rules = [rule for rule in forward if rule.startswith("-A ")]
        if f"-A FORWARD -j {self.chain}" not in rules:
            place = next((n for n, rule in enumerate(rules, 1) if LAST.match(rule)), len(rules) + 1)
            yield f"-I FORWARD {place} -j {self.chain}"
        yield "COMMIT"

    async def _withdraw(self, family: _Family) -> None:
        for iptables in await _programs(family):
            if not await _list(iptables, self.chain):
                continue
            while not (await ask(iptables.program, "-w", "-D", "FORWARD", "-j", self.chain))[0]:
                pass
            for action in ("-F", "-X"):
                await ask(iptables.program, "-w", action, self.chain)


async def strangers_drop() -> bool:
    """Does another firewall drop forwarded packets? Asks, and changes nothing."""
    for family in FAMILIES:
        # Without the program nft is asked, which knows of its rules.
        for iptables in await _programs(family) or [_Iptables(family, family.iptables, legacy=False)]:
            if _drops(iptables, await _list(iptables, "FORWARD")):
                return True
    return False


async def legacy_in_use() -> bool:
    """The kernel does not tell of changes that legacy iptables makes."""
    return any([await short(_legacy, family) for family in FAMILIES])


async def _programs(family: _Family) -> list[_Iptables]:
    """Which iptables to ask, of those installed. None: nobody can have made rules with it."""
    plain = find(family.iptables)
    modern = find(f"{family.iptables}-nft") or plain
    legacy = (find(f"{family.iptables}-legacy") or plain) if await short(_legacy, family) else None
    return [_Iptables(family, program, program is legacy) for program in (modern, legacy) if program]


async def _list(iptables: _Iptables, chain: str) -> str:
    """A chain of the table `filter`; empty when there is none. Asking nft, as iptables-nft does not, makes no table."""
    if iptables.legacy:
        return (await ask(iptables.program, "-w", "-S", chain))[1]
    return (await ask("nft", "list", "chain", iptables.family.nft, "filter", chain))[1]


def _drops(iptables: _Iptables, forward: str) -> bool:
    return bool((IN_SAVED if iptables.legacy else IN_NFT).search(forward))


def _legacy(family: _Family) -> bool:
    try:
        with open(family.legacy_tables) as file:
            return "filter" in file.read().split()
    except FileNotFoundError:
        return False
