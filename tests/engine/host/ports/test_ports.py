"""Which ports are taken, for whom, and what is said when one cannot be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from engine.host.ports import HostPorts
from engine.host.tools import tell
from engine.model.errors import HostFailed
from engine.model.network import Target
from tests.engine.host.helpers import helpers
from tests.engine.host.ports.world import (
    CONTAINER,
    ID,
    OTHER,
    Make,
    disable_ipv6,
    exchange,
    free,
    local_ports,
    said,
    server,
    tcp,
    udp,
)


async def test_both_families_without_an_address(ports: HostPorts) -> None:
    published = await ports.take(ID, (tcp(80, 8080, host_ip=""), udp(53, 53, host_ip="")), CONTAINER)
    assert said(published) == [
        "0.0.0.0:8080->80/tcp",
        "[::]:8080->80/tcp",
        "0.0.0.0:53->53/udp",
        "[::]:53->53/udp",
    ]
    assert not any(free(8080, address) for address in ("0.0.0.0", "::", "127.0.0.1", "::1"))
    assert not any(free(53, address, socket.SOCK_DGRAM) for address in ("0.0.0.0", "::"))


async def test_it_is_seen_and_given_back(ports: HostPorts, path: Path) -> None:
    assert await ports.look(ID) is None
    assert await ports.owners() == set()
    await ports.give_back(ID)
    await ports.take(ID, (tcp(80, 8080, host_ip=""), udp(53, 53)), CONTAINER)
    [pid] = helpers(path)
    assert await ports.look(ID) == f"0.0.0.0:8080 tcp, [::]:8080 tcp, 127.0.0.1:53 udp held by pid {pid}"
    assert await ports.owners() == {ID}
    assert psutil.Process(pid).name() == "longshore-ports"
    await ports.give_back(ID)
    assert free(8080) and free(8080, "::1") and free(53, kind=socket.SOCK_DGRAM)
    assert await ports.look(ID) is None
    await ports.give_back(ID)
    assert await ports.owners() == set()


async def test_taking_again_changes_nothing(ports: HostPorts) -> None:
    bindings = (tcp(80, host_ip=""), tcp(80, host_ip=""), tcp(80, 7000, 7010), udp(53, 53), tcp(9, 9, protocol="sctp"))
    first = await ports.take(ID, bindings, CONTAINER)
    assert await ports.take(ID, bindings, CONTAINER) == first
    assert len({(p.protocol, p.host_ip, p.host_port) for p in first}) == len(first) == 7


async def test_what_is_asked_for_no_more_is_given_back(ports: HostPorts) -> None:
    await ports.take(ID, (tcp(80, 8080), tcp(81, 8081)), CONTAINER)
    assert said(await ports.take(ID, (tcp(82, 8081), tcp(83, 8082)), CONTAINER)) == [
        "127.0.0.1:8081->82/tcp",
        "127.0.0.1:8082->83/tcp",
    ]
    assert free(8080)
    assert await ports.take(ID, (), CONTAINER) == ()
    assert await ports.owners() == set()


async def test_free_ports_go_on_behind_the_last(ports: HostPorts) -> None:
    local_ports(40000, 40005)
    with socket.create_server(("127.0.0.1", 40002)):
        first = await ports.take(ID, (tcp(80), tcp(81), tcp(82), udp(53)), CONTAINER)
        assert [p.host_port for p in first] == [40000, 40001, 40003, 40000]
        await ports.give_back(ID)
        second = await ports.take(OTHER, (tcp(80), tcp(81), tcp(82)), CONTAINER)
        assert [p.host_port for p in second] == [40004, 40005, 40000]
        await ports.take(ID, (tcp(80), tcp(81)), CONTAINER)
        with pytest.raises(HostFailed, match="none of the tcp ports 40000 to 40005 is free; publish others"):
            await ports.take(ID, (tcp(80), tcp(81), tcp(82)), CONTAINER)


async def test_one_number_for_both_families(ports: HostPorts) -> None:
    local_ports(40000, 40003)
    with socket.create_server(("::1", 40000), family=socket.AF_INET6), socket.create_server(("127.0.0.1", 40001)):
        assert said(await ports.take(ID, (tcp(80, host_ip=""),), CONTAINER)) == ["0.0.0.0:40002->80/tcp", "[::]:40002->80/tcp"]
        assert free(40000) and free(40001, "::1")


async def test_the_first_free_one_of_a_range(ports: HostPorts) -> None:
    with socket.create_server(("127.0.0.1", 7000)):
        bindings = (tcp(80, 7000, 7002), tcp(81, 7000, 7002))
        assert [p.host_port for p in await ports.take(ID, bindings, CONTAINER)] == [7001, 7002]
        with pytest.raises(HostFailed, match="none of the tcp ports 7000 to 7002 is free"):
            await ports.take(OTHER, bindings, CONTAINER)


async def test_all_or_none(ports: HostPorts) -> None:
    with socket.create_server(("127.0.0.1", 7001)):
        with pytest.raises(HostFailed):
            await ports.take(ID, (tcp(80, 7000, host_ip=""), udp(53, 7000), tcp(81, 7001)), CONTAINER)
        assert free(7000) and free(7000, "::1") and free(7000, kind=socket.SOCK_DGRAM)
        assert await ports.look(ID) is None


async def test_what_was_held_stays_when_more_cannot_be(ports: HostPorts) -> None:
    async with server() as port:
        await ports.take(ID, (tcp(port, 7000), tcp(81, 7002)), CONTAINER)
        before = await ports.look(ID)
        with socket.create_server(("127.0.0.1", 7001)), pytest.raises(HostFailed):
            await ports.take(ID, (tcp(99, 7000), tcp(81, 7001)), Target(bridge="", address="127.0.0.10"))
        assert await ports.look(ID) == before
        assert await exchange(b"still there", 7000) == b"still there"


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "", "0.0.0.0"])
async def test_a_program_that_has_it_is_named(ports: HostPorts, host_ip: str) -> None:
    me = f"{psutil.Process().name()} \\(pid {os.getpid()}\\)"
    with socket.create_server(("127.0.0.1", 8080)), socket.create_connection(("127.0.0.1", 8080)):
        of = " of 127.0.0.1" if host_ip == "127.0.0.1" else ""
        with pytest.raises(HostFailed, match=f"^cannot publish ports: port 8080{of} is taken by {me}; publish another"):
            await ports.take(ID, (tcp(80, 8080, host_ip=host_ip),), CONTAINER)
    await ports.take(ID, (tcp(80, 8080, host_ip=host_ip),), CONTAINER)


async def test_a_program_that_has_it_for_both_families_is_named(ports: HostPorts) -> None:
    with (
        socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True),
        pytest.raises(HostFailed, match=f"port 8080 of 127.0.0.1 is taken by .* \\(pid {os.getpid()}\\)"),
    ):
        await ports.take(ID, (tcp(80, 8080),), CONTAINER)


async def test_a_program_that_has_a_udp_port_is_named(ports: HostPorts) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 5353))
        with pytest.raises(HostFailed, match=rf"port 5353/udp is taken by .* \(pid {os.getpid()}\); publish"):
            await ports.take(ID, (udp(53, 5353, host_ip=""),), CONTAINER)


async def test_a_connection_that_has_just_been_closed_is_said(ports: HostPorts) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 8080))
        listener.listen()
        client = socket.create_connection(("127.0.0.1", 8080))
        served, _ = listener.accept()
    served.close()
    assert client.recv(1) == b""
    client.close()
    with pytest.raises(HostFailed, match=r"port 8080 of 127.0.0.1 is taken by a connection that has just been closed"):
        await ports.take(ID, (tcp(80, 8080),), CONTAINER)


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
async def test_a_container_that_has_it_is_named(ports: HostPorts, protocol: str) -> None:
    await ports.take(OTHER, (tcp(80, 8080, protocol=protocol),), CONTAINER)
    ports.called = {OTHER: "front"}.__getitem__
    with pytest.raises(HostFailed, match=r"^cannot start web: .* is taken by container front; publish another"):
        await ports.take(ID, (tcp(80, 8080, host_ip="", protocol=protocol),), CONTAINER, "start web")
    assert await ports.owners() == {OTHER}
    assert said(await ports.take(ID, (tcp(80, 8080, host_ip="127.0.0.2", protocol=protocol),), CONTAINER)) == [
        f"127.0.0.2:8080->80/{protocol}"
    ]


async def test_one_container_cannot_publish_two_ports_on_one(ports: HostPorts) -> None:
    with pytest.raises(HostFailed, match=r"port 8080 of 127.0.0.1 is taken by container c0ffee000000"):
        await ports.take(ID, (tcp(80, 8080), tcp(81, 8080)), CONTAINER)
    assert free(8080)


async def test_another_engines_holder_is_named(make: Make) -> None:
    one, two = make("one"), make("two")
    await one.take(ID, (tcp(80, 8080),), CONTAINER)
    with pytest.raises(HostFailed, match=r"port 8080 of 127.0.0.1 is taken by longshore-ports \(pid \d+\)"):
        await two.take(OTHER, (tcp(80, 8080),), CONTAINER)


async def test_an_address_of_another_host(ports: HostPorts) -> None:
    sentence = "cannot publish on port 8080 of 192.0.2.1: this host has no address 192.0.2.1; publish on one that it has"
    with pytest.raises(HostFailed, match=sentence):
        await ports.take(ID, (tcp(80, 8080, host_ip="192.0.2.1"),), CONTAINER)


async def test_a_name_is_no_address(ports: HostPorts) -> None:
    with pytest.raises(HostFailed, match="cannot publish on port 8080 of localhost: Invalid argument"):
        await ports.take(ID, (tcp(80, 8080, host_ip="localhost"),), CONTAINER)


async def test_a_number_that_is_no_port(ports: HostPorts) -> None:
    with pytest.raises(HostFailed, match=r"not understood: .*port must be 0-65535"):
        await ports.take(ID, (tcp(80, 8080), tcp(80, 70000)), CONTAINER)
    assert free(8080)


async def test_a_target_without_an_address(ports: HostPorts) -> None:
    with pytest.raises(HostFailed, match="the target has no address"):
        await ports.take(ID, (tcp(80, 8080),), Target(bridge="", address=""))
    assert free(8080)


async def test_an_address_of_one_link(ports: HostPorts) -> None:
    await tell("ip", "link", "add", "ls0", "type", "bridge")
    await tell("ip", "link", "set", "ls0", "up")
    await tell("ip", "address", "add", "fe80::1/64", "dev", "ls0", "nodad")
    assert said(await ports.take(ID, (tcp(80, 8080, host_ip="fe80::1%ls0"),), CONTAINER)) == ["[fe80::1%ls0]:8080->80/tcp"]
    socket.create_connection(("fe80::1%ls0", 8080)).close()


async def test_ipv6_is_off(ports: HostPorts) -> None:
    disable_ipv6()
    assert said(await ports.take(ID, (tcp(80, 8080, host_ip=""),), CONTAINER)) == ["0.0.0.0:8080->80/tcp"]


async def test_ipv6_comes_later(ports: HostPorts) -> None:
    disable_ipv6()
    await ports.take(ID, (tcp(80, host_ip=""),), CONTAINER)
    with open("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "w") as file:
        file.write("0")
    four, six = await ports.take(ID, (tcp(80, host_ip=""),), CONTAINER)
    assert (four.host_ip, six.host_ip) == ("0.0.0.0", "::") and four.host_port == six.host_port


async def test_a_thousand_ports(ports: HostPorts) -> None:
    bindings = tuple(tcp(port, host_ip="") for port in range(1, 1001))
    published = await ports.take(ID, bindings, CONTAINER)
    assert len({p.host_port for p in published}) == 1000 and len(published) == 2000
    assert await ports.take(ID, bindings, CONTAINER) == published
