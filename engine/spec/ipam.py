"""The ranges of a network that is to be created: Docker's `IPAM` block, checked (reference 9.2). Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.network import Subnet
from engine.spec.addresses import choose, network


def asked(ipam: dict[str, Any] | None) -> tuple[Subnet | None, Subnet | None]:
    """The IPv4 and the IPv6 range a person gives; None: any. Raises `Invalid`."""
    driver = (ipam or {}).get("Driver") or "default"
    if driver != "default":
        raise Invalid(f"there is no IPAM driver {driver!r}", "use the default one")
    found: dict[int, Subnet] = {}
    for entry in (ipam or {}).get("Config") or ():
        if not isinstance(entry, dict):
            raise Invalid(f"IPAM.Config has {entry!r}, no range", 'give {"Subnet": ...}')
        own = _range(entry)
        if own is None:
            continue
        version = network(own.subnet).version
        if version in found:
            raise Invalid(f"a bridge has one subnet of each family, {found[version].subnet} or {own.subnet}", "give one")
        found[version] = own
    return found.get(4), found.get(6)


def _range(entry: dict[str, Any]) -> Subnet | None:
    subnet, ip_range, gateway = (str(entry.get(key) or "") for key in ("Subnet", "IPRange", "Gateway"))
    aux = entry.get("AuxiliaryAddresses") or entry.get("AuxAddress") or {}
    if not isinstance(aux, dict):
        raise Invalid(f"AuxiliaryAddresses is {aux!r}, no map", "map names to addresses")
    if not subnet:
        if ip_range or gateway or aux:
            raise Invalid("every ip-range, gateway or auxiliary address needs its subnet", "give --subnet too")
        return None
    for address in filter(None, (gateway, *aux.values())):
        try:
            ip_address(address)
        except ValueError:
            raise Invalid(f"invalid address {address!r} in the range {subnet}", "give one inside it") from None
    ip_range = ip_range and str(network(ip_range))
    return Subnet(subnet=str(network(subnet)), gateway=gateway, ip_range=ip_range, aux=dict(aux), asked=True)


def with_gateway(own: Subnet) -> Subnet:
    """The range with the bridge's own address: the one asked for, or the lowest free."""
    return own if own.gateway else replace(own, gateway=choose(own, "", ()))
