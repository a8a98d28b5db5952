"""Forwarding, switched on for single interfaces and given back afterwards.

The host's own switches stay as they are as far as the kernel allows: a dockerd that finds `net.ipv4.ip_forward` on leaves its
FORWARD policy open (`firewall.py`). The kernel forwards a packet when the interface it *came in by* allows it: our bridge for
what leaves, the uplinks for what comes back. In the kernel's ip-sysctl.rst:

    IPv4              `conf/<interface>/forwarding`
    IPv6, since 6.17  `conf/<interface>/force_forwarding`; falls when anybody writes 0 into `conf/all/forwarding`
    IPv6, before      `conf/all/forwarding` alone; the host then ignores router advertisements, its own way out perhaps, except
                      on interfaces with `accept_ra` 2

IPv6's `conf/<interface>/forwarding` is never touched: it forwards nothing, and makes the kernel forget every default route
learned from a router, on all interfaces.

What a switch was before is kept in a file, and in the bridge's ifalias for the other engines of this host: the second engine
finds an uplink that the first has opened, and whoever leaves last gives it back. They take turns (`turn`): one that has read
what the others say and not yet said so itself would not be seen by one that leaves. Blocking calls of microseconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

log = logging.getLogger(__name__)

LOCK: Final = "/proc/sys/net/ipv4/route/flush"
"""Locked by the engine whose turn it is (flock(2)), and never written to: it is there already, one in each network namespace,
and only root may open it. A lock file of our own would stay behind."""
TURN_SECONDS: Final = 5.0
"""A turn takes milliseconds. An engine that takes longer is stopped, in a debugger perhaps, and is waited for no longer."""

ALIAS = "longshore network"
ALIAS_SIZE = 255
"""Bytes of an ifalias (IFALIASZ)."""
KEPT = re.compile(r"(\S+)=([0-2])(?=\s|$)")

SYSCTLS = {"": "ipv4/conf/{}/forwarding", "lo": "ipv4/conf/{}/route_localnet", "ra": "ipv6/conf/{}/accept_ra"}
FORCE = "ipv6/conf/{}/force_forwarding"
GLOBAL = "ipv6/conf/{}/forwarding"
ALL6 = "6:all"
"""A switch is named `<kind>:<interface>`, no kind: IPv4 forwarding. An interface's name has no colon."""

Before = dict[str, str]
"""What switches were, by name."""


class _Kept(msgspec.Struct):
    boot: str
    """Boot id: sysctls do not outlive the kernel, a file may."""
    bridges: dict[str, Before]


class Forwarding:
    """The switches that our bridges need, and what they were."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._opened: tuple[str, ...] = ()

    def note(self, bridge: str, switches: Iterable[str], aliases: Iterable[str]) -> str:
        """Write down what the bridge's switches are now; the ifalias that says it. `aliases` are those of the other bridges."""
        kept = self._load()
        own = kept.setdefault(bridge, {})
        known = _before(aliases) | _all(kept)
        for name in switches:
            now = read(name)
            if now is not None:
                own.setdefault(name, known.get(name, now))
        for name in [name for name in own if name.startswith("ra:") and (own[name] != "1" or own.get(ALL6) != "0")]:
            del own[name]  # it takes no advertisements now, and will not then
        self._save(kept)
        # The bridge's own switches go with it.
        words = [ALIAS, *(f"{name}={value}" for name, value in sorted(own.items()) if name.rpartition(":")[2] != bridge)]
        while len(" ".join(words)) > ALIAS_SIZE:
            words.pop()
        return " ".join(words)

    def open(self) -> None:
        """Switch on what was noted. An interface that went away meanwhile is passed over."""
        names = sorted(_all(self._load()), key=ALL6.__eq__)  # `accept_ra` first, or the default route falls
        for name in names:
            if read(name) not in (None, _on(name)):
                write(name, _on(name))
        self._opened = tuple(name for name in names if name.startswith("6:"))

    @property
    def silent(self) -> bool:
        """Can switches fall without the kernel telling of it?"""
        return bool(self._opened)

    def fallen(self) -> bool:
        """Have they? A 0 written into `conf/all/forwarding` that is 0 already does it: `sysctl --system` after an update."""
        return any(read(name) == "0" for name in self._opened)

    def close(self, bridge: str, aliases: Iterable[str], *, leave_ipv6: bool = False) -> None:
        """Give back what no other bridge of ours or of another engine still needs.

        Where the host as a whole forwards IPv4 by now (a dockerd came after us), that is left on: it is theirs. Of IPv6 on an
        older kernel nobody can see whose it is: `leave_ipv6` says that somebody else has a use for it.
        """
        kept = self._load()
        before = kept.pop(bridge, {})
        needed = _before(aliases).keys() | _all(kept).keys()
        host_forwards = read("all") == "1"
        for name in sorted(before.keys() - needed, key=ALL6.__ne__):
            theirs = leave_ipv6 if name == ALL6 else host_forwards and ":" not in name
            if not theirs and read(name) not in (None, before[name]):
                write(name, before[name])
        self._save(kept)

    def _load(self) -> dict[str, Before]:
        try:
            with open(self._path, "rb") as file:
                kept = msgspec.json.decode(file.read(), type=_Kept)
        except (FileNotFoundError, msgspec.MsgspecError):
            return {}
        return kept.bridges if kept.boot == _boot() else {}

    def _save(self, bridges: dict[str, Before]) -> None:
        if not bridges:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            return
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path + ".tmp", "wb") as file:
            file.write(msgspec.json.encode(_Kept(_boot(), bridges)))
        os.replace(self._path + ".tmp", self._path)


@asynccontextmanager
async def turn() -> AsyncIterator[None]:
    """Whatever reads and changes switches or aliases, by one engine of this host at a time. Raises `OSError`."""
    clock = asyncio.get_running_loop().time
    give_up = clock() + TURN_SECONDS
    fd = os.open(LOCK, os.O_WRONLY | os.O_CLOEXEC)
    try:
        while not _taken(fd):
            if clock() > give_up:
                log.warning("another engine has held %s for %g s; going on without it", LOCK, TURN_SECONDS)
                break
            await asyncio.sleep(0.002)
        yield
    finally:
        os.close(fd)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def uplink_switches(ipv4: Iterable[str], ipv6: Iterable[str]) -> list[str]:
    """The switches that let packets come back by these uplinks."""
    if os.path.exists(_path("6:all", FORCE)):
        return [*ipv4, *(f"6:{name}" for name in ipv6)]
    advertised = [f"ra:{name}" for name in ipv6]
    return [*ipv4, *advertised, ALL6] if advertised else [*ipv4]


def bridge_switches(bridge: str, *, ipv4: bool, ipv6: bool) -> list[str]:
    """The switches of the bridge itself. `route_localnet`: NAT leads here what the host sends from 127.0.0.1."""
    family4 = [bridge, f"lo:{bridge}"] if ipv4 else []
    family6 = [f"6:{bridge}" if os.path.exists(_path("6:all", FORCE)) else ALL6] if ipv6 else []
    return family4 + family6


def read(name: str) -> str | None:
    """A switch's value; None when there is no such interface, or no such switch in this kernel. `all`: the host's own."""
    try:
        with open(_path(name)) as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def write(name: str, value: str) -> None:
    """Set a switch. One that is gone is passed over."""
    with suppress(FileNotFoundError), open(_path(name), "w") as file:
        file.write(value)


def _path(name: str, sysctl: str = "") -> str:
    kind, _, interface = name.rpartition(":")
    sysctl = sysctl or SYSCTLS.get(kind) or (GLOBAL if name == ALL6 else FORCE)
    return "/proc/sys/net/" + sysctl.format(interface)


def _on(name: str) -> str:
    return "2" if name.startswith("ra:") else "1"


def _all(bridges: Mapping[str, Before]) -> Before:
    return {name: value for before in bridges.values() for name, value in before.items()}


def _before(aliases: Iterable[str]) -> Before:
    return {name: value for alias in aliases if alias.startswith(ALIAS) for name, value in KEPT.findall(alias)}


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
