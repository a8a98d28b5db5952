"""Verbs on one or more containers that answer with their names: `stop`, `restart`, `pause`, `rm`, `update` and the like."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from engine.client import Client
from engine.model.errors import AlreadySo, EngineError, Invalid, NotFound
from tui.cli.group import complain, each, verb, warn
from tui.cli.options import RESOURCES, flags, settings

_names = click.argument("containers", nargs=-1, required=True)
_signal = click.option("-s", "--signal", default="", help="Signal to send, such as HUP or 15.")
_time = click.option("-t", "--time", "--timeout", "t", type=click.INT, help="Seconds until it is killed; -1 for never.")


async def _do(client: Client, verb: str, params: dict[str, Any], name: str) -> str:
    """Do it and answer the name. What is so already is as asked."""
    try:
        await client.do(verb, name, {key: value for key, value in params.items() if value not in ("", None)})
    except AlreadySo:
        pass
    return name


@verb("stop")
@_signal
@_time
@_names
async def stop(client: Client, containers: tuple[str, ...], **params: Any) -> int:
    """Ask containers to end, and kill those that do not in time."""
    return await each(containers, partial(_do, client, "stop", params))


@verb("restart")
@_signal
@_time
@_names
async def restart(client: Client, containers: tuple[str, ...], **params: Any) -> int:
    """Stop containers where they run, and start them."""
    return await each(containers, partial(_do, client, "restart", params))


@verb("kill")
@_signal
@_names
async def kill(client: Client, containers: tuple[str, ...], **params: Any) -> int:
    """Send a signal to containers; KILL where none is said."""
    return await each(containers, partial(_do, client, "kill", params))


@verb("pause")
@_names
async def pause(client: Client, containers: tuple[str, ...]) -> int:
    """Freeze all processes of containers."""
    return await each(containers, partial(_do, client, "pause", {}))


@verb("unpause")
@_names
async def unpause(client: Client, containers: tuple[str, ...]) -> int:
    """Thaw all processes of containers."""
    return await each(containers, partial(_do, client, "unpause", {}))


@verb("rm")
@click.option("-f", "--force", is_flag=True, help="Kill those that run; one that does not exist is no error.")
@click.option("-v", "--volumes", "v", is_flag=True, help="Remove their anonymous volumes too.")
@_names
async def rm(client: Client, containers: tuple[str, ...], force: bool, v: bool) -> int:
    """Remove containers."""

    async def remove(name: str) -> str | None:
        try:
            await client.do("remove", name, {"force": force, "v": v})
        except NotFound:
            if force:
                return None
            raise
        return name

    return await each(containers, remove)


@verb("rename")
@click.argument("container")
@click.argument("name")
async def rename(client: Client, container: str, name: str) -> None:
    """Give a container another name."""
    await client.do("rename", container, {"name": name})


@verb("update")
@flags(RESOURCES)
@_names
async def update(client: Client, containers: tuple[str, ...], **given: Any) -> int:
    """Change the limits and the restart policy of containers. Running ones are changed as they run."""
    body = settings(RESOURCES, given)
    if not body:
        raise Invalid("there is nothing to change", "give an option, such as --memory 512m")

    async def change(name: str) -> str:
        warn((await client.do("update", name, {"body": body})).warnings)
        return name

    return await each(containers, change)


@verb("wait", looks=True)
@_names
async def wait(client: Client, containers: tuple[str, ...]) -> int:
    """Wait until containers have ended, and print their exit codes."""
    code = 0
    for name in containers:
        try:
            click.echo(await client.wait(name))
        except EngineError as error:
            complain(error)
            code = 1
    return code
