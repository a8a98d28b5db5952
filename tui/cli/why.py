"""`longshore why`: the path between two ends, and the first thing that stops it."""

from __future__ import annotations

import json
import shutil

import click
import msgspec

from engine.client import Client
from tui.cli.group import verb
from tui.view import why as view


@verb("why", looks=True)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.argument("port", metavar="[PORT[/PROTOCOL]]", default="")
@click.option("-4", "family", flag_value=4, type=click.INT, help="By IPv4.")
@click.option("-6", "family", flag_value=6, type=click.INT, help="By IPv6.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
async def why(client: Client, source: str, target: str, port: str, family: int | None, form: str) -> int:
    """Say why FROM cannot reach TO, and try it.

    Both are a container, `host`, `outside` or an address; TO may also be a name for a name server. Without a port it is a ping.
    The exit code is 1 where something stops it.
    """
    number, protocol = view.port(port)
    verdict = await client.why(source, target, number, protocol, family=family)
    if form == "json":
        told = {"reached": verdict.reached, "sentence": verdict.sentence} | msgspec.to_builtins(verdict)
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        for line in view.plain(verdict, min(120, shutil.get_terminal_size((100, 24)).columns)):
            click.echo(line)
    return int(verdict.reached is False)
