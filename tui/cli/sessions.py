"""`longshore start`, `attach` and `exec`: joined to a process that a container has, or is given."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import click

from engine.client import Client
from engine.model.container import Container
from engine.model.errors import Conflict, EngineError, Invalid
from engine.model.status import Status
from tui.cli.group import complain, each, verb
from tui.cli.joined import Joined, NotStarted, check_terminal, forwarded, start, start_joined
from tui.cli.options import VARIABLE, VARIABLES, Command, environment
from tui.cli.run import exit_code
from tui.talk import DETACH_KEYS, Ended, detach_sequence, talk, terminal_size

_detach_keys = click.option(
    "--detach-keys", default=DETACH_KEYS, show_default=True, help="Keys that leave the process without ending it."
)
_sig_proxy = click.option(
    "--sig-proxy", type=click.BOOL, default=True, show_default=True, help="Pass signals on to the process."
)


@verb("start", starts=True)
@click.option("-a", "--attach", is_flag=True, help="Show its output, pass signals on, and end with its exit code.")
@click.option("-i", "--interactive", is_flag=True, help="Join the standard input too.")
@_detach_keys
@click.argument("containers", nargs=-1, required=True)
async def start_command(client: Client, containers: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str) -> int:
    """Start containers that do not run."""
    if not attach and not interactive:
        return await each(containers, partial(_start, client))
    if len(containers) > 1:
        raise Invalid("cannot be joined to several containers at once", "start them without -a and -i, or one by one")
    c = await client.inspect(containers[0])
    tty, stdin = c.config.tty, interactive and c.config.open_stdin
    check_terminal(tty and stdin)
    how = Joined(tty=tty, stdin=stdin, detach_keys=detach_keys, sig_proxy=not tty)
    detach_sequence(detach_keys)
    try:
        return await start_joined(client, c.id, how, removed=c.host_config.auto_remove)
    except NotStarted as error:
        raise error.why from None


async def _start(client: Client, name: str) -> str:
    try:
        await start(client, name)
    except NotStarted as error:
        raise error.why from None
    return name


@verb("attach")
@click.option("--no-stdin", is_flag=True, help="Do not join the standard input.")
@_sig_proxy
@_detach_keys
@click.argument("container")
async def attach(client: Client, container: str, no_stdin: bool, sig_proxy: bool, detach_keys: str) -> int:
    """Join the standard streams of a running container's own process. Ends with its exit code."""
    detach_sequence(detach_keys)
    exit = await client.arm(container)
    try:
        c = await _attachable(client, container)
        tty, stdin = c.config.tty, c.config.open_stdin and not no_stdin
        check_terminal(tty and stdin)
        with forwarded(client, c.id) if sig_proxy and not tty else nullcontext():
            stream = await client.attach(c.id, stdin=stdin, detach_keys=detach_keys)
            try:
                await _attachable(client, c.id)  # one that has stopped meanwhile would keep us waiting
            except EngineError:
                await stream.close()
                raise
            resize = partial(client.resize, c.id)
            ended = await talk(stream, tty=tty, stdin=stdin, resize=resize, detach_keys=detach_keys)
            return 0 if ended is Ended.DETACHED else await exit
    finally:
        exit.cancel()


async def _attachable(client: Client, target: str) -> Container:
    c = await client.inspect(target)
    if c.status is not Status.RUNNING:
        remedies = {Status.PAUSED: "unpause it first", Status.RESTARTING: "wait until it runs"}
        raise Conflict(f"cannot attach to {c.name}, which is {c.status}", remedies.get(c.status, "start it with start -a"))
    return c


@verb("exec", cls=Command)
@click.option("-d", "--detach", is_flag=True, help="Leave it in the background.")
@click.option("-i", "--interactive", is_flag=True, help="Join the standard input.")
@click.option("-t", "--tty", is_flag=True, help="Give the process a terminal.")
@click.option("-e", "--env", type=VARIABLE, multiple=True, help="Set a variable; NAME alone takes its value from here.")
@click.option("--env-file", type=VARIABLES, multiple=True, help="Set variables from a file of NAME=VALUE lines.")
@click.option("-u", "--user", default="", help="Name or number of the user, with :GROUP where it is another than the user's.")
@click.option("-w", "--workdir", default="", help="Working directory inside.")
@click.option("--privileged", is_flag=True, help="Give the process all capabilities.")
@_detach_keys
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
async def exec(client: Client, container: str, command: tuple[str, ...], **given: Any) -> int:
    """Run one more process in a running container. Ends with its exit code."""
    tty, detach, keys = given["tty"], given["detach"], given["detach_keys"]
    detach_sequence(keys)
    stdin = given["interactive"] and not detach
    check_terminal(tty and stdin)
    size = terminal_size() if tty else None
    id = await client.exec_create(
        container,
        {
            "Cmd": command,
            "Tty": tty,
            "AttachStdin": stdin,
            "AttachStdout": not detach,
            "AttachStderr": not detach,
            "Env": environment(given),
            "User": given["user"],
            "WorkingDir": given["workdir"],
            "Privileged": given["privileged"],
            "DetachKeys": keys,
        },
    )
    try:
        stream = await client.exec_start(id, tty=tty, detach=detach, size=size)
    except EngineError as error:
        complain(error)
        return code if (code := exit_code(error)) != 125 else 1
    if stream is None:
        return 0
    ended = await talk(stream, tty=tty, stdin=stdin, resize=partial(client.exec_resize, id), detach_keys=keys)
    if ended is Ended.DETACHED:
        return 0
    return (await client.exec_inspect(id))["ExitCode"] or 0
