"""What can be asked of an exec (Engine API 1.43, `POST /containers/x/exec`), and whether a container can have one. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from engine.model.container import Container
from engine.model.errors import Conflict, Invalid
from engine.model.settings import Strings
from engine.model.status import Status
from engine.spec.decode import decode_as


class ExecConfig(Struct, frozen=True, kw_only=True, rename="pascal"):
    user: str = ""
    """Empty: the container's."""
    privileged: bool = False
    """With every capability that the engine can give."""
    tty: bool = False
    console_size: tuple[int, int] | None = None
    """Rows and columns of its terminal."""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    env: Strings = None
    """Beside the container's."""
    working_dir: str = ""
    """Empty: the container's."""
    cmd: Strings = None


def decode_exec(value: Any) -> ExecConfig:
    """Read the body of a request. Raises `Invalid`."""
    config = decode_as(ExecConfig, value)
    if not config.cmd:
        raise Invalid("No exec command specified", "give the command in Cmd, as a list of words")
    return config


def check_exec(c: Container) -> None:
    """Raises `Conflict` where no process can join."""
    cannot = f"cannot exec in {c.name}: "
    match c.status:
        case Status.RUNNING:
            return
        case Status.PAUSED:
            raise Conflict(f"{cannot}Container {c.id} is paused", "unpause the container before exec")
        case Status.RESTARTING:
            raise Conflict(f"{cannot}Container {c.id} is restarting", "wait until the container is running")
        case _:
            raise Conflict(f"{cannot}Container {c.id} is not running", "start it first")
