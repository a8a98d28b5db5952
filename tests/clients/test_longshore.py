"""`longshore` beside the real `docker` command, word for word on one engine: what they print and how they end."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest

from tests.conftest import SpawnEngine
from tests.engines import EngineProcess
from tests.tui.terminals import Terminal, terminal

PATIENCE = 30.0

FOREIGN = re.compile(r"^(Usage: .*|Try .*|Run 'docker .*|Error: [Ff]ailed to .*|See 'docker .*)$", re.MULTILINE)
"""Lines that one of them adds for people."""


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Program:
    """One of the two commands. In what it is told `@` is a name of its own: no hexadecimal digit, or it is an id too."""

    def __init__(self, own: str, engine: EngineProcess, *command: str) -> None:
        self.own, self.engine = own, engine
        self.command = (*command, "--host", f"unix://{engine.socket}")

    def words(self, line: str) -> tuple[str, ...]:
        """A command line of words; a word of several stands in single quotes."""
        found: list[tuple[str, str]] = re.findall(r"'([^']*)'|(\S+)", line)
        return (*self.command, *(quoted or word.replace("@", self.own) for quoted, word in found))

    async def begin(self, line: str) -> Process:
        return await asyncio.create_subprocess_exec(*self.words(line), stdin=PIPE, stdout=PIPE, stderr=PIPE)

    async def __call__(self, line: str, given: bytes = b"") -> Said:
        """Run it to its end. What differs by chance, ids and the own name, is made the same."""
        process = await self.begin(line)
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate(given)
        except TimeoutError as error:
            raise AssertionError(f"{self.own}: {line} does not end\n{self.engine.said()}") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Said(process.returncode, self.alike(out), self.alike(err))

    def alike(self, said: bytes) -> str:
        text = said.decode(errors="replace").replace("\r\n", "\n")
        text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
        text = re.sub(r"\b[0-9a-f]{12}\b", "<short>", text)
        text = re.sub(rf"\b{self.own}(\d)", r"@\1", text)
        text = FOREIGN.sub("", text)
        text = re.sub(r"^(docker: )?(Error response from daemon: )?|^longshore: |^Error: ", "", text, flags=re.MULTILINE)
        return "\n".join(filter(None, text.split("\n")))


class Pair(NamedTuple):
    docker: Program
    longshore: Program

    async def both(self, act: Callable[[Program], Awaitable[Said]]) -> tuple[Said, Said]:
        docker, longshore = await asyncio.gather(act(self.docker), act(self.longshore))
        return docker, longshore

    async def say(self, line: str, given: bytes = b"") -> tuple[Said, Said]:
        docker, longshore = await asyncio.gather(self.docker(line, given), self.longshore(line, given))
        return docker, longshore

    async def agree(self, *lines: str, given: bytes = b"") -> None:
        """Each line ends with the same code and the same words on the same outputs."""
        for line in lines:
            docker, longshore = await self.say(line, given)
            assert docker == longshore, line

    async def end_alike(self, *lines: str) -> None:
        """Each line fails with the same code and says nothing but a reason; the reasons are each one's own."""
        for line in lines:
            docker, longshore = await self.say(line)
            assert docker.code == longshore.code != 0 and docker.out == longshore.out, line
            assert docker.err and longshore.err, line


@pytest.fixture
async def pair(spawn_engine: SpawnEngine) -> Pair:
    engine = await spawn_engine()
    docker = shutil.which("docker")
    assert docker, "there is no docker command: make test unpacks one below build/"
    return Pair(Program("k", engine, docker), Program("l", engine, sys.executable, "-m", "tui"))


async def test_run_to_the_end(pair: Pair) -> None:
    await pair.agree(
        "run --rm busybox echo hello",
        "run --rm busybox sh -c 'echo out; echo err >&2; exit 7'",
        "run --rm busybox sh -c 'kill -9 $$'",
        "run --rm busybox sh -c 'exit 255'",
        "run --rm -e A=b -e 'C=d e' -w /tmp -u 1:1 -h box busybox sh -c 'echo $A $C; pwd; id; hostname'",
        "run --rm --entrypoint echo busybox -n entry",
        "run --rm --network none --read-only busybox sh -c 'ls /sys/class/net; touch /x'",
        "run --rm --cap-drop ALL --ulimit nofile=99:99 busybox sh -c 'grep CapEff /proc/self/status; ulimit -n'",
        "run --rm --add-host db:10.9.8.7 --dns 10.9.8.6 busybox sh -c 'grep -w db /etc/hosts; cat /etc/resolv.conf'",
        "run --rm -a stderr busybox sh -c 'echo out; echo err >&2'",
        "run --rm -t busybox sh -c 'echo one; echo two >&2; tty'",
        "run --rm busybox /no/such",
        "run --rm busybox no-such",
        "run --rm busybox /etc",
        "run --rm no-such-image",
        "run --rm --pull never no-such-image",
        "run --rm --init busybox true",
        "run --rm --user nobody-knows busybox true",
    )
    await pair.agree("run -i --rm busybox cat", "run -i --rm busybox wc -c", given=bytes(range(256)) * 1024)
    await pair.agree("ps -aq")


async def test_run_in_the_background(pair: Pair) -> None:
    await pair.agree(
        "run -d --name @1 --label tier=front busybox sleep 1000",
        "run -d --name @1 busybox sleep 1000",
        "ps -q --no-trunc --filter name=@1 --filter label=tier",
        "create --name @2 --restart on-failure:2 busybox false",
        "ps -a --filter name=@ --format '{{.Names}} {{.ID}} {{.Image}} {{.Command}} {{json .Labels}}{{.Ports}} {{.Size}}'",
        "ps -a --filter name=@ --format 'table {{.Names}}\t{{.ID}}\t{{.Image}} {{.State}}'",
        "inspect --format '{{.State.Running}} {{.Config.Cmd}} {{json .Config.Labels}} {{.State.ExitCode}}' @1 @2",
        "images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.Digest}} {{.CreatedSince}} {{.CreatedAt}}'",
        "network ls --format '{{.Name}} {{.ID}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} [{{.Labels}}] {{.CreatedAt}}'",
        "start @2 @1",
        "wait @2",
        "stop -t 0 @1 @2",
        "wait @1",
        "start @9",
        "rm @1 @9 @2",
    )


async def test_what_cannot_be_right(pair: Pair) -> None:
    await pair.end_alike(
        "run --no-such-flag busybox",
        "run -m 5x busybox",
        "run --rm --restart always busybox",
        "run --no-healthcheck --health-cmd true busybox",
        "run -p 80:x busybox",
        "run --pull sometimes busybox",
        "exec -it @1 true",
        "ps --no-such-flag",
        "start -a @1 @2",
        "inspect @1",
    )


async def test_cidfile(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = []
    for program in pair:
        file = tmp_path_factory.mktemp("cid") / "id"
        line = f"run -d --cidfile {file} busybox"
        assert (await program(f"{line} true")).code == 0
        written.append(program.alike(file.read_bytes()))
        again = await program(f"{line} true")
        assert again.code == 125 and str(file) in again.err
        file.unlink()
        assert (await program(f"run -d --cidfile {file} no-such-image")).code == 125
        assert not file.exists(), "there is no container it could tell of"
    assert written == ["<id>", "<id>"]


async def test_exec(pair: Pair) -> None:
    await pair.agree(
        "run -d --name @1 --env X=container busybox sleep 1000",
        "exec @1 sh -c 'echo out; echo err >&2; exit 9'",
        "exec -e A=b -w /tmp -u 1:1 @1 sh -c 'echo $A $X; pwd; id'",
        "exec -t @1 sh -c 'tty; stty size 2>/dev/null || true'",
        "exec -d @1 sh -c 'echo left > /tmp/file'",
        "exec @1 no-such",
        "exec @1 /etc",
        "exec @1 sh -c 'exit 127'",
        "exec -u nobody-knows @1 true",
        "exec -w relative @1 true",
        "exec @9 true",
        "pause @1",
        "exec @1 true",
        "unpause @1",
    )
    await pair.agree("exec -i @1 md5sum", "exec @1 cat", given=os.urandom(300_000))
    await pair.agree("stop -t 0 @1", "exec @1 true")


async def test_verbs(pair: Pair) -> None:
    await pair.agree(
        "run -d --name @1 busybox sleep 1000",
        "pause @1",
        "pause @1",
        "unpause @1",
        "unpause @1",
        "update --cpu-shares 512 --restart always @1",
        "update --memory 1k @1",
        "rename @1 @2",
        "rename @2 @2",
        "restart -t 0 @2",
        "kill -s WINCH @2",
        "kill -s NOPE @2",
        "kill @2 @9",
        "kill @2",
        "stop @2",
        "rm @9 @2",
        "rm -v @2",
    )
    await pair.end_alike("rename @9 x", "top @9", "update @1", "attach @9", "logs @9")


async def test_logs(pair: Pair) -> None:
    await pair.agree("run --name @1 busybox sh -c 'echo one; sleep 0.1; echo two >&2; sleep 0.1; printf three'")
    await pair.agree(
        "logs @1", "logs --tail 1 @1", "logs -n 0 @1", "logs -n some @1", "logs --since 1h -f @1", "logs --until 1h @1"
    )
    for program in pair:
        stamped = await program("logs -t @1")
        moments = [line.split(" ", 1)[0] for line in (stamped.out + "\n" + stamped.err).splitlines()]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", moment) for moment in moments)
        assert (await program(f"logs --since {moments[1]} @1")) == (0, "three", "")
        assert (await program(f"logs --until {moments[0]} @1")) == (0, "one", "")
    await pair.agree(
        "run --name @2 --log-opt labels=tier --label 'tier=a b' busybox echo x",
        "logs --details @2",
        "run --name @3 --log-driver local busybox echo kept",
        "logs @3",
        "run --name @4 --log-driver none busybox echo gone",
        "logs @4",
    )


async def test_top_and_events(pair: Pair) -> None:
    await pair.agree("run -d --name @1 busybox sleep 1000")
    for line in ("top @1 -o pid,args", "top @1", "top @1 aux"):
        docker, longshore = [_columns(said.out) for said in await pair.say(line)]
        assert docker == longshore and "sleep 1000" in docker, line
    await pair.agree("rm -f @1")
    for program in pair:
        said = await program(f"events --since 10m --until {time.time():.6f} --filter container=@1")
        told = [line.split()[1:] for line in said.out.splitlines()]
        actions = [words[1] for words in told if words[1] != "top"]
        assert actions == ["create", "start", "kill", "die", "destroy"]
        assert told[0] == ["container", "create", "<id>", "(image=busybox,", "name=@1)"]


def _columns(text: str) -> str:
    """A table whose columns are one space apart and whose figures say nothing."""
    return re.sub(r"[\d.:]+(?= )", "N", re.sub(r"[ \t]+", " ", text))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
async def test_signals_are_passed_on(pair: Pair, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo {name}; exit 42' {name}; echo ready; while true; do sleep 0.05; done".replace("'", '"')

    async def signalled(program: Program) -> Said:
        process = await program.begin(f"run --rm busybox sh -c '{script}'")
        assert process.stdout
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    assert await pair.both(signalled) == (Said(42, f"{name}\n", ""), Said(42, f"{name}\n", ""))


async def test_attach_and_start_attached(pair: Pair) -> None:
    script = "read x; echo got $x; read y; exit $y"

    async def joined(program: Program) -> Said:
        assert (await program(f"create -i --name @1 busybox sh -c '{script}'")).code == 0
        starting = await program("start -a -i @1", b"word\n5\n")
        assert (await program("create -i --name @2 busybox sh -c 'read x; echo got $x; exit 6'")).code == 0
        assert (await program("start @2")).code == 0
        attached = await program("attach @2", b"later\n")
        return Said(attached.code, f"{starting}", f"{attached.out}{attached.err}")

    expected = Said(6, f"{Said(5, 'got word', '')}", "got later")
    assert await pair.both(joined) == (expected, expected)
    await pair.end_alike("attach @1")


async def test_one_that_runs_already_is_joined(pair: Pair) -> None:
    await pair.agree(
        "create --name @1 busybox sh -c 'sleep 1; echo said; exit 8'",
        "start @1",
        "start -a @1",
    )


@asynccontextmanager
async def screens(pair: Pair) -> AsyncIterator[tuple[tuple[Program, Terminal], ...]]:
    async with AsyncExitStack() as stack:
        yield tuple([(program, await stack.enter_async_context(terminal(90, 25))) for program in pair])


async def ended(process: Process, screen: Terminal) -> int:
    try:
        async with asyncio.timeout(PATIENCE):
            return await process.wait()
    except TimeoutError as error:
        raise AssertionError(f"it does not end: {screen.text!r}") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_shell_on_a_terminal(pair: Pair) -> None:
    async with screens(pair) as shown:
        for program, screen in shown:
            before = screen.attributes
            process = await screen.run(*program.words("run -it --rm --name @1 -e 'PS1=% ' busybox sh"))
            await screen.shows("% ")
            assert screen.raw
            screen.type("stty size\r")
            await screen.shows("25 90")
            screen.size(77, 33)
            screen.type("sleep 0.1; stty size\r")
            await screen.shows("33 77")
            screen.type("sh -c \"echo now''; exec sleep 100\"\r")  # what says so is in the foreground
            await screen.shows("now\n")
            screen.type("\x03")
            await screen.shows("^C")
            screen.type("exit 12\r")
            assert await ended(process, screen) == 12, screen.text
            assert screen.attributes == before
    await pair.agree("ps -aq")
    await pair.end_alike("inspect @1")


@pytest.mark.parametrize(("flag", "keys"), [("", b"\x10\x11"), ("--detach-keys ctrl-a,d ", b"\x01d")])
async def test_detached_the_process_goes_on(pair: Pair, flag: str, keys: bytes) -> None:
    async with screens(pair) as shown:
        for program, screen in shown:
            before = screen.attributes
            process = await screen.run(*program.words(f"run -it {flag}--name @1 -e 'PS1=% ' busybox sh"))
            await screen.shows("% ")
            screen.type(keys)
            assert await ended(process, screen) == 0, screen.text
            assert screen.attributes == before
            assert "@1" in (await program("ps --filter name=@1 --format json")).out
            process = await screen.run(*program.words("attach @1"))
            screen.type("echo $((6 * 7)); exit 3\r")
            await screen.shows("42")
            assert await ended(process, screen) == 3, screen.text


async def test_exec_on_a_terminal(pair: Pair) -> None:
    await pair.agree("run -d --name @1 busybox sleep 1000")
    async with screens(pair) as shown:
        for program, screen in shown:
            process = await screen.run(*program.words("exec -it -e 'PS1=% ' @1 sh"))
            await screen.shows("% ")
            screen.type("stty size; tty; exit 4\r")
            assert await ended(process, screen) == 4, screen.text
            assert "25 90" in screen.text and "/dev/pts/0" in screen.text


async def test_with_no_engine_there_is_a_sentence() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tui", "--host", "unix:///nowhere/engine.sock", "ps"), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"") and err.startswith(b"longshore: no engine answers at /nowhere/engine.sock")
