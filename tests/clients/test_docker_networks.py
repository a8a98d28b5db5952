"""Networks by the real `docker` command: made, inspected, joined, published through, and found by name."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.clients.test_docker import Docker
from tests.conftest import SpawnEngine
from tests.engines import EngineProcess

SERVE = "mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def docker(spawn_engine: SpawnEngine) -> AsyncIterator[Docker]:
    yield Docker(await spawn_engine())


async def network(docker: Docker, name: str, *options: str) -> dict[str, Any]:
    link = f"com.docker.network.bridge.name={docker.engine.bridge}{name[:1]}"
    await docker.good("network", "create", "--opt", link, *options, name)
    found: dict[str, Any] = json.loads(await docker.good("network", "inspect", name))[0]
    return found


async def serving(docker: Docker, name: str, *options: str) -> None:
    await docker.good(
        "run", "-d", "--stop-signal", "KILL", "--name", name, "--hostname", name, *options, "busybox", "sh", "-c", SERVE
    )
    for _ in range(100):
        if (await docker("exec", name, "wget", "-qO-", "http://127.0.0.1/")).code == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} does not serve")


async def fetch(host: str, port: int) -> str:
    """What a web server of the world answers to this host; empty: nobody is there."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = (await reader.read()).decode()
            writer.close()
    except OSError:
        return ""
    return answer.rpartition("\r\n")[2].strip()


async def test_the_verbs(docker: Docker) -> None:
    front = await network(docker, "front", "--subnet", "172.31.77.0/24", "--label", "a=b")
    assert front["IPAM"]["Config"] == [{"Subnet": "172.31.77.0/24", "Gateway": "172.31.77.1"}] and front["Labels"] == {"a": "b"}
    for command, word in (
        (("create", "front"), "already exists"),
        (("create", "bridge"), "predefined"),
        (("create", "--subnet", "172.31.77.128/25", "other"), "overlaps"),
        (("create", "--subnet", "nonsense", "other"), "invalid"),
        (("create", "--driver", "nonsense", "other"), "nonsense"),
        (("rm", "bridge"), "pre-defined"),
        (("rm", "nobody"), "not found"),
        (("connect", "front", "nobody"), "No such container"),
        (("inspect", "nobody"), "not found"),
    ):
        said = await docker("network", *command)
        assert said.code == 1 and word in said.err, (command, said)
    assert (await docker.good("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}")) == "front"
    assert (await docker.good("network", "ls", "--filter", "label=a=c", "--format", "{{.Name}}")) == ""
    await docker.good(
        "run",
        "-d",
        "--stop-signal",
        "KILL",
        "--name",
        "web",
        "--network",
        "front",
        "--ip",
        "172.31.77.9",
        "busybox",
        "sleep",
        "1000",
    )
    said = await docker("run", "--rm", "--network", "front", "--ip", "172.31.77.9", "busybox", "true")
    assert said.code == 125 and "Address already in use" in said.err
    containers = json.loads(await docker.good("network", "inspect", "front"))[0]["Containers"]
    assert [c["IPv4Address"] for c in containers.values()] == ["172.31.77.9/24"]
    said = await docker("network", "rm", "front")
    assert said.code == 1 and "active endpoints of web" in said.err
    await docker.good("network", "disconnect", "front", "web")
    assert "front" in await docker.good("network", "prune", "--force")
    assert (await docker.good("network", "ls", "--quiet")).count("\n") == 2


async def test_names_on_networks_of_ones_own(docker: Docker) -> None:
    await network(docker, "front")
    await network(docker, "inner", "--internal")
    await serving(docker, "web", "--network", "front", "--network-alias", "shop")
    lookup = "wget -qO- http://web/ && wget -qO- http://shop/ && wget -qO- http://WEB.front/ && grep ndots /etc/resolv.conf"
    said = await docker.good("run", "--rm", "--network", "front", "busybox", "sh", "-c", lookup)
    assert said.split() == ["web", "web", "web", "options", "ndots:0"]
    await docker.good("exec", "web", "sh", "-c", "echo nameserver 192.0.2.9 > /etc/resolv.conf")
    await docker.good("network", "connect", "--alias", "deep", "inner", "web")
    assert await docker.good("exec", "web", "cat", "/etc/resolv.conf") == "nameserver 192.0.2.9"
    out = await docker.good("run", "--rm", "--network", "inner", "busybox", "sh", "-c", "wget -qO- http://deep/; ip route")
    assert out.startswith("web") and "default" not in out
    linked = ("run", "--rm", "--network", "front", "--link", "web:alias", "busybox", "wget", "-qO-", "http://alias/")
    assert await docker.good(*linked) == "web"
    address = json.loads(await docker.good("inspect", "web"))[0]["NetworkSettings"]["Networks"]["front"]["IPAddress"]
    reverse = await docker.good("run", "--rm", "--network", "front", "busybox", "nslookup", address)
    assert "web.front" in reverse
    await docker.good("network", "disconnect", "front", "web")
    assert (await docker("run", "--rm", "--network", "front", "busybox", "nslookup", "web")).code != 0


async def test_modes_and_files(docker: Docker) -> None:
    await serving(docker, "web")
    ask = "hostname; wget -qO- 127.0.0.1"
    shared = await docker.good("run", "--rm", "--network", "container:web", "busybox", "sh", "-c", ask)
    assert shared.split() == ["web", "web"]
    host = await docker.good("run", "--rm", "--network", "host", "busybox", "sh", "-c", "hostname; ls /sys/class/net")
    assert host.split()[0] == socket.gethostname() and docker.engine.bridge in host
    assert await docker.good("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net") == "lo"
    options = ("--add-host", "db:192.0.2.7", "--dns", "192.0.2.9", "--dns-search", "example.org", "--dns-option", "rotate")
    files = await docker.good("run", "--rm", *options, "busybox", "cat", "/etc/hosts", "/etc/resolv.conf")
    assert "192.0.2.7\tdb" in files and files.endswith("nameserver 192.0.2.9\nsearch example.org\noptions rotate")
    linked = await docker.good("run", "--rm", "--link", "web:alias", "busybox", "wget", "-qO-", "http://alias/")
    assert linked == "web"
    for together in (("--network", "host", "--link", "web:a"), ("--network", "container:web", "--hostname", "x")):
        assert (await docker("run", "--rm", *together, "busybox", "true")).code == 125


async def test_published_ports(docker: Docker, place_engine: Callable[[], EngineProcess]) -> None:
    await serving(docker, "web", "-p", "0:80", "-p", "127.0.0.1:0:81", "--expose", "82")
    told = (await docker.good("port", "web", "80/tcp")).split()
    port = int(told[0].rpartition(":")[2])
    assert told == [f"0.0.0.0:{port}", f"[::]:{port}"]
    assert (await docker.good("port", "web", "81/tcp")).startswith("127.0.0.1:")
    gateway = json.loads(await docker.good("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    for host in ("127.0.0.1", "::1", gateway):
        assert await fetch(host, port) == "web", host
    assert await docker.good("exec", "web", "wget", "-qO-", f"http://{gateway}:{port}/") == "web"
    await network(docker, "front")
    other = ("run", "--rm", "--network", "front", "busybox", "wget", "-qO-", f"http://{gateway}:{port}/")
    assert await docker.good(*other) == "web"
    said = await docker(
        "run", "-d", "--stop-signal", "KILL", "--name", "second", "-p", f"{port}:80", "busybox", "sleep", "1000"
    )
    assert said.code == 125 and f"cannot start second: port {port} is taken by container web" in said.err
    assert json.loads(await docker.good("inspect", "second"))[0]["State"]["Status"] == "created"
    with socket.create_server(("0.0.0.0", 0)) as taken:
        said = await docker("run", "--rm", "-p", f"{taken.getsockname()[1]}:80", "busybox", "true")
        assert said.code == 125 and "is taken by" in said.err and "publish another port or stop it" in said.err
    await docker.engine.kill9()
    assert await fetch("127.0.0.1", port) == "web"
    await docker.engine.start()
    for host in ("127.0.0.1", "::1", gateway):
        assert await fetch(host, port) == "web", host
    listed = await docker.good("ps", "--filter", f"publish={port}", "--format", "{{.Ports}}")
    assert f"0.0.0.0:{port}->80/tcp" in listed and "82/tcp" in listed
    await docker.good("kill", "web")
    assert await fetch("127.0.0.1", port) == await fetch("::1", port) == ""
    await docker.good("start", "second")


async def test_ipv6(docker: Docker) -> None:
    six = await network(docker, "six", "--ipv6", "--subnet", "172.31.78.0/24", "--subnet", "fd00:78::/64")
    assert [each["Gateway"] for each in six["IPAM"]["Config"]] == ["172.31.78.1", "fd00:78::1"]
    await serving(docker, "web", "--network", "six", "--ip6", "fd00:78::99", "-p", "0:80")
    port = int((await docker.good("port", "web", "80/tcp")).split()[0].rpartition(":")[2])
    for host in ("127.0.0.1", "::1", "fd00:78::1", "fd00:78::99"):
        assert await fetch(host, 80 if host.endswith("99") else port) == "web", host
    inside = "wget -qO- http://[fd00:78::99]/; nslookup -type=aaaa web"
    said = await docker.good("run", "--rm", "--network", "six", "busybox", "sh", "-c", inside)
    assert said.startswith("web") and "fd00:78::99" in said


async def test_many_at_once_leave_the_world_as_it_was(docker: Docker) -> None:
    await network(docker, "front")

    async def live(number: int) -> None:
        options = ("--network", "front", "-p", "0:80") if number % 2 else ()
        await docker.good("run", "--rm", *options, "busybox", "true")

    def wiring() -> set[str]:
        return {line for line in docker.engine.left() if line.split()[0] in ("link", "mount", "nft", "network")}

    before = await asyncio.to_thread(wiring)
    await asyncio.gather(*(live(number) for number in range(24)))
    assert await asyncio.to_thread(wiring) == before
    assert await docker.good("ps", "-aq") == ""
