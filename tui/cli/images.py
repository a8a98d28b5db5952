"""Images: `longshore images`, `pull`, `push`, `tag`, `rmi`, `history`, and the same below `longshore image`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from engine import logins
from engine.client import Client
from engine.model.errors import Invalid, NotFound
from engine.model.registry import DOCKER_IO, Credentials, registry_of
from tui.cli import rows
from tui.cli.group import complain, each, longshore, verb
from tui.cli.lists import (
    Form,
    as_filters,
    as_json,
    each_option,
    filter_option,
    form_option,
    formatted,
    inspected,
    say,
    table,
    template_option,
)
from tui.cli.progress import show
from tui.cli.rows import SHORT
from tui.cli.templates import Template
from tui.cli.words import familiar
from tui.view.figures import age, size
from tui.view.text import clean

INSTRUCTION = 45
"""Characters of a shortened instruction, as Docker has it."""

quiet_ids = click.option("-q", "--quiet", is_flag=True, help="Only their ids.")
no_trunc_option = click.option("--no-trunc", is_flag=True, help="Shorten nothing.")


@longshore.group()
def image() -> None:
    """Images: the verbs below, by the names that Docker gives them here."""


@verb("images", looks=True)
@click.option("-a", "--all", "every", is_flag=True, help="Also those that others are made from and that have no name.")
@click.option("--digests", is_flag=True, help="Tell the digests that registries know them by.")
@quiet_ids
@no_trunc_option
@filter_option
@template_option
@click.argument("name", default="")
async def images(
    client: Client,
    name: str,
    every: bool,
    digests: bool,
    quiet: bool,
    no_trunc: bool,
    filters: tuple[tuple[str, str], ...],
    form: Form,
) -> None:
    """List images: all, or those of one NAME[:TAG]."""
    asked = (*filters, ("reference", name)) if name else filters
    found = await client.images_json(all=str(int(every)), filters=as_filters(asked))
    if quiet:
        say(short_id(one["Id"], no_trunc) for one in found)
    elif form == "json":
        say(map(as_json, found))
    elif isinstance(form, Template):
        now, digests = datetime.now(UTC), digests or form.wants("Digest")
        told = (row for one in found for row in rows.images(one, now, digests=digests, whole=no_trunc))
        say(formatted(form, told, rows.IMAGE))
    else:
        titles = ("IMAGE", *(("DIGEST",) if digests else ()), "IMAGE ID", "AGE", "SIZE")
        say(table(titles, [row for one in found for row in _rows(one, digests, no_trunc)]))


def _rows(one: dict[str, Any], digests: bool, whole: bool) -> list[tuple[str, ...]]:
    known = {name.partition("@")[0]: name.partition("@")[2] for name in one["RepoDigests"] or ()}
    rest = (short_id(one["Id"], whole), made_ago(one["Created"]), size(one["Size"]))
    names = one["RepoTags"] or one["RepoDigests"] or ("-",)
    return [(name, *((known.get(_repository(name), "-"),) if digests else ()), *rest) for name in names]


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def short_id(id: str, whole: bool = False) -> str:
    return id if whole else id.removeprefix("sha256:")[:SHORT]


def made_ago(created: int) -> str:
    return age(datetime.fromtimestamp(created, UTC) if created > 0 else None, datetime.now(UTC))


@verb("history", looks=True)
@quiet_ids
@no_trunc_option
@form_option
@click.argument("name")
async def history(client: Client, name: str, quiet: bool, no_trunc: bool, form: str) -> None:
    """Show the instructions that an image was made by, newest first."""
    found = await client.image_history(name)
    if quiet:
        say(short_id(one["Id"], no_trunc) for one in found)
    elif form == "json":
        say(map(as_json, found))
    else:
        say(table(("IMAGE", "AGE", "MADE BY", "SIZE", "COMMENT"), [_layer(one, no_trunc) for one in found]))


def _layer(one: dict[str, Any], whole: bool) -> tuple[str, ...]:
    made_by = _made_by(one["CreatedBy"], whole)
    return short_id(one["Id"], whole), made_ago(one["Created"]), made_by, size(one["Size"]), one["Comment"]


def _made_by(text: str, whole: bool) -> str:
    text = clean(text.replace("\t", " "))
    return text if whole or len(text) <= INSTRUCTION else text[: INSTRUCTION - 1] + "…"


@verb("inspect", group=image, looks=True)
@each_option
@click.argument("names", nargs=-1, required=True)
async def inspect(client: Client, names: tuple[str, ...], form: Form) -> int:
    """Tell all of images, as a JSON array."""
    found, code = [], 0
    for name in names:
        try:
            found.append(await client.image_json(name))
        except NotFound as error:
            complain(error)
            code = 1
    say(inspected(found, form))
    return code


# --- registries ---------------------------------------------------------------------------------------------------------


async def fetch(client: Client, name: str, platform: str = "", *, quiet: bool = False, err: bool = False) -> None:
    """Fetch one image with the logins of whoever asks. `err`: tell of it on the standard error."""
    stream = client.pull(name, platform, credentials=await login(name))
    await show(stream, sys.stderr if err else sys.stdout, quiet=quiet)


async def login(name: str) -> Credentials:
    """Who we are at an image's registry."""
    return await logins.from_file(registry_of(name))


@verb("pull", starts=True)
@click.option("-a", "--all-tags", "every", is_flag=True, help="All tags that the registry has of it.")
@click.option("-q", "--quiet", is_flag=True, help="Only its name in the end.")
@click.option("--platform", default="", help="Platform the image must be for, such as linux/amd64.")
@click.argument("name")
async def pull(client: Client, name: str, every: bool, quiet: bool, platform: str) -> None:
    """Fetch an image from a registry."""
    whole = _whole_name(name, every, quiet)
    if every:
        stream = client.pull(name, platform, every_tag=True, credentials=await login(name))
        await show(stream, sys.stdout, quiet=quiet)
    else:
        await fetch(client, whole, platform, quiet=quiet)
    click.echo(_canonical(name if every else whole))


@verb("push")
@click.option("-a", "--all-tags", "every", is_flag=True, help="All tags that there are of it.")
@click.option("-q", "--quiet", is_flag=True, help="Only its name in the end.")
@click.argument("name")
async def push(client: Client, name: str, every: bool, quiet: bool) -> None:
    """Bring an image to a registry."""
    whole = _whole_name(name, every, quiet)
    stream = client.push(name if every else whole, every_tag=every, credentials=await login(name))
    await show(stream, sys.stdout, quiet=quiet)
    if quiet:
        click.echo(_canonical(name if every else whole))


def _whole_name(name: str, every: bool, quiet: bool) -> str:
    """The name with its tag. Raises `Invalid` for an id, and for a tag where all are meant."""
    whole = familiar(name)
    if not whole:
        raise Invalid(f"{name} is an id, and no registry knows an image by it", "give NAME[:TAG]")
    named = "@" in name or ":" in name.rpartition("/")[2]
    if every and named:
        raise Invalid("a tag can't be used with --all-tags/-a", "leave one of them out")
    if not (every or named or quiet):
        click.echo("Using default tag: latest")
    return whole


def _canonical(name: str) -> str:
    """With its registry, as Docker writes it."""
    if registry_of(name) != DOCKER_IO:
        return name
    short = name.removeprefix("docker.io/")
    return f"docker.io/{short}" if "/" in short else f"docker.io/library/{short}"


# --- names --------------------------------------------------------------------------------------------------------------


@verb("tag")
@click.argument("name")
@click.argument("new_name")
async def tag(client: Client, name: str, new_name: str) -> None:
    """Give an image one more name."""
    await client.image_tag(name, new_name)


@verb("rmi")
@click.option("-f", "--force", is_flag=True, help="Also where containers that do not run are made from it.")
@click.option("--no-prune", is_flag=True, help="Keep the nameless images that it was made from.")
@click.argument("names", nargs=-1, required=True)
async def rmi(client: Client, names: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """Take names from images; with its last name an image goes, and the layers that nothing else stands on."""

    async def remove(name: str) -> str | None:
        done: list[dict[str, str]] = []
        try:
            done = await client.image_remove(name, force=force, noprune=no_prune)
        except NotFound as error:
            if not force:
                raise
            complain(error)
        return "\n".join(f"{what}: {which}" for one in done for what, which in one.items()) or None

    code = 0
    for name in names:  # one after the other: what one leaves nameless the next may name
        code |= await each((name,), remove)
    return code


image.add_command(images, "ls")
image.add_command(rmi, "rm")
for command in (tag, history, pull, push):
    image.add_command(command)
