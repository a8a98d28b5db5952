"""The `docker` command that does the same as a key."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from engine.model.interface import NO_PARAMS, Params


def command(verb: str, name: str, params: Params = NO_PARAMS, program: str = "docker") -> str:
    """For a shell. `program` carries the options that lead to this engine, such as `docker -H unix://...`."""
    match verb:
        case "create":
            words = ["create", *_create(params)]
        case "kill":
            words = ["kill", *(("--signal", params["signal"]) if params.get("signal") else ()), name]
        case "stop" | "restart":
            words = [verb, *(("-t", str(params["t"])) if "t" in params else ()), name]
        case "remove":
            words = ["rm", *(("-f",) if params.get("force") else ()), *(("-v",) if params.get("v") else ()), name]
        case "rename":
            words = ["rename", name, params["name"]]
        case "logs":
            words = ["logs", "-f", name]
        case "exec":
            words = ["exec", "-it", name, *params["command"]]
        case _:
            words = [verb, name]
    return line(program, *words)


def line(program: str, *words: str) -> str:
    """These words for a shell."""
    return f"{program} {shlex.join(words)}"


def for_all(verb: str, names: Sequence[str], params: Params = NO_PARAMS, program: str = "docker") -> str:
    """One command for many containers."""
    first, *others = names
    return " ".join([command(verb, first, params, program), *(shlex.quote(name) for name in others)])


def _create(params: Params) -> list[str]:
    body: dict[str, Any] = params["body"]
    words: list[str] = []
    if params.get("name"):
        words += ["--name", params["name"]]
    if check := body.get("Healthcheck"):
        words += ["--health-cmd", check["Test"][1], "--health-interval", f"{check['Interval'] // 10**9}s"]
    return [*words, body["Image"], *(body.get("Cmd") or ())]
