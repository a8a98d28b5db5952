"""The Networks pane driven by keys: walking, both ends of a cable, pulling, undo and lessons."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.model.container import Container
from engine.model.errors import Conflict, Forbidden
from engine.model.frames import Changed, NetworksChanged
from engine.model.network import Attachment
from engine.model.status import Status
from engine.model.world import JoinRow
from tests.tui.cabling import cable, wired_world
from tests.tui.made import BACKEND, record, row
from tests.tui.piloting import SMALL, WIDE, chosen, dashboard, main, on_screen, until
from tests.tui.scripted import ScriptedEngine
from tests.tui.walking import asked, at, walk
from tui.screens import wire as screen
from tui.screens.dialogs import Confirm, Menu
from tui.screens.forms import Connect, NewNetwork
from tui.screens.lesson import LessonScreen
from tui.screens.why import WhyScreen
from tui.screens.wire import NetworkScreen, WireScreen


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine(wired_world())
    engine.cables[row("web").id, "backend"] = cable()
    return engine


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
