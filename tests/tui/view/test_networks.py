"""The tree of networks and cables: what it shows at any width, and what it says of what is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from engine.model.status import Status
from engine.model.world import JoinRow, World
from tests.tui.cabling import HOST, INNER, wired_world
from tests.tui.made import BACKEND, BRIDGE, NO_NETWORK, row, wire
from tui.view import networks
from tui.view.figures import measure
from tui.view.scene import Scene
from tui.view.text import Line, plain, width_of


def drawn(world: World, width: int = 100, folded: frozenset[str] = frozenset(), selected: str = "") -> list[Line]:
    scene = Scene(now=datetime.now(UTC), world=world, meters=measure({}, world.samples.values()))
    rows = networks.tree(world, folded)
    columns = networks.layout(rows, width)
    lines = [networks.body(scene, each, columns, selected, width) for each in rows]
    assert all(width_of(line) <= width for line in lines)
    return lines


def texts(world: World, width: int = 100, **more: Any) -> list[str]:
    return [plain(line).rstrip() for line in drawn(world, width, **more)]


def missing(world: World, name: str, *things: str) -> World:
    (found,) = [each for each in world.containers.values() if each.name == name]
    return world.with_container(replace(found, missing=things))


def test_every_network_is_there_with_each_of_its_cables() -> None:
    assert texts(wired_world()) == [
        "bridge  longshore0  10.84.0.1/16  nat ✔  1 member",
        "└ veth7765620═eth0      web  10.84.0.4                       ↓3.1k ↑1.2k  + sidecar",
        "backend  br-bbbbbbbbbbbb  10.85.0.1/16  nat ✔  2 members",
        "├ veth6462000back═eth0  db   10.85.0.3",
        "└ veth7765620back═eth1  web  10.85.0.2              8080→80  ↓0    ↑340   + sidecar",
        "inner  br-iiiiiiiiiiii  10.86.0.1/24  internal  1 member  icc off  fd00:86::1/64  mtu 1400",
        "└ veth6462000inne═eth1  db   10.86.0.2  fd00:86::2",
        "host  the host's own interfaces  1: proxy",
        "none  loopback only  nobody",
    ]


def test_who_is_stopped_stands_below_those_that_are_plugged_in() -> None:
    joins = (JoinRow(network=BACKEND.id, address="10.85.0.7"), JoinRow(network="bridge"))
    world = wired_world().with_container(row("job", Status.EXITED, joins=joins))
    lines = drawn(world, selected=row("job").id)
    text = [plain(line).rstrip() for line in lines]
    assert text[:3] == [
        "bridge  longshore0  10.84.0.1/16  nat ✔  1 member, 1 stopped",
        "├ veth7765620═eth0      web  10.84.0.4                       ↓3.1k ↑1.2k  + sidecar",
        "└ exited                job",
    ]
    assert text[3].endswith("2 members, 1 stopped") and text[6] == "└ exited                job  10.85.0.7"
    assert {span.tone for span in lines[6] if span.text.strip()} == {"dim", "strong"}
    assert "└ job  exited" in texts(world, 16) and "└ job" in texts(world, 8)
    assert "1 member, 1 stopped, l shows them" in texts(world, folded=frozenset({BRIDGE.id}))[0]


def test_ports_stand_at_the_cable_that_leads_out() -> None:
    """Not at the first: an internal network leads nowhere, and of the others the first by name does."""
    db = row("db", ports=("0.0.0.0:5432->5432/tcp",))
    wires = tuple(wire(name, db.id, f"10.{n}.0.2/16") for n, name in ((86, "inner"), (84, "bridge"), (85, "backend")))
    world = World(containers={db.id: replace(db, wires=wires)}, networks={n.id: n for n in (BRIDGE, BACKEND, INNER)})
    assert {each.network.name: each.ports for each in networks.tree(world) if each.wire} == {
        "bridge": "",
        "backend": "5432→5432",
        "inner": "",
    }


def test_a_cable_that_was_deleted_says_so() -> None:
    text = texts(missing(wired_world(), "web", "veth7765620back"))
    assert "└ ! veth7765620back gone ╳ eth1  web  10.85.0.2" in text
    assert text[1].startswith("└ veth7765620═eth0")
    text = texts(missing(wired_world(), "web", "address 10.85.0.2"), 60)
    assert "└ veth7765620back═eth1  ! address gone  web  10.85.0.2" in text


def test_what_is_gone_of_a_network_says_so() -> None:
    world = wired_world()
    lost = replace(world, networks=world.networks | {BACKEND.id: replace(BACKEND, up=False, nat=False)})
    text = texts(lost)
    assert "backend  ! br-bbbbbbbbbbbb ✘ gone  10.85.0.1/16  ! nat ✘ gone  2 members" in text
    assert "├ ! veth6462000back ╳ no bridge  db  10.85.0.3" in text
    bare = replace(world, networks=world.networks | {INNER.id: replace(INNER, nat=False)})
    assert "! rules ✘ gone" in texts(bare)[5]


def test_a_network_on_its_way_says_what_is_done_with_it() -> None:
    world = World(networks={n.id: n for n in (replace(BACKEND, up=False, nat=False, verb="create_network"), NO_NETWORK)})
    assert texts(world)[0] == "backend  create …  10.85.0.0/16"
    walked = replace(BACKEND, verb="remove_network", lesson=True)
    assert texts(World(networks={walked.id: walked})) == ["backend  lesson: remove, t goes on  10.85.0.0/16"]


def test_a_folded_network_keeps_its_cables_to_itself() -> None:
    text = texts(wired_world(), folded=frozenset({BACKEND.id, HOST.id}))
    assert "backend  br-bbbbbbbbbbbb  10.85.0.1/16  nat ✔  2 members, l shows them" in text
    assert not any("back═" in line for line in text)
    assert "host  the host's own interfaces  1: proxy" in text


def test_the_selected_container_stands_out_on_all_its_networks() -> None:
    world = wired_world()
    lines = drawn(world, selected=row("web").id)
    strong = [plain(line) for line in lines if any(span.tone == "strong" and span.text.strip() == "web" for span in line)]
    assert len(strong) == 2


@pytest.mark.parametrize("width", range(12, 110, 7))
def test_where_it_is_narrow_whole_parts_go_and_the_name_stays(width: int) -> None:
    world = missing(wired_world(), "db", "veth6462000inne")
    for line in texts(world, width):
        assert not line.endswith(("10.85.0", "fd00:86:", "veth7765620bac"))
    if width >= 30:
        assert sum("web" in line for line in texts(world, width)) == 2


def test_columns_are_the_same_for_all_so_that_they_do_not_dance() -> None:
    world = wired_world()
    quiet = replace(world, samples={})
    assert [line[:40] for line in texts(quiet)] == [line[:40] for line in texts(world)]
