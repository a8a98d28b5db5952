"""The `longshore` command, and how its verbs reach an engine."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import click

from engine import __version__
from engine.client import Client
from engine.model.errors import EngineError, Forbidden, Unavailable
from tui import background

T = TypeVar("T")

AT_ONCE = 50
"""Containers that one command acts on at the same time."""


@click.group(invoke_without_command=True)
@click.option("-H", "--host", default=f"unix://{background.SOCKET}", show_default=True, help="The engine's socket.")
@click.option("--read-only", is_flag=True, help="Look, and change nothing.")
@click.version_option(__version__, message="longshore %(version)s")
@click.pass_context
def longshore(context: click.Context, host: str, read_only: bool) -> None:
    """The dashboard of a container engine; starts the engine in the background when none answers.

    Without a terminal it is `longshore demo`. The commands below are Docker's, for this engine.
    """
    context.obj = background.socket_of(host)
    if context.invoked_subcommand is not None:
        return
    if sys.stdout.isatty() and sys.stdin.isatty():
        _dashboard(context.obj, read_only)
    elif read_only:
        raise Forbidden("there is no terminal to show the dashboard on, and the demo that runs instead changes things")
    else:
        context.invoke(longshore.commands["demo"])


def _dashboard(path: str, read_only: bool) -> None:
    """Open the dashboard and stay in it until the person leaves."""
    from tui.app import LongshoreApp  # here: Textual takes longer to load than `longshore ps` to answer

    background.ensure(path)

    async def show() -> int | None:
        async with Client(path) as engine:
            app = LongshoreApp(engine, read_only=read_only, docker=f"docker -H unix://{path}")
            gc.freeze()  # or every now and then a key waits 50 ms while all that was loaded is looked through for garbage
            await app.run_async()
            return app.return_code

    sys.exit(asyncio.run(show()))


def refuse_read_only() -> None:
    """Raises `Forbidden` where nothing is to be changed."""
    if click.get_current_context().find_root().params["read_only"]:
        raise Forbidden("this changes things, and --read-only says to change nothing", "leave --read-only out")


def ask(path: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do something with the engine behind a socket. Raises `Unavailable` when none answers."""
    listener(path)

    async def connected() -> T:
        async with Client(path) as client:
            return await work(client)

    return asyncio.run(connected())


def listener(path: str) -> int:
    """The engine's pid. Raises `Unavailable` when there is none."""
    pid = background.listener(path)
    if pid is None:
        raise Unavailable(f"no engine answers at {path}", "`longshore` starts one")
    return pid


def verb(
    name: str, *, group: click.Group = longshore, looks: bool = False, starts: bool = False, **attributes: Any
) -> Callable[[Callable[..., Awaitable[int | None]]], click.Command]:
    """A command of `longshore` from a coroutine that is given the engine; it answers with the exit code, None for 0.

    `group`: where it is found. `looks`: it changes nothing, so it may be had with `--read-only`. `starts`: it starts an engine
    where none answers.
    """

    def decorate(function: Callable[..., Awaitable[int | None]]) -> click.Command:
        @wraps(function)
        def command(**given: Any) -> None:
            path = click.get_current_context().obj
            if not looks:
                refuse_read_only()
            if starts and background.ensure(path):
                click.echo(f"An engine was started in the background, with its log in {background.log_path(path)}.", err=True)
            sys.exit(ask(path, lambda client: function(client, **given)) or 0)

        return group.command(name, **attributes)(command)

    return decorate


async def each(names: Iterable[str], act: Callable[[str], Awaitable[str | None]]) -> int:
    """Act on all at once and print what each answers, in their order. What fails is told of, and does not stop the others."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> str | None:
        async with turn:
            return await act(name)

    code = 0
    for task in [asyncio.create_task(one(name)) for name in names]:
        try:
            said = await task
        except EngineError as error:
            complain(error)
            code = 1
        else:
            if said is not None:
                click.echo(said)
    return code


def complain(error: EngineError | str) -> None:
    click.echo(f"longshore: {error}", err=True)


def warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(f"WARNING: {warning}", err=True)
