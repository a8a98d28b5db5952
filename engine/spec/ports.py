"""Which ports of the host a container asks for: `ExposedPorts`, `PortBindings`, `PublishAllPorts` (reference 9.5). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from engine.model.errors import Invalid
from engine.model.network import Binding, Published
from engine.model.settings import Config, HostConfig

PROTOCOLS: Final = ("tcp", "udp", "sctp")


def wanted(config: Config, host_config: HostConfig, default: str = "") -> tuple[Binding, ...]:
    """Every port to publish. `default`: the host's address where a binding names none. Raises `Invalid`."""
    found: list[Binding] = []
    asked: dict[str, Any] = host_config.port_bindings or {}
    for key, bindings in asked.items():
        port, protocol = parse(key)
        for binding in bindings or [{}]:
            found.append(_binding(key, port, protocol, binding, default))
    if host_config.publish_all_ports:
        bound = {parse(key) for key, bindings in asked.items() if bindings is not None}
        for port, protocol in sorted(exposed(config) - bound):
            found.append(Binding(protocol=protocol, port=port, host_ip=default))
    return tuple(found)


def exposed(config: Config) -> set[tuple[int, str]]:
    """The ports the settings name. What is no port is passed over: an image may say anything."""
    found = set()
    for key in config.exposed_ports or {}:
        try:
            found.add(parse(key))
        except Invalid:
            continue
    return found


def exposing(config: Config, host_config: HostConfig) -> Mapping[str, Any] | None:
    """`ExposedPorts` with what is published in it."""
    named = dict(config.exposed_ports or {})
    known = exposed(config)
    for key in host_config.port_bindings or {}:
        port, protocol = parse(key)
        if (port, protocol) not in known:
            named[f"{port}/{protocol}"] = {}
    return named or None


def parse(key: str) -> tuple[int, str]:
    """`80/tcp` or `80`. Raises `Invalid`."""
    number, _, protocol = key.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise Invalid(f"invalid port specification: {key!r}: the protocol is none", f"give one of {', '.join(PROTOCOLS)}")
    return _number(number, key), protocol


def shown(ports: Iterable[Published], config: Config) -> dict[str, list[dict[str, str]] | None]:
    """`NetworkSettings.Ports`: by the container's port; None where it is only exposed."""
    told: dict[str, list[dict[str, str]] | None] = {f"{port}/{protocol}": None for port, protocol in sorted(exposed(config))}
    for each in ports:
        key = f"{each.port}/{each.protocol}"
        told[key] = [*(told.get(key) or ()), {"HostIp": each.host_ip, "HostPort": str(each.host_port)}]
    return told


def _binding(key: str, port: int, protocol: str, binding: Any, default: str) -> Binding:
    if not isinstance(binding, dict):
        raise Invalid(f"invalid port binding of {key}: {binding!r}", 'give {"HostIp": ..., "HostPort": ...}')
    host_ip = str(binding.get("HostIp") or "") or default
    if host_ip:
        try:
            host_ip = str(ip_address(host_ip.strip("[]")))
        except ValueError:
            raise Invalid(f"invalid IP address {host_ip!r} to publish {key} on", "give an address of this host") from None
    first, dash, last = str(binding.get("HostPort") or "").partition("-")
    low = _number(first, key) if first else 0
    high = _number(last, key) if dash else low
    if high < low:
        raise Invalid(f"invalid range of host ports {first}-{last} for {key}", "give the lower one first")
    return Binding(protocol=protocol, port=port, host_ip=host_ip, first=low, last=high)


def _number(text: str, key: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise Invalid(f"invalid port specification: {key!r}: {text!r} is no port", "give a number from 0 to 65535")
    return int(text)
