"""Addresses are given out once, whoever asks meanwhile. The kernel's part is in tests/real/test_packets.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from tests.engine.worlds import BODY, engine_on


@pytest.fixture
async def engine() -> Engine:
    engine = await engine_on(SimulatedWorld())
    for name in ("one", "two"):
        await engine.do("create", "", {"name": name, "body": BODY})
    return engine


def addresses(engine: Engine) -> set[str]:
    return {e.address for c in engine.ledger.records.values() for e in c.plugged}


async def test_a_plan_takes_no_address_from_a_start_whose_record_is_not_saved_yet(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, decided, go_on = engine.host.records, asyncio.Semaphore(0), asyncio.Event()
    save = records.save

    async def slow(*args: Any, **options: Any) -> None:
        decided.release()
        await go_on.wait()
        await save(*args, **options)

    monkeypatch.setattr(records, "save", slow)
    first = asyncio.create_task(engine.do("start", "one"))
    await decided.acquire()
    await engine.plan("start", "one")
    second = asyncio.create_task(engine.do("start", "two"))
    await decided.acquire()
    go_on.set()
    await asyncio.gather(first, second)
    assert len(addresses(engine)) == 2


async def test_an_address_is_free_again_after_a_stop(engine: Engine) -> None:
    await engine.do("start", "one")
    first = addresses(engine)
    await engine.do("kill", "one")
    await engine.do("start", "two")
    assert addresses(engine) == first
