"""`/longshore/why` and `longshore why`, on an engine with a simulated host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.host.sight import Listener
from engine.model.errors import Invalid, NotFound
from engine.model.reach import Verdict
from engine.spec.reach import Reason
from engine.why import Why
from tests.engine.api.conftest import Served, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """`web` and `db` on the default bridge; `db` listens on port 80."""
    async with serve(tmp_path) as served:
        for name in ("web", "db"):
            await served.create(name)
            await served.engine.do("start", name)
        db = await served.engine.inspect("db")
        served.world.listeners[db.sandbox] = (Listener(protocol="tcp", address="0.0.0.0", port=80),)
        yield served


async def test_one_answer_in_process_and_over_the_socket(served: Served) -> None:
    async with Client(served.path) as client:
        for asked in (("web", "db", 80), ("web", "db", 81), ("web", "db", 0), ("host", "db", 80)):
            told, straight = await client.why(*asked), await Why(served.engine).why(*asked)
            assert told.hops == straight.hops and told.sentence == straight.sentence
        assert (await client.why("web", "db", 80)).reached
        stopped = (await client.why("web", "db", 81)).stopped
        assert stopped and stopped.reason == Reason.NOTHING_LISTENS
        with pytest.raises(NotFound):
            await client.why("web", "nobody", 80)
        with pytest.raises(Invalid):
            await client.why("", "db", 80)
        with pytest.raises(Invalid):
            await client.why("web", "db", 80, "carrier pigeon")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"from": "web", "to": "db", "port": "80"}, 200),
        ({"from": "web", "to": "db"}, 200),
        ({"from": "web"}, 400),
        ({"from": "web", "to": "db", "port": "80", "family": "5"}, 400),
        ({"from": "web", "to": "db", "port": "-1"}, 400),
        ({"from": "web", "to": "db", "port": "http"}, 500),
        ({"from": "web", "to": "nobody"}, 404),
    ],
)
async def test_the_query(served: Served, query: dict[str, str], status: int) -> None:
    answer = await served.ask("GET", "/longshore/why", params=query)
    assert answer.status == status
    if status == 200:
        found: Any = answer.json
        assert found["source"] == "web" and found["hops"][0]["title"] == "web runs"
        assert Verdict.__struct_fields__ == tuple(found)
    else:
        assert answer.json["message"]


async def test_it_asks_about_what_does_not_run_too(served: Served) -> None:
    await served.engine.do("stop", "db")
    stopped = (await Why(served.engine).why("web", "db", 80)).stopped
    assert stopped and stopped.reason == Reason.NOT_RUNNING
