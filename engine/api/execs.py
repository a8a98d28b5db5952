"""`/containers/{name}/exec` and `/exec/{id}`: more processes in a running container."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import Struct

from engine.api.hijack import Connection, Taken
from engine.api.query import body, raw, screen
from engine.api.reply import Routes, answer, api_version, execs_of
from engine.model.errors import EngineError
from engine.sessions.execs import Exec
from engine.spec.decode import decode_as
from engine.spec.execs import decode_exec


class _Start(Struct, frozen=True, rename="pascal"):
    detach: bool = False
    tty: bool = False
    """How the stream is framed; whether it has a terminal was said when it was made."""
    console_size: tuple[int, int] | None = None
    """Rows and columns."""


def _exec(request: web.Request) -> Exec:
    """The exec in the path. Raises `NotFound`."""
    return execs_of(request).get(request.match_info["id"])


async def create(request: web.Request) -> web.Response:
    """POST /containers/{name}/exec"""
    settings = await body(request)
    if isinstance(settings, dict) and api_version(request) < (1, 42):
        settings = {key: value for key, value in settings.items() if key.lower() != "consolesize"}
    return answer({"Id": execs_of(request).create(request.match_info["name"], decode_exec(settings)).id}, 201)


async def start(request: web.Request) -> web.StreamResponse:
    """POST /exec/{id}/start"""
    exec, execs = _exec(request), execs_of(request)
    asked = decode_as(_Start, await body(request)) if (await raw(request)).strip() else _Start()
    size = asked.console_size if asked.tty and api_version(request) >= (1, 42) else None
    execs.start(exec, listened=not asked.detach, size=size)
    if asked.detach:
        await exec.started()
        return web.Response()
    async with Connection(request, framed=not asked.tty) as client:
        try:
            await execs.join(exec, client)
        except EngineError as error:
            await client.send("stdout", f"{error}\r\n".encode())
    return Taken()


async def resize(request: web.Request) -> web.Response:
    """POST /exec/{id}/resize"""
    exec = _exec(request)
    height, width = screen(request)
    await execs_of(request).resize(exec, width, height)
    return web.Response()


async def inspect(request: web.Request) -> web.Response:
    """GET /exec/{id}/json"""
    return answer(_shown(_exec(request)))


def _shown(exec: Exec) -> dict[str, Any]:
    config = exec.config
    command, *arguments = config.cmd or ("",)
    process = {"tty": config.tty, "entrypoint": command, "arguments": arguments, "privileged": config.privileged}
    if config.user:
        process["user"] = config.user
    return {
        "ID": exec.id,
        "Running": exec.running,
        "ExitCode": exec.exit_code,
        "ProcessConfig": process,
        "OpenStdin": config.attach_stdin,
        "OpenStderr": config.attach_stderr,
        "OpenStdout": config.attach_stdout,
        "CanRemove": exec.can_remove,
        "ContainerID": exec.container,
        "DetachKeys": exec.keys,
        "Pid": exec.pid,
    }


ROUTES: Routes = (
    ("POST", "/containers/{name}/exec", create),
    ("POST", "/exec/{id}/start", start),
    ("POST", "/exec/{id}/resize", resize),
    ("GET", "/exec/{id}/json", inspect),
)
