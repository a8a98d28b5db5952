"""Packets of real containers, end to end: gateway, neighbour, the world outside, names, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.model.container import Container
from tests.engines import EngineProcess
from tests.leftovers import settle
from tests.real.machine import ADDRESS, NAMED, OUTSIDE, WEB, Machine, fetch, machine, path, run

MANY = 20
SERVE = "mkdir -p /tmp/www; echo $GREETING > /tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www"
SLEEP = "sleep 1000"


@pytest.fixture
async def here() -> AsyncIterator[Machine]:
    async with machine(secrets.token_hex(3)) as made:
        yield made


@pytest.fixture
async def engine(here: Machine, place_engine: Callable[[], EngineProcess]) -> EngineProcess:
    place = place_engine()
    place.prefix = here.own.enter
    await place.start()
    return place


@pytest.fixture
async def client(engine: EngineProcess) -> AsyncIterator[Client]:
    async with engine.client() as client:
        yield client


async def create(client: Client, name: str, script: str, **more: Any) -> None:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "StopSignal": "KILL", **more}
    await client.do("create", "", {"name": name, "body": body})


async def output(client: Client, name: str) -> list[str]:
    return [line.log.decode().rstrip("\n") async for line in client.logs(name)]


async def said(client: Client, script: str, **more: Any) -> list[str]:
    """What a new container says that runs a script to its end, which must be a good one."""
    name = f"asks-{secrets.token_hex(3)}"
    await create(client, name, script, **more)
    await client.do("start", name)
    code = await client.wait(name)
    lines = await output(client, name)
    assert code == 0, lines
    await client.do("remove", name)
    return lines


def address(c: Container) -> str:
    assert c.endpoints
    return c.endpoints[0].address


async def test_the_first_container_reaches_its_gateway_and_the_gateway_it(client: Client, here: Machine) -> None:
    await create(client, "web", f"ping -c 1 -W 5 $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p') && {SLEEP}")
    await client.do("start", "web")
    web = await client.inspect("web")
    assert web.endpoints
    here.shown("busybox", "ping", "-c", "1", "-W", "5", web.endpoints[0].address)
    async for line in client.logs("web", follow=True):
        if b"1 packets received" in line.log:
            break
    else:
        raise AssertionError(await output(client, "web"))
    assert address(web).endswith(".2")


async def test_a_container_is_reached_by_its_neighbours_and_by_no_stranger(
    client: Client, here: Machine, engine: EngineProcess
) -> None:
    """Its user need not be root to serve port 80."""
    await create(client, "server", SERVE, Env=["GREETING=hello"], User="nobody")
    await client.do("start", "server")
    server = address(await client.inspect("server"))
    ask = f"until wget -q -O - http://{server}/; do sleep 0.1; done"
    assert await said(client, ask) == ["hello"]
    # A host outside that knows the way is still a stranger.
    run(*here.outside.enter, "ip", "route", "add", engine.subnet, "via", ADDRESS)
    assert await fetch(path(here.own), server, 80) == "hello"
    assert await fetch(path(here.outside), server, 80, timeout=1.0) is None
    # And again, with a new namespace and a new cable.
    await client.do("stop", "server")
    await client.do("start", "server")
    assert address(await client.inspect("server")) == server
    assert await said(client, ask) == ["hello"]


async def test_the_world_outside_sees_the_machines_address(client: Client) -> None:
    lines = await said(client, f"wget -q -O - http://{OUTSIDE}:{WEB}/; ping -c 1 -W 5 {OUTSIDE}")
    assert lines[0] == ADDRESS
    assert any("1 packets received" in line for line in lines)


async def test_two_engines_side_by_side_do_not_touch_one_another(
    client: Client, here: Machine, place_engine: Callable[[], EngineProcess]
) -> None:
    other = place_engine()
    other.prefix = here.own.enter
    await other.start()
    get_out = f"wget -q -O - http://{OUTSIDE}:{WEB}/"
    async with other.client() as others:
        await create(others, "server", SERVE, Env=["GREETING=hello"])
        await others.do("start", "server")
        server = address(await others.inspect("server"))
        assert await said(others, f"until wget -q -O - http://{server}/; do sleep 0.1; done; {get_out}") == ["hello", ADDRESS]
        await create(client, "neighbour", SLEEP)
        await client.do("start", "neighbour")
        neighbour = (await client.inspect("neighbour")).state.pid
        assert await fetch(f"/proc/{neighbour}/ns/net", OUTSIDE, WEB) == ADDRESS
        assert await fetch(f"/proc/{neighbour}/ns/net", server, 80, timeout=1.0) is None
    await other.shutdown()
    assert await said(client, get_out) == [ADDRESS]


async def test_names_are_found(client: Client, here: Machine) -> None:
    """Its own by `hosts`, all others by the name server that `resolv.conf` says."""
    lines = await said(
        client,
        "hostname; cat /etc/hostname; ping -c 1 -W 5 $(hostname) | head -1; ping -c 1 localhost | head -1;"
        "grep gate /etc/hosts; grep nameserver /etc/resolv.conf; nslookup somewhere.example",
        Hostname="teacup",
        HostConfig={"Dns": [OUTSIDE], "ExtraHosts": ["gate:host-gateway"]},
    )
    own = lines[2].split("(")[1].split(")")[0]
    gateway = own.rpartition(".")[0] + ".1"
    assert lines[:2] == ["teacup", "teacup"]
    assert lines[2].startswith(f"PING teacup ({own})") and own.endswith(".2")
    assert lines[3].startswith("PING localhost (127.0.0.1)")
    assert lines[4].split() == [gateway, "gate"]
    assert lines[5] == f"nameserver {OUTSIDE}"
    assert any(NAMED in line for line in lines[6:]), lines
    assert any(b"somewhere" in question for question in here.asked)


async def test_resolv_conf_names_servers_that_a_container_can_reach(client: Client) -> None:
    lines = await said(client, "cat /etc/resolv.conf")
    servers = [line.split()[1] for line in lines if line.startswith("nameserver")]
    assert servers
    assert not any(":" in server or server.startswith("127.") for server in servers)


async def test_mode_none_has_loopback_only(client: Client, engine: EngineProcess) -> None:
    gateway = engine.subnet.replace(".0/24", ".1")
    lines = await said(
        client,
        f"ls /sys/class/net; ip -o link; ping -c 1 -W 5 127.0.0.1 | grep received; ping -q -c 1 -W 1 {gateway} 2>&1 || :",
        HostConfig={"NetworkMode": "none"},
    )
    names, link, loopback, *beyond = lines
    assert names == "lo"
    assert link.startswith("1: lo:") and "UP" in link.partition("<")[2].partition(">")[0].split(",")
    assert "1 packets received" in loopback
    assert "Network is unreachable" in beyond[-1]


async def test_many_at_once_have_addresses_of_their_own_and_leave_nothing(
    client: Client, here: Machine, engine: EngineProcess
) -> None:
    before, kept = here.kernel(), Path(engine.run, "netns")
    names = [f"one-{number}" for number in range(MANY)]
    show = f"ip -4 -o address show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/'; {SLEEP}"
    await asyncio.gather(*(create(client, name, show) for name in names))
    # A plan asked for meanwhile takes no address from anybody.
    await asyncio.gather(*(each for name in names for each in (client.do("start", name), client.plan("start", name))))
    records = await asyncio.gather(*(client.inspect(name) for name in names))
    assert len({address(c) for c in records}) == MANY
    for c in records:
        lines = client.logs(c.name, follow=True)
        assert (await anext(lines)).log.decode().strip() == address(c)
        await lines.aclose()  # type: ignore[attr-defined]
    assert len(os.listdir(kept)) == MANY
    await asyncio.gather(*(client.do("remove", name, {"force": True}) for name in names))
    assert not os.listdir(kept)
    assert not [mount for mount in Path("/proc/mounts").read_text().splitlines() if engine.run in mount and "nsfs" in mount]
    changed = await asyncio.to_thread(settle, lambda: {key for key, now in here.kernel().items() if now != before[key]})
    assert not changed, (before, here.kernel())


async def test_an_engine_leaves_the_machine_as_it_found_it(here: Machine, place_engine: Callable[[], EngineProcess]) -> None:
    before = here.kernel()
    place = place_engine()
    place.prefix = here.own.enter
    await place.start()
    async with place.client() as client:
        await create(client, "web", SLEEP)
        await client.do("start", "web")
        assert here.kernel()["forwarding"] != before["forwarding"]
        assert "net.ipv4.ip_forward = 0" in here.kernel()["forwarding"]
    await place.shutdown()
    assert here.kernel() == before
