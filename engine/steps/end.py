"""Steps that end a process: ask, wait, insist, write down how it ended."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass

from msgspec.structs import replace

from engine.flow.step import Step
from engine.host import Exit, Host, within
from engine.model.container import Container
from engine.model.errors import DidNotHappen, NotFound
from engine.model.status import Status
from engine.spec import health, restarts
from engine.steps.task import alive

UNKNOWN_EXIT = 255
"""Docker's exit code for an end that nobody saw."""

INSIST_SECONDS = 10.0
"""How long a process may take to die of SIGKILL; longer means it is stuck in the kernel or frozen from above."""


def word(signal: int) -> str:
    try:
        return signals.Signals(signal).name
    except ValueError:
        return f"signal {signal}"


async def gone(host: Host, c: Container) -> str | None:
    return None if alive(await host.tasks.look(c.id)) else "no process"


@dataclass(frozen=True)
class SendSignal(Step[Host, Container]):
    """Send the process a signal

    A signal is a tap on the shoulder: a number, nothing more. SIGTERM means "please end"; a program may tidy up first, or
    ignore it. The first process of a container ignores every signal it has not asked for, because inside its namespace it
    is process 1, and the kernel protects that one.

    A signal cannot be called back. That is why there is no way back behind this step.
    """

    signal: int
    manual: bool = True
    """Somebody asked for it; False: the engine is shutting down, and its restart policy still holds."""
    do_is_final = True
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"Send {word(self.signal)} to the process"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        return (f"kill -{self.signal} {c.state.pid}",)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"grep -E 'Sig|State' /proc/{c.state.pid}/status",)

    async def do(self, host: Host, c: Container) -> Container:
        try:
            await host.tasks.kill(c.id, self.signal)
        except NotFound:
            return c
        manually = c.has_been_manually_stopped or self.manual
        return replace(c, signalled=(*c.signalled, self.signal), has_been_manually_stopped=manually)

    async def undo(self, host: Host, c: Container) -> Container:
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await gone(host, c)


@dataclass(frozen=True)
class WaitForExit(Step[Host, Container]):
    """Give it time to end

    A good program uses the time to finish its requests and write its files. How long it gets is the stop timeout, ten
    seconds unless said otherwise. The kernel tells the shim the moment the process ends; nobody has to ask again and again.
    """

    seconds: float
    """Negative: as long as it takes."""
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Wait for the process to end" if self.seconds < 0 else f"Give the process {self.seconds:g} s to end"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ps -fp {c.state.pid}",)

    async def do(self, host: Host, c: Container) -> Container:
        if alive(await host.tasks.look(c.id)):
            if self.seconds < 0:
                await host.tasks.wait(c.id)
            else:
                await within(self.seconds, host.tasks.wait(c.id))
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await gone(host, c)


@dataclass(frozen=True)
class Insist(Step[Host, Container]):
    """Make sure it has ended

    SIGKILL is the one signal that no program can refuse: it is never delivered, the kernel simply does not run the process
    any more. A frozen process is thawed for it, since only what runs can die. If the process has ended by now, nothing is
    sent.
    """

    manual: bool = True
    do_is_final = True
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Make sure the process has ended, with SIGKILL if it has not"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        return (f"kill -9 {c.state.pid}",)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ps -fp {c.state.pid}",)

    async def do(self, host: Host, c: Container) -> Container:
        if not alive(await host.tasks.look(c.id)):
            return c
        try:
            await host.tasks.kill(c.id, signals.SIGKILL)
        except NotFound:
            return c
        freezer = await host.cgroups.freezer(c.id)
        if freezer and freezer.self_frozen:
            await host.cgroups.thaw(c.id)
        if not await within(INSIST_SECONDS, host.tasks.wait(c.id)):
            why = "the cgroup above it is frozen" if freezer and freezer.parent_frozen else "it is stuck in the kernel"
            raise DidNotHappen(
                f"cannot end {c.name}: no exit {INSIST_SECONDS:g} s after SIGKILL, {why}", "thaw it or look at its stack"
            )
        manually = c.has_been_manually_stopped or self.manual
        return replace(c, signalled=(*c.signalled, int(signals.SIGKILL)), has_been_manually_stopped=manually)

    async def undo(self, host: Host, c: Container) -> Container:
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await gone(host, c)


class RecordExit(Step[Host, Container]):
    """Write down how it ended

    A process leaves one number behind, its exit status: 0 for success, 128 plus the signal's number when a signal ended
    it, so 143 for SIGTERM and 137 for SIGKILL. The shim has kept it. It is written into the record before anything is
    cleaned up, because it vanishes with the task.

    Here it is also decided whether the container's restart policy will start it again: what the policy says, how it
    ended, and whether somebody wanted it to end. Until then it waits, a little longer each time it fails at once.
    """

    do_is_final = True
    only_writes = True
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Write down the exit status"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"grep -o '\"ExitCode\": [0-9]*' {host.facts.root}/containers/{c.id}/config.v2.json",)

    async def do(self, host: Host, c: Container) -> Container:
        if not c.state.status.alive:
            return c
        try:
            seen = await host.tasks.wait(c.id)
        except NotFound:
            seen = Exit(pid=0, status=UNKNOWN_EXIT, at=host.clock.now(), lost=True)
        state = replace(
            c.state,
            status=Status.EXITED,
            pid=0,
            exit_code=seen.status,
            finished_at=seen.at,
            error="its end was not seen; the exit status is a guess" if seen.lost else "",
            health=health.closed(c.state.health) if c.state.health else None,
        )
        return restarts.after_exit(replace(c, state=state))

    async def undo(self, host: Host, c: Container) -> Container:
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        if c.state.status.alive:
            return None
        again = f", to be started again at {c.restart_at:%T} UTC" if c.restart_at else ""
        return f"exit code {c.state.exit_code}{again}"


class CancelRestart(Step[Host, Container]):
    """Start it no more

    Between two starts of a container that keeps failing nothing exists of it but its layers and its record: no process
    that a signal could reach. So there is one thing to do: take the date of the next start out of the record.
    """

    do_is_final = True
    only_writes = True
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"Start {c.name} no more"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"grep RestartAt {host.facts.root}/containers/{c.id}/config.v2.json",)

    async def do(self, host: Host, c: Container) -> Container:
        state = replace(c.state, status=Status.EXITED) if c.state.status is Status.RESTARTING else c.state
        return replace(c, state=state, restart_at=None, has_been_manually_stopped=True)

    async def undo(self, host: Host, c: Container) -> Container:
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return None if c.state.status is Status.RESTARTING else "no start is due"
