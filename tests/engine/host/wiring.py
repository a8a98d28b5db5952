"""Networks, endpoints and pings that the tests of links and firewall share."""

from datetime import UTC, datetime

from engine.host.links import KernelLinks
from engine.host.netns import KernelNetns
from engine.host.tools import ask
from engine.model.container import Endpoint
from engine.model.network import Network


def network(bridge: str = "lst0", subnet: int = 30) -> Network:
    return Network(
        id=f"{subnet:064x}",
        name="bridge",
        driver="bridge",
        created=datetime.now(UTC),
        bridge=bridge,
        subnet=f"172.{subnet}.0.0/16",
        gateway=f"172.{subnet}.0.1",
        mac=f"02:42:ac:{subnet:02x}:00:01",
        mtu=1400,
    )


def endpoint(host: int, bridge: str = "lst0", subnet: int = 30) -> Endpoint:
    return Endpoint(
        network="bridge",
        network_id=f"{subnet:064x}",
        endpoint_id=f"{host:064x}",
        bridge=bridge,
        veth=f"veth{subnet:02x}{host:09x}",
        interface="eth0",
        address=f"172.{subnet}.0.{host}",
        prefix=16,
        gateway=f"172.{subnet}.0.1",
        mac=f"02:42:ac:{subnet:02x}:00:{host:02x}",
    )


async def connect(netns: KernelNetns, links: KernelLinks, name: str, cable: Endpoint) -> None:
    """A container's network, as start makes it."""
    await netns.make(name)
    await links.plug(cable, name, owner=name)
    await links.address(cable, name)


async def reaches(netns: KernelNetns, name: str, address: str) -> bool:
    code, _, _ = await ask("nsenter", f"--net={netns.path(name)}", "busybox", "ping", "-c1", "-W1", address)
    return not code
