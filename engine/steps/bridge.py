"""Steps on a network: a bridge, and the rules for what may pass."""

from __future__ import annotations

from engine.flow.step import Step
from engine.host import Host
from engine.model.network import Network
from engine.spec.addresses import network

NetworkStep = Step[Host, Network]


class MakeBridge(NetworkStep):
    """Make a bridge

    A bridge is a switch made of software. Whoever is plugged into it hears whom he is meant to hear, by Ethernet addresses,
    and nobody else does. This one gets an address too, so the host itself sits on it: as the gateway, through which
    everything leaves that is not for a neighbour.

    Each network has a bridge of its own, with a range of addresses no other has. Two containers on two networks are not
    neighbours; they hear of each other only if the host forwards between them.
    """

    thing = "bridge"

    def title(self, n: Network, *, back: bool = False) -> str:
        own = f"{n.gateway}/{network(n.subnet).prefixlen}"
        return f"Remove the bridge {n.bridge}" if back else f"Make the bridge {n.bridge} with the address {own}"

    def shell(self, host: Host, n: Network, *, back: bool = False) -> tuple[str, ...]:
        if back:
            return (f"ip link delete {n.bridge}",)
        ranges = [own for own in (n.ipv4, n.ipv6) if own]
        return (
            f"ip link add {n.bridge} address {n.mac} mtu {n.mtu} type bridge",
            *(f"ip address add {own.gateway}/{network(own.subnet).prefixlen} dev {n.bridge}" for own in ranges),
            f"ip link set {n.bridge} up",
            f"sysctl -w net.ipv4.conf.{n.bridge}.forwarding=1",
        )

    def look(self, host: Host, n: Network) -> tuple[str, ...]:
        return (f"ip address show {n.bridge}", f"bridge link | grep {n.bridge}")

    async def do(self, host: Host, n: Network) -> Network:
        await host.links.make_bridge(n)
        return n

    async def undo(self, host: Host, n: Network) -> Network:
        await host.links.drop_bridge(n)
        return n

    async def evidence(self, host: Host, n: Network) -> str | None:
        return await host.links.look_bridge(n.bridge)


class MakeRules(NetworkStep):
    """Write the firewall's rules

    A network without rules leads nowhere and is open to everybody. So the engine writes, in one transaction: what leaves
    the range gets the host's own address as its sender (masquerading), because nobody outside knows where the range is;
    answers come back; other networks of the engine stay apart; from outside nothing comes in but to a published port.

    An internal network gets no way out at all, and with inter-container communication off even neighbours do not hear each
    other.
    """

    thing = "firewall rules"

    def title(self, n: Network, *, back: bool = False) -> str:
        return f"Take the rules of {n.name} out of the firewall" if back else f"Write the rules of {n.name} into the firewall"

    def shell(self, host: Host, n: Network, *, back: bool = False) -> tuple[str, ...]:
        return ("nft -f -",)

    def look(self, host: Host, n: Network) -> tuple[str, ...]:
        return ("nft list ruleset",)

    async def do(self, host: Host, n: Network) -> Network:
        await host.firewall.make(n)
        return n

    async def undo(self, host: Host, n: Network) -> Network:
        await host.firewall.drop(n)
        return n

    async def evidence(self, host: Host, n: Network) -> str | None:
        return await host.firewall.look(n)
