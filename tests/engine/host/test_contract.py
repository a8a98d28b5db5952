"""The simulated host and the real one keep the same promises: the same walks, the same laws, on both.

Without this the simulation would drift into fiction, and the crash matrix with it.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.core import Engine
from engine.host import Facts, Host
from engine.host.real import RealHost
from engine.host.simulated import simulated
from engine.host.simulated_world import SimulatedWorld
from engine.model.errors import CannotRun, NotFound
from engine.model.interface import Done
from engine.model.network import NAME
from engine.model.run import Way
from engine.model.status import Status, Verb
from engine.monitor.exits import Exits
from engine.networks import Networks
from engine.recovery import recover
from tests.engine.operations.test_laws import lawful
from tests.engine.worlds import BODY, settle


@pytest.fixture(params=["simulated", "real"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with no container, on either host. Afterwards nothing of it is left."""
    machine, bip = None, ""
    if request.param == "simulated":
        host: Host = simulated(SimulatedWorld())
    else:
        tag = secrets.token_hex(4)
        bip = f"10.255.{secrets.randbelow(256)}.1/24"
        given = Facts(
            root=str(tmp_path / "root"),
            exec_root=f"/tmp/longshore-{tag}",
            cgroup_parent=f"/longshore-test-{tag}",
            bridge=f"ls{tag}",
        )
        machine = RealHost(given)
        await machine.hold()
        host = await machine.open()
        await host.images.make_busybox()
    networks = Networks(host, bip=bip)
    await networks.open()
    engine = Engine(host, networks)
    Exits(engine)
    await recover(engine)
    for name in ("back", "front"):
        options = {NAME: f"{host.facts.bridge}{name[0]}"}
        await engine.do("create_network", "", {"body": {"Name": name, "Options": options}})
    yield engine
    for c in list(engine.ledger.records.values()):
        await engine.do(Verb.REMOVE, c.id, {"force": True})
    await settle(engine)
    await networks.close()
    if machine:
        await host.cgroups.drop_parent()
        await machine.close(all=True)
        shutil.rmtree(given.exec_root)


async def test_step_laws(engine: Engine) -> None:
    """No evidence, harmless undo, do, evidence, do again, evidence, undo, none, undo again: for every step."""
    assert len(await lawful(engine)) >= 14
    await engine.ledger.save(engine.resolve("web"))


async def test_the_whole_life(engine: Engine) -> None:
    done = await engine.do("create", "", {"name": "web", "body": BODY})
    assert isinstance(done, Done)
    for verb, status in (
        (Verb.START, Status.RUNNING),
        (Verb.PAUSE, Status.PAUSED),
        (Verb.UNPAUSE, Status.RUNNING),
        (Verb.KILL, Status.EXITED),
        (Verb.START, Status.RUNNING),
    ):
        await engine.do(verb, "web")
        c = await engine.inspect("web")
        assert c.status is status and c.run and c.run.way is Way.DONE
    freezer = await engine.host.cgroups.freezer(done.id)
    assert freezer and freezer.kernel == "thawed"
    await engine.do(Verb.REMOVE, "web", {"force": True})
    with pytest.raises(NotFound):
        await engine.inspect("web")


async def test_a_process_that_ends_is_recorded(engine: Engine) -> None:
    await engine.do("create", "", {"name": "web", "body": BODY})
    await engine.do("start", "web")
    waiting = engine.spawn(engine.wait("web"))
    await engine.host.tasks.kill(engine.resolve("web").id, 9)
    assert await waiting == 137
    c = engine.resolve("web")
    assert c.status is Status.EXITED and c.state.pid == 0
    assert await engine.host.tasks.look(c.id) is None


async def test_what_cannot_run_leaves_nothing(engine: Engine) -> None:
    await engine.do("create", "", {"name": "web", "body": BODY | {"Cmd": ["missing"]}})
    with pytest.raises(CannotRun) as caught:
        await engine.do("start", "web")
    assert caught.value.exit_code == 127 and caught.value.status == 400
    c = engine.resolve("web")
    assert c.status is Status.CREATED and c.state.exit_code == 127 and c.state.error
    for step in (await engine.steps("web")).steps:
        assert step.now is None or step.name in c.held


async def test_asking_twice_is_fine(engine: Engine) -> None:
    """Ports: making what is there, dropping what is not, ending what has ended."""
    await engine.do("create", "", {"name": "web", "body": BODY})
    await engine.do("start", "web")
    c, tasks = engine.resolve("web"), engine.host.tasks
    await tasks.start(c.id)
    await tasks.pause(c.id)
    await tasks.pause(c.id)
    await tasks.resume(c.id)
    await tasks.resume(c.id)
    await engine.do("kill", "web")
    await tasks.delete(c.id)
    await tasks.unregister(c.id)
    with pytest.raises(NotFound):
        await tasks.kill(c.id, 9)
