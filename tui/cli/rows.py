"""Rows of lists in Docker's words: what `--format '{{.Names}}'` takes fields of. Pure.

Each kind has its titles, by field; they are all the fields there are. Values are text, as in Docker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from engine.model.durations import human_duration

Json = dict[str, Any]
Row = dict[str, str]

SHORT: Final = 12
"""Hex digits of a shortened id."""
COMMAND: Final = 20
"""Characters of a shortened command."""
NONE: Final = "<none>"
UNKNOWN: Final = "N/A"

CONTAINER: Final = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "State": "STATE",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Networks": "NETWORKS",
}
IMAGE: Final = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
}
NETWORK: Final = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def container(one: Json, now: datetime, *, whole: bool = False) -> Row:
    """Of `GET /containers/json`. `whole`: nothing is shortened."""
    created = datetime.fromtimestamp(one["Created"], UTC)
    image, id = one["Image"], one["ImageID"].removeprefix("sha256:")
    command = one["Command"] if whole or len(one["Command"]) <= COMMAND else one["Command"][: COMMAND - 1] + "…"
    return {
        "ID": one["Id"] if whole else one["Id"][:SHORT],
        "Names": ",".join(name.removeprefix("/") for name in one["Names"]),
        "Image": id[:SHORT] if not whole and image.removeprefix("sha256:") == id else image,
        "Command": json.dumps(command, ensure_ascii=False),
        "CreatedAt": _moment(created),
        "RunningFor": f"{human_duration(now - created)} ago",
        "State": one["State"],
        "Status": one["Status"],
        "Ports": ", ".join(_ports(one["Ports"])),
        "Size": f"{decimal(one.get('SizeRw') or 0, 3)} (virtual {decimal(one.get('SizeRootFs') or 0, 3)})",
        "Labels": _labels(one["Labels"]),
        "Networks": ",".join(sorted(one["NetworkSettings"]["Networks"])),
    }


def images(one: Json, now: datetime, *, digests: bool = False, whole: bool = False) -> Iterator[Row]:
    """Of `GET /images/json`: one for each name. `digests`: of each digest too."""
    created = datetime.fromtimestamp(one["Created"], UTC) if one["Created"] > 0 else None
    row = {
        "Repository": NONE,
        "Tag": NONE,
        "ID": one["Id"] if whole else one["Id"].removeprefix("sha256:")[:SHORT],
        "Digest": NONE,
        "CreatedSince": f"{human_duration(now - created)} ago" if created else "",
        "CreatedAt": _moment(created) if created else "0001-01-01 00:00:00 +0000 UTC",
        "Size": decimal(one["Size"], 3),
        "VirtualSize": decimal(one["Size"], 4),
    }
    known = [name.partition("@")[::2] for name in one["RepoDigests"] or ()]
    tagged = [name.rpartition(":")[::2] for name in one["RepoTags"] or ()] or [(name, NONE) for name, _ in known]
    for repository, tag in tagged or [(NONE, NONE)]:
        own = [digest for name, digest in known if name == repository]
        for digest in own if digests and own else (NONE,):
            yield row | {"Repository": repository, "Tag": tag, "Digest": digest}


def network(one: Json, *, whole: bool = False) -> Row:
    """Of `GET /networks`."""
    return {
        "ID": one["Id"] if whole else one["Id"][:SHORT],
        "Name": one["Name"],
        "Driver": one["Driver"],
        "Scope": one["Scope"],
        "IPv6": str(one["EnableIPv6"]).lower(),
        "Internal": str(one["Internal"]).lower(),
        "Labels": _labels(one["Labels"]),
        "CreatedAt": one["Created"].replace("T", " ").replace("Z", " +0000 UTC"),
    }


def decimal(count: float, digits: int) -> str:
    """Bytes in thousands, `1.98MB`, as Docker writes them."""
    return _scaled(count, 1000, digits, ("B", "kB", "MB", "GB", "TB", "PB"))


def binary(count: float) -> str:
    """Bytes in 1024s, `1.983MiB`, as Docker writes them."""
    return _scaled(count, 1024, 4, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def _scaled(count: float, step: int, digits: int, units: tuple[str, ...]) -> str:
    unit = 0
    while count >= step and unit < len(units) - 1:
        count /= step
        unit += 1
    return f"{count:.{digits}g}{units[unit]}"


def _moment(moment: datetime) -> str:
    """As Go writes a time, in our own time zone: `2026-01-31 12:00:00 +0100 CET`."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z")


def _labels(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def _ports(ports: Iterable[Json]) -> Iterator[str]:
    for port in sorted(ports, key=lambda one: (one["PrivatePort"], one.get("IP", ""), one.get("PublicPort", 0), one["Type"])):
        inside = f"{port['PrivatePort']}/{port['Type']}"
        address = f"[{port['IP']}]" if ":" in port.get("IP", "") else port.get("IP", "")
        yield f"{address}:{port['PublicPort']}->{inside}" if port.get("PublicPort") else inside
