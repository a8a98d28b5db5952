"""Networks, endpoints and pings that the tests of links and firewall share."""

from datetime import UTC, datetime

from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns
from engine.host.tools import ask
from engine.model.network import Endpoint, Network, Subnet


def network(
    bridge: str = "lst0",
    subnet: int = 30,
    *,
    ipv6: bool = False,
    internal: bool = False,
    options: dict[str, str] | None = None,
) -> Network:
    """172.<subnet>.0.0/16, and fd00:<subnet>::/64 beside it."""
    return Network(
        id=f"{subnet:064x}",
        name="bridge",
        driver="bridge",
        created=datetime.now(UTC),
        bridge=bridge,
        ipv4=Subnet(subnet=f"172.{subnet}.0.0/16", gateway=f"172.{subnet}.0.1"),
        ipv6=Subnet(subnet=f"fd00:{subnet}::/64", gateway=f"fd00:{subnet}::1") if ipv6 else None,
        mac=f"02:42:ac:{subnet:02x}:00:01",
        mtu=1400,
        internal=internal,
        options=options or {},
    )


def endpoint(
    host: int,
    bridge: str = "lst0",
    subnet: int = 30,
    *,
    interface: str = "eth0",
    ipv6: bool = False,
    internal: bool = False,
    isolated: bool = False,
) -> Endpoint:
    """The address <host> of that network."""
    return Endpoint(
        network="bridge",
        network_id=f"{subnet:064x}",
        endpoint_id=f"{host:064x}",
        bridge=bridge,
        veth=f"veth{subnet:02x}{host:09x}",
        interface=interface,
        address=f"172.{subnet}.0.{host}",
        prefix=16,
        gateway="" if internal else f"172.{subnet}.0.1",
        mac=f"02:42:ac:{subnet:02x}:00:{host:02x}",
        address6=f"fd00:{subnet}::{host}" if ipv6 else "",
        prefix6=64 if ipv6 else 0,
        gateway6=f"fd00:{subnet}::1" if ipv6 and not internal else "",
        mtu=1400,
        internal=internal,
        isolated=isolated,
    )


async def connect(netns: KernelNetns, links: KernelLinks, name: str, *cables: Endpoint) -> None:
    """A container's network, as start makes it: the default route by the first cable."""
    await netns.make(name)
    for cable in cables:
        await links.plug(cable, name, owner=name)
        await links.address(cable, name)
    await links.route(cables[0], name)


async def reaches(netns: KernelNetns, name: str, address: str) -> bool:
    """At the second try, in two seconds: the first is lost where the kernel is about to give up a neighbour that was away."""
    for _ in range(2):
        code, _, _ = await ask("nsenter", f"--net={netns.path(name)}", "busybox", "ping", "-c1", "-W2", address)
        if not code:
            return True
    return False
