"""`longshore ps`, `inspect`, `top` and `events`: what the engine tells; and how lists are asked for and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.cells import cell_len

from engine.client import Client
from engine.model.errors import Invalid, NotFound
from engine.model.events import Message
from engine.model.world import ContainerRow
from tui.cli import rows
from tui.cli.group import complain, verb
from tui.cli.logs import MOMENT
from tui.cli.options import PAIR, Read
from tui.cli.rows import SHORT
from tui.cli.templates import Template, parse
from tui.ports import brief
from tui.view.containers import health, note, state
from tui.view.figures import age
from tui.view.text import clean, pad

COMMAND = 30
"""Characters of a shortened command."""

NARROWEST = 7
"""Cells of the narrowest column of a table by a template, beside the three before the next; as Docker has it."""

Form = str | Template
"""`table`, `json`, or a template."""


FORM = Read("template", lambda text: text if text in ("table", "json") else parse(text))

template_option = click.option(
    "--format",
    "form",
    type=FORM,
    default="table",
    show_default=True,
    help="json: one object a line; or a template: '{{.ID}} {{.Status}}', 'table {{.ID}}\\t{{.Status}}'.",
)
each_option = click.option(
    "-f", "--format", "form", type=FORM, default="table", help="A template for each: '{{.Id}} {{json .State}}'; or json."
)
form_option = click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="json: one object a line.",
)
filter_option = click.option("-f", "--filter", "filters", type=PAIR, multiple=True, help="Only those with KEY=VALUE.")


@verb("ps", looks=True)
@click.option("-a", "--all", "every", is_flag=True, help="Also those that do not run.")
@click.option("-q", "--quiet", is_flag=True, help="Only their ids.")
@click.option("-n", "--last", type=click.INT, default=-1, help="The last so many that were made, also those that do not run.")
@click.option("-l", "--latest", is_flag=True, help="The last one that was made.")
@click.option("--no-trunc", is_flag=True, help="Shorten nothing.")
@filter_option
@template_option
async def ps(
    client: Client,
    every: bool,
    quiet: bool,
    last: int,
    latest: bool,
    no_trunc: bool,
    filters: tuple[tuple[str, str], ...],
    form: Form,
) -> None:
    """List containers."""
    asked = {"all": str(int(every)), "limit": str(1 if latest else last), "filters": as_filters(filters)}
    if isinstance(form, Template) and form.wants("Size"):
        asked["size"] = "1"
    told = await client.containers_json(**asked)
    if quiet:
        say(one["Id"] if no_trunc else one["Id"][:SHORT] for one in told)
    elif form == "json":
        say(map(as_json, told))
    elif isinstance(form, Template):
        now = datetime.now(UTC)
        say(formatted(form, (rows.container(one, now, whole=no_trunc) for one in told), rows.CONTAINER))
    else:
        there, now = {row.id: row for row in await client.containers()}, datetime.now(UTC)
        lines = [_row(there[one["Id"]], one["Command"], no_trunc, now) for one in told if one["Id"] in there]
        say(table(("CONTAINER ID", "NAME", "IMAGE", "STATE", "HEALTH", "SINCE", "ADDRESS", "PORTS", "COMMAND", ""), lines))


def _row(row: ContainerRow, command: str, whole: bool, now: datetime) -> tuple[str, ...]:
    if not whole and len(command) > COMMAND:
        command = command[: COMMAND - 1] + "…"
    since = row.started_at if row.status.alive else row.finished_at or row.created
    return (
        row.id if whole else row.id[:SHORT],
        row.name,
        row.image,
        state(row).text,
        health(row).text,
        age(since, now),
        row.address.partition("/")[0] or "-",
        brief(row.ports) or "-",
        command,
        note(row).text,
    )


@verb("inspect", looks=True)
@click.option("-s", "--size", "sizes", is_flag=True, help="Tell of containers how many bytes their files are.")
@each_option
@click.argument("names", nargs=-1, required=True)
async def inspect(client: Client, names: tuple[str, ...], sizes: bool, form: Form) -> int:
    """Tell all of containers, images or networks, as a JSON array."""
    found, missing = [], []
    for name in names:
        try:
            found.append(await _inspect(client, name, sizes))
        except NotFound:
            missing.append(name)
    say(inspected(found, form))
    for name in missing:
        complain(f"there is no container, no image and no network {name!r}")
    return int(bool(missing))


async def _inspect(client: Client, name: str, sizes: bool) -> Any:
    try:
        return await client.container_json(name, size=str(int(sizes)))
    except NotFound:
        pass
    try:
        return await client.image_json(name)
    except NotFound:
        return await client.network_json(name)


@verb("top", looks=True, context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("container")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
async def top(client: Client, container: str, options: tuple[str, ...]) -> None:
    """Show the processes of a container. OPTIONS are those of ps on the host; -ef."""
    told = await client.top(container, " ".join(options) or "-ef")
    say(table(told.titles, told.processes))


@verb("events", looks=True)
@click.option("--since", type=MOMENT, help="Begin with what happened since then: a date, seconds since 1970, or how long ago.")
@click.option("--until", type=MOMENT, help="End then.")
@filter_option
@click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="json: one object a line."
)
async def events(
    client: Client, since: datetime | None, until: datetime | None, filters: tuple[tuple[str, str], ...], form: str
) -> None:
    """Tell what happens to containers, images and networks. Goes on until it is interrupted."""
    query = {"filters": as_filters(filters)}
    for name, when in (("since", since), ("until", until)):
        if when:
            query[name] = f"{when.timestamp():.6f}"
    async for message in client.events(**query):
        click.echo(msgspec.json.encode(message).decode() if form == "json" else _event(message))


def _event(message: Message) -> str:
    """As Docker writes it: `TIME TYPE ACTION ID (KEY=VALUE, ...)`."""
    when = datetime.fromtimestamp(message.time_nano // 1000 / 1_000_000, UTC).astimezone()
    told = ", ".join(f"{key}={value}" for key, value in sorted(message.actor.attributes.items()))
    told = f" ({told})" if told else ""
    return clean(f"{when.isoformat(timespec='microseconds')} {message.type} {message.action} {message.actor.id}{told}")


def as_filters(given: Iterable[tuple[str, str]]) -> str:
    """As the Engine API wants them: a JSON object of lists."""
    lists: dict[str, list[str]] = {}
    for key, value in given:
        if not value:
            raise Invalid(f"the filter {key!r} has no value", "write KEY=VALUE")
        lists.setdefault(key, []).append(value)
    return json.dumps(lists)


def inspected(found: Sequence[Any], form: Form) -> Iterator[str]:
    """All of some objects as a JSON array; or a line for each, by a template or as JSON."""
    if isinstance(form, Template):
        return map(form.fill, found)
    return map(as_json, found) if form == "json" else iter((json.dumps(found, indent=4, ensure_ascii=False),))


def formatted(form: Template, rows: Iterable[Mapping[str, str]], titles: Mapping[str, str]) -> Iterable[str]:
    """A list by a template. `titles`: by field. Raises `Invalid` for a field that is not among them."""
    form.check(titles)
    if not form.table:
        return map(form.fill, rows)
    heads, *cells = form.cells(rows, titles)
    return table(heads, cells, NARROWEST)


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], least: int = 0) -> list[str]:
    """Columns as wide as what is in them, and as `least`, three spaces apart."""
    lines = [titles, *([clean(cell) for cell in row] for row in rows)]
    widths = [max(least, *map(cell_len, column)) for column in zip(*lines, strict=True)]
    return ["   ".join(map(pad, line, widths)).rstrip() for line in lines]
