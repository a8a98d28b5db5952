"""`docker run --link` with the real docker command: on our engine and on dockerd, what is told inside and by inspect."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.bench.pair import pair
from tests.bench.wire import IMAGE, Api, image
from tests.clients.test_docker_diff import docker

EXPOSED = ("80", "81-83", "53/udp", "90")


async def told(socket: str) -> dict[str, list[str]]:
    """What is said, with every address replaced by whose it is."""
    addresses: dict[str, str] = {}

    async def run(name: str, *options: str) -> None:
        given = ("--name", name, "--hostname", f"{name}-host", "--stop-signal", "KILL", *options)
        id = await docker(socket, "run", "-d", *given, IMAGE, "busybox", "sleep", "1000")
        addresses[name] = (await asyncio.to_thread(inspect, socket, id.strip()))["NetworkSettings"]["IPAddress"]

    async def ask(*command: str) -> list[str]:
        said = await docker(socket, *command)
        for name, address in addresses.items():
            said = re.sub(rf"\b{re.escape(address)}\b", name, said)
        return sorted(re.split("[\n\0]", said))

    await asyncio.to_thread(load, socket)
    await run("data-base", "-e", "A=1", "-e", "HOME=/x", "-e", "FOO=a=b", *(f"--expose={port}" for port in EXPOSED))
    await run("plain")
    await run("web", "-e", "DB_1_NAME=mine", "--link", "data-base:db-1", "--link", "plain")
    links = ("inspect", "--format", "{{range .HostConfig.Links}}{{println .}}{{end}}")
    found = {
        "own": await ask("exec", "web", "busybox", "cat", "/proc/1/environ", "/etc/hosts"),
        "exec": await ask("exec", "-t", "web", "busybox", "env"),
        "inspect": await ask(*links, "web"),
        "ps": await ask("ps", "--no-trunc", "--format", "{{.Names}}"),
        "by its link": await ask("inspect", "--format", "{{.Name}}", "web/db-1"),
    }
    await docker(socket, "rename", "data-base", "renamed")
    await docker(socket, "rename", "web", "web2")
    found["renamed"] = await ask(*links, "web2")
    found["exec after that"] = await ask("exec", "web2", "busybox", "env")
    await docker(socket, "rm", "--link", "/web2/plain")
    found["less one"] = await ask("exec", "web2", "busybox", "sh", "-c", "busybox env; busybox tail -n 1 /etc/hosts")
    return found


def load(socket: str) -> None:
    api = Api(socket)
    api.ask("POST", "/images/load?quiet=1", image())
    api.close()


def inspect(socket: str, id: str) -> dict[str, dict[str, str]]:
    api = Api(socket)
    found: dict[str, dict[str, str]] = api.ask("GET", f"/containers/{id}/json")
    api.close()
    return found


@pytest.mark.timeout(120)
async def test_a_linked_container_is_told_what_dockerd_tells() -> None:
    async with pair() as engines:
        ours, theirs = await asyncio.gather(told(engines.ours.socket), told(engines.peer.socket))
    assert ours == theirs
    assert "DB_1_PORT_80_TCP_END=tcp://data-base:83\r" in ours["exec"] and "TERM=xterm\r" in ours["exec"]
    assert "data-base\tdb-1 data-base-host data-base" in ours["own"] and "PLAIN_NAME=/web2/plain" in ours["exec after that"]
    assert "PLAIN_NAME=/web2/plain" not in ours["less one"]
