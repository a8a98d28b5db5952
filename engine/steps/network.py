"""Steps on the container's network: a namespace, a cable, an address, three files."""

from __future__ import annotations

from engine.flow.step import Step
from engine.host import Host
from engine.model.container import Container, Endpoint


def endpoint(c: Container) -> Endpoint:
    assert c.endpoint, "start decides on the endpoint before its first step"
    return c.endpoint


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


class PlugVeth(Step[Host, Container]):
    """Plug the container into the bridge

    A veth pair is a cable with two ends: what goes in at one comes out at the other, and an end may lie in another network
    namespace. One end stays on the host as a port of the bridge, the other is put into the container's namespace, where it
    is called `eth0`.

    The bridge is a switch made of software. All containers plugged into it are neighbours on one Ethernet; the host sits
    on it too, as the gateway.

    The host's end carries the container's id as its alias, so that after a crash nobody has to guess whose cable it is.
    """

    thing = "veth"

    def title(self, c: Container, *, back: bool = False) -> str:
        e = endpoint(c)
        return f"Pull {e.veth} out of {e.bridge}" if back else f"Plug {e.veth} into {e.bridge}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        e = endpoint(c)
        if back:
            return (f"ip link delete {e.veth}",)
        return (
            f"ip link add {e.veth} type veth peer name {e.interface} address {e.mac} netns {host.netns.path(c.sandbox)}",
            f"ip link set {e.veth} master {e.bridge} up",
        )

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"bridge link show dev {endpoint(c).veth}", f"{enter(host, c)} ip link")

    async def do(self, host: Host, c: Container) -> Container:
        await host.links.plug(endpoint(c), c.sandbox, c.id)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.links.unplug(endpoint(c), c.id)
        return c

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("plug", endpoint(c).veth, endpoint(c).bridge, c.id)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.links.look_plug(endpoint(c), c.id)


class GiveAddress(Step[Host, Container]):
    """Give eth0 its address

    The cable is plugged in, but nobody on it has a name yet. The engine picks the lowest free address of the bridge's
    range, gives it to `eth0` inside the namespace, switches the interface on, and sets the default route: whatever is not
    a neighbour goes to the gateway, which is the bridge itself.

    From there the host forwards, and its firewall rewrites the sender's address (masquerading), because the world outside
    has never heard of this range.
    """

    thing = "address"

    def title(self, c: Container, *, back: bool = False) -> str:
        e = endpoint(c)
        text = f"{e.address}/{e.prefix}"
        return f"Take {text} from {e.interface}" if back else f"Give {e.interface} the address {text}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        e, inside = endpoint(c), enter(host, c)
        if back:
            return (f"{inside} ip address flush dev {e.interface}",)
        return (
            f"{inside} ip address add {e.address}/{e.prefix} dev {e.interface}",
            f"{inside} ip link set {e.interface} up",
            f"{inside} ip route add default via {e.gateway}",
        )

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"{enter(host, c)} ip address show {endpoint(c).interface}", f"{enter(host, c)} ip route")

    async def do(self, host: Host, c: Container) -> Container:
        await host.links.address(endpoint(c), c.sandbox)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.links.unaddress(endpoint(c), c.sandbox)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.links.look_address(endpoint(c), c.sandbox)


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
