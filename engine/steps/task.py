"""Steps on the process: its output, its specification, its task, its freezer."""

from __future__ import annotations

from msgspec.structs import replace

from engine.flow.step import Step
from engine.host import Host, Pipes, Task
from engine.model.container import Container
from engine.model.errors import HostFailed
from engine.model.status import Status
from engine.spec import health, oci
from engine.spec.logs import output
from engine.spec.wiring import mode, shares_with
from engine.steps.layers import layers


def alive(task: Task | None) -> bool:
    return task is not None and task.status != "stopped"


def _pipes(host: Host, c: Container) -> Pipes:
    return host.stdio.pipes(c.id, output(c))


def _fifos(host: Host, c: Container) -> tuple[str, ...]:
    pipes = _pipes(host, c)
    return tuple(path for path in (pipes.stdin, pipes.stdout, pipes.stderr) if path)


def _tail(host: Host, c: Container) -> tuple[str, ...]:
    """How a person follows the log; nothing where none is kept."""
    log = host.stdio.log_path(c.id, c.host_config.log_config.type)
    return (f"tail -f {log}",) if log else ()


class ConnectOutput(Step[Host, Container]):
    """Connect the output

    The process will write to its standard output and standard error like any other program. Here these are named pipes:
    files that hold nothing but pass bytes on. At the other end the engine reads, cuts the stream into lines, and appends
    each with its time to the container's log.

    A container that was made with a standard input has a third pipe, in which the engine puts what is typed; one with a
    terminal has a single pipe for all it says, because a terminal knows no difference between output and errors.

    A second tiny process, the keeper, holds the pipes open as well. If the engine dies, the container can go on writing,
    and the next engine reads what it said in the meantime.
    """

    thing = "output pipes"

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Write the last lines to the log and close the pipes" if back else "Connect stdout and stderr to the log"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        fifos = " ".join(_fifos(host, c))
        log = host.stdio.log_path(c.id, c.host_config.log_config.type)
        return (f"rm {fifos}",) if back else (f"mkfifo {fifos}", f"cat {_pipes(host, c).stdout} >> {log or '/dev/null'} &")

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ls -l {' '.join(_fifos(host, c))}", *_tail(host, c))

    async def do(self, host: Host, c: Container) -> Container:
        await host.stdio.make(c.id, output(c))
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.stdio.drop(c.id)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.stdio.look(c.id)


class HandOverSpec(Step[Host, Container]):
    """Hand the specification to containerd

    Everything decided so far is put into one document, the OCI runtime specification: which directory is `/`, which
    program to run and as whom, which namespaces it lives in, which capabilities it keeps, which system calls it may make,
    which limits hold.

    containerd stores it. From now on there is a container in containerd's sense: a description, and still no process.
    """

    thing = "specification"

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Take the specification back from containerd" if back else "Hand the specification to containerd"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        ctr = f"ctr -a {host.facts.exec_root}/containerd/containerd.sock -n longshore"
        return (f"{ctr} containers rm {c.id}",) if back else (f"{ctr} containers create --config config.json {c.id}",)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ctr -a {host.facts.exec_root}/containerd/containerd.sock -n longshore containers info {c.id}",)

    async def do(self, host: Host, c: Container) -> Container:
        mount_id = layers(c).mount_id
        user = await host.rootfs.user(mount_id, c.config.user, tuple(c.host_config.group_add or ()))
        spec = oci.build(
            c,
            host.facts,
            user,
            root=host.rootfs.merged(mount_id),
            netns="" if mode(c) == "host" else host.netns.path(c.sandbox),
            directory=f"{host.facts.root}/containers/{shares_with(c) or c.id}",
        )
        await host.tasks.register(c.id, spec)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.tasks.unregister(c.id)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.tasks.look_registered(c.id)


class CreateTask(Step[Host, Container]):
    """Create the task

    containerd starts a shim, a small process that will be the container's parent, so that containerd itself may be
    restarted. The shim calls runc, and runc does the kernel's part: new namespaces for processes, mounts, host name and
    IPC; a cgroup to count and limit; the union mount made the new `/`; capabilities dropped; the system call filter
    prepared.

    Then the process waits. It exists, it has a pid, all walls are up, but the container's program has not been loaded.
    """

    thing = "task"
    undo_is_final = True

    def title(self, c: Container, *, back: bool = False) -> str:
        if back:
            return "Delete the task: shim, cgroup and namespaces go"
        return "Create the task: namespaces, cgroup, a waiting process"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        runc = f"runc --root {host.facts.exec_root}/runtime-runc/longshore"
        return (f"{runc} delete --force {c.id}",) if back else (f"{runc} create --bundle . {c.id}",)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        pid = c.state.pid or "<pid>"
        return (f"ls -l /proc/{pid}/ns", f"cat /proc/{pid}/cgroup")

    async def do(self, host: Host, c: Container) -> Container:
        pid = await host.tasks.create(c.id, _pipes(host, c))
        return replace(c, state=replace(c.state, pid=pid))

    async def undo(self, host: Host, c: Container) -> Container:
        if not alive(await host.tasks.look(c.id)):
            await host.stdio.drain(c.id)  # a deleted task's shim waits for no reader
        await host.tasks.delete(c.id)
        await host.cgroups.thaw(c.id)  # where its shim was killed too, what is frozen has still to die
        await host.cgroups.drop(c.id)
        return replace(c, state=replace(c.state, pid=0))

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("cgroup", c.id)

    async def evidence(self, host: Host, c: Container) -> str | None:
        task = await host.tasks.look(c.id)
        return None if task is None else f"task {task.status}, pid {task.pid}"


class StartProcess(Step[Host, Container]):
    """Start the process

    The waiting process is told to go. It replaces itself with the container's program by `execve`, the same system call
    with which every program on this machine was started. Nothing about it is special: `ps` on the host shows it. It only
    sees less.

    Before it is let go the engine already waits for its end: a program may finish faster than one can ask.
    """

    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return "End the process" if back else f"Start {' '.join((c.path, *c.args))}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        runc = f"runc --root {host.facts.exec_root}/runtime-runc/longshore"
        return (f"{runc} kill {c.id} KILL",) if back else (f"{runc} start {c.id}",)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ps -fp {c.state.pid or '<pid>'}", *_tail(host, c))

    async def do(self, host: Host, c: Container) -> Container:
        await host.tasks.start(c.id)
        probed = health.probe_command(c.config) is not None
        state = replace(
            c.state,
            status=Status.RUNNING,
            exit_code=0,
            error="",
            oom_killed=False,
            started_at=host.clock.now(),
            health=health.begun(c.state.health) if probed else None,
        )
        return replace(c, state=state, signalled=(), restart_at=None, has_been_started_before=True)

    async def undo(self, host: Host, c: Container) -> Container:
        await host.tasks.delete(c.id)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        task = await host.tasks.look(c.id)
        return f"pid {task.pid} {task.status}" if task and task.status in ("running", "paused", "pausing") else None


class Freeze(Step[Host, Container]):
    """Freeze the processes

    A cgroup has a freezer. Written into it, one word stops every process of the container between two instructions,
    wherever it stands. They get no signal and notice nothing; their memory, open files and network connections stay. Only
    time goes on without them.

    The kernel freezes them one by one, so for a moment the word is FREEZING. What counts is what the kernel says, not what
    was asked.
    """

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Thaw the processes" if back else "Freeze the processes"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        words = ("0", "1") if host.facts.cgroup_version == 2 else ("THAWED", "FROZEN")
        return (f"echo {words[not back]} > {host.cgroups.path(c.id)}",)

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"cat {host.cgroups.path(c.id)}",)

    async def do(self, host: Host, c: Container) -> Container:
        await host.tasks.pause(c.id)
        if await self.evidence(host, c) is None:
            raise HostFailed(
                f"cannot pause {c.name}: the kernel did not freeze its processes",
                f"look at {host.cgroups.path(c.id)}; a traced process or one in uninterruptible sleep cannot be frozen",
            )
        closed = health.closed(c.state.health) if c.state.health else None
        return replace(c, state=replace(c.state, status=Status.PAUSED, health=closed))

    async def undo(self, host: Host, c: Container) -> Container:
        await host.tasks.resume(c.id)
        return replace(c, state=replace(c.state, status=Status.RUNNING)) if c.state.status is Status.PAUSED else c

    async def evidence(self, host: Host, c: Container) -> str | None:
        freezer = await host.cgroups.freezer(c.id)
        return f"{host.cgroups.path(c.id)}: {freezer.kernel.upper()}" if freezer and freezer.kernel == "frozen" else None

    async def show(self, host: Host, c: Container) -> str | None:
        freezer = await host.cgroups.freezer(c.id)
        return f"{host.cgroups.path(c.id)}: {freezer.kernel.upper()}" if freezer else None
