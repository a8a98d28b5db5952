"""The body of `POST /containers/create`, read as dockerd reads it.

Go's JSON takes keys in any case and reads `null` as "not said"; Docker's clients rely on both. Old clients put limits
beside `HostConfig` instead of into it; they still count.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.settings import Config, CreateBody, Healthcheck, HostConfig, LogConfig, RestartPolicy, Ulimit
from engine.spec.merge import words

S = TypeVar("S", bound=Struct)

LARGEST = 2**63 - 1
"""Go reads integers into 64 bits."""


class _Networking(Struct, frozen=True, rename="pascal"):
    endpoints_config: Any = None


_NESTED: dict[tuple[type[Struct], str], type[Struct]] = {
    (Config, "Healthcheck"): Healthcheck,
    (CreateBody, "HostConfig"): HostConfig,
    (CreateBody, "Healthcheck"): Healthcheck,
    (CreateBody, "NetworkingConfig"): _Networking,
    (HostConfig, "LogConfig"): LogConfig,
    (HostConfig, "RestartPolicy"): RestartPolicy,
    (HostConfig, "Ulimits"): Ulimit,
}


class _Beside(Struct, frozen=True, rename="pascal"):
    """Limits of old clients, beside `HostConfig`."""

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset: str = ""


def decode_create(raw: bytes) -> CreateBody:
    """Read and check the form of a create request. Raises `Invalid`, naming the field."""
    if not raw.strip():
        raise Invalid("the request has no body: invalid JSON: got EOF while reading request body", "send a JSON object")
    try:
        read = msgspec.json.decode(raw)
        _check_integers(read, "$")
        if not isinstance(read, dict):
            raise Invalid("config cannot be empty in order to create a container", "send a JSON object")
        body = msgspec.convert(_as_go(read, CreateBody), CreateBody)
        body = replace(body, host_config=_with_beside(read, body.host_config))
    except msgspec.ValidationError as error:
        raise Invalid(f"the request's body has a wrong type: {error}", "send the type the Engine API asks for") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the request's body is not valid JSON: {error}", "send one JSON object and nothing after it") from error
    body = replace(body, cmd=_tuple(body.cmd), entrypoint=_tuple(body.entrypoint))
    check_modes(body, body.host_config)
    return body


def decode_as(kind: type[S], value: Any) -> S:
    """A JSON object as `kind`, keys in any case. Raises `Invalid`, naming the field."""
    _check_integers(value, "$")
    if not isinstance(value, dict):
        raise Invalid("the request's body is no JSON object", "send the settings as a JSON object")
    try:
        return msgspec.convert(_as_go(value, kind), kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"the request's body has a wrong type: {error}", "send the type the Engine API asks for") from error


def decode_config(value: Any) -> Config:
    """The `Config` alone, as `POST /commit` has it. Raises `Invalid`, naming the field."""
    config = decode_as(Config, value)
    return replace(config, cmd=_tuple(config.cmd), entrypoint=_tuple(config.entrypoint))


def _tuple(value: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
    return None if value is None else words(value)


def _check_integers(value: Any, path: str) -> None:
    """Refuse what Go could not hold, wherever it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_integers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_integers(inner, f"{path}[{index}]")
    elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
        raise Invalid(f"{path} is {value}, more than 64 bits hold", f"give a number up to {LARGEST}")


def _as_go(value: Any, kind: type[Struct]) -> Any:
    """The same object with its keys spelled as `kind` spells them, and without its nulls."""
    if isinstance(value, list):
        return [_as_go(item, kind) for item in value]
    if not isinstance(value, dict):
        return value
    spelling = {name.lower(): name for name in kind.__struct_encode_fields__}
    known = ((spelling[key.lower()], inner) for key, inner in value.items() if key.lower() in spelling)
    return {
        key: _as_go(inner, _NESTED[kind, key]) if (kind, key) in _NESTED else inner for key, inner in known if inner is not None
    }


def _with_beside(read: dict[str, Any], host_config: HostConfig) -> HostConfig:
    """The host config with what stands beside it: the limits it lacks, or all of it where it is not there at all."""
    if not any(key.lower() == "hostconfig" and inner is not None for key, inner in read.items()):
        host_config = msgspec.convert(_as_go(read, HostConfig), HostConfig)
    beside = msgspec.convert(_as_go(read, _Beside), _Beside)
    limit = host_config.pids_limit
    return replace(
        host_config,
        memory=host_config.memory or beside.memory,
        memory_swap=host_config.memory_swap or beside.memory_swap,
        cpu_shares=host_config.cpu_shares or beside.cpu_shares,
        cpuset_cpus=host_config.cpuset_cpus or beside.cpuset_cpus or beside.cpuset,
        network_mode=host_config.network_mode or "default",
        pids_limit=limit if limit is not None and limit > 0 else None,
        memory_swappiness=None if host_config.memory_swappiness == -1 else host_config.memory_swappiness,
    )


def check_modes(config: Config, host_config: HostConfig) -> None:
    """Refuse what a network or UTS mode rules out. Raises `Invalid`."""
    mode = host_config.network_mode
    joined, host = mode == "container" or mode.startswith("container:"), mode == "host"
    if joined and not mode.removeprefix("container").removeprefix(":"):
        raise Invalid(f"HostConfig.NetworkMode {mode!r} names no container", "write container:NAME with the container to join")
    conflicts = (
        (joined and config.hostname, "Hostname", mode),
        ((joined or host) and host_config.links, "HostConfig.Links", mode),
        (joined and host_config.dns, "HostConfig.Dns", mode),
        (joined and host_config.extra_hosts, "HostConfig.ExtraHosts", mode),
        (joined and host_config.port_bindings, "HostConfig.PortBindings", mode),
        (joined and host_config.publish_all_ports, "HostConfig.PublishAllPorts", mode),
        (joined and config.exposed_ports, "ExposedPorts", mode),
        ((joined or host) and config.mac_address, "MacAddress", mode),
    )
    for conflict, field, value in conflicts:
        if conflict:
            raise Invalid(
                f"conflicting options: {field} cannot be given with HostConfig.NetworkMode {value!r}", "leave one of them out"
            )
    if host_config.uts_mode == "host" and config.hostname:
        raise Invalid("conflicting options: Hostname cannot be given with HostConfig.UTSMode 'host'", "leave one of them out")
