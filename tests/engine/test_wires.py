"""A cable from end to end, the same in process and over the socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.model.errors import Conflict, NotFound
from engine.model.wiring import WireInterface
from engine.wires import Wires
from tests.engine.api.conftest import Served, serve
from tests.engine.worlds import BODY, WIRED


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        for name in ("back", "front"):
            await served.engine.do("create_network", "", {"body": {"Name": name}})
        await make(served, "web", WIRED)
        await served.engine.do("connect", "web", {"network": "front", "endpoint": {"Aliases": ["shop"]}})
        await make(served, "db", BODY)
        yield served


async def make(served: Served, name: str, body: dict[str, Any]) -> None:
    await served.engine.do("create", "", {"name": name, "body": body})
    await served.engine.do("start", name)


@pytest.fixture(params=["in process", "over the socket"])
async def wires(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[WireInterface]:
    if request.param == "in process":
        yield Wires(served.engine)
    else:
        async with Client(served.path) as client:
            yield client


async def test_a_cable_is_told_whole(wires: WireInterface, served: Served) -> None:
    web = served.engine.resolve("web")
    cable = await wires.cable("web", "back")
    assert (cable.container, cable.name) == (web.id, "web")
    assert cable.endpoint in web.endpoints and cable.endpoint.network == "back"
    assert cable.netns.endswith(web.sandbox)
    assert cable.wire.bridge == cable.endpoint.bridge
    assert cable.names[0] == "web" and web.short_id in cable.names
    assert cable.leads_out and cable.ports == web.ports and cable.ports
    assert cable.rules == ("masquerade",)


async def test_of_several_each_is_its_own(wires: WireInterface) -> None:
    cable = await wires.cable("web", "front")
    assert cable.endpoint.network == "front" and "shop" in cable.names
    assert not cable.leads_out and cable.ports == ()
    assert (await wires.cable("web")).endpoint.network == "back"
    assert (await wires.cable("db")).names == ()  # on the default bridge nobody answers for names


async def test_where_there_is_none_it_says_so(wires: WireInterface, served: Served) -> None:
    with pytest.raises(Conflict, match="db: it is not plugged into back"):
        await wires.cable("db", "back")
    with pytest.raises(NotFound, match="no-such"):
        await wires.cable("db", "no-such")
    with pytest.raises(NotFound, match="no-such"):
        await wires.cable("no-such")
    await served.engine.do("kill", "db")
    with pytest.raises(Conflict, match="not plugged into any network"):
        await wires.cable("db")
