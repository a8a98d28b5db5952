"""Names with values, and addresses with the ranges they lie in, as people write them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from engine.model.errors import Invalid

Json = dict[str, Any]


def pair(text: str) -> tuple[str, str]:
    """`key=value`, or `key` alone with an empty value."""
    key, _, value = text.partition("=")
    if not key:
        raise Invalid(f"{text!r} has no name", "write NAME=VALUE")
    return key, value


def pairs(text: str) -> dict[str, str]:
    """`key=value, other=value`; quotes keep a comma or a space in a value. Raises `Invalid`."""
    parts = shlex.shlex(text, posix=True)
    parts.whitespace, parts.whitespace_split, parts.commenters = ",", True, ""
    try:
        return dict(pair(part.strip()) for part in parts if part.strip())
    except ValueError as error:
        raise Invalid(f"{text!r} has a quote without its other", "close it") from error


def ranges(subnets: Sequence[str], gateways: Iterable[str], parts: Iterable[str], aux: Iterable[tuple[str, str]]) -> list[Json]:
    """`IPAM.Config`: everything with the subnet that it lies in. Raises `Invalid` for what lies in none."""
    config: list[Json] = [{"Subnet": subnet} for subnet in subnets]

    def home(address: str, what: str) -> Json:
        for own in config:
            try:
                if ip_address(address.partition("/")[0]) in ip_network(own["Subnet"], strict=False):
                    return own
            except ValueError:
                continue
        raise Invalid(f"no matching subnet for {what} {address}", "give the --subnet that it lies in")

    for key, what, addresses in (("Gateway", "gateway", gateways), ("IPRange", "range", parts)):
        for address in addresses:
            own = home(address, what)
            if key in own:
                raise Invalid(f"cannot give two {what}s to the subnet {own['Subnet']}", "give one")
            own[key] = address
    for name, address in aux:
        home(address, "auxiliary address").setdefault("AuxiliaryAddresses", {})[name] = address
    return config
