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
        case "create_network":
            words = ["network", "create", *_create_network(params["body"])]
        case "remove_network":
            words = ["network", "rm", name]
        case "connect":
            words = ["network", "connect", *_endpoint(params.get("endpoint") or {}), params["network"], name]
        case "disconnect":
            words = ["network", "disconnect", params["network"], name]
        case "prune_networks":
            words = ["network", "prune", "-f"]
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
    host_config = body.get("HostConfig", {})
    if host_config.get("NetworkMode"):
        words += ["--network", host_config["NetworkMode"]]
    for port, bindings in host_config.get("PortBindings", {}).items():
        words += [word for binding in bindings for word in ("-p", _published(port, binding))]
    if check := body.get("Healthcheck"):
        words += ["--health-cmd", check["Test"][1], "--health-interval", f"{check['Interval'] // 10**9}s"]
    return [*words, body["Image"], *(body.get("Cmd") or ())]


def _published(port: str, binding: dict[str, str]) -> str:
    address, host = binding.get("HostIp", ""), binding.get("HostPort", "")
    address = f"[{address}]" if ":" in address else address
    port = port.removesuffix("/tcp")
    return f"{address}:{host}:{port}" if address else f"{host}:{port}" if host else port


def _create_network(body: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for given in (body.get("IPAM") or {}).get("Config", ()):
        for key, flag in (("Subnet", "--subnet"), ("Gateway", "--gateway"), ("IPRange", "--ip-range")):
            words += [flag, given[key]] if given.get(key) else []
        words += _pairs("--aux-address", given.get("AuxiliaryAddresses"))
    words += [flag for key, flag in (("EnableIPv6", "--ipv6"), ("Internal", "--internal")) if body.get(key)]
    return [*words, *_pairs("--opt", body.get("Options")), *_pairs("--label", body.get("Labels")), body["Name"]]


def _pairs(flag: str, given: dict[str, str] | None) -> list[str]:
    return [word for key, value in (given or {}).items() for word in (flag, f"{key}={value}")]


def _endpoint(endpoint: dict[str, Any]) -> list[str]:
    ipam = endpoint.get("IPAMConfig") or {}
    words = [word for alias in endpoint.get("Aliases") or () for word in ("--alias", alias)]
    for key, flag in (("IPv4Address", "--ip"), ("IPv6Address", "--ip6")):
        words += [flag, ipam[key]] if ipam.get(key) else []
    return words
