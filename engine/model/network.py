"""Networks, and how a container is wired into them: what was asked, what was decided, what is published."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from engine.model.run import Record

DEFAULT = "bridge"
"""The network of whoever asks for none."""
BUILT_IN = ("bridge", "host", "none")
"""Made by the engine; nobody can remove them."""

OPTION = "com.docker.network."
NAME, MTU = f"{OPTION}bridge.name", f"{OPTION}driver.mtu"
ICC, MASQUERADE = f"{OPTION}bridge.enable_icc", f"{OPTION}bridge.enable_ip_masquerade"
HOST_BINDING, HOST_IPV4 = f"{OPTION}bridge.host_binding_ipv4", f"{OPTION}host_ipv4"
INHIBIT_IPV4, INTERFACE_PREFIX = f"{OPTION}bridge.inhibit_ipv4", f"{OPTION}container_iface_prefix"


class Subnet(Struct, frozen=True, kw_only=True):
    """A range of addresses of one family, and who has which of them."""

    subnet: str
    """With its prefix length, `172.30.0.0/16`."""
    gateway: str
    """The bridge's own address in it, without prefix length."""
    ip_range: str = ""
    """Where addresses are taken from; empty: the whole subnet."""
    aux: dict[str, str] = {}
    """Addresses that are somebody else's, by a name."""
    asked: bool = False
    """A person chose the range. Only then may containers ask for fixed addresses."""


class Network(Record, frozen=True, kw_only=True, rename="pascal"):
    """A network: a bridge on the host, its ranges, and the rules that let it out."""

    driver: str
    """`bridge`, `host` or `null`."""
    created: datetime
    bridge: str = ""
    """The link's name, `longshore0` or `br-` and 12 digits of the id; empty without one."""
    mac: str = ""
    """The bridge's own, fixed so that it does not change when ports join."""
    ipv4: Subnet | None = None
    ipv6: Subnet | None = None
    internal: bool = False
    """Nothing leaves it and nothing comes in."""
    attachable: bool = False
    options: dict[str, str] = field(default_factory=dict)
    """The driver's, `com.docker.network...`, as they were given."""
    labels: dict[str, str] = field(default_factory=dict)
    mtu: int = 1500

    @property
    def subnet(self) -> str:
        """The IPv4 range; empty without one."""
        return self.ipv4.subnet if self.ipv4 else ""

    @property
    def gateway(self) -> str:
        return self.ipv4.gateway if self.ipv4 else ""

    @property
    def built_in(self) -> bool:
        return self.name in BUILT_IN

    @property
    def icc(self) -> bool:
        """May its containers talk to each other?"""
        return truth(self.options.get(ICC, "true"))

    @property
    def masquerade(self) -> bool:
        """Does the host put its own address in the place of the container's, on the way out?"""
        return truth(self.options.get(MASQUERADE, "true"))

    @property
    def host_binding(self) -> str:
        """The host's address that ports are published on when nobody names one; empty: all of them."""
        given = self.options.get(HOST_BINDING, "")
        return "" if given == "0.0.0.0" else given

    @property
    def inhibit_ipv4(self) -> bool:
        """The bridge gets no address: somebody else is the gateway."""
        return truth(self.options.get(INHIBIT_IPV4, "false"))


def truth(text: str) -> bool:
    """Of an option's value, already checked (Go's `strconv.ParseBool`)."""
    return text.lower() in ("1", "t", "true")


class Attachment(Struct, frozen=True, kw_only=True):
    """What a person asked of one network for one container: Docker's `EndpointSettings`, the part that is an input."""

    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """`container:alias`."""
    options: dict[str, str] = field(default_factory=dict)


class Endpoint(Struct, frozen=True, kw_only=True):
    """One cable into one network. Decided before it is plugged, so that it can be found and pulled after a crash."""

    network: str
    """The network's name."""
    network_id: str
    endpoint_id: str
    bridge: str
    veth: str
    """The host's end: `veth`, 7 hex digits of the container's id and 4 of the network's: all that fits in 15 characters."""
    interface: str
    """The container's end, `eth0`."""
    address: str
    prefix: int
    gateway: str
    """Where packets for elsewhere go; empty on an internal network."""
    mac: str
    address6: str = ""
    """IPv6; empty without."""
    prefix6: int = 0
    gateway6: str = ""
    mtu: int = 1500
    internal: bool = False
    isolated: bool = False
    """It reaches no other isolated one of the same bridge: inter-container communication is off."""
    links: dict[str, str] = {}
    """Linked containers: the names by which this one knows them, and their address. The default bridge has no name service."""
    variables: tuple[str, ...] = ()
    """What its processes are told of them, `DB_PORT=tcp://10.84.0.2:80`."""

    @property
    def key(self) -> str:
        """Names it among the container's endpoints, in steps and in what the record holds."""
        return self.network_id[:12]


class Binding(Struct, frozen=True, kw_only=True):
    """A published port as it was asked for."""

    protocol: str
    """`tcp`, `udp` or `sctp`."""
    port: int
    """The container's."""
    host_ip: str = ""
    """Empty: every address of the host, of both families."""
    first: int = 0
    """The host's port; 0: any free one."""
    last: int = 0
    """More than `first`: the first free one from `first` to `last`."""


class Published(Struct, frozen=True, kw_only=True):
    """A published port as it is: one protocol, one address of the host, one port."""

    protocol: str
    port: int
    host_ip: str
    """`0.0.0.0`, `::`, or one address."""
    host_port: int

    def __str__(self) -> str:
        host = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        return f"{host}:{self.host_port}->{self.port}/{self.protocol}"


class Target(Struct, frozen=True, kw_only=True):
    """Where a container's published ports lead: its endpoint that has a gateway."""

    bridge: str
    address: str
    address6: str = ""
    """Empty: what comes by IPv6 is carried over to `address` by the relay."""
