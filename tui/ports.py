"""Published ports as people write them (`-p 8080:80`) and as they read them best (`8080→80`). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from itertools import zip_longest

from engine.model.errors import Invalid

Bindings = dict[str, list[dict[str, str]]]
"""`HostConfig.PortBindings`: by the container's port with its protocol."""

PROTOCOLS = ("tcp", "udp", "sctp")
_FORM = re.compile(
    r"(?:(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:]*)):)??(?:(?P<host>[^:]*):)?(?P<port>[^:/]*)(?:/(?P<protocol>\w+))?"
)
_SHOWN = re.compile(r"(?P<address>.*):(?P<host>\d+)->(?P<port>\d+)/(?P<protocol>\w+)")
_EVERYWHERE = ("0.0.0.0", "[::]")
_REMEDY = "write [[ADDRESS:]HOSTPORT:]PORT[/PROTOCOL], such as 8080:80, 127.0.0.1:8080:80/udp or 8000-8010:80"


def publish(text: str) -> tuple[tuple[str, dict[str, str]], ...]:
    """`80`, `8080:80`, `127.0.0.1:8000-8010:80-90/udp`, `published=8080,target=80`: each port with its binding.

    One port for a range of the host's means: any free one of them. Raises `Invalid`.
    """
    match = _FORM.fullmatch(_short(text))
    if not match:
        raise Invalid(f"{text!r} publishes no port", _REMEDY)
    protocol = (match["protocol"] or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise Invalid(f"{text!r} has no protocol but {match['protocol']!r}", f"take {', '.join(PROTOCOLS)}")
    address = match["six"] or match["four"] or ""
    _check_address(address, text)
    inside, outside = _range(match["port"], text), _range(match["host"], text) if match["host"] else range(0)
    if len(inside) == 1 < len(outside):
        return ((f"{inside[0]}/{protocol}", {"HostIp": address, "HostPort": match["host"]}),)
    if outside and len(inside) != len(outside):
        raise Invalid(f"{text!r} has {len(inside)} ports of the container and {len(outside)} of the host", "give as many")
    pairs = zip_longest(inside, outside)
    return tuple((f"{port}/{protocol}", {"HostIp": address, "HostPort": str(host or "")}) for port, host in pairs)


def bindings(published: Iterable[tuple[str, dict[str, str]]]) -> Bindings:
    found: Bindings = {}
    for port, binding in published:
        found.setdefault(port, []).append(binding)
    return found


def _short(text: str) -> str:
    """The long form, `published=8080,target=80,protocol=udp`, as the short one."""
    if "=" not in text:
        return text
    given = dict(part.partition("=")[::2] for part in text.split(","))
    if unknown := given.keys() - {"published", "target", "protocol"}:
        raise Invalid(f"{text!r} has {', '.join(sorted(unknown))}, which says nothing about a port", _REMEDY)
    return f"{given.get('published', '')}:{given.get('target', '')}/{given.get('protocol') or 'tcp'}"


def _check_address(address: str, text: str) -> None:
    try:
        if address:
            ip_address(address)
    except ValueError:
        raise Invalid(f"{address!r} in {text!r} is no address", "give one of this host, IPv6 in brackets") from None


def _range(text: str, whole: str) -> range:
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < first <= last < 65536:
        raise Invalid(f"{text!r} in {whole!r} is no port", "give a number from 1 to 65535, or a range of them")
    return range(first, last + 1)


def brief(ports: Sequence[str]) -> str:
    """`8080→80 127.0.0.1:53→53/udp` from `0.0.0.0:8080->80/tcp` and so on.

    An address is said only where it is not all of them, a protocol where it is not TCP. Neighbouring ports are one range.
    """
    found = dict.fromkeys(_seen(ports))
    runs: list[list[int]] = []  # host port, container's port, how many
    heads: list[tuple[str, str]] = []
    for address, host, port, protocol in sorted(found, key=lambda each: (each[3] != "tcp", each[0], each[2], each[1])):
        if runs and heads[-1] == (address, protocol) and (host - runs[-1][0], port - runs[-1][1]) == (runs[-1][2],) * 2:
            runs[-1][2] += 1
        else:
            heads.append((address, protocol))
            runs.append([host, port, 1])
    return " ".join(
        f"{address}{_span(host, count)}→{_span(port, count)}{'' if protocol == 'tcp' else '/' + protocol}"
        for (address, protocol), (host, port, count) in zip(heads, runs, strict=True)
    )


def fitted(text: str, width: int) -> str:
    """As many whole ports of a `brief` as fit, and how many more there are: `8080→80 +2`."""
    parts = text.split()
    for kept in range(len(parts), 0, -1):
        shown = " ".join([*parts[:kept], *([f"+{len(parts) - kept}"] if kept < len(parts) else [])])
        if len(shown) <= width:
            return shown
    return f"+{len(parts)}" if parts else ""


def _seen(ports: Iterable[str]) -> Iterator[tuple[str, int, int, str]]:
    for text in ports:
        if match := _SHOWN.fullmatch(text):
            address = "" if match["address"] in _EVERYWHERE else match["address"] + ":"
            yield address, int(match["host"]), int(match["port"]), match["protocol"]


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
