"""`longshore run` and `longshore create` (reference: Docker's command line, `docker run`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from engine.client import Client
from engine.model.errors import EngineError, HostFailed, Invalid, NotFound
from engine.model.interface import Done
from tui.cli.group import complain, verb, warn
from tui.cli.images import fetch
from tui.cli.joined import Joined, NotStarted, start, start_joined
from tui.cli.options import SETTINGS, Command, attachments, create_body, flags, streams
from tui.cli.words import familiar
from tui.talk import DETACH_KEYS, detach_sequence, terminal_size

FAILED = 125
NOT_EXECUTABLE = ("permission denied", "is a directory")
"""126"""
NOT_FOUND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
"""127"""


def _making(function: Callable[..., Any]) -> Callable[..., Any]:
    """What `run` and `create` have in common."""
    for decorate in reversed(
        (
            click.option("--name", default="", help="Name of the container; one is made up where none is given."),
            click.option(
                *("-a", "--attach"), type=click.Choice(("stdin", "stdout", "stderr"), case_sensitive=False), multiple=True,
                help="Join this stream only.",
            ),
            flags(SETTINGS),
            click.option(
                "--pull", type=click.Choice(("always", "missing", "never")), default="missing", show_default=True,
                help="When to fetch the image.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Say nothing of how fetching the image goes on."),
            click.option("--platform", default="", help="Platform the image must be for, such as linux/amd64."),
            click.argument("image"),
            click.argument("command", nargs=-1, type=click.UNPROCESSED),
        )
    ):  # fmt: skip
        function = decorate(function)
    return function


@verb("create", cls=Command, starts=True)
@_making
async def create_command(client: Client, image: str, command: tuple[str, ...], **given: Any) -> None:
    """Make a container from an image, and print its id. `start` starts it."""
    click.echo((await _create(client, image, command, given)).id)


@verb("run", cls=Command, starts=True)
@_making
@click.option("-d", "--detach", is_flag=True, help="Leave it in the background and print its id.")
@click.option("--sig-proxy", type=click.BOOL, default=True, show_default=True, help="Pass signals on to the process.")
@click.option("--detach-keys", default=DETACH_KEYS, show_default=True, help="Keys that leave the process without ending it.")
async def run(client: Client, image: str, command: tuple[str, ...], **given: Any) -> int:
    """Make a container from an image and start it. Ends with its exit code, 125 when it could not be begun."""
    joined = streams(given)
    how = Joined(
        tty=given["tty"],
        **{name: name in joined for name in ("stdin", "stdout", "stderr")},
        detach_keys=given["detach_keys"],
        sig_proxy=given["sig_proxy"],
    )
    try:
        how.check()
        detach_sequence(how.detach_keys)
        made = await _create(client, image, command, given)
        if not (how.stdout or how.stderr):
            click.echo(made.id)
        if joined:
            return await start_joined(client, made.id, how, removed=given["rm"])
        await start(client, made.id)
        return 0
    except NotStarted as error:
        complain(error.why)
        return exit_code(error.why)
    except EngineError as error:
        complain(error)
        return FAILED


def exit_code(error: EngineError) -> int:
    """Docker's code for a process that could not be started; the runtime's words are all there is to tell by."""
    text = str(error).lower()
    if any(words in text for words in NOT_FOUND):
        return 127
    return 126 if any(words in text for words in NOT_EXECUTABLE) else FAILED


async def _create(client: Client, image: str, command: tuple[str, ...], given: dict[str, Any]) -> Done:
    """Make the container, fetching its image where that is asked for."""
    body = create_body(image, command, given)
    if given["tty"] and (size := terminal_size()):
        body["HostConfig"]["ConsoleSize"] = (size[1], size[0])
    with cidfile(given["cidfile"]) as note:
        if given["pull"] == "always":
            await fetch(client, familiar(image) or image, given["platform"], quiet=given["quiet"], err=True)
        try:
            made = await client.create(body, given["name"], given["platform"])
        except NotFound:
            name = familiar(image)
            if given["pull"] != "missing" or not name:
                raise
            click.echo(f"Unable to find image '{name}' locally", err=True)
            await fetch(client, familiar(image) or image, given["platform"], quiet=given["quiet"], err=True)
            made = await client.create(body, given["name"], given["platform"])
        note(made.id)
    await _connect(client, made.id, attachments(given)[1:])
    warn(made.warnings)
    return made


async def _connect(client: Client, id: str, more: list[tuple[str, dict[str, Any]]]) -> None:
    """The container is made on its first network; it is connected to the others, or not made at all."""
    try:
        for network, asked in more:
            await client.do("connect", id, {"network": network, "endpoint": asked})
    except EngineError:
        await client.do("remove", id)
        raise


@contextmanager
def cidfile(path: str | None) -> Iterator[Callable[[str], int]]:
    """A new file for a container's id, made before the container; gone again when none was made.

    Raises `Invalid` when there is such a file, `HostFailed` when it cannot be written.
    """
    if not path:
        yield lambda id: 0
        return
    file = Path(path)
    try:
        file.touch(exist_ok=False)
    except FileExistsError as error:
        raise Invalid(f"there is a file {path} already", "give another --cidfile, or remove it") from error
    except OSError as error:
        raise HostFailed(f"cannot write {path}: {error.strerror}", "give another --cidfile") from error
    try:
        yield file.write_text
    finally:
        if not file.stat().st_size:
            file.unlink()
