"""What a person asks of one network for one container: Docker's `EndpointSettings`, checked (reference 9.7). Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from engine.model.container import Container
from engine.model.errors import Conflict, Forbidden, Invalid
from engine.model.network import BUILT_IN, Attachment, Network
from engine.spec.wiring import mode, shares_with

MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


def read(settings: Any, where: str) -> Attachment:
    """Raises `Invalid`, naming the field."""
    if not isinstance(settings, dict):
        raise Invalid(f"{where} is {settings!r}, no settings", "give a JSON object, {} for none")
    said = {key.lower(): value for key, value in settings.items()}
    ipam = said.get("ipamconfig") or {}
    if not isinstance(ipam, dict):
        raise Invalid(f"{where}.IPAMConfig is no JSON object", "leave it out, or give addresses in it")
    return Attachment(
        ipv4=_address(ipam, "IPv4Address", IPv4Address, where),
        ipv6=_address(ipam, "IPv6Address", IPv6Address, where),
        mac=mac(said.get("macaddress") or "", f"{where}.MacAddress"),
        aliases=_words(said.get("aliases"), f"{where}.Aliases"),
        links=_words(said.get("links"), f"{where}.Links"),
        options={str(key): str(value) for key, value in (said.get("driveropts") or {}).items()},
    )


def attachment(n: Network, settings: Any) -> Attachment:
    """The same, for a network that is there. Raises `Invalid` for what a predefined one does not do."""
    wanted = read(settings, f"EndpointConfig of {n.name}")
    check(n, wanted)
    return wanted


def check(n: Network, wanted: Attachment) -> None:
    """Raises `Invalid` for what this network does not do."""
    if n.name in BUILT_IN and wanted.aliases:
        raise Invalid(
            f"network-scoped alias is supported only for containers in user defined networks, {n.name} is none",
            "create a network and connect to that",
        )
    for own, address in ((n.ipv4, wanted.ipv4), (n.ipv6, wanted.ipv6)):
        if address and not (own and own.asked):
            raise Invalid(
                f"cannot give {address}: user specified IP address is supported only when connecting to networks with user "
                "configured subnets",
                "create the network with --subnet",
            )


def check_connect(c: Container, n: Network) -> None:
    """Raises `Invalid` where a container's mode allows no more networks, `Forbidden` where it is connected already."""
    asked = mode(c)
    if shares_with(c):
        raise Invalid(f"container sharing network namespace with another container cannot be connected to {n.name}")
    if asked == "host" or n.name == "host":
        raise Invalid(f"container cannot be disconnected from host network or connected to host network: {c.name}, {n.name}")
    if asked == "none" or n.name == "none":
        raise Invalid("container cannot be connected to multiple networks with one of the networks in private (none) mode")
    if {n.name, n.id} & c.networks.keys():
        raise Forbidden(f"endpoint with name {c.name} already exists in network {n.name}", "disconnect it first")


def check_target(c: Container | None, wanted: str) -> Container:
    """The container whose namespace is to be shared. Raises `Conflict` where it has none now."""
    if c is None or not c.status.alive:
        raise Conflict(f"cannot join network of a non running container: {wanted}", "start it first")
    return c


def mac(text: str, where: str) -> str:
    """Lower case with colons; empty for none. Raises `Invalid`."""
    if not text:
        return ""
    if not (isinstance(text, str) and MAC.fullmatch(text)):
        raise Invalid(f"{where} {text!r} is no MAC address", "give six pairs of hexadecimal digits, as 02:42:ac:11:00:02")
    given = text.lower().replace("-", ":")
    if int(given[:2], 16) & 1:
        raise Invalid(f"{where} {text!r} is a group's MAC address", "the first pair must be even")
    return given


def _address(ipam: dict[str, Any], key: str, kind: type[IPv4Address] | type[IPv6Address], where: str) -> str:
    text = next((value for name, value in ipam.items() if name.lower() == key.lower()), "") or ""
    if not text:
        return ""
    try:
        address = ip_address(str(text))
    except ValueError:
        address = None
    # A zone, `fe80::1%eth0`, means nothing in another network namespace.
    if not isinstance(address, kind) or "%" in str(text):
        raise Invalid(f"{where}.IPAMConfig.{key} {text!r} is none", f"give an {key.removesuffix('Address')} address")
    return str(address)


def _words(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Invalid(f"{where} is {value!r}, no list of names", "give a list of names")
    return tuple(value)
