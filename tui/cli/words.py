"""What people write on a command line, read: durations, sizes, limits, policies, variables, times. Pure.

Everything raises `Invalid` with the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.model.errors import Invalid
from tui.pairs import pair

NANO = 1_000_000_000
LARGEST = 2**63 - 1
"""The engine's integers have 64 bits."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_UNITS = {"h": 3600 * NANO, "m": 60 * NANO, "s": NANO, "ms": 1_000_000, "us": 1_000, "µs": 1_000, "ns": 1}

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_SCALE = " kmgtp"


def duration(text: str) -> int:
    """Nanoseconds in a duration as Go writes them: `1m30s`, `1.5h`, `100ms`, `0`."""
    digits = text.removeprefix("-").removeprefix("+")
    if digits != "0" and (not digits or _PART.sub("", digits)):
        raise Invalid(f"{text!r} is no duration", "write it with units, such as 1m30s, 500ms or 2h")
    total = int(sum(Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(digits)))
    if total > LARGEST:
        raise Invalid(f"{text!r} is longer than 64 bits of nanoseconds hold", "give at most 292 years")
    return -total if text.startswith("-") else total


def size(text: str) -> int:
    """Bytes in a size: `512`, `512m`, `1.5GiB`. Units are powers of 1024; -1 stands for no limit."""
    if text == "-1":
        return -1
    match = _SIZE.fullmatch(text)
    if not match:
        raise Invalid(f"{text!r} is no size", "write bytes, or a number with k, m, g, t or p, such as 512m")
    return _within(text, int(Decimal(match[1]) * 1024 ** _SCALE.index(match[2].lower() or " ")))


def cpus(text: str) -> int:
    """Billionths of a CPU in `1.5`."""
    if not re.fullmatch(r"[0-9]*\.?[0-9]+|[0-9]+\.", text, re.ASCII):
        raise Invalid(f"{text!r} is no number of CPUs", "write a decimal number, such as 0.5 or 2")
    nano = Decimal(text) * NANO
    if nano != int(nano):
        raise Invalid(f"{text!r} is finer than billionths of a CPU", "give at most nine decimals")
    return _within(text, int(nano))


def _within(text: str, value: int) -> int:
    if value > LARGEST:
        raise Invalid(f"{text!r} is more than 64 bits hold", f"give at most {LARGEST}")
    return value


def ulimit(text: str) -> dict[str, Any]:
    """`nofile=1024:2048`, or `nofile=1024` for both."""
    match = re.fullmatch(r"([a-z]+)=(-?[0-9]+)(?::(-?[0-9]+))?", text, re.ASCII)
    if not match:
        raise Invalid(f"{text!r} is no ulimit", "write NAME=SOFT[:HARD], such as nofile=1024:2048")
    return {"Name": match[1], "Soft": int(match[2]), "Hard": int(match[3] or match[2])}


def restart_policy(text: str) -> dict[str, Any]:
    """`no`, `always`, `unless-stopped`, `on-failure`, `on-failure:3`."""
    name, colon, count = text.partition(":")
    if colon and not re.fullmatch(r"-?[0-9]{1,9}", count, re.ASCII):
        raise Invalid(f"{text!r} is no restart policy", "write no, always, unless-stopped or on-failure[:COUNT]")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def host(text: str) -> str:
    """`name:address` or `name=address`, as the engine reads it."""
    match = re.fullmatch(r"([^:=]+)[:=]\[?([^\]]+)\]?", text)
    if not match:
        raise Invalid(f"{text!r} is no host with its address", "write NAME:ADDRESS, such as db:10.0.0.2")
    return f"{match[1]}:{match[2]}"


def port_range(text: str) -> tuple[str, ...]:
    """`80`, `80/udp`, `8000-8010/tcp`: each port with its protocol."""
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", text, re.ASCII)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not match or not 0 < first <= last < 65536:
        raise Invalid(f"{text!r} is no port", "write 80, 80/udp or 8000-8010/tcp")
    return tuple(f"{port}/{match[3] or 'tcp'}" for port in range(first, last + 1))


ASKED = {"alias": "Aliases", "ip": "IPv4Address", "ip6": "IPv6Address", "mac-address": "MacAddress", "driver-opt": "DriverOpts"}
"""What can be asked of a network in `--network name=...`, and the keys of the Engine API for it."""


def network(text: str) -> tuple[str, dict[str, Any]]:
    """A network's name, and what is asked of it: `backend`, or `name=backend,alias=db,ip=10.90.0.7`."""
    if "=" not in text:
        return text, {}
    name, asked = "", dict[str, Any]()
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key == "name":
            name = value
        elif key == "alias":
            asked.setdefault("Aliases", []).append(value)
        elif key == "driver-opt":
            asked.setdefault("DriverOpts", {}).update([pair(value)])
        elif key in ASKED:
            asked[ASKED[key]] = value
        else:
            raise Invalid(f"{key!r} in {text!r} says nothing about a network", f"take name, {', '.join(ASKED)}")
    if not name:
        raise Invalid(f"{text!r} names no network", "write name=NETWORK,...")
    return name, asked


def variable(text: str, environ: Mapping[str, str]) -> str:
    """`NAME=value`; `NAME` alone takes the value it has here, and where it has none takes the variable away inside."""
    name, equals, _ = text.partition("=")
    if not name:
        raise Invalid(f"{text!r} has no name", "write NAME=VALUE, or NAME alone for the value it has here")
    return f"{name}={environ[name]}" if not equals and name in environ else text


def lines(text: str, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """The `NAME=value` lines of a file; `#` begins a comment line.

    With `environ` a bare `NAME` takes the value it has there, and is left out where it has none; else it stays as it is.
    """
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, _ = line.partition("=")
        if not name or re.search(r"\s", name if equals else name.rstrip()):
            raise Invalid(f"line {number} has no name, or one with space in it: {line!r}", "write NAME=VALUE on each line")
        name = name.rstrip()
        if equals or environ is None:
            yield line
        elif name in environ:
            yield f"{name}={environ[name]}"


def moment(text: str, now: datetime) -> datetime:
    """A point in time: seconds since 1970, a date in our own time zone or with its zone, or how long before `now`."""
    try:
        if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", text, re.ASCII):
            return datetime.fromtimestamp(0, now.tzinfo) + timedelta(microseconds=int(Decimal(text) * 1_000_000))
        if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            given = datetime.fromisoformat(text)
            return given if given.tzinfo else given.astimezone()
        return now - timedelta(microseconds=duration(text) // 1000)
    except (ValueError, OverflowError, Invalid) as error:
        why = "give seconds since 1970, a date such as 2026-01-31T12:00:00Z, or how long ago, such as 10m"
        raise Invalid(f"{text!r} is no point in time", why) from error


def familiar(image: str) -> str:
    """An image's name with its tag, as people write it; empty for an id, which no registry could be asked for."""
    if re.fullmatch(r"(sha256:)?[0-9a-f]{64}", image):
        return ""
    short = image.removeprefix("docker.io/").removeprefix("library/")
    return short if "@" in short or ":" in short.rpartition("/")[2] else f"{short}:latest"
