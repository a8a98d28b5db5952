"""A network: a bridge on the host, an address range, and the rules that let it out."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Network(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    """`bridge` or `none`."""
    driver: str
    """`bridge` or `null`."""
    created: datetime
    bridge: str = ""
    """The link's name, `longshore0`."""
    subnet: str = ""
    gateway: str = ""
    """The bridge's own address in the subnet, without the prefix length."""
    mac: str = ""
    """The bridge's own, fixed so that it does not change when ports join."""
    mtu: int = 1500
