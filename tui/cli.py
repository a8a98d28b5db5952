"""What can be typed: `longshore`, `longshore demo`, `longshore engine status|logs|stop`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

import click

from engine import __version__
from engine.client import Client
from engine.model.errors import EngineError, Forbidden, NotFound, Unavailable
from tui import background, demo

FOLLOW = 0.25
"""Seconds between two looks at a log that is followed."""


@click.group(invoke_without_command=True)
@click.option("-H", "--host", default=f"unix://{background.SOCKET}", show_default=True, help="The engine's socket.")
@click.option("--read-only", is_flag=True, help="Look, and change nothing.")
@click.version_option(__version__, message="longshore %(version)s")
@click.pass_context
def longshore(context: click.Context, host: str, read_only: bool) -> None:
    """The dashboard of a container engine; starts the engine in the background when none answers.

    Without a terminal it is `longshore demo`.
    """
    context.obj = background.socket_of(host)
    if context.invoked_subcommand is not None:
        return
    if sys.stdout.isatty() and sys.stdin.isatty():
        dashboard(context.obj, read_only)
    elif read_only:
        raise Forbidden("there is no terminal to show the dashboard on, and the demo that runs instead changes things")
    else:
        context.invoke(demo_command)


def dashboard(path: str, read_only: bool) -> None:
    """Open the dashboard and stay in it until the person leaves."""
    from tui.app import LongshoreApp  # here: Textual takes longer to load than `engine status` to answer

    background.ensure(path)

    async def show() -> int | None:
        async with Client(path) as engine:
            app = LongshoreApp(engine, read_only=read_only, docker=f"docker -H unix://{path}")
            await app.run_async()
            return app.return_code

    sys.exit(asyncio.run(show()))


@longshore.command("demo")
@click.pass_obj
def demo_command(path: str) -> None:
    """One container through its whole life, every step with its evidence; fails when anything is left of it."""
    if background.ensure(path):
        click.echo(f"An engine was started in the background, with its log in {background.log_path(path)}.")
        click.echo("`longshore engine stop --containers` ends it.")
    sys.exit(0 if asyncio.run(demo.run(path)) else 1)


@longshore.group()
def engine() -> None:
    """The engine behind the socket."""


@engine.command()
@click.pass_obj
def status(path: str) -> None:
    """Tell of the engine: version, process, containers, containerd."""
    pid = _listener(path)

    async def look() -> None:
        async with Client(path) as client:
            version, info, rows = await asyncio.gather(client.version(), client.info(), client.containers())
        parts = {part["Name"]: part["Version"] for part in version["Components"]}
        statuses = Counter(str(row.status) for row in rows)
        told = ", ".join(f"{count} {word}" for word, count in sorted(statuses.items()))
        trouble = "; ".join(info["Warnings"] or ())
        for name, value in (
            ("engine", f"longshored {version['Version']}, process {pid}"),
            ("socket", f"{path}  (Docker Engine API {version['ApiVersion']})"),
            ("data", info["DockerRootDir"]),
            ("containerd", trouble or f"{parts['containerd']}, runc {parts['runc']}"),
            ("cgroups", f"v{info['CgroupVersion']}"),
            ("containers", f"{len(rows)}: {told}" if rows else "none"),
        ):
            click.echo(f"{name:<12}{value}")

    asyncio.run(look())


@engine.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.pass_obj
def logs(path: str, follow: bool) -> None:
    """Show the log of an engine that `longshore` has started."""
    log = background.log_path(path)
    try:
        file = log.open(errors="replace")
    except FileNotFoundError as error:
        message = f"there is no log at {log}: that engine was not started by longshore"
        raise NotFound(message, "look where it was started, as with journalctl") from error
    with file:
        while True:
            while text := file.read(1 << 16):
                click.echo(text, nl=False)
            if not follow:
                return
            time.sleep(FOLLOW)


@engine.command()
@click.option("--containers", is_flag=True, help="Stop the containers too, and take down all that is the engine's own.")
@click.pass_obj
def stop(path: str, containers: bool) -> None:
    """End the engine. Its containers run on, unless they are to stop too."""
    pid = _listener(path)

    async def ask() -> None:
        async with Client(path) as client:
            await client.shutdown(containers=containers)

    asyncio.run(ask())
    if pid:
        background.wait_end(pid)
    click.echo("The engine and its containers have ended." if containers else "The engine has ended; its containers run on.")


def _listener(path: str) -> int:
    pid = background.listener(path)
    if pid is None:
        raise Unavailable(f"no engine answers at {path}", "`longshore` starts one")
    return pid


def main() -> None:
    """Run what was typed. What goes wrong is one sentence and exit code 1."""
    try:
        longshore(prog_name="longshore")
    except EngineError as error:
        click.echo(f"longshore: {error}", err=True)
        sys.exit(1)
