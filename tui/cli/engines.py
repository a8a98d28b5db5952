"""`longshore demo`, `doctor` and `engine status|logs|stop|unit`: the engine itself."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter

import click

from engine.client import Client
from engine.model.errors import NotFound
from tui import background
from tui.cli.group import ask, listener, longshore, refuse_read_only

FOLLOW = 0.25
"""Seconds between two looks at a log that is followed."""

PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}
"""Settings of a command whose options are another program's."""


@longshore.command("demo")
@click.pass_obj
def demo_command(path: str) -> None:
    """One container's whole life, every step with its evidence. Fails when anything is left of it."""
    from tui import demo  # here: no other command needs it

    refuse_read_only()
    if background.ensure(path):
        click.echo(f"An engine was started in the background, with its log in {background.log_path(path)}.")
        click.echo("`longshore engine stop --containers` ends it.")
    sys.exit(0 if asyncio.run(demo.run(path)) else 1)


@longshore.command(context_settings=PASSED_ON)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def doctor(options: tuple[str, ...]) -> None:
    """Say what this host has and lacks for containers. Options are those of `longshored`."""
    _become("doctor", *options)


@longshore.group()
def engine() -> None:
    """The engine behind the socket."""


@engine.command(context_settings=PASSED_ON)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def unit(options: tuple[str, ...]) -> None:
    """Print a systemd unit that starts an engine at boot. Options are those of `longshored`."""
    _become("unit", *options)


@engine.command()
@click.pass_obj
def status(path: str) -> None:
    """Tell of the engine: version, process, containers, containerd."""
    pid = listener(path)

    async def look(client: Client) -> None:
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

    ask(path, look)


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
    refuse_read_only()
    pid = listener(path)
    ask(path, lambda client: client.shutdown(containers=containers))
    if pid:
        background.wait_end(pid)
    click.echo("The engine and its containers have ended." if containers else "The engine has ended; its containers run on.")


def _become(*arguments: str) -> None:
    """The engine's own program answers: it knows what this command may not, the host."""
    os.execv(sys.executable, (sys.executable, "-P", "-m", "engine", *arguments))
