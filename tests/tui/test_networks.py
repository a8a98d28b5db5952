"""The Networks pane driven by keys: walking, both ends of a cable, forms that lose nothing, pulling, undo and lessons."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Select, Static

from engine.model.container import Container
from engine.model.errors import Conflict, Forbidden, Invalid
from engine.model.frames import Changed, NetworksChanged
from engine.model.network import Attachment
from engine.model.status import Status
from engine.model.world import JoinRow
from tests.tui.cabling import cable, wired_world
from tests.tui.made import BACKEND, record, row
from tests.tui.piloting import SMALL, WIDE, chosen, dashboard, main, on_screen, seen, until
from tests.tui.scripted import ScriptedEngine
from tui.app import LongshoreApp
from tui.panes.networks import NetworksPane
from tui.screens import wire as screen
from tui.screens.dialogs import Confirm, Menu, NewContainer
from tui.screens.forms import Connect, NewNetwork
from tui.screens.lesson import LessonScreen
from tui.screens.why import WhyScreen
from tui.screens.wire import NetworkScreen, WireScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine(wired_world())
    engine.cables[row("web").id, "backend"] = cable()
    return engine


def asked(engine: ScriptedEngine, kind: str = "do") -> list[tuple[str, str, dict[str, Any]]]:
    return [(verb, target, params) for what, verb, target, params in engine.calls if what == kind]


def at(app: LongshoreApp) -> str:
    """Where the cursor of the pane is: a network, or a container on it."""
    found = main(app).query_one(NetworksPane).row
    assert found
    return found.network.name + (f"/{found.container.name}" if found.container else "")


async def walk(pilot: Pilot[None], app: LongshoreApp, place: str) -> None:
    """Go to the pane, and down to a line of it."""
    await pilot.press("3", "g")
    for _ in range(12):
        await pilot.pause()
        if at(app) == place:
            return
        await pilot.press("j")
    raise AssertionError(f"there is no {place} in\n" + "\n".join(seen(app)))


@pytest.mark.parametrize("size", [WIDE, SMALL])
async def test_the_pane_shows_the_tree_and_its_keys(engine: ScriptedEngine, size: tuple[int, int]) -> None:
    async with dashboard(engine, size) as (app, pilot):
        await walk(pilot, app, "bridge")
        told = ("veth7765620back═eth1", "10.85.0.2", "8080→80", "internal")
        for text in (*told, "Enter both ends", "a connect", ": palette  ? help  q quit"):
            assert on_screen(app, text), text


async def test_the_other_panes_follow_the_cable_and_the_pane_follows_the_list(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        assert chosen(app) == "db" and at(app) == "backend/db"
        await walk(pilot, app, "backend/web")
        await until(pilot, lambda: chosen(app) == "web")
        await pilot.press("j")
        await pilot.pause()
        assert at(app) == "inner" and chosen(app) == "web"
        await pilot.press("1", "g")
        await until(pilot, lambda: chosen(app) == "db" and at(app) == "backend/db")


async def test_the_cursor_stays_where_it_is_whatever_comes_and_goes(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "backend/web")
        fresh = row("aaa")
        engine.publish(Changed(row=replace(fresh, wires=(replace(fresh.wires[0], network="backend"),))))
        await until(pilot, lambda: on_screen(app, "aaa"))
        assert at(app) == "backend/web"
        web = engine.find("web")
        engine.publish(Changed(row=replace(web, wires=web.wires[:1])))
        await until(pilot, lambda: at(app) == "backend")


async def test_a_cable_deleted_by_hand_is_seen_where_it_was(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        web = engine.find("web")
        engine.publish(Changed(row=replace(web, missing=("veth7765620back",))))
        await until(pilot, lambda: on_screen(app, "! veth7765620back gone ╳ eth1"))


async def test_a_network_is_folded_and_unfolded(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await walk(pilot, app, "backend/web")
        await pilot.press("h")
        await until(pilot, lambda: not on_screen(app, "back═") and on_screen(app, "2 members, l shows them"))
        assert at(app) == "backend"
        await pilot.press("l")
        await until(pilot, lambda: on_screen(app, "back═"))


@pytest.mark.parametrize(("size", "key"), [(WIDE, "enter"), (SMALL, "w")])
async def test_both_ends_of_a_cable_stay_fresh(
    engine: ScriptedEngine, size: tuple[int, int], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "SECONDS", 0.05)
    async with dashboard(engine, size) as (app, pilot):
        await walk(pilot, app, "backend/web")
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, WireScreen) and on_screen(app, "port of br-bbbbbbbbbbbb"))
        assert on_screen(app, "02:11:22:33:44:55") and on_screen(app, "10.85.0.2/16")
        engine.cables[row("web").id, "backend"] = cable(wire=replace(cable().wire, bridge=""))
        await until(pilot, lambda: on_screen(app, "! port of no bridge"))
        del engine.cables[row("web").id, "backend"]
        await until(pilot, lambda: on_screen(app, "✘ cannot look at a cable of it"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is main(app))
        looked = len(engine.looked)
        await pilot.pause(0.2)
        assert len(engine.looked) <= looked + 1, "nobody looks at what nobody sees"


async def test_the_commands_of_a_cable_are_copied(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "backend/web")
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "eth1"))
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard.startswith("ip -s -d link show dev veth7765620back\nnsenter"))


async def test_a_network_is_shown_whole(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await walk(pilot, app, "backend")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NetworkScreen) and on_screen(app, "10.85.4.0/24"))
        await pilot.press("c", "q")
        assert app.clipboard == "docker network inspect backend"


# Making


async def test_a_network_is_made_from_a_form_that_shows_its_plan(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await walk(pilot, app, "bridge")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewNetwork) and on_screen(app, "It needs a name."))
        await pilot.press("enter")
        assert not asked(engine)
        for id, text in (("name", "front"), ("subnet", "10.9.0.0/24"), ("gateway", "10.9.0.9"), ("range", "10.9.0.64/26")):
            app.screen.query_one(f"#{id}", Input).value = text
        given = {"ipv6": "fd00:9::/64", "aux": "nas=10.9.0.7, nas6=fd00:9::7", "options": "mtu=1400, bridge.name=br-x"}
        for id, text in (*given.items(), ("labels", "tier=front, owner='web, shop'")):
            app.screen.query_one(f"#{id}", Input).value = text
        app.screen.query_one("#internal").focus()
        await pilot.press("space", "tab", "space")
        await until(pilot, lambda: on_screen(app, "1  Mount the layers"))  # the scripted plan's first step
        docker = str(app.screen.query_one("#docker", Static).content)
        for text in ("create --subnet 10.9.0.0/24", "--aux-address nas=10.9.0.7", "--label tier=front", "'owner=web, shop'"):
            assert text in docker
        assert on_screen(app, "✔") and not asked(engine)
        app.screen.query_one("#name").focus()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app))
        (made,) = asked(engine)
        assert made == (
            "create_network",
            "",
            {
                "body": {
                    "Name": "front",
                    "EnableIPv6": True,
                    "IPAM": {
                        "Config": [
                            {
                                "Subnet": "10.9.0.0/24",
                                "Gateway": "10.9.0.9",
                                "IPRange": "10.9.0.64/26",
                                "AuxiliaryAddresses": {"nas": "10.9.0.7"},
                            },
                            {"Subnet": "fd00:9::/64", "AuxiliaryAddresses": {"nas6": "fd00:9::7"}},
                        ]
                    },
                    "Labels": {"tier": "front", "owner": "web, shop"},
                    "Options": {
                        "com.docker.network.driver.mtu": "1400",
                        "com.docker.network.bridge.name": "br-x",
                        "com.docker.network.bridge.enable_icc": "false",
                    },
                    "Internal": True,
                }
            },
        )
        fresh = replace(BACKEND, id="n" * 64, name="front", bridge="br-front")
        engine.publish(NetworksChanged(networks=engine.world.networks | {fresh.id: fresh}))
        await until(pilot, lambda: at(app) == "front")


@pytest.mark.parametrize("refused", ["plan create_network", "create_network"])
async def test_what_the_engine_refuses_loses_nothing_that_was_typed(engine: ScriptedEngine, refused: str) -> None:
    engine.fails[refused] = Invalid("cannot use 10.84.0.0/16: Pool overlaps with other one", "choose another --subnet")
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "bridge")
        await pilot.press("n", *"x", "tab", *"10.84.0.0/16")
        await until(pilot, lambda: on_screen(app, "✘ cannot use" if "plan" in refused else "1  Mount"))
        engine.fails["create_network"] = engine.fails[refused]
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "✘ cannot use 10.84.0.0/16: Pool overlaps"))
        await until(pilot, lambda: told(app.screen) == "subnet")
        assert isinstance(app.screen, NewNetwork) and app.screen.text("subnet") == "10.84.0.0/16"
        del engine.fails["create_network"]
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app))


def told(form: Screen[Any]) -> str:
    """The field below which something is wrong."""
    return " ".join((each.id or "").removeprefix("wrong-") for each in form.query(".field-wrong") if each.display)


async def test_what_is_wrong_is_said_below_its_field(engine: ScriptedEngine) -> None:
    typed = {
        "gateway": ("10.1.0.9", "✘ no matching subnet for gateway 10.1.0.9"),
        "aux": ("nas=10.2.0.9", "✘ no matching subnet for auxiliary address 10.2.0.9"),
        "options": ("colour=red", "✘ there is no option colour; take name, mtu, enable_icc"),
        "labels": ("owner='me", '✘ "owner=\'me" has a quote without its other; close it'),
    }
    async with dashboard(engine, SMALL) as (app, pilot):
        await walk(pilot, app, "bridge")
        await pilot.press("n", *"lab")
        await until(pilot, lambda: isinstance(app.screen, NewNetwork))
        for id, (text, sentence) in typed.items():
            field = app.screen.query_one(f"#{id}", Input)
            field.value = text
            await until(pilot, lambda id=id: told(app.screen) == id)  # type: ignore[misc]
            assert on_screen(app, sentence)
            await pilot.press("enter")
            assert isinstance(app.screen, NewNetwork) and field.value == text and not asked(engine)
            field.value = ""
        await until(pilot, lambda: on_screen(app, "1  Mount"))
        assert not told(app.screen)


async def test_a_container_is_connected(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await walk(pilot, app, "inner")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Connect))
        form = app.screen
        assert isinstance(form, Connect) and form.chosen("network") == "inner"
        assert "db" not in {each.name for each in form.containers.values()}, "it is on it already"
        web = engine.find("web").id
        form.query_one("#container", Select).value = web
        form.query_one("#aliases", Input).value = "shop store"
        form.query_one("#ipv4", Input).value = "10.86.0.9"
        await until(pilot, lambda: on_screen(app, "--alias shop --alias store"))
        form.query_one("#aliases").focus()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is main(app))
        endpoint = {"IPAMConfig": {"IPv4Address": "10.86.0.9"}, "Aliases": ["shop", "store"]}
        assert asked(engine) == [("connect", web, {"network": "inner", "endpoint": endpoint})]
        await pilot.press("U")
        await until(pilot, lambda: len(asked(engine)) == 2)
        assert asked(engine)[1] == ("disconnect", web, {"network": "inner"})


async def test_from_a_cable_its_container_is_connected_to_another_network(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "backend/web")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Connect))
        assert isinstance(app.screen, Connect)
        assert app.screen.chosen("container") == row("web").id
        assert app.screen.networks == ("inner",) and app.screen.chosen("network") == "inner"


async def test_a_new_container_is_put_on_a_network_with_ports(engine: ScriptedEngine) -> None:
    async with dashboard(engine, SMALL) as (app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewContainer))
        app.screen.query_one("#name", Input).value = "shop"
        app.screen.query_one("#network", Select).value = "backend"
        app.screen.query_one("#ports", Input).value = "8080:80 127.0.0.1:53:x"
        await until(pilot, lambda: on_screen(app, "✘ 'x' in '127.0.0.1:53:x' is no port"))
        app.screen.query_one("#ports", Input).value = "8080:80, 127.0.0.1:53:53/udp"
        await until(pilot, lambda: on_screen(app, "--network backend -p 8080:80 -p"))
        await pilot.press("enter")
        await until(pilot, lambda: bool(asked(engine)))
        bindings = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}
        (made,) = asked(engine)
        assert made[2]["body"]["HostConfig"] == {"NetworkMode": "backend", "PortBindings": bindings}


# Pulling and removing


async def test_who_is_stopped_is_plugged_and_pulled_too(engine: ScriptedEngine) -> None:
    job = row("job", Status.EXITED, joins=(JoinRow(network="backend", address="10.85.0.7"),))
    engine.world = engine.world.with_container(job)
    engine.records[job.id] = replace(record(job), networks={"backend": Attachment(ipv4="10.85.0.7")})
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "backend/job")
        await until(pilot, lambda: chosen(app) == "job")
        await pilot.press("enter")
        await until(pilot, lambda: on_screen(app, "job has no cable into backend: it gets one when it starts"))
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Connect))
        assert isinstance(app.screen, Connect) and app.screen.networks == ("bridge", "inner")
        await pilot.press("escape", "d")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "Pull job out of backend? U plugs"))
        await pilot.press("right", "enter")
        await until(pilot, lambda: asked(engine) == [("disconnect", job.id, {"network": "backend"})])
        await pilot.press("W")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen) and app.screen.text("from") == "job")


def with_alias(engine: ScriptedEngine) -> Container:
    web = record(engine.find("web"))
    return replace(web, networks={"backend": Attachment(aliases=("shop",), ipv4="10.85.0.2")})


async def test_a_cable_is_pulled_and_undo_plugs_it_in_as_it_was(engine: ScriptedEngine) -> None:
    web = engine.find("web").id
    engine.records[web] = with_alias(engine)
    async with dashboard(engine, SMALL) as (app, pilot):
        await walk(pilot, app, "backend/web")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "1  Mount"))
        await pilot.press("enter")  # the harmless answer
        await until(pilot, lambda: app.screen is main(app))
        assert not asked(engine)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("right", "enter")
        await until(pilot, lambda: asked(engine) == [("disconnect", web, {"network": "backend"})])
        await until(pilot, lambda: on_screen(app, "$ docker network disconnect backend web"))
        await pilot.press("U")
        await until(pilot, lambda: len(asked(engine)) == 2)
        endpoint = {"IPAMConfig": {"IPv4Address": "10.85.0.2"}, "Aliases": ["shop"]}
        assert asked(engine)[1] == ("connect", web, {"network": "backend", "endpoint": endpoint})


async def test_a_network_is_removed_and_in_use_it_says_why_not(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "backend")
        engine.fails["plan remove_network"] = Forbidden("cannot remove network backend: it has active endpoints of db, web")
        await pilot.press("d")
        await until(pilot, lambda: on_screen(app, "✘ cannot remove network backend: it has active endpoints of db, web"))
        del engine.fails["plan remove_network"]
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("right", "enter")
        await until(pilot, lambda: asked(engine) == [("remove_network", "backend", {})])
        await walk(pilot, app, "host")
        await pilot.press("d")
        await until(pilot, lambda: on_screen(app, "cannot remove host: every engine has it"))


async def test_networks_that_nobody_is_on_are_pruned(engine: ScriptedEngine) -> None:
    idle = replace(BACKEND, id="z" * 64, name="idle", bridge="br-idle")
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "bridge")
        await pilot.press("P")
        await until(pilot, lambda: on_screen(app, "every network has somebody on it"))
        engine.publish(NetworksChanged(networks=engine.world.networks | {idle.id: idle}))
        await until(pilot, lambda: on_screen(app, "br-idle"))
        engine.unused = ["idle"]
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and on_screen(app, "that nobody is on: idle?"))
        await pilot.press("right", "enter")
        await until(pilot, lambda: on_screen(app, "✔ removed: idle"))


async def test_read_only_changes_nothing(engine: ScriptedEngine) -> None:
    async with dashboard(engine, read_only=True) as (app, pilot):
        for place, keys in (("backend", "nadPt"), ("backend/web", "dat")):
            await walk(pilot, app, place)
            for key in keys:
                await pilot.press(key)
                await until(pilot, lambda: on_screen(app, "this dashboard is read-only"))
                await pilot.press("escape")
                assert app.screen is main(app) and at(app) == place
        assert not asked(engine) and not asked(engine, "begin")


# Lessons


async def test_every_verb_of_networks_can_be_walked_step_by_step(engine: ScriptedEngine) -> None:
    web = engine.find("web").id
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "backend/web")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen))
        assert asked(engine, "begin") == [("disconnect", web, {"network": "backend"})]
        await pilot.press("x", "escape")
        await until(pilot, lambda: app.screen is main(app))
        await walk(pilot, app, "inner")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Menu))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen) and on_screen(app, "remove network inner · lesson"))
        assert asked(engine, "begin")[1] == ("remove_network", "inner", {})


async def test_a_network_is_made_step_by_step_and_a_parked_lesson_goes_on(engine: ScriptedEngine) -> None:
    async with dashboard(engine) as (app, pilot):
        await walk(pilot, app, "bridge")
        await pilot.press("t", "j", "enter")
        await until(pilot, lambda: isinstance(app.screen, NewNetwork))
        engine.fails["create_network"] = Conflict("network with name lab already exists", "choose another name")
        await pilot.press(*"lab", "enter")
        await until(pilot, lambda: on_screen(app, "✘ network with name lab already exists"))
        del engine.fails["create_network"]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen))
        assert asked(engine, "begin")[-1] == ("create_network", "", {"body": {"Name": "lab"}})
        await pilot.press("escape", "j", "enter")  # parked
        lab = replace(BACKEND, id="n" * 64, name="lab", verb="create_network", lesson=True, up=False, nat=False)
        engine.publish(NetworksChanged(networks=engine.world.networks | {lab.id: lab}))
        await until(pilot, lambda: on_screen(app, "lesson: create, t goes on"))
        await walk(pilot, app, "lab")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, LessonScreen) and on_screen(app, "create network lab · lesson"))
