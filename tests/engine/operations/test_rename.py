"""rename: one word in the record."""

from __future__ import annotations

import asyncio

import pytest

from engine.core import Engine
from engine.model.errors import Conflict, Invalid, NotFound
from engine.model.status import Status
from tests.engine.operations.seen import told
from tests.engine.worlds import BODY, REACH


@pytest.mark.parametrize("status", [Status.CREATED, Status.RUNNING, Status.PAUSED, Status.EXITED, Status.RESTARTING])
async def test_it_goes_by_its_new_name(engine: Engine, status: Status) -> None:
    await REACH[status](engine)
    id = engine.resolve("web").id
    await engine.do("rename", "web", {"name": "/other"})
    assert engine.resolve("other").id == id and engine.resolve("other").status is status
    with pytest.raises(NotFound):
        engine.resolve("web")
    assert (await told(engine))[-1] == "rename"


@pytest.mark.parametrize("name", ["", "web", "/web", "a", "-x", "two words", "../x"])
async def test_what_is_no_new_name_is_refused(engine: Engine, name: str) -> None:
    await REACH[Status.CREATED](engine)
    with pytest.raises(Invalid):
        await engine.do("rename", "web", {"name": name})
    assert engine.resolve("web").status is Status.CREATED


async def test_a_name_belongs_to_one(engine: Engine) -> None:
    await REACH[Status.CREATED](engine)
    await engine.do("create", "", {"name": "db", "body": BODY})
    with pytest.raises(Conflict, match="already in use"):
        await engine.do("rename", "db", {"name": "web"})


async def test_two_at_once_cannot_have_it(engine: Engine) -> None:
    await REACH[Status.CREATED](engine)
    await engine.do("create", "", {"name": "db", "body": BODY})
    renames = [engine.do("rename", name, {"name": "both"}) for name in ("web", "db")]
    creates = [engine.do("create", "", {"name": "both", "body": BODY})]
    done = await asyncio.gather(*renames, *creates, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in done) == 1
    assert all(isinstance(answer, Conflict) for answer in done if isinstance(answer, BaseException))
    assert len([c for c in engine.ledger.records.values() if c.name == "both"]) == 1
