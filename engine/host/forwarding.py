"""Forwarding, switched on for single interfaces and given back afterwards.

`net.ipv4.ip_forward` stays as it is: a dockerd that finds it on leaves its FORWARD policy open (`firewall.py`). The kernel
forwards a packet when the interface it *came in by* allows it (ip-sysctl, `conf/interface/forwarding`): our bridge for what
leaves, the uplinks for what comes back.

What an uplink had before is kept in a file, and in the bridge's ifalias for the other engines of this host: the second engine
finds an uplink that the first has opened, and whoever leaves last gives it back. Blocking calls of microseconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress

import msgspec

CONF = "/proc/sys/net/ipv4/conf"
ALIAS = "longshore network"
ALIAS_SIZE = 255
"""Bytes of an ifalias (IFALIASZ)."""
KEPT = re.compile(r"(\S+)=([01])(?=\s|$)")


class _Kept(msgspec.Struct):
    boot: str
    """Boot id: sysctls do not outlive the kernel, a file may."""
    before: dict[str, str]


class Forwarding:
    """The uplinks' switches, and what they were."""

    def __init__(self, path: str) -> None:
        self._path = path

    def note(self, uplinks: Iterable[str], aliases: Iterable[str]) -> str:
        """Write down what the uplinks have now; the ifalias that says it. `aliases` are those of the other bridges."""
        others = _before(aliases)
        before = self._load()
        for name in uplinks:
            now = read(name)
            if name not in before and now is not None:
                before[name] = others.get(name, now)
        self._save(before)
        words = [ALIAS, *(f"{name}={value}" for name, value in sorted(before.items()))]
        while len(" ".join(words)) > ALIAS_SIZE:
            words.pop()
        return " ".join(words)

    def open(self) -> None:
        """Switch on what was noted. An uplink that went away meanwhile is passed over."""
        for name in self._load():
            if read(name) == "0":
                write(name, "1")

    def close(self, aliases: Iterable[str]) -> None:
        """Give back what no other bridge of ours or of another engine still needs.

        Where the host as a whole forwards by now (a dockerd came after us), everything is left on: it is theirs.
        """
        needed = _before(aliases)
        before = self._load()
        if read("all") == "0":
            for name in before.keys() - needed.keys():
                write(name, before[name])
        if kept := {name: value for name, value in before.items() if name in needed}:
            self._save(kept)
            return
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _load(self) -> dict[str, str]:
        try:
            with open(self._path, "rb") as file:
                kept = msgspec.json.decode(file.read(), type=_Kept)
        except (FileNotFoundError, msgspec.MsgspecError):
            return {}
        return kept.before if kept.boot == _boot() else {}

    def _save(self, before: dict[str, str]) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(self._path + ".tmp", "wb") as file:
            file.write(msgspec.json.encode(_Kept(_boot(), before)))
        os.replace(self._path + ".tmp", self._path)


def read(name: str) -> str | None:
    """`0` or `1`; None when there is no such interface. `all` is the host's own switch."""
    try:
        with open(f"{CONF}/{name}/forwarding") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def write(name: str, value: str) -> None:
    """Set an interface's switch. One that is gone is passed over."""
    with suppress(FileNotFoundError), open(f"{CONF}/{name}/forwarding", "w") as file:
        file.write(value)


def _before(aliases: Iterable[str]) -> dict[str, str]:
    return {name: value for alias in aliases if alias.startswith(ALIAS) for name, value in KEPT.findall(alias)}


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
