"""The real `docker` command at the streams of real processes: run, exec, attach, in a terminal and in pipes."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import pty
import random
import signal
import struct
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.client import Client
from engine.stream import Stream
from tests.clients.test_docker import PATIENCE, Docker, Said, until, until_now
from tests.conftest import SpawnEngine

DETACH = b"\x10\x11"
RUN = ("run", "-d", "--stop-signal", "KILL")
"""`sleep` as a first process does not end for less."""


@pytest.fixture
async def docker(spawn_engine: SpawnEngine) -> Docker:
    return Docker(await spawn_engine())


async def piped(docker: Docker, data: bytes, *args: str) -> tuple[int, bytes, bytes]:
    """Exit code and output of a command that reads `data` from a pipe."""
    process = await asyncio.create_subprocess_exec(
        *docker.command(*args), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate(data)
    assert process.returncode is not None
    return process.returncode, out, err


class Terminal:
    """A person's end of a terminal in which a command runs."""

    def __init__(self, process: asyncio.subprocess.Process, fd: int) -> None:
        self.process, self.fd = process, fd
        self.screen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    async def shows(self, text: bytes) -> None:
        """Wait until the screen has shown a text, and forget what came up to it."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.fd, readable.set)
        try:
            async with asyncio.timeout(PATIENCE):
                while text not in self.screen:
                    await readable.wait()
                    readable.clear()
                    try:
                        self.screen += os.read(self.fd, 65536)
                    except BlockingIOError:
                        continue
                    except OSError as error:  # EIO: the other end is closed
                        raise AssertionError(f"{text!r} never came, but {self.screen!r}") from error
        except TimeoutError as error:
            raise AssertionError(f"{text!r} does not come, but {self.screen!r}") from error
        finally:
            loop.remove_reader(self.fd)
        self.screen = self.screen.partition(text)[2]

    async def code(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def terminal(docker: Docker, *args: str, rows: int = 24, columns: int = 80) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    tty.setraw(theirs)
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(*docker.command(*args), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(ours)


async def status(docker: Docker, name: str) -> str:
    return await docker.good("inspect", "-f", "{{.State.Status}}", name)


async def test_run_in_pipes(docker: Docker) -> None:
    assert await docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7") == Said(7, "out\n", "err\n")
    assert await piped(docker, b"hi\n", "run", "-i", "--rm", "busybox", "cat") == (0, b"hi\n", b"")
    assert await piped(docker, b"", "run", "-i", "--rm", "busybox", "cat") == (0, b"", b"")
    assert await piped(docker, b"unread" * 100_000, "run", "-i", "--rm", "busybox", "true") == (0, b"", b"")
    data = random.Random(1).randbytes(1_000_000)
    code, out, err = await piped(docker, data, "run", "-i", "--rm", "busybox", "sh", "-c", "sha256sum >&2; exit 3")
    assert (code, out, err.split()[0].decode()) == (3, b"", hashlib.sha256(data).hexdigest())
    assert (await docker("run", "--rm", "busybox", "missing")).code == 127
    assert (await docker("run", "--rm", "busybox", "/etc")).code == 126
    assert (await docker("run", "-i", "--rm", "busybox", "pwd")).out == "/\n"


SCRIPT = """
trap : INT
stty size; echo $TERM; tty
while [ "$(stty size)" != "40 100" ]; do sleep 0.02; done
echo resized
cat
sleep 1000
exit 5
"""


async def use(person: Terminal) -> None:
    """All that one does in a terminal in which `SCRIPT` runs."""
    await person.shows(b"33 77\r\nxterm\r\n/dev/pts/0\r\n")
    shown = asyncio.create_task(person.shows(b"resized\r\n"))
    while not shown.done():  # nothing tells when the command has begun to listen for it
        person.resize(40, 100)
        await asyncio.wait((shown,), timeout=0.1)
    await shown
    person.type(b"hello\n")
    await person.shows(b"hello\r\nhello\r\n")  # the terminal's echo, and cat's
    person.type(b"\x04")  # ctrl-d
    while person.process.returncode is None:  # nothing tells when `sleep` has begun
        person.type(b"\x03")  # ctrl-c
        await asyncio.wait((asyncio.ensure_future(person.process.wait()),), timeout=0.1)
    assert await person.code() == 5


async def test_run_in_a_terminal(docker: Docker) -> None:
    async with terminal(docker, "run", "-it", "--name", "host", "busybox", "sh", "-c", SCRIPT, rows=33, columns=77) as person:
        await use(person)
    assert await status(docker, "host") == "exited"


async def test_exec_in_a_terminal(docker: Docker) -> None:
    await docker.good(*RUN, "--name", "host", "busybox", "sleep", "1000")
    async with terminal(docker, "exec", "-it", "host", "sh", "-c", SCRIPT, rows=33, columns=77) as person:
        await use(person)
    async with terminal(docker, "exec", "-it", "host", "sh", "-c", "echo ready; sleep 1000") as person:
        await person.shows(b"ready")
        person.type(DETACH)
        await person.code()
    left = json.loads(await docker.good("inspect", "-f", "{{json .ExecIDs}}", "host"))[-1]
    async with Client(docker.engine.socket) as client:
        assert (await client.exec_inspect(left))["Running"]


async def test_detach_and_attach(docker: Docker) -> None:
    obey = 'stty -echo; echo ready; while read x; do eval "$x"; done'
    async with terminal(docker, "run", "-it", "--name", "shell", "busybox", "sh", "-c", obey) as person:
        await person.shows(b"ready")
        person.type(b"A=remembered\n")
        person.type(DETACH[:1])
        person.type(DETACH[1:])
        assert await person.code() == 0
    assert await status(docker, "shell") == "running"
    async with terminal(docker, "attach", "--detach-keys", "ctrl-a,d", "shell") as person:
        person.type(b"echo $A\n")
        await person.shows(b"remembered\r\n")
        person.type(b"\x01d")
        await person.code()
    assert await status(docker, "shell") == "running"
    async with terminal(docker, "attach", "shell") as person:
        person.type(b"exit 9\n")
        assert await person.code() == 9
    said = await docker("attach", "shell")
    assert said.code == 1 and "stopped" in said.err
    async with terminal(docker, "start", "-ai", "shell") as person:
        person.type(b"exit 4\n")
        assert await person.code() == 4
    actions = (await docker.good("events", *until_now(), "--format", "{{.Action}}")).split("\n")
    # The command sees the keys itself and hangs up: for the engine it has left.
    assert [actions.count(action) for action in ("attach", "detach")] == [4, 2]


async def test_attach_in_pipes(docker: Docker) -> None:
    talk = "while read x; do echo $x; echo $x >&2; done"
    await docker.good(*RUN, "-i", "--name", "talker", "busybox", "sh", "-c", talk)
    async with docker.running("attach", "--no-stdin", "talker") as listening, Client(docker.engine.socket) as client:
        writing = await client.attach("talker", stdin=True, stdout=False, stderr=False)
        assert listening.stdout and listening.stderr
        first = asyncio.create_task(listening.stdout.readline())
        while not first.done():  # the command does not say when it is attached
            await writing.write(b"hello\n")
            await asyncio.wait((first,), timeout=0.05)
        assert (await first, await listening.stderr.readline()) == (b"hello\n", b"hello\n")
        await docker.good("kill", "talker")
        async with asyncio.timeout(PATIENCE):
            assert await listening.wait() == 137
        await writing.close()


async def test_exec_in_pipes(docker: Docker) -> None:
    await docker.good(*RUN, "--name", "host", "--env", "A=1", "busybox", "sleep", "1000")
    script = "echo $A$B $(pwd); id -u; id -g >&2"
    said = await docker("exec", "-e", "B=2", "-w", "/tmp", "-u", "1000:7", "host", "sh", "-c", script)
    assert said == Said(0, "12 /tmp\n1000\n", "7\n")
    assert await piped(docker, b"hi\n", "exec", "-i", "host", "cat") == (0, b"hi\n", b"")
    data = random.Random(1).randbytes(20_000_000)
    code, out, _ = await piped(docker, data, "exec", "-i", "host", "cat")
    assert (code, hashlib.sha256(out).digest()) == (0, hashlib.sha256(data).digest())
    assert await piped(docker, b"unread" * 200_000, "exec", "-i", "host", "true") == (0, b"", b"")
    assert (await docker("exec", "-d", "host", "sh", "-c", "echo $$ > /tmp/pid; exec sleep 7000")).code == 0
    await until(lambda: _runs(docker, "sleep 7000"))
    for command, code in ((("missing",), 126), (("/etc",), 126), (("sh", "-c", "kill -9 $$"), 137)):
        assert (await docker("exec", "host", *command)).code == code
    assert "unable to find user" in (await docker("exec", "-u", "nobody-here", "host", "true")).out
    said = await docker("exec", "-t", "host", "true")
    assert said.code == 0
    caps = (await docker.good("exec", "host", "grep", "CapEff", "/proc/self/status")).split()[1]
    all_ = (await docker.good("exec", "--privileged", "host", "grep", "CapEff", "/proc/self/status")).split()[1]
    assert int(all_, 16) > int(caps, 16)
    await docker.good("pause", "host")
    said = await docker("exec", "host", "true")
    assert said.code == 1 and "is paused" in said.err
    await docker.good("unpause", "host")


async def _runs(docker: Docker, command: str) -> bool:
    return command in await docker.good("top", "host")


async def test_exit_codes_of_execs(docker: Docker) -> None:
    id = await docker.good(*RUN, "busybox", "sleep", "1000")
    gate = asyncio.Semaphore(8)

    async with Client(docker.engine.socket) as client:

        async def code(number: int) -> int:
            async with gate:
                made = await client.exec_create(id, {"Cmd": ["sh", "-c", f"exit {number}"], "AttachStdout": True})
                stream = await client.exec_start(made)
                assert stream
                assert [piece async for piece in stream.read()] == []
                await stream.close()
                found: int = (await client.exec_inspect(made))["ExitCode"]
                return found

        numbers = [*range(0, 256, 15), 1, 2, 125, 126, 127, 128, 129, 130, 137, 143, 254]
        assert await asyncio.gather(*map(code, numbers)) == numbers
    assert (await docker("exec", id, "sh", "-c", "exit 42")).code == 42


async def _busy(docker: Docker) -> bool:
    return (await docker.good("top", "host")).count("sleep 1000") == 2


async def test_the_verbs_beside(docker: Docker) -> None:
    id = await docker.good(*RUN, "--name", "web", "busybox", "sleep", "1000")
    pid = await docker.good("inspect", "-f", "{{.State.Pid}}", "web")
    assert pid in await docker.good("top", "web") and (await docker.good("top", "web", "-o", "pid,args")).startswith("PID")
    await docker.good("rename", "web", "other")
    assert await docker.good("restart", "-t", "0", "other") == "other"
    assert await docker.good("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "other") != f"{pid} running"
    assert (await docker.good("update", "--restart", "always", "other")).splitlines()[0] == "other"
    assert await docker.good("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}} {{.Id}}", "other") == f"always {id}"


def _files(docker: Docker) -> int:
    return len(os.listdir(f"/proc/{docker.engine.pid}/fd"))


async def test_commands_that_are_killed_leave_nothing(docker: Docker) -> None:
    await docker.good(*RUN, "-i", "--name", "host", "busybox", "sleep", "1000")
    await docker.good("exec", "host", "true")
    before = _files(docker)
    execs, attaches = (("-i", "host", "cat"), ("host", "sleep", "1000")), (("host",), ("--no-stdin", "host"))
    for args in (*(("exec", *rest) for rest in execs), *(("attach", *rest) for rest in attaches)):
        process = await asyncio.create_subprocess_exec(
            *docker.command(*args), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin
        if "cat" in args:
            assert process.stdout
            process.stdin.write(b"hello\n")
            async with asyncio.timeout(PATIENCE):
                assert await process.stdout.readline() == b"hello\n"
        elif "sleep" in args:
            await until(lambda: _busy(docker))
        else:
            await until(lambda: _more(docker, before))
        process.kill()
        await process.wait()
        process.stdin.close()
        if "sleep" in args:  # it runs on; its maker is gone
            assert await _busy(docker)
            os.kill(int((await docker.good("top", "host", "-o", "pid")).split()[-1]), signal.SIGKILL)
        await until(lambda: _no_more(docker, before))
    assert await docker.good("top", "host", "-o", "pid,args") and not await _busy(docker)


async def _more(docker: Docker, than: int) -> bool:
    return _files(docker) > than


async def _no_more(docker: Docker, than: int) -> bool:
    return _files(docker) <= than


async def test_execs_outlive_the_engine(docker: Docker) -> None:
    engine = docker.engine
    await docker.good(*RUN, "--name", "host", "busybox", "sleep", "1000")
    loop = "while [ ! -e /stop ]; do sleep 0.05; echo noise; done; echo done > /done"
    await docker.good("exec", "-d", "host", "sh", "-c", loop)
    process = await asyncio.create_subprocess_exec(
        *docker.command("exec", "-i", "host", "sh", "-c", "cat; echo over > /over"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until(lambda: _runs(docker, "cat"))
    await engine.kill9()
    await process.wait()
    await engine.start()
    await docker.good("exec", "host", "touch", "/stop")
    await until(lambda: _says(docker, "/done", "done"))
    await until(lambda: _says(docker, "/over", "over"))  # its maker is gone, so its input has ended
    await until(lambda: _empty(Path(engine.run, "execs")))
    past = await docker.good("events", *until_now(), "--filter", "event=exec_die", "--format", "{{.Action}}")
    assert past.count("exec_die") >= 2


async def _says(docker: Docker, path: str, text: str) -> bool:
    return (await docker("exec", "host", "cat", path)).out == text + "\n"


async def _empty(directory: Path) -> bool:
    return not any(directory.iterdir())


def _memory(docker: Docker) -> int:
    """Bytes that the engine holds."""
    (line,) = (line for line in Path(f"/proc/{docker.engine.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("how", ["exec", "attach"])
async def test_who_does_not_read_is_waited_for(docker: Docker, how: str) -> None:
    flood = ["sh", "-c", "head -c 50000000 /dev/zero"]
    async with Client(docker.engine.socket) as client:
        host_config = {"LogConfig": {"Type": "none"}}
        command = flood if how == "attach" else ["sleep", "1000"]
        body = {"Image": "busybox", "Cmd": command, "StopSignal": "KILL", "HostConfig": host_config}
        await client.do("create", "", {"name": "host", "body": body})
        stream: Stream | None = await client.attach("host")
        await client.do("start", "host")
        if how == "exec":
            stream = await client.exec_start(await client.exec_create("host", {"Cmd": flood, "AttachStdout": True}))
        assert stream
        memory, sent = _memory(docker), -1
        while sent < (sent := await _written(docker)):  # until it waits
            await asyncio.sleep(0.3)
        assert sent < 20_000_000 and _memory(docker) - memory < 20_000_000
        total = 0
        async for _, data in stream.read():
            total += len(data)
        assert total == 50_000_000
        await stream.close()


async def _written(docker: Docker) -> int:
    """Bytes that `head` has written."""
    for line in (await docker.good("top", "host", "-o", "pid,args")).splitlines()[1:]:
        pid, _, command = line.strip().partition(" ")
        if command.strip().startswith("head"):
            return int(Path(f"/proc/{pid}/io").read_text().split("wchar: ")[1].split()[0])
    return 0
