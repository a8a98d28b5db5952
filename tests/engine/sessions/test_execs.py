"""Execs on a host in memory: who may have one, what becomes of it, and that nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from engine.core import Engine
from engine.host import ExecStreams
from engine.host.simulated_world import SimulatedWorld
from engine.model.container import Container
from engine.model.errors import CannotRun, Conflict, EngineError, Invalid, NotFound
from engine.model.status import Status
from engine.sessions import execs as module
from engine.sessions.execs import Exec, Execs, Timeout
from engine.spec.execs import ExecConfig, decode_exec
from tests.engine.api.conftest import until
from tests.engine.sessions.doubles import Terminal
from tests.engine.worlds import REACH, end, engine_on, settle

TALK = ExecConfig(cmd=("cat",), attach_stdin=True, attach_stdout=True, attach_stderr=True)


@dataclass
class Stage:
    world: SimulatedWorld
    engine: Engine
    execs: Execs
    told: list[str]

    @property
    def c(self) -> Container:
        return self.engine.resolve("web")

    def make(self, **config: Any) -> Exec:
        return self.execs.create("web", replace(TALK, **config))

    def left(self) -> tuple[Any, ...]:
        """What of execs is still in the world, and who works for one."""
        return (*self.world.execs, *self.world.exec_streams, *self.execs._tasks)


async def staged(world: SimulatedWorld, status: Status) -> Stage:
    engine = await engine_on(world)
    execs = Execs(engine)
    told: list[str] = []
    engine.events.publish = lambda type, action, id, attributes: told.append(action)  # type: ignore[method-assign,assignment,misc]
    await REACH[status](engine)
    told.clear()
    return Stage(world, engine, execs, told)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = await staged(SimulatedWorld(), Status.RUNNING)
    yield stage
    await stage.execs.close()
    await settle(stage.engine)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.CREATED, "is not running"),
        (Status.EXITED, "is not running"),
        (Status.PAUSED, "is paused; unpause"),
        (Status.RESTARTING, "is restarting"),
    ],
)
async def test_who_can_have_none(status: Status, word: str) -> None:
    stage = await staged(SimulatedWorld(), status)
    with pytest.raises(Conflict, match=word):
        stage.make()
    with pytest.raises(NotFound):
        stage.execs.create("nobody", TALK)
    assert stage.told == []
    await settle(stage.engine)


@pytest.mark.parametrize("body", [{}, {"Cmd": []}, {"Cmd": None}, {"Cmd": "true"}, {"Cmd": ["true"], "Tty": 1}, [], None])
def test_what_cannot_be_asked(body: Any) -> None:
    with pytest.raises(Invalid):
        decode_exec(body)


def test_keys_in_any_case_and_nulls() -> None:
    assert decode_exec({"cmd": ["x"], "TTY": True, "Env": None, "unknown": 1}) == ExecConfig(cmd=("x",), tty=True)


def test_bad_detach_keys_are_a_plain_error(stage: Stage) -> None:
    with pytest.raises(EngineError) as told:
        stage.make(detach_keys="ctrl-what")
    assert told.value.status == 500


async def test_a_life_with_a_listener(stage: Stage) -> None:
    exec, client = stage.make(), Terminal()
    assert len(exec.id) == 64 and not exec.running and exec.exit_code is None and exec.pid == 0
    client.says(b"hello", b"")
    stage.execs.start(exec, listened=True)
    assert exec.running
    await asyncio.wait_for(stage.execs.join(exec, client), 5)
    assert (exec.running, exec.exit_code) == (False, 0) and exec.pid
    assert client.of("stdout") == b"hello"
    await until(lambda: not stage.left())
    assert stage.told == ["exec_create: cat", "exec_start: cat", "exec_die"]
    assert stage.execs.get(exec.id) is exec
    with pytest.raises(Conflict, match="already run"):
        stage.execs.start(exec, listened=False)


async def test_detached_it_runs_to_its_end(stage: Stage) -> None:
    exec = stage.make(attach_stdin=False)
    stage.execs.start(exec, listened=False)
    with pytest.raises(Conflict, match="already running"):
        stage.execs.start(exec, listened=False)
    await exec.started()
    await asyncio.wait_for(exec.exited.wait(), 5)
    assert exec.exit_code == 0
    await until(lambda: not stage.left())


async def test_what_cannot_run_is_126(stage: Stage) -> None:
    exec = stage.make(cmd=("missing",))
    stage.execs.start(exec, listened=True)
    with pytest.raises(CannotRun, match="not found") as told:
        await stage.execs.join(exec, Terminal())
    assert told.value.status == 400
    assert (exec.running, exec.exit_code, exec.pid) == (False, 126, 0)
    await until(lambda: not stage.left())
    assert "exec_die" not in stage.told


@pytest.mark.parametrize("tty", [False, True])
async def test_a_client_that_goes_does_not_end_it(stage: Stage, tty: bool) -> None:
    exec, client = stage.make(tty=tty), Terminal()
    stage.execs.start(exec, listened=True)
    session = asyncio.create_task(stage.execs.join(exec, client))
    client.says(b"hello")
    await until(lambda: client.got)
    client.goes()
    await asyncio.wait_for(session, 5)
    if tty:  # nothing tells a terminal's process
        assert exec.running and exec.exit_code is None
    else:  # its standard input has ended, and cat ends with it
        await asyncio.wait_for(exec.exited.wait(), 5)
        assert exec.exit_code == 0


async def test_a_session_that_is_cancelled_leaves_it_alone(stage: Stage) -> None:
    exec = stage.make()
    stage.execs.start(exec, listened=True)
    session = asyncio.create_task(stage.execs.join(exec, Terminal()))
    await exec.started()
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert exec.running and exec.listener is None and exec.heard.is_set()


async def test_the_detach_keys(stage: Stage) -> None:
    exec, client = stage.make(tty=True, detach_keys="ctrl-a,d"), Terminal()
    stage.execs.start(exec, listened=True)
    client.says(b"x\x01", b"dy")
    await asyncio.wait_for(stage.execs.join(exec, client), 5)
    assert exec.running and "exec_detach" in stage.told


async def test_its_container_ends(stage: Stage) -> None:
    exec, idle = stage.make(), stage.make()
    stage.execs.start(exec, listened=True)
    session = asyncio.create_task(stage.execs.join(exec, Terminal()))
    await exec.started()
    await end(stage.engine, 1)
    await asyncio.wait_for(session, 5)
    assert exec.exit_code == 137
    for each in (exec, idle):
        with pytest.raises(NotFound):
            stage.execs.get(each.id)
    await until(lambda: not stage.left())


async def test_a_restarted_container_has_none_of_the_old(stage: Stage) -> None:
    exec = stage.make()
    await stage.engine.do("restart", "web", {"t": 0})
    with pytest.raises(NotFound):
        stage.execs.get(exec.id)
    assert stage.execs.of(stage.c) == []
    assert stage.make().id in stage.execs.of(stage.c)


async def test_a_pause_keeps_them(stage: Stage) -> None:
    exec = stage.make()
    await stage.engine.do("pause", "web")
    with pytest.raises(Conflict, match="paused"):
        stage.execs.start(exec, listened=False)
    await stage.engine.do("unpause", "web")
    stage.execs.start(exec, listened=False)
    await exec.started()


async def test_it_is_forgotten_after_two_looks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 0.02)
    exec = stage.make(attach_stdin=False)
    stage.execs.start(exec, listened=False)
    await exec.exited.wait()
    await until(lambda: exec.can_remove)
    assert stage.execs.get(exec.id)
    await until(lambda: not stage.execs.of(stage.c))
    with pytest.raises(NotFound):
        stage.execs.get(exec.id)


async def test_resizing_waits_for_the_start(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    exec = stage.make(tty=True)
    resizing = asyncio.create_task(stage.execs.resize(exec, 80, 24))
    await asyncio.sleep(0)
    assert not resizing.done()
    stage.execs.start(exec, listened=False)
    await asyncio.wait_for(resizing, 5)
    monkeypatch.setattr(module, "READY", 0.01)
    with pytest.raises(EngineError, match="timeout waiting"):
        await stage.execs.resize(stage.make(tty=True), 80, 24)


async def test_what_others_hold_open_is_not_waited_for_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "LOOK", 0.01)
    exec, client = stage.make(), Terminal()
    stage.execs.start(exec, listened=True)
    session = asyncio.create_task(stage.execs.join(exec, client))
    await exec.started()
    stage.world.execs[stage.c.id, exec.id].exit.set_result(3)  # and its output stays open
    await asyncio.wait_for(session, 5)
    assert exec.exit_code == 3


async def test_a_slow_listener_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.03)
    monkeypatch.setattr(module, "LOOK", 0.01)
    exec, client = stage.make(), Terminal()
    client.reads.clear()
    stage.execs.start(exec, listened=True)
    session = asyncio.create_task(stage.execs.join(exec, client))
    client.says(b"one", b"two", b"")
    await until(lambda: client.waiting and exec.exited.is_set())
    await asyncio.sleep(0.1)
    assert (stage.c.id, exec.id) in stage.world.execs  # not reaped: the shim may have more for us
    client.reads.set()
    await asyncio.wait_for(session, 5)
    assert client.of("stdout") == b"onetwo"


async def test_the_process_that_is_asked_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    real = stage.engine.host.tasks.exec

    async def exec(id: str, exec_id: str, process: dict[str, Any], pipes: Any) -> int:
        asked.append(process)
        return await real(id, exec_id, process, pipes)

    monkeypatch.setattr(stage.engine.host.tasks, "exec", exec)
    made = stage.make(cmd=("sh", "-l"), env=("A=b", "HOSTNAME"), working_dir="/tmp", tty=True, privileged=True)
    stage.execs.start(made, listened=False, size=(24, 80))
    await made.started()
    (process,) = asked
    assert process["args"] == ["sh", "-l"] and process["cwd"] == "/tmp" and process["terminal"]
    assert process["consoleSize"] == {"height": 24, "width": 80}
    assert {"A=b", "TERM=xterm"} <= set(process["env"]) and not any(entry.startswith("HOSTNAME") for entry in process["env"])
    assert process["capabilities"]["effective"] == list(stage.engine.host.facts.capabilities)


async def run(stage: Stage, *command: str, timeout: float = 5, limit: int = 100) -> tuple[int, bytes]:
    return await stage.execs.run(stage.c, command, timeout=timeout, limit=limit)


async def test_running_a_command(stage: Stage) -> None:
    assert await run(stage, "true") == (0, b"")
    await until(lambda: not stage.left())
    assert stage.told == ["exec_create: true", "exec_start: true", "exec_die"]
    assert stage.execs.of(stage.c) == []
    with pytest.raises(CannotRun):
        await run(stage, "missing")


@pytest.fixture
def hanging(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Execs say `hello` and then hang."""
    real = stage.engine.host.stdio.open_exec

    async def open_exec(id: str, exec_id: str, *, stdin: bool, terminal: bool) -> ExecStreams:
        streams = await real(id, exec_id, stdin=True, terminal=terminal)
        await streams.write(b"hello")
        return streams

    monkeypatch.setattr(stage.engine.host.stdio, "open_exec", open_exec)


@pytest.mark.usefixtures("hanging")
async def test_a_command_that_takes_too_long_is_killed(stage: Stage) -> None:
    with pytest.raises(Timeout) as told:
        await run(stage, "sleep", timeout=0.05, limit=3)
    assert told.value.output == b"hel"
    await until(lambda: not stage.left())
    assert stage.told[-1] == "exec_die"


@pytest.mark.usefixtures("hanging")
async def test_a_command_that_is_given_up_is_killed(stage: Stage) -> None:
    running = asyncio.create_task(run(stage, "sleep"))
    await until(lambda: stage.world.execs)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not stage.left())
    assert stage.told[-1] == "exec_die"


@pytest.mark.usefixtures("hanging")
async def test_a_command_given_up_before_it_began_is_killed_too(stage: Stage) -> None:
    running = asyncio.create_task(run(stage, "sleep"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not stage.left())


async def test_the_next_engine_takes_up_what_is_left() -> None:
    world = SimulatedWorld()
    first = await staged(world, Status.RUNNING)
    exec = first.make()
    first.execs.start(exec, listened=False)
    await exec.started()
    await first.execs.close()
    assert world.execs and world.exec_streams
    engine = await engine_on(world)
    told: list[tuple[str, Any]] = []
    engine.events.publish = lambda type, action, id, attributes: told.append((action, attributes["exitCode"]))  # type: ignore
    second = Execs(engine)
    await second.recover()
    await until(lambda: not world.execs and not world.exec_streams)  # its input has ended, so cat has
    assert told == [("exec_die", "0")]
    await second.close()
    await settle(engine)


async def test_pipes_without_a_process_are_taken_away() -> None:
    world = SimulatedWorld()
    stage = await staged(world, Status.RUNNING)
    await stage.engine.host.stdio.open_exec(stage.c.id, "e" * 64, stdin=True, terminal=False)
    await stage.execs.recover()
    await until(lambda: not world.exec_streams)
    assert stage.told == []
    await settle(stage.engine)
