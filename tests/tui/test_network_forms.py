"""The forms of the Networks pane: they show what would be done, say what cannot be, and lose nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.screen import Screen
from textual.widgets import Input, Select, Static

from engine.model.errors import Invalid
from engine.model.frames import NetworksChanged
from tests.tui.cabling import wired_world
from tests.tui.made import BACKEND, row
from tests.tui.piloting import SMALL, dashboard, main, on_screen, until
from tests.tui.scripted import ScriptedEngine
from tests.tui.walking import asked, at, walk
from tui.screens.dialogs import NewContainer
from tui.screens.forms import Connect, NewNetwork


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(wired_world())


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
