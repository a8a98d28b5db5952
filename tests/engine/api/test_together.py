"""Small pieces sent together: in order, none kept back, and never more than a slow reader should make us hold."""

from __future__ import annotations

import asyncio

import pytest

from engine.api.together import ENOUGH, Together


class Reader:
    """Takes what is written while its gate is open."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, data: bytes) -> None:
        await self.gate.wait()
        self.got.append(data)


async def test_pieces_of_one_turn_go_together() -> None:
    reader = Reader()
    async with Together(reader) as together:
        for number in range(100):
            await together.write(b"%d," % number)
    assert reader.got == [b"".join(b"%d," % number for number in range(100))]


async def test_a_lone_piece_does_not_wait_for_the_next() -> None:
    reader = Reader()
    async with Together(reader) as together:
        for said in (b"first", b"second"):
            await together.write(said)
            await asyncio.sleep(0)
            assert reader.got[-1] == said


async def test_whoever_writes_waits_for_a_slow_reader_and_loses_nothing() -> None:
    reader = Reader()
    reader.gate.clear()
    sent = 0

    async def write() -> None:
        nonlocal sent
        async with Together(reader) as together:
            for _ in range(100):
                await together.write(bytes(ENOUGH // 8))
                sent += 1

    writing = asyncio.create_task(write())
    for _ in range(100):
        await asyncio.sleep(0)
    assert sent < 10
    reader.gate.set()
    await writing
    assert len(b"".join(reader.got)) == 100 * (ENOUGH // 8)


async def test_a_reader_that_has_gone_is_heard_of() -> None:
    class Gone:
        async def write(self, data: bytes) -> None:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with Together(Gone()) as together:
            await together.write(b"unheard")
            await asyncio.sleep(0)
            await together.write(b"told")
            pytest.fail("the next write knows")
    with pytest.raises(ConnectionResetError):
        async with Together(Gone()) as together:
            await together.write(b"the last")


async def test_leaving_in_trouble_sends_no_more() -> None:
    reader = Reader()
    reader.gate.clear()
    with pytest.raises(ZeroDivisionError):
        async with Together(reader) as together:
            await together.write(b"unsent")
            await asyncio.sleep(0)
            raise ZeroDivisionError
    reader.gate.set()
    await asyncio.sleep(0)
    assert reader.got == []
