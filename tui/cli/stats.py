"""`longshore stats`: what containers use, as a table that is drawn anew each second, or once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from engine.client import Client
from engine.model.errors import NotFound
from tui.cli.group import AT_ONCE, verb
from tui.cli.lists import Form, as_json, formatted, say, table, template_option
from tui.cli.rows import SHORT, Json, Row, binary, decimal
from tui.cli.templates import Template

SECONDS = 1.0
"""Between two looks."""
HOME, END_OF_LINE, BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
"""Cursor to the first line; clear what is left of a line, and below (ECMA-48). What stays the same does not flicker."""
TITLES: Final = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}


@verb("stats", looks=True)
@click.option("-a", "--all", "every", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Once, and no more.")
@click.option("--no-trunc", is_flag=True, help="Shorten nothing.")
@template_option
@click.argument("containers", nargs=-1)
async def stats(client: Client, containers: Sequence[str], every: bool, no_stream: bool, no_trunc: bool, form: Form) -> None:
    """Tell what containers use: processor, memory, network, disk, processes. All that run, where none is named."""
    before = await _look(client, containers, every)
    live = not no_stream and sys.stdout.isatty()
    if not no_stream:
        _draw(before, {}, no_trunc, form, live)
    while True:
        await asyncio.sleep(SECONDS)
        now = await _look(client, containers, every)
        _draw(now, before, no_trunc, form, live)
        if no_stream:
            return
        before = now


async def _look(client: Client, names: Sequence[str], every: bool) -> dict[str, Json]:
    """What was counted by now, by the name that was asked for. One that is gone is left out, unless it was named."""
    wanted = names or [one["Id"] for one in await client.containers_json(all=str(int(every)))]
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Json | None:
        async with turn:
            try:
                return await client.stats(name)
            except NotFound:
                if names:
                    raise
                return None

    found = await asyncio.gather(*map(one, wanted))
    return {name: told for name, told in zip(wanted, found, strict=True) if told}


def _draw(now: Mapping[str, Json], before: Mapping[str, Json], whole: bool, form: Form, live: bool) -> None:
    rows = [row(name, told, before.get(name), whole=whole) for name, told in now.items()]
    if form == "json":
        lines = [as_json(each) for each in rows]
    elif isinstance(form, Template):
        lines = list(formatted(form, rows, TITLES))
    else:
        lines = table(list(TITLES.values())[1:], (list(each.values())[1:] for each in rows))
    if live:
        lines = [HOME, *(line + END_OF_LINE for line in lines)]
        sys.stdout.write(lines.pop(0) + "\n".join(lines) + "\n" + BELOW)
        sys.stdout.flush()
    else:
        say(lines)


def row(name: str, now: Json, before: Json | None, *, whole: bool = False) -> Row:
    """Of two looks at one container. What cannot be told from the first alone is `--`."""
    memory = now["memory_stats"]
    used, limit = used_memory(memory), memory.get("limit", 0)
    networks, moved = now.get("networks", {}).values(), list(_moved(now["blkio_stats"]))
    return {
        "Container": name,
        "ID": now["id"] if whole else now["id"][:SHORT],
        "Name": now["name"].removeprefix("/"),
        "CPUPerc": f"{cpu(now['cpu_stats'], before['cpu_stats']):.2f}%" if before else "--",
        "MemUsage": f"{binary(used)} / {binary(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": " / ".join(decimal(sum(each[way] for each in networks), 3) for way in ("rx_bytes", "tx_bytes")),
        "BlockIO": " / ".join(decimal(sum(bytes for op, bytes in moved if op == way), 3) for way in "rw"),
        "PIDs": str(now["pids_stats"].get("current", 0)),
    }


def cpu(now: Json, before: Json) -> float:
    """Per cent of one processor, between two looks."""
    own = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    host = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    return 100 * own / host * now.get("online_cpus", 1) if own > 0 and host > 0 else 0.0


def used_memory(told: Json) -> int:
    """Bytes in use, without the files that the kernel could drop at once: `total_inactive_file` on cgroup v1, else v2's."""
    usage, counted = int(told.get("usage", 0)), told.get("stats", {})
    idle = int(counted.get("total_inactive_file", counted.get("inactive_file", 0)))
    return usage - idle if idle < usage else usage


def _moved(told: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """`r` or `w`, and bytes, of each disk."""
    for entry in told.get("io_service_bytes_recursive") or ():
        yield entry["op"][:1].lower(), entry["value"]
