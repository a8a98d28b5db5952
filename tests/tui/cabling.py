"""Networks for the scripted engine: cables as a script, and a world with several networks."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from engine.model.errors import Conflict
from engine.model.network import Endpoint, Published
from engine.model.wiring import Cable, Wire, WireEnd
from engine.model.world import NetworkRow, World
from tests.tui.made import BACKEND, BRIDGE, NO_NETWORK, row, sample, small_world, wire

HOST = NetworkRow(id="h" * 64, name="host", driver="host")
INNER = NetworkRow(
    id="i" * 64,
    name="inner",
    bridge="br-iiiiiiiiiiii",
    subnet="10.86.0.0/24",
    gateway="10.86.0.1",
    subnet6="fd00:86::/64",
    gateway6="fd00:86::1",
    up=True,
    nat=True,
    internal=True,
    icc=False,
    mtu=1400,
)


def end(name: str, **changes: Any) -> WireEnd:
    counted = {"rx_packets": 1200, "tx_packets": 900, "rx_bytes": 1_200_000, "tx_bytes": 90_000}
    none = dict.fromkeys(("rx_errors", "tx_errors", "rx_dropped", "tx_dropped"), 0)
    base: dict[str, Any] = {"name": name, "index": 7, "state": "up", "mtu": 1500, "mac": "02:42:0a:55:00:02"}
    return WireEnd(**(base | counted | none | changes))


def cable(**changes: Any) -> Cable:
    """That of `web` into `backend`."""
    base: dict[str, Any] = {
        "container": row("web").id,
        "name": "web",
        "endpoint": Endpoint(
            network="backend",
            network_id=BACKEND.id,
            endpoint_id="e" * 64,
            bridge=BACKEND.bridge,
            veth="veth7765620back",
            interface="eth1",
            address="10.85.0.2",
            prefix=16,
            gateway="10.85.0.1",
            mac="02:42:0a:55:00:02",
        ),
        "netns": "/run/longshore/netns/776562000000",
        "wire": Wire(
            host=end("veth7765620back", mac="02:11:22:33:44:55"),
            bridge=BACKEND.bridge,
            inside=end("eth1", rx_bytes=90_000, tx_bytes=1_200_000),
            addresses=("10.85.0.2/16",),
            routes=("default via 10.85.0.1 dev eth1", "10.85.0.0/16 dev eth1 src 10.85.0.2"),
            neighbours=("10.85.0.1 02:42:0a:55:00:01 reachable",),
        ),
        "names": ("web", "776562000000", "shop"),
        "ports": (Published(protocol="tcp", port=80, host_ip="0.0.0.0", host_port=8080),),
        "leads_out": True,
        "rules": (
            'forward iifname "br-bbbbbbbbbbbb" counter packets 12 bytes 3400 accept',
            'postrouting ip saddr 10.85.0.0/16 oifname != "br-bbbbbbbbbbbb" counter packets 3 bytes 180 masquerade',
        ),
    }
    return Cable(**(base | changes))


def wired_world() -> World:
    """Several networks, a container on two of them, one that shares, one on the host's, one that publishes a port."""
    web = row("web", image="nginx:1.27", ports=("0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"))
    web = replace(web, wires=(wire("bridge", web.id, "10.84.0.4/16"), wire("backend", web.id, "10.85.0.2/16", "eth1")))
    db = row("db", network="backend")
    inner = wire("inner", db.id, "10.86.0.2/24", "eth1", "fd00:86::2/64")
    db = replace(db, wires=(wire("backend", db.id, "10.85.0.3/16"), inner))
    rows = (
        web,
        db,
        row("proxy", network="host", wires=()),
        row("sidecar", network=f"container:{web.id}", wires=()),
    )
    first, second = web.wires
    flows = {first.veth: (3100.0, 1200.0), second.veth: (0.0, 340.0)}
    return replace(
        small_world(),
        containers={r.id: r for r in rows},
        networks={n.id: n for n in (BRIDGE, BACKEND, INNER, HOST, NO_NETWORK)},
        samples={web.id: sample(web.id, rx=3100.0, tx=1540.0, wires=flows)},
    )


class ScriptedNetworks:
    """What the scripted engine tells of cables and networks. `cables`: by container's id and network."""

    def __init__(self) -> None:
        self.cables: dict[tuple[str, str], Cable] = {}
        self.looked: list[tuple[str, str]] = []
        self.unused: list[str] = []
        """What prune removes."""

    async def cable(self, target: str, network: str = "") -> Cable:
        self.looked.append((target, network))
        if (target, network) not in self.cables:
            raise Conflict(f"cannot look at a cable of it: it is not plugged into {network}")
        return self.cables[target, network]

    async def network_json(self, name: str) -> dict[str, Any]:
        self.looked.append(("", name))
        return {
            "Name": name,
            "Id": "b" * 64,
            "Created": "2026-02-01T12:00:00.000000000Z",
            "Driver": "bridge",
            "IPAM": {"Config": [{"Subnet": "10.85.0.0/16", "Gateway": "10.85.0.1", "IPRange": "10.85.4.0/24"}]},
            "Internal": False,
            "Attachable": False,
            "Options": {"com.docker.network.driver.mtu": "1400"},
            "Labels": {"tier": "back"},
            "Containers": {
                "x": {"Name": "web", "IPv4Address": "10.85.0.2/16", "IPv6Address": "", "MacAddress": "02:42:0a:55:00:02"}
            },
        }

    async def networks_prune(self, **query: str) -> list[str]:
        gone, self.unused = self.unused, []
        return gone
