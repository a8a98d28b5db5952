"""`longshore network`, `port` and the flags of networks beside the real `docker` command, word for word on one engine.

Both make networks on one host at the same time, so `#` in an address stands for a number of each one's own.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.clients.test_longshore import Pair, Program, Said, pair  # noqa: F401 - a fixture

OWN = {"k": "211", "l": "212"}  # an engine of a test has one of 10.192.0.0/12
CHATTER = re.compile(r"^exit status 1$\n?", re.MULTILINE)
"""What newer docker commands add."""


async def ask(program: Program, line: str) -> Said:
    """What a line says, each program's own number taken out."""
    said = await program(line.replace("#", OWN[program.own]))
    return Said(said.code, *(re.sub(rf"\b{OWN[program.own]}\b", "#", CHATTER.sub("", text)).strip() for text in said[1:]))


async def agree(pair: Pair, *lines: str) -> list[Said]:  # noqa: F811
    """Each line ends with the same code and the same words on the same outputs; what that was."""
    told = []
    for line in lines:
        docker, longshore = [await ask(program, line) for program in pair]
        assert docker == longshore, line
        told.append(docker)
    return told


async def test_networks_from_create_to_prune(pair: Pair) -> None:  # noqa: F811
    told = await agree(
        pair,
        "network create --subnet 10.#.0.0/16 --gateway 10.#.0.9 --ip-range 10.#.4.0/24 --aux-address nas=10.#.0.7 @1",
        "network create --internal --ipv6 --subnet fd00:#::/64 --label tier=back -o com.docker.network.driver.mtu=1400 @2",
        "network create @1",
        "network create --subnet 10.#.9.0/24 @3",
        "network create --subnet 10.#.0.0/33 @3",
        "network create --driver overlay @3",
        "network create --opt com.docker.network.driver.mtu=x @3",
        "network create bridge",
        "network ls -q --filter name=@1",
        "network ls -q --no-trunc --filter label=tier --filter name=@2",
        "network ls -q --filter driver=null",
        "network rm @1 @9 @2",
        "network rm bridge",
        "network create @3",
        "network prune -f --filter label=none",
        "network rm @3",
        "network rm @3",
    )
    assert [said.code for said in told] == [0, 0, *[1] * 6, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    for program in pair:
        assert (await program("network create @4")).code == 0
    # What one prunes goes for both.
    pruned = await pair.longshore("network prune -f")
    assert sorted(pruned.out.splitlines()) == ["@4", "Deleted Networks:", "k4"]
    assert (await pair.longshore("network prune -f")) == Said(0, "", "")


async def test_what_is_told_of_a_network(pair: Pair) -> None:  # noqa: F811
    await agree(
        pair,
        "network create --subnet 10.#.0.0/16 --ip-range 10.#.4.0/24 --aux-address nas=10.#.4.1 --label a=b @1",
        "run -d --network @1 --ip 10.#.4.7 --network-alias shop --name @2 busybox sleep 1000",
    )
    told = [_whole(await ask(program, "network inspect @1")) for program in pair]
    assert told[0] == told[1]
    assert told[0]["Containers"][0]["IPv4Address"] == "10.#.4.7/16"
    assert told[0]["IPAM"]["Config"][0]["AuxiliaryAddresses"] == {"nas": "10.#.4.1"}
    await pair.end_alike("network inspect @9")


def _whole(said: Said) -> dict[str, Any]:
    """One network, without what differs by chance."""
    (told,) = json.loads(said.out)
    assert isinstance(told, dict)
    for key in ("Id", "Created", "Name"):
        del told[key]
    told["Containers"] = list(told["Containers"].values())
    for member in told["Containers"]:
        del member["Name"], member["EndpointID"], member["MacAddress"]
    return told


async def test_a_container_on_networks(pair: Pair) -> None:  # noqa: F811
    await agree(
        pair,
        "network create --subnet 10.#.0.0/24 @1",
        "network create --internal @2",
        "run --rm --network @1 --ip 10.#.0.7 busybox hostname -i",
        "run -d --network @1 --network-alias shop --name @3 busybox sleep 1000",
        "run --rm --network @1 --link @3:db busybox sh -c 'ping -c1 shop >/dev/null && ping -c1 db >/dev/null && echo ok'",
        "network connect --alias store @2 @3",
        "network connect @2 @3",
        "network connect @9 @3",
        "network connect --ip 10.9.9.9 @2 @9",
        "run --rm --network @2 busybox sh -c 'ping -c1 -q store >/dev/null && echo heard'",
        "network rm @2",
        "network disconnect @2 @3",
        "network disconnect @2 @3",
        "network disconnect -f @9 @3",
        "run --rm --network container:@3 busybox ip -o -4 address show dev eth1",
        "run --rm --network host busybox true",
        "run --rm --network none busybox ls /sys/class/net",
        "run --rm --network @9 busybox true",
        "run --rm --ip 10.#.0.9 busybox true",
        "run --rm --add-host db:10.9.8.7 --dns 10.9.8.6 --dns-opt ndots:3 --dns-search example.org --network none busybox "
        "cat /etc/resolv.conf",
    )
    await pair.end_alike(
        "run --rm --network @1 --network @1 busybox true",
        "run --rm --network name=@1,mac=x busybox true",
        "run --rm --network-alias x busybox true",
        "run --rm --mac-address xx busybox true",
    )


async def test_a_container_is_made_on_several_networks_or_not_at_all(pair: Pair) -> None:  # noqa: F811
    """Newer docker commands ask newer engines for several at once; ours makes it on the first and connects it to the others."""
    run = pair.longshore
    for name in ("@1", "@2"):
        assert (await run(f"network create {name}")).code == 0
    said = await run("run --rm --network @1 --network name=@2,alias=shop busybox ls /sys/class/net")
    assert said == Said(0, "eth0\neth1\nlo", "")
    said = await run("run --rm --name @3 --network @1 --network @9 busybox true")
    assert said == Said(125, "", "network @9 not found")
    assert (await run("ps -aq")).out == ""


async def test_ports(pair: Pair) -> None:  # noqa: F811
    await agree(
        pair,
        "run -d --name @1 -p 127.0.0.1::80 --expose 90 busybox sleep 1000",
        "port @9",
        "run -d --name @2 busybox sleep 1000",
        "port @2",
    )
    await pair.end_alike("port @1 90", "port @1 80/udp", "run -p 80:x busybox", "run -p 1-2:1-3 busybox")
    for program in pair:
        everywhere, one = await program("port @1"), await program("port @1 80")
        assert re.fullmatch(r"80/tcp -> 127\.0\.0\.1:\d+", everywhere.out)
        assert (one.code, everywhere.out.removeprefix("80/tcp -> ")) == (0, one.out)
        taken = everywhere.out.rpartition(":")[2]
        refused = await program(f"run --rm -p 127.0.0.1:{taken}:80 busybox true")
        assert refused.code == 125 and taken in refused.err
    await agree(pair, "run -d -P --expose 7000-7001/udp --name @4 busybox sleep 1000")
    shapes = [re.sub(r":\d+$", ":N", (await program("port @4")).out, flags=re.MULTILINE) for program in pair]
    assert shapes[0] == shapes[1] == "\n".join(f"{port}/udp -> {at}:N" for port in (7000, 7001) for at in ("0.0.0.0", "[::]"))
