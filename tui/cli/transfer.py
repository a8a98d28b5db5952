"""Images and containers as archives, and archives as images: `longshore save`, `load`, `import`, `export`, `commit`; `diff`."""

from __future__ import annotations

import sys
from typing import Any

import click

from engine.client import Client
from engine.model.tree import ChangeKind
from tui.cli.archives import STANDARD, bytes_of, refuse_terminal, write_to
from tui.cli.group import verb
from tui.cli.images import image
from tui.cli.lists import say
from tui.cli.progress import show
from tui.view.text import clean

KINDS = {ChangeKind.MODIFIED: "C", ChangeKind.ADDED: "A", ChangeKind.DELETED: "D"}

_output = click.option("-o", "--output", type=click.Path(), help="Write to this file; else to the standard output.")
_changes = click.option("-c", "--change", "changes", multiple=True, help="Instruction of a Dockerfile, such as 'CMD [\"sh\"]'.")


@verb("save", looks=True)
@_output
@click.argument("names", nargs=-1, required=True)
async def save(client: Client, names: tuple[str, ...], output: str | None) -> None:
    """Write images to an archive, with all their layers."""
    refuse_terminal(output)
    await write_to(output, client.image_save(names))


@verb("load", starts=True)
@click.option("-i", "--input", "path", type=click.Path(), default=STANDARD, help="Read this file; else the standard input.")
async def load(client: Client, path: str) -> None:
    """Take in images from an archive that `save` or another engine has made."""
    async for told in client.image_load(bytes_of(path)):
        if text := told.get("stream", ""):
            click.echo(clean(text.strip()))


@verb("import", starts=True)
@_changes
@click.option("-m", "--message", default="", help="Comment for the image's history.")
@click.option("--platform", default="", help="What the image is for, such as linux/arm64; this host.")
@click.argument("source")
@click.argument("name", default="")
async def import_(client: Client, source: str, name: str, changes: tuple[str, ...], message: str, platform: str) -> None:
    """Make an image of a tar: a file, a URL that the engine fetches, or - for the standard input."""
    archive = None if "://" in source else bytes_of(source)
    wish: dict[str, Any] = {"repository": name, "message": message, "changes": changes, "platform": platform}
    stream = client.image_import(source if archive is None else STANDARD, archive, **wish)
    click.echo(await show(stream, sys.stderr, quiet=archive is not None))


@verb("export", looks=True)
@_output
@click.argument("container")
async def export(client: Client, container: str, output: str | None) -> None:
    """Write all files that a container sees to a tar."""
    refuse_terminal(output)
    await write_to(output, client.export(container))


@verb("commit")
@_changes
@click.option("-a", "--author", default="", help="Who has made it.")
@click.option("-m", "--message", default="", help="Comment for the image's history.")
@click.option("-p", "--pause/--no-pause", default=True, show_default=True, help="Freeze the container while it is read.")
@click.argument("container")
@click.argument("name", default="")
async def commit(
    client: Client, container: str, name: str, changes: tuple[str, ...], author: str, message: str, pause: bool
) -> None:
    """Make an image of what a container has written, on top of its own image."""
    wish: dict[str, Any] = {"repository": name, "comment": message, "author": author, "changes": changes}
    click.echo(await client.commit(container, pause=pause, **wish))


@verb("diff", looks=True)
@click.argument("container")
async def diff(client: Client, container: str) -> None:
    """List what a container has changed in its image: A for added, C for changed, D for deleted."""
    found = await client.changes((await client.inspect(container)).id)
    say(f"{KINDS[change.kind]} {clean(change.path)}" for change in found)


for command in (save, load, import_):
    image.add_command(command)
