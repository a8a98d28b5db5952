"""Links on the default bridge, `docker run --link`: a container knows another by a name of its own, and by variables.

In the record a link is `<the other's id>:<alias>`: a name may change. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from engine.model.container import Container
from engine.model.errors import Conflict, Invalid, NotFound
from engine.model.network import DEFAULT, Endpoint
from engine.model.settings import Config, HostConfig
from engine.spec.legality import find
from engine.spec.ports import exposed
from engine.spec.wiring import shares_with

UNTOLD = ("HOME", "PATH")
"""Variables of an image rather than of a person: they say nothing to others."""

Records = Mapping[str, Container]


def fixed(hc: HostConfig, records: Records) -> HostConfig:
    """`Links` as the record has them. Raises `Invalid`: clients take a 404 from create for a missing image."""
    asked = [parse(link) for link in hc.links or ()]
    if not asked or hc.network_mode not in ("", "default", DEFAULT):
        return hc
    found: dict[str, str] = {}
    for wanted, alias in asked:
        try:
            other = find(wanted, records)
            while shared := shares_with(other):
                other = find(shared, records)
        except NotFound as error:
            raise Invalid(f"could not get container for {wanted}: {error}", "create it first, or leave the link out") from error
        if other.host_config.network_mode == "host":
            raise Invalid(
                f"conflicting options: {other.name} is on the host's network, which can't be used with links",
                "leave the link out: it is reached at the host's address",
            )
        found.setdefault(alias, other.id)
    return replace(hc, links=tuple(f"{id}:{alias}" for alias, id in found.items()))


def parse(link: str) -> tuple[str, str]:
    """Whom, and by which name: `db`, `db:alias`, or as inspect shows it, `/db:/web/alias`. Raises `Invalid`."""
    wanted, colon, alias = link.partition(":")
    if not wanted or ":" in alias:
        raise Invalid(f"bad format for links: {link!r}", "write CONTAINER or CONTAINER:ALIAS")
    return wanted.removeprefix("/"), alias.rpartition("/")[2] if colon else wanted


def shown(c: Container, records: Records) -> list[str]:
    """As inspect shows them, with today's names."""
    return [f"/{records[id].name}:/{c.name}/{alias}" if id in records else f"{id}:{alias}" for id, alias in kept(c)]


def kept(c: Container) -> list[tuple[str, str]]:
    """Its links: whose id, by which name."""
    return [(id, alias) for id, _, alias in (link.partition(":") for link in c.host_config.links or ())]


def given_names(records: Records) -> dict[str, list[str]]:
    """By id: the names that others have for a container, `web/db`."""
    found: dict[str, list[str]] = {}
    for c in records.values():
        for id, alias in kept(c):
            found.setdefault(id, []).append(f"{c.name}/{alias}")
    return found


def tell(c: Container, e: Endpoint, records: Records) -> Endpoint:
    """The endpoint with what its container is told of those it is linked to, as they are now. Raises `Conflict`."""
    if e.network != DEFAULT or not c.host_config.links:
        return e
    names: dict[str, str] = {}
    variables: list[str] = []
    for alias, other, address in _addresses(c, e, records):
        names[" ".join(filter(None, dict.fromkeys((alias, other.config.hostname, other.name))))] = address
        variables += _variables(f"/{c.name}/{alias}", alias, address, other.config)
    return replace(e, links=names, variables=tuple(variables))


def told_anew(c: Container, records: Records) -> Container:
    """The container with its links as they are now: whoever enters it finds today's addresses. Raises `Conflict`."""
    return replace(c, endpoints=tuple(tell(c, e, records) for e in c.endpoints))


def _addresses(c: Container, e: Endpoint, records: Records) -> Iterator[tuple[str, Container, str]]:
    for id, alias in kept(c):
        other = records.get(id)
        plugged = other.plugged if other else ()
        address = next((each.address for each in plugged if each.network_id == e.network_id), "")
        if other is None or not address:
            called = other.name if other else id[:12]
            raise Conflict(f"Cannot link to a non running container: /{called} AS /{c.name}/{alias}", "start it first")
        yield alias, other, address


def _variables(name: str, alias: str, address: str, config: Config) -> Iterator[str]:
    """What dockerd says of a linked container: its ports, one by one and as ranges, and its own variables."""
    own = alias.upper().replace("-", "_")
    ports = sorted(exposed(config), key=lambda port: (port[0], port[1] != "tcp"))
    if ports:
        yield f"{own}_PORT={_url(address, *ports[0])}"
    at = 0
    while at < len(ports):
        end = _end_of_range(ports, at)
        if end > at + 1:
            (first, protocol), (last, last_protocol) = ports[at], ports[end]
            this, that = f"{own}_PORT_{first}_{protocol.upper()}", f"{own}_PORT_{first}_{last_protocol.upper()}"
            yield f"{this}_START={_url(address, first, protocol)}"
            yield f"{this}_ADDR={address}"
            yield f"{this}_PROTO={protocol}"
            yield f"{this}_PORT_START={first}"
            yield f"{that}_END={_url(address, last, last_protocol)}"
            yield f"{that}_PORT_END={last}"
            at = end
        at += 1
    for port, protocol in ports:
        this = f"{own}_PORT_{port}_{protocol.upper()}"
        yield f"{this}={_url(address, port, protocol)}"
        yield f"{this}_ADDR={address}"
        yield f"{this}_PORT={port}"
        yield f"{this}_PROTO={protocol}"
    yield f"{own}_NAME={name}"
    for entry in config.env or ():
        key, equals, value = entry.partition("=")
        if equals and key not in UNTOLD:
            yield f"{own}_ENV_{key}={value}"


def _url(address: str, port: int, protocol: str) -> str:
    return f"{protocol}://{address}:{port}"


def _end_of_range(ports: list[tuple[int, str]], at: int) -> int:
    """Where the ports stop to follow one another."""
    ends = (end for end in range(at, len(ports) - 1) if ports[end + 1][0] > ports[at][0] + end + 1 - at)
    return next(ends, len(ports) - 1)
