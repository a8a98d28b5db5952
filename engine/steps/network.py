"""Steps on the container's network: a namespace, cables, addresses, a way out, three files."""

from __future__ import annotations

from dataclasses import dataclass

from engine.flow.step import Step
from engine.host import Host
from engine.model.container import Container
from engine.model.network import Endpoint


@dataclass(frozen=True)
class EndpointStep(Step[Host, Container], abstract=True):
    """A step on one of the container's endpoints, which are decided before the first step of all."""

    network: str
    """`Endpoint.key`."""

    @property
    def key(self) -> str:
        return f"{self.name}/{self.network}"

    def endpoint(self, c: Container) -> Endpoint:
        return c.endpoint(self.network)


def enter(host: Host, c: Container) -> str:
    return f"nsenter --net={host.netns.path(c.sandbox)}"


class MakeNetworkNamespace(Step[Host, Container]):
    """Make a network namespace

    A network namespace is a network stack of one's own: its own interfaces, addresses, routes, firewall and ports. Two
    containers can both listen on port 80 because each of them has its own port 80.

    A namespace lives as long as something refers to it. Usually that is a process; here none exists yet. So the engine
    keeps it with a file: the namespace is mounted on it, and a mount is a reference too.

    The new stack is empty but for `lo`, the loopback interface, which the engine switches on.
    """

    thing = "network namespace"

    def title(self, c: Container, *, back: bool = False) -> str:
        file = f"netns/{c.sandbox}"
        return f"Give up the network namespace {file}" if back else f"Make a network namespace, kept by {file}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        path = host.netns.path(c.sandbox)
        if back:
            return (f"umount {path}", f"rm {path}")
        return (f"touch {path}", f"unshare --net={path} true", f"{enter(host, c)} ip link set lo up")

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"stat -f -c %T {host.netns.path(c.sandbox)}", f"{enter(host, c)} ip address")

    async def do(self, host: Host, c: Container) -> Container:
        await host.netns.make(c.sandbox)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.netns.drop(c.sandbox)
        return c

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("netns", c.sandbox)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.netns.look(c.sandbox)


@dataclass(frozen=True)
class PlugVeth(EndpointStep):
    """Plug the container into the bridge

    A veth pair is a cable with two ends: what goes in at one comes out at the other, and an end may lie in another network
    namespace. One end stays on the host as a port of the bridge, the other is put into the container's namespace, where it
    is called `eth0`, or `eth1` if it is the second.

    The bridge is a switch made of software. All containers plugged into it are neighbours on one Ethernet; the host sits
    on it too, as the gateway.

    The host's end carries the container's id as its alias, so that after a crash nobody has to guess whose cable it is.
    """

    thing = "veth"

    def title(self, c: Container, *, back: bool = False) -> str:
        e = self.endpoint(c)
        return f"Pull {e.veth} out of {e.bridge}" if back else f"Plug {e.veth} into {e.bridge}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        e = self.endpoint(c)
        if back:
            return (f"ip link delete {e.veth}",)
        return (
            f"ip link add {e.veth} type veth peer name {e.interface} address {e.mac} netns {host.netns.path(c.sandbox)}",
            f"ip link set {e.veth} master {e.bridge} up",
        )

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"bridge link show dev {self.endpoint(c).veth}", f"{enter(host, c)} ip link")

    async def do(self, host: Host, c: Container) -> Container:
        await host.links.plug(self.endpoint(c), c.sandbox, c.id)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.links.unplug(self.endpoint(c), c.id)
        return c

    def called(self, c: Container) -> str:
        return self.endpoint(c).veth

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("plug", self.endpoint(c).veth, self.endpoint(c).bridge, c.id)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.links.look_plug(self.endpoint(c), c.id)


@dataclass(frozen=True)
class GiveAddress(EndpointStep):
    """Give the interface its address

    The cable is plugged in, but nobody on it has a name yet. The engine has picked the lowest free address of the bridge's
    range; now the interface inside the namespace gets it and is switched on.

    With the address comes a first route, by itself: whoever lies in the same range is a neighbour on this cable. Nobody
    else can be reached yet.
    """

    thing = "address"

    def title(self, c: Container, *, back: bool = False) -> str:
        e = self.endpoint(c)
        text = _addresses(e)
        return f"Take {text} from {e.interface}" if back else f"Give {e.interface} the address {text}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        e, inside = self.endpoint(c), enter(host, c)
        if back:
            return (f"{inside} ip address flush dev {e.interface}",)
        return (
            f"{inside} ip address add {e.address}/{e.prefix} dev {e.interface}",
            *((f"{inside} ip address add {e.address6}/{e.prefix6} dev {e.interface} nodad",) if e.address6 else ()),
            f"{inside} ip link set {e.interface} up",
        )

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"{enter(host, c)} ip address show {self.endpoint(c).interface}", f"{enter(host, c)} ip route")

    async def do(self, host: Host, c: Container) -> Container:
        await host.links.address(self.endpoint(c), c.sandbox)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.links.unaddress(self.endpoint(c), c.sandbox)
        return c

    def called(self, c: Container) -> str:
        return f"address {self.endpoint(c).address}"

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.links.look_address(self.endpoint(c), c.sandbox)


@dataclass(frozen=True)
class SetDefaultRoute(Step[Host, Container]):
    """Show the way out

    Whoever is no neighbour is reached by the default route: hand the packet to the gateway, and let it see further. The
    gateway is the bridge itself, that is, the host, which forwards what comes in there.

    On the way out the host's firewall puts the host's own address in the place of the sender (masquerading), because the
    world outside has never heard of this range. A container on several networks has one way out; internal networks have none.
    """

    before: str
    """`Endpoint.key` of the way out before; empty: there was none."""
    after: str
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        e = _maybe(c, self.before if back else self.after)
        return f"Send what is for elsewhere to {e.gateway or e.gateway6}" if e else "Leave no way out"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        e, inside = _maybe(c, self.before if back else self.after), enter(host, c)
        if e is None:
            return (f"{inside} ip route delete default",)
        six = (f"{inside} ip -6 route replace default via {e.gateway6} dev {e.interface}",) if e.gateway6 else ()
        return (f"{inside} ip route replace default via {e.gateway} dev {e.interface}", *six)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"{enter(host, c)} ip route", f"{enter(host, c)} ip -6 route")

    async def do(self, host: Host, c: Container) -> Container:
        await host.links.route(_maybe(c, self.after), c.sandbox)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.links.route(_maybe(c, self.before), c.sandbox)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.links.look_route(_maybe(c, self.after), c.sandbox)


def _maybe(c: Container, key: str) -> Endpoint | None:
    return next((e for e in c.endpoints if e.key == key), None)


def _addresses(e: Endpoint) -> str:
    return f"{e.address}/{e.prefix}" + (f" and {e.address6}/{e.prefix6}" if e.address6 else "")


class WriteNetworkFiles(Step[Host, Container]):
    """Write hosts, hostname and resolv.conf

    Programs do not ask the kernel what their host is called or which name server to use; they read three files in `/etc`.
    They differ from container to container, so they cannot come from the image. The engine writes them into the
    container's own directory and later mounts each over the empty file of the init layer.

    The image stays untouched, and what a program writes into them is gone with the container's next start.
    """

    thing = "network files"

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Remove hosts, hostname and resolv.conf" if back else "Write hosts, hostname and resolv.conf"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        path = f"{host.facts.root}/containers/{c.id}"
        if back:
            return (f"rm {path}/hosts {path}/hostname {path}/resolv.conf",)
        return (f"echo {c.config.hostname} > {path}/hostname", f"$EDITOR {path}/hosts {path}/resolv.conf")

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        path = f"{host.facts.root}/containers/{c.id}"
        return (f"cat {path}/hosts {path}/hostname {path}/resolv.conf",)

    async def do(self, host: Host, c: Container) -> Container:
        await host.files.make_network(c)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.files.drop_network(c.id)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.files.look_network(c.id)
