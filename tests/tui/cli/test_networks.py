"""`longshore network` and `port` on a simulated host: what they ask for, print and refuse."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from engine.model.errors import Invalid
from tests.engine.api.conftest import Served
from tests.tui.cli.conftest import Typed
from tests.tui.commands import Said
from tui.pairs import ranges


async def test_networks_are_made_listed_and_removed(typed: Typed, served: Served) -> None:
    made = await typed(
        *("network", "create", "--subnet", "10.90.0.0/24", "--gateway", "10.90.0.9", "--ip-range", "10.90.0.64/26"),
        *("--aux-address", "nas=10.90.0.7", "--ipv6", "--subnet", "fd00:90::/64", "--internal", "--attachable"),
        *("-o", "com.docker.network.driver.mtu=1400", "--label", "tier=back", "--label", "a", "-d", "bridge", "back"),
    )
    n = served.engine.networks.find("back")
    assert made == Said(0, f"{n.id}\n", "")
    assert n.ipv4 and n.ipv6 and n.ipv6.subnet == "fd00:90::/64"
    assert (n.ipv4.subnet, n.ipv4.gateway, n.ipv4.ip_range) == ("10.90.0.0/24", "10.90.0.9", "10.90.0.64/26")
    assert n.ipv4.aux == {"nas": "10.90.0.7"}
    assert (n.internal, n.attachable, n.mtu, n.labels) == (True, True, 1400, {"tier": "back", "a": ""})

    listed = (await typed("network", "ls")).out.splitlines()
    assert listed[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "RANGE", "GATEWAY"]
    assert [line.split()[1] for line in listed[1:]] == ["back", "bridge", "host", "none"]
    assert listed[1].endswith("internal") and "10.90.0.0/24, fd00:90::/64" in listed[1]
    assert (await typed("network", "list", "-q", "-f", "name=back")).out == f"{n.id[:12]}\n"
    assert json.loads((await typed("network", "ls", "-f", "driver=null", "--format", "json")).out)["Name"] == "none"

    said = await typed("network", "inspect", "back", "nowhere")
    assert (said.code, said.err) == (1, "longshore: network nowhere not found\n")
    assert [one["Id"] for one in json.loads(said.out)] == [n.id]
    assert [one["Id"] for one in json.loads((await typed("inspect", "back")).out)] == [n.id]

    assert (await typed("network", "rm", "nowhere", "back")) == Said(1, "back\n", "longshore: network nowhere not found\n")
    assert (await typed("network", "rm", "-f", "back")) == Said(0, "", "")


async def test_containers_are_connected_and_pulled_out(typed: Typed, served: Served) -> None:
    await typed("network", "create", "--subnet", "10.90.0.0/24", "back")
    await served.create("web")
    await served.engine.do("start", "web")
    said = await typed("network", "connect", "--alias", "shop", "--alias", "store", "--ip", "10.90.0.7", "back", "web")
    assert said == Said(0, "", "")
    web = served.engine.resolve("web")
    assert (web.networks["back"].aliases, web.plugged[-1].address) == (("shop", "store"), "10.90.0.7")
    said = await typed("network", "connect", "back", "web")
    assert said.code == 1 and "already exists in network back" in said.err
    assert (await typed("network", "disconnect", "back", "web")) == Said(0, "", "")
    assert "back" not in served.engine.resolve("web").networks
    assert (await typed("--read-only", "network", "create", "other")).code == 1


@pytest.mark.parametrize(("answer", "goes"), [("y\n", True), ("n\n", False), ("", False)])
async def test_prune_asks_first(typed: Typed, served: Served, monkeypatch: pytest.MonkeyPatch, answer: str, goes: bool) -> None:
    await typed("network", "create", "idle")
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    said = await typed("network", "prune")
    assert said.out.startswith("WARNING! This will remove all custom networks")
    assert said.out.endswith("Deleted Networks:\nidle\n\n") is goes
    assert ("idle" in served.engine.networks.all) is not goes
    assert (await typed("network", "prune", "-f", "--filter", "label=x")) == Said(0, "", "")


async def test_a_container_on_several_networks_is_made_whole_or_not_at_all(typed: Typed, served: Served) -> None:
    await typed("network", "create", "back")
    await typed("network", "create", "front")
    made = await typed("create", "--name", "web", "--network", "back", "--network", "name=front,alias=shop", "busybox")
    assert made.code == 0
    assert {name: asked.aliases for name, asked in served.engine.resolve("web").networks.items()} == {
        "back": (),
        "front": ("shop",),
    }
    said = await typed("create", "--name", "db", "--network", "back", "--network", "nowhere", "busybox")
    assert said.code == 1 and "network nowhere not found" in said.err
    assert (await typed("ps", "-aq")).out.count("\n") == 1


async def test_ports_are_told(typed: Typed, served: Served) -> None:
    bound = {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}
    await served.create("web", HostConfig={"PortBindings": bound}, ExposedPorts={"90/tcp": {}})
    assert (await typed("port", "web")) == Said(0, "", "")
    await served.engine.do("start", "web")
    assert (await typed("port", "web")).out.splitlines() == [
        "53/udp -> 127.0.0.1:53",
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
    ]
    assert (await typed("port", "web", "80")).out == "0.0.0.0:8080\n[::]:8080\n"
    assert (await typed("port", "web", "53/udp")).out == "127.0.0.1:53\n"
    said = await typed("port", "web", "90")
    assert said.code == 1 and "no public port '90/tcp' published for web" in said.err
    assert "8080→80" in (await typed("ps")).out


@pytest.mark.parametrize(
    ("given", "config"),
    [
        (((), (), (), ()), []),
        (
            (("10.1.0.0/16", "fd00::/64"), ("fd00::9", "10.1.0.9"), ("10.1.2.0/24",), (("nas", "fd00::7"),)),
            [
                {"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.9", "IPRange": "10.1.2.0/24"},
                {"Subnet": "fd00::/64", "Gateway": "fd00::9", "AuxiliaryAddresses": {"nas": "fd00::7"}},
            ],
        ),
        ((("no range",), (), (), ()), [{"Subnet": "no range"}]),
    ],
)
def test_everything_goes_with_its_subnet(given: Any, config: Any) -> None:
    assert ranges(*given) == config


@pytest.mark.parametrize(
    "given",
    [
        ((), ("10.1.0.9",), (), ()),
        (("10.1.0.0/16",), ("10.2.0.9",), (), ()),
        (("10.1.0.0/16",), ("10.1.0.9", "10.1.0.8"), (), ()),
        (("10.1.0.0/16",), (), ("x",), ()),
        (("10.1.0.0/16",), (), (), (("nas", "10.9.0.1"),)),
    ],
)
def test_what_lies_in_no_subnet_is_refused(given: Any) -> None:
    with pytest.raises(Invalid):
        ranges(*given)
