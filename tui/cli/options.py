"""The flags of `run`, `create` and `update`, and the request they make.

Each flag names the key of the Engine API that it sets, so that a new one is a line. What the engine cannot do it refuses
itself, by the key's name; flags that would need more than a line for that are told of in `NOT_BUILT`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
import msgspec

from engine.model.errors import Invalid
from tui.cli import words
from tui.pairs import pair
from tui.ports import bindings, publish

Json = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    Kind = click.ParamType[Any]
else:
    Kind = click.ParamType  # before click 8.5 it is no generic type


class Read(Kind):
    """A value read by a function that raises `Invalid` for what it cannot read."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value  # a default, or read before
        try:
            return self._read(value)
        except Invalid as error:
            self.fail(str(error), param, context)


def _file(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Invalid(f"cannot read {path}: {why}", "give a text file that you may read") from error


def _security(text: str) -> str:
    """A seccomp profile is sent as its content: the engine does not see our files."""
    name, equals, value = text.partition("=")
    if name != "seccomp" or not equals or value in ("unconfined", "builtin"):
        return text
    try:
        return f"seccomp={msgspec.json.encode(msgspec.json.decode(_file(value))).decode()}"
    except msgspec.DecodeError as error:
        raise Invalid(f"the seccomp profile {value} is no JSON: {error}", "give a file with a profile") from error


DURATION = Read("duration", words.duration)
SIZE = Read("size", words.size)
CPUS = Read("number", words.cpus)
ULIMIT = Read("name=soft[:hard]", words.ulimit)
POLICY = Read("policy", words.restart_policy)
PAIR = Read("key=value", pair)
HOST = Read("name:address", words.host)
PORTS = Read("port[-port][/proto]", words.port_range)
PUBLISH = Read("port", publish)
NETWORK = Read("network", words.network)
VARIABLE = Read("name[=value]", lambda text: words.variable(text, os.environ))
VARIABLES = Read("file", lambda path: tuple(words.lines(_file(path), os.environ)))
LABELS = Read("file", lambda path: tuple(map(pair, words.lines(_file(path)))))
SECURITY = Read("option", _security)
COMMAND = Read("command", lambda text: ["CMD-SHELL", text])
SWITCH = click.BOOL
MANY = "many"
PAIRS = "pairs"


class Flag(NamedTuple):
    names: str
    key: str
    """The key that it sets, `HealthCheck.Interval` for one inside another; empty: whoever asks looks at it by name."""
    kind: Kind
    help: str
    how: str = ""
    """`many`: it may be repeated, and makes a list; `pairs`: a map."""

    @property
    def parameter(self) -> str:
        """The name of the command's parameter."""
        return self.names.split()[-1].removeprefix("--").replace("-", "_")

    def option(self) -> Callable[[F], F]:
        names = self.names.split()
        if self.kind is SWITCH:
            return click.option(*names, self.parameter, is_flag=True, help=self.help)
        return click.option(*names, self.parameter, type=self.kind, multiple=bool(self.how), help=self.help)


CONFIG = (
    Flag("-i --interactive", "OpenStdin", SWITCH, "Keep the standard input open."),
    Flag("-t --tty", "Tty", SWITCH, "Give the process a terminal."),
    Flag("-e --env", "", VARIABLE, "Set a variable of the environment; NAME alone takes its value from here.", MANY),
    Flag("--env-file", "", VARIABLES, "Set variables from a file of NAME=VALUE lines.", MANY),
    Flag("-u --user", "User", click.STRING, "Name or number of the user, with :GROUP where it is another than the user's."),
    Flag("-w --workdir", "WorkingDir", click.STRING, "Working directory inside."),
    Flag("--entrypoint", "Entrypoint", Read("command", lambda text: [text]), "Run this instead of the image's entrypoint."),
    Flag("-l --label", "", PAIR, "Put a label on the container.", PAIRS),
    Flag("--label-file", "", LABELS, "Put labels from a file of NAME=VALUE lines on it.", MANY),
    Flag("-h --hostname", "Hostname", click.STRING, "Host name inside."),
    Flag("--domainname", "Domainname", click.STRING, "NIS domain name inside."),
    Flag("--mac-address", "MacAddress", click.STRING, "Ethernet address of its first interface."),
    Flag("--expose", "", PORTS, "Say that it listens on a port.", MANY),
    Flag("--stop-signal", "StopSignal", click.STRING, "Signal that `stop` sends; SIGTERM where the image says nothing."),
    Flag("--stop-timeout", "StopTimeout", click.INT, "Seconds that `stop` waits before it kills; 10."),
    Flag("--health-cmd", "Healthcheck.Test", COMMAND, "Shell command that looks whether the container is healthy."),
    Flag("--health-interval", "Healthcheck.Interval", DURATION, "Time between two looks, such as 30s."),
    Flag("--health-timeout", "Healthcheck.Timeout", DURATION, "Time a look may take."),
    Flag("--health-retries", "Healthcheck.Retries", click.INT, "Failures in a row that make it unhealthy."),
    Flag("--health-start-period", "Healthcheck.StartPeriod", DURATION, "Time in which failures do not count yet."),
    Flag("--health-start-interval", "Healthcheck.StartInterval", DURATION, "Time between two looks until then."),
    Flag("--no-healthcheck", "", SWITCH, "Do not look, whatever the image says."),
)
"""Flags for `Config`, the body's own keys."""

RESOURCES = (
    Flag("--restart", "RestartPolicy", POLICY, "When to start it again: no, always, unless-stopped, on-failure[:COUNT]."),
    Flag("-m --memory", "Memory", SIZE, "Memory it may use, such as 512m."),
    Flag("--memory-swap", "MemorySwap", SIZE, "Memory and swap together; -1 for no limit."),
    Flag("--memory-reservation", "MemoryReservation", SIZE, "Memory it is pressed down to when the host runs short."),
    Flag("--cpus", "NanoCpus", CPUS, "CPUs it may use, such as 1.5."),
    Flag("-c --cpu-shares", "CpuShares", click.INT, "Its weight against others; 1024 is usual."),
    Flag("--cpu-period", "CpuPeriod", click.INT, "Microseconds of the scheduler's period."),
    Flag("--cpu-quota", "CpuQuota", click.INT, "Microseconds of CPU time it may use in a period."),
    Flag("--cpuset-cpus", "CpusetCpus", click.STRING, "CPUs it may run on, such as 0-2,4."),
    Flag("--cpuset-mems", "CpusetMems", click.STRING, "Memory nodes it may use."),
    Flag("--blkio-weight", "BlkioWeight", click.INT, "Its weight for the disk, 10 to 1000."),
    Flag("--pids-limit", "PidsLimit", click.INT, "Processes it may have; -1 for no limit."),
)
"""Flags for `HostConfig` that `update` takes too."""

HOST_CONFIG = (
    Flag("--rm", "AutoRemove", SWITCH, "Remove the container when it ends."),
    Flag("--cidfile", "ContainerIDFile", click.STRING, "Write the container's id to a new file."),
    Flag("--log-driver", "LogConfig.Type", click.STRING, "What keeps its output: json-file, local or none."),
    Flag("--log-opt", "LogConfig.Config", PAIR, "Option of the log driver, such as max-size=10m.", PAIRS),
    Flag("--memory-swappiness", "MemorySwappiness", click.INT, "How readily it is swapped out, 0 to 100."),
    Flag("--oom-kill-disable", "OomKillDisable", SWITCH, "Let it wait for memory where it would be killed."),
    Flag("--oom-score-adj", "OomScoreAdj", click.INT, "How soon it is killed when the host runs out, -1000 to 1000."),
    Flag("--ulimit", "Ulimits", ULIMIT, "Limit of getrlimit(2), such as nofile=1024:2048.", MANY),
    Flag("--cap-add", "CapAdd", click.STRING, "Give it a capability, such as NET_ADMIN.", MANY),
    Flag("--cap-drop", "CapDrop", click.STRING, "Take a capability from it, or ALL.", MANY),
    Flag("--security-opt", "SecurityOpt", SECURITY, "no-new-privileges, seccomp=FILE, seccomp=unconfined, ...", MANY),
    Flag("--privileged", "Privileged", SWITCH, "Give it all capabilities and devices."),
    Flag("--read-only", "ReadonlyRootfs", SWITCH, "Let it change nothing of its files."),
    Flag("--shm-size", "ShmSize", SIZE, "Size of /dev/shm; 64m."),
    Flag("--sysctl", "Sysctls", PAIR, "Kernel setting of its own namespaces.", PAIRS),
    Flag("--group-add", "GroupAdd", click.STRING, "One more group for its user.", MANY),
    Flag("--net --network", "", NETWORK, "Network it is plugged into, or bridge, host, none, container:NAME.", MANY),
    Flag("--net-alias --network-alias", "", click.STRING, "One more name for it on its network.", MANY),
    Flag("--ip", "", click.STRING, "Its IPv4 address on its network, such as 10.90.0.7."),
    Flag("--ip6", "", click.STRING, "Its IPv6 address there."),
    Flag("--link", "Links", click.STRING, "Know another container by a name, CONTAINER[:NAME].", MANY),
    Flag("-p --publish", "", PUBLISH, "Publish a port on the host, [[ADDRESS:]HOSTPORT:]PORT[/PROTOCOL].", MANY),
    Flag("-P --publish-all", "PublishAllPorts", SWITCH, "Publish all exposed ports on free ones of the host."),
    Flag("--dns", "Dns", click.STRING, "Name server.", MANY),
    Flag("--dns-opt --dns-option", "DnsOptions", click.STRING, "Option for resolv.conf.", MANY),
    Flag("--dns-search", "DnsSearch", click.STRING, "Domain to look names up in.", MANY),
    Flag("--add-host", "ExtraHosts", HOST, "One more line for /etc/hosts.", MANY),
    Flag("--annotation", "Annotations", PAIR, "Annotation for the runtime.", PAIRS),
    Flag("--cgroupns", "CgroupnsMode", click.STRING, "Its view of cgroups: host or private."),
    Flag("--ipc", "IpcMode", click.STRING, "Who shares its memory: private or none."),
    Flag("--pid", "PidMode", click.STRING, "Whose processes it sees."),
    Flag("--uts", "UTSMode", click.STRING, "Whose host name it has."),
    Flag("--userns", "UsernsMode", click.STRING, "Whose users it has."),
    Flag("--runtime", "Runtime", click.STRING, "What runs it: runc."),
    Flag("--init", "Init", SWITCH, "Put an init before the command."),
)
"""Flags for `HostConfig`."""

SETTINGS = (*CONFIG, *RESOURCES, *HOST_CONFIG)

NOT_BUILT = {
    **dict.fromkeys(
        ("-v", "--volume", "--volumes-from", "--volume-driver", "--mount", "--tmpfs"), "nothing can be mounted into a container"
    ),
    **dict.fromkeys(("--device", "--device-cgroup-rule", "--gpus"), "containers cannot have the host's devices"),
    "--link-local-ip": "the kernel alone gives link-local addresses",
    **dict.fromkeys(("--cpu-rt-period", "--cpu-rt-runtime"), "real-time scheduling is missing"),
    **dict.fromkeys(
        ("--blkio-weight-device", *(f"--device-{way}-{what}" for way in ("read", "write") for what in ("bps", "iops"))),
        "I/O limits of single devices are missing",
    ),
    "--storage-opt": "the writable layer has no options",
    "--cgroup-parent": "all cgroups lie below the engine's own",
}
"""Flags of Docker's that have no effect here yet, and why. They are refused, never passed over."""


class Command(click.Command):
    """A command whose options stand before its first argument, and that knows what Docker has and it has not."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.allow_interspersed_args = False

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            if why := NOT_BUILT.get(error.option_name):
                raise click.UsageError(f"{error.option_name} is not built yet: {why}; leave it out", context) from error
            raise


def flags(*given: Iterable[Flag]) -> Callable[[F], F]:
    """Give a command these flags, in this order."""

    def decorate(function: F) -> F:
        for flag in reversed(list(chain(*given))):
            function = flag.option()(function)
        return function

    return decorate


def settings(flags: Iterable[Flag], given: Mapping[str, Any]) -> Json:
    """The keys that the given flags set. A flag that was not given sets nothing: the engine's default counts."""
    made: Json = {}
    for flag in flags:
        value = given[flag.parameter]
        if flag.key and value is not None and value is not False and value != ():
            *path, key = flag.key.split(".")
            into = made
            for part in path:
                into = into.setdefault(part, {})
            into[key] = dict(value) if flag.how == PAIRS else list(value) if flag.how == MANY else value
    return made


def environment(given: Mapping[str, Any]) -> list[str]:
    """Files first: what is said on the command line counts."""
    return [*chain(*given["env_file"]), *given["env"]]


def streams(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Which streams the command is to be joined to: those asked for, else all that there are."""
    if given.get("detach"):
        return ()
    return given["attach"] or (("stdin",) if given["interactive"] else ()) + ("stdout", "stderr")


def create_body(image: str, command: Sequence[str], given: Mapping[str, Any]) -> Json:
    """The body of `POST /containers/create`. Raises `Invalid` for flags that contradict each other."""
    _check(given)
    body, joined = settings(CONFIG, given), streams(given)
    host_config = settings((*RESOURCES, *HOST_CONFIG), given)
    if given["no_healthcheck"]:
        body["Healthcheck"] = {"Test": ["NONE"]}
    for name in ("stdin", "stdout", "stderr"):
        body[f"Attach{name.title()}"] = name in joined
    body["StdinOnce"] = given["interactive"] and "stdin" in joined
    if variables := environment(given):
        body["Env"] = variables
    if labels := dict(chain(*given["label_file"], given["label"])):
        body["Labels"] = labels
    if given["expose"]:
        body["ExposedPorts"] = {port: {} for port in chain(*given["expose"])}
    if given["publish"]:
        host_config["PortBindings"] = bindings(chain(*given["publish"]))
    if given["network"]:
        host_config["NetworkMode"] = given["network"][0][0]
    name, asked = attachments(given)[0]
    if asked:
        body["NetworkingConfig"] = {"EndpointsConfig": {name: asked}}
    if command:
        body["Cmd"] = list(command)
    if "systempaths=unconfined" in (options := host_config.get("SecurityOpt", [])):
        host_config["SecurityOpt"] = [option for option in options if option != "systempaths=unconfined"]
        host_config |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return body | {"Image": image, "HostConfig": host_config}


ON_FIRST = {
    "network_alias": ("Aliases", "--network-alias"),
    "ip": ("IPv4Address", "--ip"),
    "ip6": ("IPv6Address", "--ip6"),
}
"""Flags that are about the first network, and the keys of `words.network` that say the same."""


def attachments(given: Mapping[str, Any]) -> list[tuple[str, Json]]:
    """The networks with what is asked of each, Docker's `EndpointSettings`; the engine's default where none is named.

    A container is made on the first; the others it is connected to. Raises `Invalid`.
    """
    networks: list[tuple[str, Json]] = [(name, dict(asked)) for name, asked in given["network"]] or [("default", {})]
    names = [name for name, _ in networks]
    if twice := {name for name in names if names.count(name) > 1}:
        raise Invalid(f"the network {', '.join(sorted(twice))} is named twice", "name each once")
    first = networks[0][1]
    for parameter, (key, flag) in ON_FIRST.items():
        if given[parameter] and key in first:
            raise Invalid(f"{flag} and --network with the same in it contradict each other", "leave one of them out")
        if given[parameter]:
            first[key] = list(given[parameter]) if key == "Aliases" else given[parameter]
    if given["link"] and names[0] not in UNNAMED:
        first["Links"] = list(given["link"])
    return [(name, endpoint(asked)) for name, asked in networks]


UNNAMED = ("default", "bridge", "host", "none")
"""Networks without a name service: links are the container's own there."""


def endpoint(asked: Json) -> Json:
    """`EndpointSettings`, in which addresses have a place of their own."""
    addresses = {key: asked[key] for key in ("IPv4Address", "IPv6Address") if asked.get(key)}
    rest = {key: value for key, value in asked.items() if key not in ("IPv4Address", "IPv6Address") and value}
    return rest | ({"IPAMConfig": addresses} if addresses else {})


def _check(given: Mapping[str, Any]) -> None:
    if given["no_healthcheck"] and any(given[flag.parameter] is not None for flag in CONFIG if flag.key.startswith("Healthc")):
        raise Invalid("--no-healthcheck cannot be given with --health-* options", "leave one of them out")
    if given["rm"] and given["restart"] and given["restart"]["Name"] not in ("", "no"):
        raise Invalid("--rm and --restart cannot both be given", "leave one of them out")
    if given.get("detach") and given["attach"]:
        raise Invalid("-d and -a cannot both be given", "leave one of them out")
