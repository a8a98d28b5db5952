"""The three files by which a container knows names: `hostname`, `hosts` and `resolv.conf` (hosts(5), resolv.conf(5))."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from engine.model.container import Container
from engine.spec.wiring import has_names, mode, way_out

LOCAL_NAMES: Final = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)
FALLBACK_SERVERS: Final = ("8.8.8.8", "8.8.4.4")
"""Docker's choice where the host names no server that a container could reach."""
NAME_SERVER: Final = "127.0.0.11"
HOST_GATEWAY: Final = "host-gateway"
"""An extra host's address that stands for the host itself: the bridge's own."""


def hostname(c: Container) -> str:
    return f"{c.config.hostname}\n"


def hosts(c: Container, host: str = "") -> str:
    """Local names, the person's extra hosts, linked containers, then the container itself at each of its addresses.

    `host`: the host's own file, which a container on the host's network has where it asks for nothing else.
    """
    extra = [entry.partition(":") for entry in c.host_config.extra_hosts or ()]
    if mode(c) == "host" and not extra:
        return host
    out = way_out(c.endpoints)
    gateway = out.gateway if out else "127.0.0.1" if mode(c) == "host" else ""
    addresses = [(gateway if address == HOST_GATEWAY else address, name) for name, _, address in extra]
    lines = [*LOCAL_NAMES, *(f"{address}\t{name}" for address, name in addresses if address)]
    lines += [f"{address}\t{names}" for e in c.endpoints for names, address in e.links.items()]
    if c.config.hostname:
        full = ".".join(part for part in (c.config.hostname, c.config.domainname) if part)
        short = full.partition(".")[0]
        own = full + (f" {short}" if short != full else "")
        lines += [f"{address}\t{own}" for e in c.endpoints for address in (e.address, e.address6) if address]
    return "\n".join(lines) + "\n"


def resolv_conf(c: Container, host: str) -> str:
    """The host's file, each part replaced by the person's own where given.

    On networks that people made the engine itself answers. Elsewhere the host's loopback servers, which answer only on the
    host, and its IPv6 servers are left out.
    """
    asked = c.host_config
    if mode(c) == "host" and not (asked.dns or asked.dns_search or asked.dns_options):
        return host
    if has_names(c.endpoints):
        return _named(c, host)
    servers = tuple(asked.dns or ()) or tuple(filter(_is_reachable, values(host, "nameserver"))) or FALLBACK_SERVERS
    search = tuple(asked.dns_search or ()) or values(host, "search") or values(host, "domain")
    options = tuple(asked.dns_options or ()) or values(host, "options")
    return _written(servers, search, options)


def _named(c: Container, host: str) -> str:
    """The engine's name server; `ndots:0` because one word is a name here."""
    asked = c.host_config
    search = tuple(asked.dns_search or ()) or values(host, "search") or values(host, "domain")
    options = tuple(asked.dns_options or ()) or values(host, "options")
    if not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    return _written((NAME_SERVER,), search, options)


def _written(servers: tuple[str, ...], search: tuple[str, ...], options: tuple[str, ...]) -> str:
    lines = [f"nameserver {server}" for server in servers]
    if search and search != (".",):
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def values(text: str, keyword: str) -> tuple[str, ...]:
    """What a resolv.conf says after a keyword. Of several `search` lines the last one counts; servers and options add up."""
    lines = [line.split()[1:] for line in text.splitlines() if line.split()[:1] == [keyword]]
    return tuple(lines[-1]) if lines and keyword in ("search", "domain") else tuple(word for line in lines for word in line)


def _is_reachable(server: str) -> bool:
    try:
        address = ip_address(server)
    except ValueError:
        return False
    return address.version == 4 and not address.is_loopback
