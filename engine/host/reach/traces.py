"""Which rule of a firewall drops a packet, ours or a stranger's: the kernel's own tracing of nft rules, and counters of legacy
iptables'.

For the time of one attempt a table of ours marks its packets (`meta nftrace set 1`), and the kernel tells of every rule that
judges a marked packet (nft(8), `monitor trace`; here heard by netlink(7), so that nothing is missed). Every table is seen,
those that iptables-nft(8) makes too. Ours belongs to the process that made it (`flags owner`) and goes with it, however the
engine ends.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.host.bell import NETLINK_NETFILTER
from engine.host.firewall.beside import legacy_in_use
from engine.host.netlink import RECEIVE, Attributes, attributes, messages, text
from engine.host.netns import inside
from engine.host.rtnetlink import family_of
from engine.host.sight import Answer, Attempt, Drop
from engine.host.threads import short
from engine.host.tools import SEARCH_PATH, ask, doing, find, not_installed
from engine.model.errors import HostFailed

# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
NFNLGRP_NFTRACE = 9
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NFT_MSG_TRACE = 10 << 8 | 17
NFGENMSG_SIZE = 4
NFTA_TRACE_TABLE, NFTA_TRACE_CHAIN, NFTA_TRACE_RULE_HANDLE, NFTA_TRACE_TYPE = 1, 2, 3, 4
NFTA_TRACE_VERDICT, NFTA_TRACE_ID, NFTA_TRACE_NETWORK_HEADER, NFTA_TRACE_POLICY = 5, 6, 8, 16
NFT_TRACETYPE_POLICY, NFT_TRACETYPE_RULE = 1, 3
NFTA_VERDICT_CODE, NF_DROP = 1, 0
FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}

BEFORE_ALL, KNOWN = -310, -190
"""Priorities of our chains: before everybody's, and where the packet's connection is known but its addresses are not yet
changed (NF_IP_PRI_CONNTRACK is -200, NF_IP_PRI_NAT_DST -100)."""

HANDLE = re.compile(r"\s*# handle (\d+)$")
COUNTER = re.compile(r"\bcounter packets \d+ bytes \d+ ?")
SAVED = re.compile(r"^\[(\d+):\d+\] (-A .*-j (?:DROP|REJECT)\b.*)$|^:(\S+ DROP) \[(\d+):\d+\]$", re.MULTILINE)
"""What drops, in the words of iptables-save(8), with how many packets it dropped."""


class Tracer:
    """Follows the packets of one attempt, both ways, through any number of namespaces."""

    def __init__(self, own: str, source: str, address: str, port: int, protocol: str) -> None:
        """`own`: name of the engine's own table."""
        self._own = own
        self._rules = list(_rules(source, address, port, protocol))
        self._table = f"why-{secrets.token_hex(4)}"
        self._family = "ip6" if ":" in address else "ip"
        self._ears: dict[str, socket.socket] = {}
        self._ends = {socket.inet_pton(family_of(end), end) for end in (source, address)}
        self._marked: set[tuple[str, bytes]] = set()
        """Namespace and id of each packet that is ours: others may trace too. NAT changes one of its ends at a time."""
        self._dropped: asyncio.Future[tuple[str, _Verdict]] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def watch(self, netns: str) -> AsyncIterator[None]:
        """Watch one namespace, a path; empty: our own. Raises `Unavailable` without nft(8)."""
        loop = asyncio.get_running_loop()
        with doing("listen to the firewall"):
            ear = await (short(inside, netns, _listen) if netns else short(_listen))
        with ear:
            self._ears[netns] = ear
            loop.add_reader(ear, self._hear, netns)
            try:
                async with _table(netns, self._table, self._rules):
                    yield
            finally:
                loop.remove_reader(ear)

    async def follow(self, attempt: Coroutine[Any, Any, Attempt]) -> Attempt:
        """Make the attempt. It ends when it is answered, or with the first rule that drops what is ours."""
        before = await self._legacy()
        trying = asyncio.create_task(attempt)
        try:
            await asyncio.wait((trying, self._dropped), return_when=asyncio.FIRST_COMPLETED)
            for netns in self._ears:
                self._hear(netns)
            if self._dropped.done() and not (trying.done() and trying.result().answer is Answer.ANSWERED):
                done = trying.result() if trying.done() else Attempt(answer=Answer.SILENT)
                return replace(done, drop=await self._told(*self._dropped.result()))
            done = await trying
        finally:
            trying.cancel()
        if done.answer is Answer.ANSWERED:
            return done
        grown = [rule for rule, count in (await self._legacy()).items() if count > before.get(rule, count)]
        return replace(done, drop=Drop(table="legacy iptables", chain="filter", rule=grown[0]) if grown else None)

    async def _told(self, netns: str, verdict: _Verdict) -> Drop:
        ours = not netns and verdict.table.split(" ", 1)[-1] == self._own
        return Drop(table=verdict.table, chain=verdict.chain, rule=await _rule(netns, verdict), ours=ours, netns=netns)

    def _hear(self, netns: str) -> None:
        while True:
            try:
                data = self._ears[netns].recv(RECEIVE)
            except (BlockingIOError, OSError):  # ENOBUFS too: there was more than the socket holds
                return
            for kind, _, payload in messages(data):
                if kind == NFT_MSG_TRACE:
                    self._judge(netns, _verdict(payload))

    def _judge(self, netns: str, verdict: _Verdict) -> None:
        if not self._ends.isdisjoint(verdict.ends):
            self._marked.add((netns, verdict.packet))
        if verdict.drops and (netns, verdict.packet) in self._marked and not self._dropped.done():
            self._dropped.set_result((netns, verdict))

    async def _legacy(self) -> dict[str, int]:
        """What drops in the host's legacy iptables, by rule: how many packets so far."""
        program = find(f"{self._family}tables-legacy-save")
        if not program or not await legacy_in_use():
            return {}
        _, saved, _ = await ask(program, "-c", "-t", "filter")
        return {rule or f"-P {policy}": int(count or packets) for count, rule, policy, packets in SAVED.findall(saved)}


class _Verdict(Struct, frozen=True):
    table: str
    chain: str
    packet: bytes
    """A number that holds for one hook."""
    ends: tuple[bytes, ...]
    """Its two addresses, which the first message of each hook tells."""
    handle: int
    """Of the rule; 0: the chain's policy."""
    drops: bool


def _rules(source: str, address: str, port: int, protocol: str) -> list[str]:
    """Chains and rules, in any order of nft's commands."""
    ip = "ip6" if ":" in address else "ip"
    if protocol == "icmp":
        ours = known = f"meta l4proto {'ipv6-icmp' if ip == 'ip6' else 'icmp'}"
    else:
        ours, known = f"meta l4proto {protocol} th dport {port}", f"meta l4proto {protocol} ct original proto-dst {port}"
    there, back = f"{ip} saddr {source} {ip} daddr {address}", f"{ip} saddr {address} {ip} daddr {source}"
    connection = f"ct original {ip} saddr {source} ct original {ip} daddr {address}"
    lines = []
    for family, hook, priority, matches in (
        ("inet", "prerouting", BEFORE_ALL, [f"{there} {ours}"]),
        ("inet", "output", BEFORE_ALL, [f"{there} {ours}"]),
        ("inet", "prerouting", KNOWN, [f"{connection} {known}"]),
        ("inet", "output", KNOWN, [f"{connection} {known}"]),
        ("bridge", "prerouting", BEFORE_ALL, [there, back]),
    ):
        chain = f"{hook}{-priority}"
        lines.append(f"add chain {family} TABLE {chain} {{ type filter hook {hook} priority {priority}; }}")
        lines += [f"add rule {family} TABLE {chain} {match} meta nftrace set 1" for match in matches]
    return lines


@asynccontextmanager
async def _table(netns: str, name: str, rules: list[str]) -> AsyncIterator[None]:
    """Our tables, as long as the nft that owns them is there to be talked to."""
    nft = find("nft")
    if nft is None:
        raise not_installed("nft")
    tables = [f"add table {family} {name} {{ flags owner; }}" for family in ("inet", "bridge")]
    lines = [*tables, *(rule.replace("TABLE", name) for rule in rules), f"list table bridge {name}"]
    with doing("trace the firewall"):
        child = await asyncio.create_subprocess_exec(
            *_enter(netns),
            *(nft, "-i"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C", "PATH": SEARCH_PATH},
        )
    assert child.stdin and child.stdout
    try:
        child.stdin.write("".join(f"{line}\n" for line in lines).encode())
        async for line in child.stdout:
            if line.startswith(b"Error"):
                raise HostFailed(f"cannot trace the firewall: nft says {line.decode(errors='replace').strip()}")
            if line == b"}\n":  # the listing comes after all the rest is done
                break
        yield
    finally:
        child.stdin.close()
        await child.communicate()


def _enter(netns: str) -> tuple[str, ...]:
    return (find("nsenter") or "nsenter", f"--net={netns}") if netns else ()


def _listen() -> socket.socket:
    ear = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
    ear.bind((0, 0))
    ear.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTRACE)
    return ear


def _verdict(payload: bytes) -> _Verdict:
    """A message of the kernel about one packet and one rule."""
    found = attributes(payload, NFGENMSG_SIZE)
    kind = _number(found, NFTA_TRACE_TYPE)
    if kind == NFT_TRACETYPE_POLICY:
        drops = NFTA_TRACE_POLICY in found and _number(found, NFTA_TRACE_POLICY) == NF_DROP
    else:
        inner = attributes(found.get(NFTA_TRACE_VERDICT, b""))
        drops = kind == NFT_TRACETYPE_RULE and NFTA_VERDICT_CODE in inner and _number(inner, NFTA_VERDICT_CODE) == NF_DROP
    return _Verdict(
        f"{FAMILIES.get(payload[0], payload[0])} {text(found, NFTA_TRACE_TABLE)}",
        text(found, NFTA_TRACE_CHAIN),
        found.get(NFTA_TRACE_ID, b""),
        _ends(found.get(NFTA_TRACE_NETWORK_HEADER, b"")),
        0 if kind == NFT_TRACETYPE_POLICY else _number(found, NFTA_TRACE_RULE_HANDLE),
        drops,
    )


def _ends(header: bytes) -> tuple[bytes, ...]:
    """Source and destination of an IP header (RFC 791, RFC 8200)."""
    at, size = (12, 4) if header[:1] and header[0] >> 4 == 4 else (8, 16)
    return header[at : at + size], header[at + size : at + 2 * size]


def _number(found: Attributes, kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), "big")


async def _rule(netns: str, verdict: _Verdict) -> str:
    """The rule's words, as nft(8) lists it now, or its number when it is gone meanwhile."""
    if not verdict.handle:
        return "policy drop"
    program = (*_enter(netns), "nft")
    _, listed, _ = await ask(*program, "-a", "list", "chain", *verdict.table.split(" ", 1), verdict.chain)
    for line in listed.splitlines():
        handle = HANDLE.search(line)
        if handle and int(handle[1]) == verdict.handle:
            return COUNTER.sub("", HANDLE.sub("", line)).strip()
    return f"rule {verdict.handle}"
