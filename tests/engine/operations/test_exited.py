"""exited: the process ended by itself. The status is recorded, then start is taken down."""

from __future__ import annotations

from engine.core import Engine
from engine.host.simulated_world import SimulatedWorld
from engine.model.status import Status, Verb
from tests.engine.operations.seen import steps, told
from tests.engine.worlds import REACH, act


async def test_its_status_is_kept_and_start_taken_down(engine: Engine, world: SimulatedWorld) -> None:
    await REACH[Status.CREATED](engine)
    before = world.owned()
    await engine.do("start", "web")
    await act(engine, Verb.EXITED)
    c = engine.resolve("web")
    assert c.status is Status.EXITED and c.state.exit_code == 7 and c.state.pid == 0
    assert not c.has_been_manually_stopped
    assert steps(engine)[0] == "RecordExit"
    assert world.owned() == before
    events = await told(engine)
    assert "die 7" in events and not {"stop", "kill 9", "kill 15"} & set(events)


async def test_what_waits_for_it_is_told(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    waiting = engine.spawn(engine.wait("web"))
    await act(engine, Verb.EXITED)
    assert await waiting == 7


async def test_it_can_be_started_again(engine: Engine) -> None:
    await REACH[Status.RUNNING](engine)
    await act(engine, Verb.EXITED)
    await engine.do("start", "web")
    c = engine.resolve("web")
    assert c.status is Status.RUNNING and c.state.exit_code == 0
