"""`longshore network` and `longshore port`: networks, and which ports of the host lead to a container."""

from __future__ import annotations

import sys
from typing import Any

import click

from engine.client import Client
from engine.model.errors import EngineError, NotFound
from tui.cli import rows
from tui.cli.group import complain, each, longshore, verb
from tui.cli.lists import (
    Form,
    as_filters,
    as_json,
    each_option,
    filter_option,
    formatted,
    inspected,
    say,
    table,
    template_option,
)
from tui.cli.options import MANY, PAIR, PAIRS, SWITCH, Flag, endpoint, flags, settings
from tui.cli.rows import SHORT
from tui.cli.templates import Template
from tui.pairs import ranges

Filters = tuple[tuple[str, str], ...]
Json = dict[str, Any]


@longshore.group()
def network() -> None:
    """Networks: what there is, made, removed, and joined to containers."""


@verb("ls", group=network, looks=True)
@click.option("-q", "--quiet", is_flag=True, help="Only their ids.")
@click.option("--no-trunc", is_flag=True, help="Shorten nothing.")
@filter_option
@template_option
async def ls(client: Client, quiet: bool, no_trunc: bool, filters: Filters, form: Form) -> None:
    """List networks."""
    found = sorted(await client.networks_json(filters=as_filters(filters)), key=lambda one: str(one["Name"]))
    if quiet:
        say(one["Id"] if no_trunc else one["Id"][:SHORT] for one in found)
    elif form == "json":
        say(map(as_json, found))
    elif isinstance(form, Template):
        say(formatted(form, (rows.network(one, whole=no_trunc) for one in found), rows.NETWORK))
    else:
        say(table(("NETWORK ID", "NAME", "DRIVER", "RANGE", "GATEWAY", ""), (_row(one, no_trunc) for one in found)))


network.add_command(network.commands["ls"], "list")


def _row(one: Json, whole: bool) -> tuple[str, ...]:
    ranges = one["IPAM"]["Config"] or ()
    return (
        one["Id"] if whole else one["Id"][:SHORT],
        one["Name"],
        one["Driver"],
        ", ".join(own["Subnet"] for own in ranges) or "-",
        ", ".join(own["Gateway"] for own in ranges if own.get("Gateway")) or "-",
        "internal" if one["Internal"] else "",
    )


@verb("inspect", group=network, looks=True)
@each_option
@click.argument("names", nargs=-1, required=True)
async def inspect(client: Client, names: tuple[str, ...], form: Form) -> int:
    """Tell all of networks, as a JSON array."""
    found, code = [], 0
    for name in names:
        try:
            found.append(await client.network_json(name))
        except EngineError as error:
            complain(error)
            code = 1
    say(inspected(found, form))
    return code


CREATE = (
    Flag("-d --driver", "Driver", click.STRING, "What makes it: bridge."),
    Flag("--subnet", "", click.STRING, "Its range of addresses, such as 10.90.0.0/24; one of each family.", MANY),
    Flag("--gateway", "", click.STRING, "The host's address in it.", MANY),
    Flag("--ip-range", "", click.STRING, "The part of it that containers get their addresses from.", MANY),
    Flag("--aux-address", "", PAIR, "NAME=ADDRESS that is somebody else's.", PAIRS),
    Flag("--ipv6", "EnableIPv6", SWITCH, "Give it IPv6, by a private range where no --subnet says which."),
    Flag("--internal", "Internal", SWITCH, "Let nothing out of it, and nothing in."),
    Flag("--attachable", "Attachable", SWITCH, "Kept for swarms, which this engine is in none of."),
    Flag("-o --opt", "Options", PAIR, "Option of the driver, such as com.docker.network.driver.mtu=1400.", PAIRS),
    Flag("--label", "Labels", PAIR, "Put a label on it.", PAIRS),
    Flag("--ipam-driver", "IPAM.Driver", click.STRING, "Who gives out addresses: default."),
    Flag("--scope", "Scope", click.STRING, "Where it is known: local."),
)


@verb("create", group=network)
@flags(CREATE)
@click.argument("name")
async def create(client: Client, name: str, **given: Any) -> None:
    """Make a network, and print its id."""
    body = settings(CREATE, given) | {"Name": name}
    if config := ranges(given["subnet"], given["gateway"], given["ip_range"], given["aux_address"]):
        body.setdefault("IPAM", {})["Config"] = config
    click.echo((await client.do("create_network", "", {"body": body})).id)


@verb("rm", group=network)
@click.option("-f", "--force", is_flag=True, help="One that does not exist is no error.")
@click.argument("names", nargs=-1, required=True)
async def rm(client: Client, names: tuple[str, ...], force: bool) -> int:
    """Remove networks that nobody is on."""

    async def remove(name: str) -> str | None:
        try:
            await client.do("remove_network", name)
        except NotFound:
            if force:
                return None
            raise
        return name

    return await each(names, remove)


network.add_command(network.commands["rm"], "remove")

CONNECT = (
    Flag("--alias", "Aliases", click.STRING, "One more name for the container on this network.", MANY),
    Flag("--ip", "IPv4Address", click.STRING, "Its IPv4 address there."),
    Flag("--ip6", "IPv6Address", click.STRING, "Its IPv6 address there."),
    Flag("--link", "Links", click.STRING, "Know another container by a name there, CONTAINER[:NAME].", MANY),
    Flag("--driver-opt", "DriverOpts", PAIR, "Option of the network's driver.", PAIRS),
)


@verb("connect", group=network)
@flags(CONNECT)
@click.argument("name")
@click.argument("container")
async def connect(client: Client, name: str, container: str, **given: Any) -> None:
    """Plug a container into one more network; at once where it runs."""
    await client.do("connect", container, {"network": name, "endpoint": endpoint(settings(CONNECT, given))})


@verb("disconnect", group=network)
@click.option("-f", "--force", is_flag=True, help="Whatever is in the way.")
@click.argument("name")
@click.argument("container")
async def disconnect(client: Client, name: str, container: str, force: bool) -> None:
    """Pull a container out of a network."""
    await client.do("disconnect", container, {"network": name, "force": force})


@verb("prune", group=network)
@click.option("-f", "--force", is_flag=True, help="Do not ask first.")
@click.option("--filter", "filters", type=PAIR, multiple=True, help="Only those with KEY=VALUE.")
async def prune(client: Client, force: bool, filters: Filters) -> None:
    """Remove all networks that nobody is on."""
    what = "This will remove all custom networks not used by at least one container."
    if not force:
        click.echo(f"WARNING! {what}\nAre you sure you want to continue? [y/N] ", nl=False)
        if sys.stdin.readline().strip().lower() != "y":
            return
    if gone := await client.networks_prune(filters=as_filters(filters)):
        say(("Deleted Networks:", *gone, ""))


@verb("port", looks=True)
@click.argument("container")
@click.argument("port", default="")
async def port(client: Client, container: str, port: str) -> int:
    """Tell which ports of the host lead to a container, or to one PORT[/PROTOCOL] of it."""
    told: dict[str, list[dict[str, str]] | None] = (await client.container_json(container))["NetworkSettings"]["Ports"]
    places = {inside: [_place(binding) for binding in bindings or ()] for inside, bindings in told.items()}
    if not port:
        say(f"{inside} -> {place}" for inside in sorted(places) for place in places[inside])
        return 0
    wanted = port if "/" in port else f"{port}/tcp"
    if not places.get(wanted):
        raise NotFound(f"no public port '{wanted}' published for {container}", "`longshore port` without one lists all")
    say(places[wanted])
    return 0


def _place(binding: dict[str, str]) -> str:
    address = binding["HostIp"]
    return f"[{address}]:{binding['HostPort']}" if ":" in address else f"{address}:{binding['HostPort']}"
