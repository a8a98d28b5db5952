"""`longshore logs`: what a container has said, and goes on saying."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from urllib.parse import quote_plus

import click

from engine.client import Client
from engine.model.interface import LogLine
from tui.cli.group import verb
from tui.cli.options import Read
from tui.cli.words import moment

MOMENT = Read("time", lambda text: moment(text, datetime.now().astimezone()))


def _tail(text: str) -> int | None:
    """A number of lines; whatever else is all of them, as with Docker."""
    return int(text) if text.isascii() and text.isdecimal() else None


@verb("logs", looks=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the container ends.")
@click.option("-n", "--tail", default="all", show_default=True, help="Begin with so many of the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("--since", type=MOMENT, help="Only lines since then: a date, seconds since 1970, or how long ago, such as 10m.")
@click.option("--until", type=MOMENT, help="Only lines before then.")
@click.option("--details", is_flag=True, help="Show what the log options keep with each line.")
@click.argument("container")
async def logs(
    client: Client,
    container: str,
    follow: bool,
    tail: str,
    timestamps: bool,
    since: datetime | None,
    until: datetime | None,
    details: bool,
) -> None:
    """Show what a container has said. Its standard output and standard error go each to ours."""
    outputs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    last = ""
    async for line in client.logs(container, follow=follow, tail=_tail(tail), since=since, until=until):
        if last not in ("", line.stream):
            outputs[last].flush()  # on one terminal they stay in order
        last = line.stream
        outputs[last].write(_begin(line, timestamps, details) + line.log)
        if follow:
            outputs[last].flush()
    if last:
        outputs[last].flush()


def _begin(line: LogLine, timestamps: bool, details: bool) -> bytes:
    """What stands before a line: its time with nine digits, then what is kept with it, as `key=value,...`."""
    time = f"{line.time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z " if timestamps else ""
    kept = ",".join(f"{quote_plus(key)}={quote_plus(line.attrs[key])}" for key in sorted(line.attrs))
    return (time + (f"{kept} " if details else "")).encode()
