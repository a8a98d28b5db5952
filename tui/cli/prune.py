"""What is not used any more: `longshore system df`, and `prune` of containers, of images, and of both."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from engine.client import Client
from engine.model.errors import Invalid
from tui.cli.group import longshore, verb
from tui.cli.images import image, made_ago, short_id
from tui.cli.lists import as_json, form_option, say, table
from tui.cli.options import PAIR
from tui.view.figures import size

IMAGES = ("IMAGE", "IMAGE ID", "AGE", "SIZE", "SHARED", "UNIQUE", "CONTAINERS")
CONTAINERS = ("CONTAINER ID", "NAME", "IMAGE", "STATE", "AGE", "SIZE")

Filters = tuple[tuple[str, str], ...]

_filter = click.option("--filter", "filters", type=PAIR, multiple=True, help="Only those with KEY=VALUE.")
_force = click.option("-f", "--force", is_flag=True, help="Do not ask first.")


@longshore.group()
def container() -> None:
    """Containers that are not used any more."""


@longshore.group()
def system() -> None:
    """All that the engine keeps."""


@verb("prune", group=container)
@_force
@_filter
async def containers_prune(client: Client, force: bool, filters: Filters) -> None:
    """Remove all containers that do not run."""
    if _sure("This will remove all stopped containers.", force):
        _total(await _containers(client, filters))


@verb("prune", group=image)
@click.option("-a", "--all", "every", is_flag=True, help="All that no container is made from, not only the nameless.")
@_force
@_filter
async def images_prune(client: Client, every: bool, force: bool, filters: Filters) -> None:
    """Remove images without a name, or all that are not used."""
    what = "all images without at least one container associated to them" if every else "all dangling images"
    if _sure(f"This will remove {what}.", force):
        _total(await _images(client, every, filters))


@verb("prune", group=system)
@click.option("-a", "--all", "every", is_flag=True, help="All images that no container is made from, not only the nameless.")
@_force
@_filter
async def system_prune(client: Client, every: bool, force: bool, filters: Filters) -> None:
    """Remove containers that do not run, and the images that are not used then."""
    what = "all images without at least one container associated to them" if every else "all dangling images"
    if _sure(f"This will remove:\n  - all stopped containers\n  - {what}\n", force):
        _total(await _containers(client, filters) + await _images(client, every, filters))


@verb("df", group=system, looks=True)
@click.option("-v", "--verbose", is_flag=True, help="Each image and each container.")
@form_option
async def df(client: Client, form: str, verbose: bool) -> None:
    """Tell how much disk images and containers take, and how much of it `prune` could give back."""
    used = await client.disk_usage()
    images, containers = used["Images"] or (), used["Containers"] or ()
    if form == "json":
        say((as_json(used),))
        return
    if verbose:
        say(("Images space usage:", "", *table(IMAGES, map(_image, images)), ""))
        say(("Containers space usage:", "", *table(CONTAINERS, map(_container, containers))))
        return
    idle = [one for one in containers if one["State"] not in ("running", "paused", "restarting")]
    unused = [one for one in images if not one["Containers"]]
    rows = (
        _row("Images", images, len(unused), used["LayersSize"], sum(one["Size"] - max(0, one["SharedSize"]) for one in unused)),
        _row("Containers", containers, len(idle), _written(containers), _written(idle)),
    )
    say(table(("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"), rows))


def _row(name: str, there: Any, idle: int, taken: int, free: int) -> tuple[str, ...]:
    share = f" ({100 * free // taken}%)" if taken else ""
    return name, str(len(there)), str(len(there) - idle), size(taken), size(free) + share


def _image(one: dict[str, Any]) -> tuple[str, ...]:
    names = ", ".join(one["RepoTags"] or one["RepoDigests"] or ("-",))
    shared = max(0, one["SharedSize"])
    sizes = (size(count) for count in (one["Size"], shared, one["Size"] - shared))
    return names, short_id(one["Id"]), made_ago(one["Created"]), *sizes, str(one["Containers"])


def _container(one: dict[str, Any]) -> tuple[str, ...]:
    names = ", ".join(name.removeprefix("/") for name in one["Names"])
    return short_id(one["Id"]), names, one["Image"], one["State"], made_ago(one["Created"]), size(one.get("SizeRw") or 0)


def _written(containers: Iterable[dict[str, Any]]) -> int:
    return sum(one.get("SizeRw") or 0 for one in containers)


def _sure(what: str, force: bool) -> bool:
    """Ask, unless told not to; only a `y` means yes."""
    if force:
        return True
    click.echo(f"WARNING! {what}\nAre you sure you want to continue? [y/N] ", nl=False)
    return sys.stdin.readline().strip().lower() == "y"


async def _containers(client: Client, filters: Filters) -> int:
    """Bytes that are free again."""
    told = await client.containers_prune(**_lists(filters))
    _show("Deleted Containers:", told["ContainersDeleted"] or ())
    return int(told["SpaceReclaimed"])


async def _images(client: Client, every: bool, filters: Filters) -> int:
    wanted = _lists(filters)
    if every:
        wanted["dangling"] = ["false"]
    told = await client.images_prune(**wanted)
    done = told["ImagesDeleted"] or ()
    _show("Deleted Images:", (f"{what.lower()}: {which}" for one in done for what, which in one.items()))
    return int(told["SpaceReclaimed"])


def _lists(filters: Filters) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for key, value in filters:
        if not value:
            raise Invalid(f"the filter {key!r} has no value", "write KEY=VALUE")
        lists.setdefault("label_not" if key == "label!" else key, []).append(value)
    return lists


def _show(title: str, lines: Iterable[str]) -> None:
    if shown := list(lines):
        say((title, *shown, ""))


def _total(bytes: int) -> None:
    click.echo(f"Total reclaimed space: {size(bytes)}")
