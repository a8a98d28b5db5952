"""The kernel tells of its changes, and of nothing else."""

from __future__ import annotations

import socket

import pytest

from engine.host import bell
from engine.host.bell import Bell
from engine.host.tools import tell

pytestmark = pytest.mark.usefixtures("machine")


async def test_it_rings_for_its_groups_only() -> None:
    links, rules = Bell(socket.NETLINK_ROUTE, bell.LINKS), Bell(bell.NETLINK_NETFILTER, bell.RULES)
    assert (links.rings(), rules.rings()) == (0, 0)
    await tell("ip", "link", "add", "here0", "type", "bridge")
    rung = links.rings()
    assert rung > 0 and links.rings() == rung and rules.rings() == 0
    await tell("nft", "add", "table", "ip", "anything")
    assert links.rings() == rung and rules.rings() > 0


async def test_more_changes_than_it_can_hold_are_a_change() -> None:
    links = Bell(socket.NETLINK_ROUTE, bell.LINKS)
    links._kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    await tell("ip", "link", "add", "here0", "type", "bridge")
    for word in ("up", "down") * 5:
        await tell("ip", "link", "set", "here0", word)
    rung = links.rings()
    assert rung > 0 and links.rings() == rung


@pytest.mark.parametrize(
    ("group", "command"),
    [
        (bell.ADDRESSES, ("ip", "address", "add", "192.0.2.77/32", "dev", "lo")),
        (bell.ROUTES, ("ip", "route", "add", "198.51.100.0/24", "dev", "lo")),
        (bell.FORWARDING, ("sysctl", "-q", "net.ipv4.conf.lo.forwarding=1")),
    ],
)
async def test_every_group_tells_of_what_it_is_named_for(group: int, command: tuple[str, ...]) -> None:
    await tell("ip", "link", "set", "lo", "up")
    ringing = Bell(socket.NETLINK_ROUTE, group)
    await tell(*command)
    assert ringing.rings() > 0
