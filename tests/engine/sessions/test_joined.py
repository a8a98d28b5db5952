"""A client and a process joined: who hears what, and which end ends the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from engine.sessions import joined
from engine.sessions.joined import End, join
from tests.engine.api.conftest import until
from tests.engine.sessions.doubles import Process, Terminal

BOTH = frozenset({"stdout", "stderr"})


@pytest.fixture
async def nothing_runs_on() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not left


pytestmark = pytest.mark.usefixtures("nothing_runs_on")


async def soon(work: Coroutine[Any, Any, End]) -> End:
    return await asyncio.wait_for(work, 5)


async def test_output_goes_to_whom_it_was_promised_until_it_ends() -> None:
    client, process = Terminal(), Process()
    process.says("stdout", b"1")
    process.says("stderr", b"2")
    process.says("stdout", b"3")
    process.ends()
    assert await soon(join(client, process, outputs=frozenset({"stdout"}), stdin=False)) is End.OUTPUT
    assert client.got == [("stdout", b"1"), ("stdout", b"3")]


async def test_input_arrives_and_its_end_leaves_the_output() -> None:
    client, process = Terminal(), Process()
    client.says(b"a", b"b", b"")

    async def answer() -> None:
        await process.closed.wait()
        process.says("stdout", b"late")
        process.ends()

    answering = asyncio.create_task(answer())
    assert await soon(join(client, process, outputs=BOTH, stdin=True, close_stdin=process.close_stdin)) is End.OUTPUT
    await answering
    assert (process.heard, client.of("stdout")) == (b"ab", b"late")


async def test_where_the_end_of_input_means_nothing_to_the_process_the_client_leaves() -> None:
    client, process = Terminal(), Process()
    client.says(b"a", b"")
    assert await soon(join(client, process, outputs=BOTH, stdin=True)) is End.LEFT
    assert process.heard == b"a" and not process.closed.is_set()


async def test_input_that_nobody_asked_for_is_dropped() -> None:
    client, process = Terminal(), Process()
    client.says(b"a", b"")
    process.says("stdout", b"1")
    process.ends()
    assert await soon(join(client, process, outputs=BOTH, stdin=False, close_stdin=process.close_stdin)) is End.OUTPUT
    assert process.heard == b"" and not process.closed.is_set() and client.of("stdout") == b"1"


async def test_the_keys_leave() -> None:
    client, process = Terminal(), Process()
    client.says(b"a\x10", b"b\x10", b"\x11c")
    assert await soon(join(client, process, outputs=BOTH, stdin=True, keys=b"\x10\x11")) is End.DETACHED
    assert process.heard == b"a\x10b"


async def test_a_key_held_back_arrives_with_the_end_of_the_input() -> None:
    client, process = Terminal(), Process()
    client.says(b"a\x10", b"")
    assert await soon(join(client, process, outputs=BOTH, stdin=True, keys=b"\x10\x11")) is End.LEFT
    assert process.heard == b"a\x10"


async def test_without_a_terminal_no_byte_is_a_key() -> None:
    client, process = Terminal(), Process()
    client.says(b"\x10\x11", b"")
    assert await soon(join(client, process, outputs=BOTH, stdin=True)) is End.LEFT
    assert process.heard == b"\x10\x11"


async def test_a_client_that_has_gone_is_left() -> None:
    client, process = Terminal(), Process()
    session = asyncio.create_task(join(client, process, outputs=BOTH, stdin=False))
    await asyncio.sleep(0)
    client.gone.set()
    assert await asyncio.wait_for(session, 5) is End.LEFT


async def test_what_it_had_sent_before_it_went_arrives() -> None:
    client, process = Terminal(), Process()
    process.listens.clear()
    client.says(b"last words")
    session = asyncio.create_task(join(client, process, outputs=BOTH, stdin=True, close_stdin=process.close_stdin))
    await asyncio.sleep(0)
    client.goes()
    await asyncio.sleep(0)
    process.listens.set()
    assert await asyncio.wait_for(session, 5) is End.LEFT
    assert process.heard == b"last words" and process.closed.is_set()


async def test_a_process_that_never_reads_does_not_hold_who_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "GRACE", 0.01)
    client, process = Terminal(), Process()
    process.listens.clear()
    client.says(b"x")
    client.goes()
    assert await soon(join(client, process, outputs=BOTH, stdin=True, close_stdin=process.close_stdin)) is End.LEFT
    assert process.closed.is_set()


async def test_sending_to_who_has_gone_ends_it() -> None:
    client, process = Terminal(), Process()
    process.says("stdout", b"1")

    async def gone(stream: str, data: bytes) -> None:
        raise BrokenPipeError

    client.send = gone  # type: ignore[method-assign]
    assert await soon(join(client, process, outputs=BOTH, stdin=False)) is End.LEFT


async def test_a_slow_client_makes_the_process_wait_and_still_can_type() -> None:
    client, process = Terminal(), Process()
    client.reads.clear()
    for number in range(5):
        process.says("stdout", str(number).encode())
    session = asyncio.create_task(join(client, process, outputs=BOTH, stdin=True))
    client.says(b"typed")
    await until(lambda: process.heard == b"typed")
    assert client.got == [] and process._said.qsize() == 4
    client.reads.set()
    process.ends()
    assert await asyncio.wait_for(session, 5) is End.OUTPUT
    assert client.of("stdout") == b"01234"


async def test_whoever_is_cancelled_leaves_nothing() -> None:
    session = asyncio.create_task(join(Terminal(), Process(), outputs=BOTH, stdin=True))
    await asyncio.sleep(0)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
