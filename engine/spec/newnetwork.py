"""The request to make a network, `POST /networks/create`: its form, and what of it cannot be (reference 9.7). Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct, field

from engine.model.errors import Forbidden, Invalid, NotBuilt, NotFound
from engine.model.network import ICC, INHIBIT_IPV4, INTERFACE_PREFIX, MASQUERADE, MTU, NAME
from engine.spec.decode import decode_as

NETWORK_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
BRIDGE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")
BOOLEANS: Final = ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False")
"""What Go's `strconv.ParseBool` takes."""
ELSEWHERE: Final = ("overlay", "macvlan", "ipvlan")


class NetworkBody(Struct, frozen=True, kw_only=True, rename="pascal"):
    name: str = ""
    check_duplicate: bool = False
    """Without meaning: a name is never taken twice."""
    driver: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    enable_ipv6: bool = field(default=False, name="EnableIPv6")
    ipam: dict[str, Any] | None = field(default=None, name="IPAM")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    scope: str = ""
    config_only: bool = False
    config_from: dict[str, Any] | None = None

    @property
    def bridge(self) -> str:
        """The name wanted for the link; empty: any."""
        return (self.options or {}).get(NAME, "")

    @property
    def mtu(self) -> int:
        """0: the engine's."""
        return int((self.options or {}).get(MTU, "0"))


def decode(body: Any) -> NetworkBody:
    """Raises `Invalid` for what is no request, `Forbidden` and `NotFound` for drivers, `NotBuilt` for what would not happen."""
    given = decode_as(NetworkBody, body)
    if not NETWORK_NAME.fullmatch(given.name):
        raise Invalid(f"{given.name!r} is no network name", "take a-z A-Z 0-9 _ . - and begin with a letter or a digit")
    if given.driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{given.driver}" network is allowed', "use the one there is")
    if given.driver == "overlay":
        raise Forbidden("cannot create an overlay network: this engine is no swarm manager", "use the bridge driver")
    if given.driver in ELSEWHERE:
        raise NotBuilt(f"the network driver {given.driver} is not built yet", "use the bridge driver")
    if given.driver not in ("", "default", "bridge"):
        raise NotFound(f"there is no network driver {given.driver!r}", "use the bridge driver")
    if given.ingress or given.scope == "swarm":
        raise Forbidden("cannot create a swarm's network: this engine is in no swarm", "leave ingress and scope out")
    if given.config_only or (given.config_from or {}).get("Network"):
        raise NotBuilt("ConfigOnly and ConfigFrom are not built yet", "leave them out")
    _options(given.options or {})
    return given


def _options(options: dict[str, str]) -> None:
    for key in (ICC, MASQUERADE, INHIBIT_IPV4):
        if key in options and options[key] not in BOOLEANS:
            raise Invalid(f"invalid option {key}={options[key]}: no truth value", "give true or false")
    if NAME in options and not BRIDGE_NAME.fullmatch(options[NAME]):
        raise Invalid(f"invalid bridge name {options[NAME]!r}", "use at most 15 letters, digits, '_', '.' and '-'")
    mtu = options.get(MTU, "0")
    if not mtu.isdecimal() or (mtu != "0" and not 68 <= int(mtu) <= 65535):
        raise Invalid(f"invalid option {MTU}={mtu}", "give a number from 68 to 65535")
    prefix = options.get(INTERFACE_PREFIX, "eth")
    if not re.fullmatch(r"[a-z]{1,12}", prefix):
        raise Invalid(f"invalid option {INTERFACE_PREFIX}={prefix}", "give a few small letters, as eth")
