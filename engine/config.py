"""What `longshored` can be told: dockerd's option names, on the command line and in a `daemon.json`.

A thing said in both places is an error, as in dockerd: nobody could tell which one holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Interface, IPv4Network, NetmaskValueError
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from engine import __version__
from engine.host.registry.places import Places
from engine.host.registry.places import check as check_places
from engine.model.errors import EngineError, Invalid, NotBuilt

CONFIG_FILE = "/etc/longshore/daemon.json"
"""Read when it is there. A file named with `--config-file` must be there."""

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
DRIVERS = ("cgroupfs", "systemd")
BIP = "write it as 10.84.0.1/16"
LONGEST_LINK = 15
"""Characters of an interface's name (IFNAMSIZ less its NUL, netdevice(7))."""
LONGEST_SOCKET = 107
"""Bytes of a socket's path (sun_path less its NUL, unix(7))."""


class Pool(Struct, frozen=True, forbid_unknown_fields=True):
    """A range cut into pieces: `base=10.84.0.0/14,size=16`."""

    base: str
    size: int


class Config(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A value for every option. The names are the keys of `daemon.json`."""

    data_root: str = "/var/lib/longshore"
    exec_root: str = "/run/longshore"
    hosts: tuple[str, ...] = ()
    """`unix://PATH`; empty: one, `engine.sock` in the exec root."""
    pidfile: str = ""
    """Empty: `longshored.pid` in the exec root."""
    containerd: str = ""
    """Socket of a containerd to use; empty: the engine starts its own."""
    bridge: str = "longshore0"
    bip: str = ""
    """The bridge's own address with prefix length; empty: chosen from the pools."""
    default_address_pools: tuple[Pool, ...] = ()
    """Empty: the engine's own choice."""
    mtu: int = 1500
    """Bytes of the longest packet on networks that say nothing else."""
    cgroup_parent: str = ""
    """Empty: `/longshore`, with systemd's driver `longshore.slice`."""
    exec_opts: tuple[str, ...] = ()
    log_driver: str = "json-file"
    """Of containers that ask for none; and `log_opts`, its options."""
    log_opts: dict[str, str] = {}
    registry_mirrors: tuple[str, ...] = ()
    """Mirrors of docker.io, tried in turn before it."""
    insecure_registries: tuple[str, ...] = ()
    """`host[:port]` or address ranges that need no certificate, nor TLS."""
    live_restore: bool = True
    """Containers outlive the engine. False: they are stopped when it ends, and when it finds one running."""
    shutdown_timeout: int = 15
    """Seconds that all containers together get to end, where none of them asks for more."""
    log_level: str = "info"
    group: str = ""
    """Group the sockets are given to; empty: root's."""

    @property
    def sockets(self) -> tuple[str, ...]:
        """Paths of the sockets to serve."""
        return tuple(host.removeprefix("unix://") for host in self.hosts) or (f"{self.exec_root}/engine.sock",)

    @property
    def pid_path(self) -> str:
        return self.pidfile or f"{self.exec_root}/longshored.pid"

    @property
    def pools(self) -> tuple[tuple[str, int], ...]:
        return tuple((pool.base, pool.size) for pool in self.default_address_pools)

    @property
    def places(self) -> Places:
        return Places(mirrors=self.registry_mirrors, insecure=self.insecure_registries)

    @property
    def systemd_cgroup(self) -> bool:
        return "native.cgroupdriver=systemd" in self.exec_opts

    @property
    def parent(self) -> str:
        """The cgroup all containers are below."""
        return self.cgroup_parent or ("longshore.slice" if self.systemd_cgroup else "/longshore")


SHORTEST_PACKET, LONGEST_PACKET = 68, 65535
"""Bytes: what every link must carry (RFC 791), and what a veth can."""

FILE_KEYS = tuple(field.encode_name for field in msgspec.structs.fields(Config))

# Flag, the key it stands for in the file, whether it may be given more than once.
FLAGS: tuple[tuple[tuple[str, ...], str, bool, str], ...] = (
    (("-H", "--host"), "hosts", True, "Socket to serve: unix://PATH"),
    (("--data-root",), "data-root", False, "Directory of images and containers"),
    (("--exec-root",), "exec-root", False, "Directory of sockets, namespaces and other run-time state"),
    (("-p", "--pidfile"), "pidfile", False, "File that holds the engine's process id"),
    (("--containerd",), "containerd", False, "Socket of a running containerd, instead of an own one"),
    (("-b", "--bridge"), "bridge", False, "Name of the engine's bridge"),
    (("--bip",), "bip", False, "The bridge's address, as 10.84.0.1/16"),
    (("--default-address-pool",), "default-address-pools", True, "Range networks are taken from: base=10.84.0.0/14,size=16"),
    (("--mtu",), "mtu", False, "Bytes of the longest packet on networks that say nothing else"),
    (("--cgroup-parent",), "cgroup-parent", False, "The cgroup all containers are below"),
    (("--exec-opt",), "exec-opts", True, "native.cgroupdriver=cgroupfs or =systemd"),
    (("--log-driver",), "log-driver", False, "Log of containers that ask for none: json-file, local or none"),
    (("--log-opt",), "log-opts", True, "Option of that log, as max-size=10m"),
    (("--registry-mirror",), "registry-mirrors", True, "Mirror of docker.io: https://HOST[:PORT]"),
    (("--insecure-registry",), "insecure-registries", True, "Registry without a certificate: HOST[:PORT], or a range"),
    (("--live-restore",), "live-restore", False, "true: containers outlive the engine (default); false: they end with it"),
    (("--shutdown-timeout",), "shutdown-timeout", False, "Seconds containers get to end with the engine"),
    (("-l", "--log-level"), "log-level", False, "debug, info, warn, error or fatal"),
    (("-G", "--group"), "group", False, "Group that may use the socket"),
)


def parse(argv: Sequence[str]) -> Config:
    """The configuration of a command line and of the file it names.

    Raises `Invalid` and `NotBuilt` with a sentence; `SystemExit(0)` after `--help` and `--version`.
    """
    command = click.Command(
        "longshored",
        params=[
            *(click.Option((*names, _parameter(key)), multiple=many, help=text) for names, key, many, text in FLAGS),
            click.Option(("--config-file",), help=f"JSON file with these settings  [default: {CONFIG_FILE}, where it is]"),
        ],
        callback=lambda **given: given,
        help="A container engine: serves the Docker Engine API on a Unix socket.",
        epilog="`longshored doctor` says what this host has and lacks for it; `longshored unit` prints a systemd unit.",
    )
    click.version_option(__version__, message="longshored %(version)s")(command)
    try:
        given = command.main(list(argv), "longshored", standalone_mode=False)
    except click.ClickException as error:
        raise Invalid(
            f"cannot read the command line: {error.format_message()}", "longshored --help lists the options"
        ) from error
    if not isinstance(given, dict):
        raise SystemExit(0)
    path = given.pop("config_file")
    flags = {key: given[_parameter(key)] for _, key, _, _ in FLAGS if given[_parameter(key)] not in (None, ())}
    if "log-opts" in flags:
        flags["log-opts"] = dict(text.partition("=")[::2] for text in flags["log-opts"])
    for key in ("live-restore", "shutdown-timeout", "mtu"):
        if key in flags:
            flags[key] = _json(key, flags[key])
    if "default-address-pools" in flags:
        flags["default-address-pools"] = [_pool(text) for text in flags["default-address-pools"]]
    return _check(_convert(_join(flags, _read(path or CONFIG_FILE, must=path is not None))))


def _json(key: str, text: str) -> Any:
    """A flag's number or truth, as the file would say it."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid(f"cannot read --{key} {text!r}", "give true or false, or a number") from error


def _parameter(key: str) -> str:
    return key.replace("-", "_")


def _pool(text: str) -> dict[str, Any]:
    """`base=10.84.0.0/14,size=16`."""
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    if parts.keys() != {"base", "size"} or not parts["size"].isdecimal():
        raise Invalid(f"cannot read --default-address-pool {text!r}", "write base=10.84.0.0/14,size=16")
    return {"base": parts["base"], "size": int(parts["size"])}


def _read(path: str, *, must: bool) -> dict[str, Any]:
    """The settings of a `daemon.json`. Raises `Invalid` for what is no JSON object and for a key nobody knows."""
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        if not must:
            return {}
        raise Invalid(f"cannot read the configuration {path}: there is no such file", "leave --config-file out") from None
    except OSError as error:
        raise EngineError(f"cannot read the configuration {path}: {error.strerror}") from error
    try:
        settings = msgspec.json.decode(text or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read the configuration {path}: {error}", "it must be one JSON object") from error
    for key in settings:
        if key not in FILE_KEYS:
            near = difflib.get_close_matches(key, FILE_KEYS, 1, cutoff=0)[0]
            raise Invalid(
                f"cannot use the configuration {path}: {key!r} does not match any configuration option",
                f"the nearest is {near!r}",
            )
    return settings


def _join(flags: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    if both := sorted(flags.keys() & settings.keys()):
        told = "; ".join(f"{key} (from flag: {flags[key]}, from file: {settings[key]})" for key in both)
        raise Invalid(f"these options are given both as a flag and in the configuration file: {told}", "keep one of the two")
    return settings | flags


def _convert(settings: dict[str, Any]) -> Config:
    try:
        return msgspec.convert(settings, Config)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot use the configuration: {error}") from error


def _check(config: Config) -> Config:
    """Refuse what can never work. Raises `Invalid`, `NotBuilt`."""
    for option in ("data_root", "exec_root"):
        if not getattr(config, option).startswith("/"):
            raise Invalid(f"--{option.replace('_', '-')} {getattr(config, option)!r} is no absolute path", "begin it with /")
    for host in config.hosts:
        if not host.startswith("unix:///"):
            raise NotBuilt(f"cannot serve on {host!r}: only Unix sockets are served", "write --host unix:///PATH")
    for path in config.sockets:
        if len(path.encode()) > LONGEST_SOCKET:
            raise Invalid(f"the socket path {path} is longer than {LONGEST_SOCKET} bytes", "shorten --exec-root or --host")
    if config.shutdown_timeout < 0:
        raise Invalid(f"--shutdown-timeout {config.shutdown_timeout} is negative", "give seconds")
    if config.log_level not in LOG_LEVELS:
        raise Invalid(f"--log-level {config.log_level!r} is no level", f"take one of {', '.join(LOG_LEVELS)}")
    for option in config.exec_opts:
        if option not in {f"native.cgroupdriver={driver}" for driver in DRIVERS}:
            raise Invalid(f"cannot use --exec-opt {option!r}", f"take native.cgroupdriver={' or '.join(DRIVERS)}")
    check_places(config.places)
    _check_network(config)
    _check_parent(config)
    return config


def _check_network(config: Config) -> None:
    if config.bridge == "none":
        raise NotBuilt("cannot run without a bridge: --bridge none is not supported yet", "give the bridge a name")
    if not 0 < len(config.bridge) <= LONGEST_LINK or set(config.bridge) & set("/ \t\n:"):
        raise Invalid(
            f"--bridge {config.bridge!r} is no interface name", f"take 1 to {LONGEST_LINK} characters, no space or slash"
        )
    if config.bip:
        try:
            own = IPv4Interface(config.bip)
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            raise Invalid(f"--bip {config.bip!r} is no address: {error}", BIP) from error
        if "/" not in config.bip or own.network.prefixlen > 30 or own.ip in (own.network[0], own.network[-1]):
            raise Invalid(f"--bip {config.bip!r} is no host's address in a range with room", BIP)
    if not SHORTEST_PACKET <= config.mtu <= LONGEST_PACKET:
        raise Invalid(f"--mtu {config.mtu} is out of range", f"give {SHORTEST_PACKET} to {LONGEST_PACKET}, as 1500")
    for pool in config.default_address_pools:
        try:
            base = IPv4Network(pool.base)
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            raise Invalid(f"the address pool's base {pool.base!r} is no range: {error}", "write it as 10.84.0.0/14") from error
        if not base.prefixlen <= pool.size <= 30:
            raise Invalid(f"the address pool {pool.base} cannot be cut to /{pool.size}", f"take {base.prefixlen} to 30")


def _check_parent(config: Config) -> None:
    """The systemd driver wants a slice, cgroupfs a path."""
    if config.systemd_cgroup != config.parent.endswith(".slice"):
        example = "longshore.slice" if config.systemd_cgroup else "/longshore"
        raise Invalid(f"--cgroup-parent {config.parent!r} does not fit the cgroup driver", f"write it as {example}")
    if ".." in config.parent.split("/") or config.parent.strip("/") == "":
        raise Invalid(f"--cgroup-parent {config.parent!r} is no cgroup of one's own", "write it as /longshore")
