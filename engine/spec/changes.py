"""Instructions of a Dockerfile that change an image's config: what `docker commit --change` and `docker import --change` take.

Facts: Dockerfile reference. Errors have Docker's words, since scripts look for them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.settings import Config, Healthcheck
from engine.spec.shellwords import expand, split
from engine.spec.signals import parse_signal

SHELL: Final = ("/bin/sh", "-c")
_FLAG: Final = re.compile(r"--([a-z-]+)(?:=(\S*))?\s*")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_UNITS: Final = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_MILLISECOND: Final = 10**6
_LONGEST: Final = 2**63 - 1


def apply(changes: Iterable[str], config: Config) -> Config:
    """The config after these instructions, each maybe of several lines. Raises `Invalid`."""
    found = [(word.lower(), rest.strip()) for word, rest in map(_parted, _lines("\n".join(changes)))]
    for name, _ in found:
        if name not in INSTRUCTIONS:
            known = " ".join(INSTRUCTIONS).upper()
            raise Invalid(f"{name} is not a valid change command", f"the commands are {known}")
    has_command = any(name == "cmd" for name, _ in found)
    for name, rest in found:
        config = INSTRUCTIONS[name](rest, config)
        if name == "entrypoint" and not has_command:  # what was to be its arguments was written for another program
            config = replace(config, cmd=None)
    return config


def _lines(text: str) -> Iterator[str]:
    """Instructions, with those put together that go on after a backslash."""
    held = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith("\\"):
            held += line.rstrip()[:-1]
        else:
            if whole := (held + line).strip():
                yield whole
            held = ""
    if held.strip():
        yield held.strip()


def _parted(line: str) -> tuple[str, str]:
    word, *rest = line.split(maxsplit=1)
    return word, "".join(rest)


def _cmd(rest: str, config: Config) -> Config:
    return replace(config, cmd=_command(rest, config))


def _entrypoint(rest: str, config: Config) -> Config:
    return replace(config, entrypoint=_command(rest, config))


def _command(rest: str, config: Config) -> tuple[str, ...] | None:
    listed = _list(rest)
    if listed is not None:
        return listed or None
    return (*(config.shell or SHELL), rest) if rest else None


def _list(rest: str) -> tuple[str, ...] | None:
    """A JSON array of strings; None for what is none, which is then a line for the shell."""
    if not rest.startswith("["):
        return None
    try:
        listed = msgspec.json.decode(rest)
    except msgspec.DecodeError:
        return None
    if not all(isinstance(each, str) for each in listed):
        raise Invalid(f"{rest}: when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(listed)


def _env(rest: str, config: Config) -> Config:
    pairs, env = _pairs("ENV", rest, config), list(config.env or ())
    for name, value in pairs:
        at = next((n for n, each in enumerate(env) if each.partition("=")[0] == name), len(env))
        env[at : at + 1] = [f"{name}={value}"]
    return replace(config, env=tuple(env))


def _label(rest: str, config: Config) -> Config:
    return replace(config, labels=(config.labels or {}) | dict(_pairs("LABEL", rest, config)))


def _pairs(name: str, rest: str, config: Config) -> list[tuple[str, str]]:
    """`a=b c="d e"`, or the older `a d e`."""
    words = split(rest)
    if not words:
        raise Invalid(f"{name} requires at least one argument")
    if "=" in words[0]:
        for word in words:
            if "=" not in word:
                raise Invalid(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        pairs = [(key, value) for key, _, value in (word.partition("=") for word in words)]
    else:
        if len(words) < 2:
            raise Invalid(f"{name} must have two arguments")
        pairs = [(words[0], rest.split(maxsplit=1)[1])]
    variables = _variables(config)
    found = [(expand(key, variables), expand(value, variables)) for key, value in pairs]
    if not all(key for key, _ in found):
        raise Invalid(f"{name} names can not be blank")
    return found


def _variables(config: Config) -> dict[str, str]:
    return {name: value for name, _, value in (each.partition("=") for each in config.env or ())}


def _one(name: str, rest: str, config: Config) -> str:
    if not rest:
        raise Invalid(f"{name} requires exactly one argument")
    return expand(rest, _variables(config))


def _expose(rest: str, config: Config) -> Config:
    if not rest:
        raise Invalid("EXPOSE requires at least one argument")
    ports = dict(config.exposed_ports or {})
    for word in split(rest):
        text = expand(word, _variables(config))
        match = _PORT.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 0 < first <= last < 65536:
            raise Invalid(f"Invalid containerPort: {text}", "write 80, 80/udp or 8000-8010/tcp")
        ports |= {f"{port}/{(match[3] or 'tcp').lower()}": {} for port in range(first, last + 1)}
    return replace(config, exposed_ports=ports)


def _user(rest: str, config: Config) -> Config:
    return replace(config, user=_one("USER", rest, config))


def _workdir(rest: str, config: Config) -> Config:
    path = posixpath.normpath(posixpath.join("/", config.working_dir, _one("WORKDIR", rest, config)))
    return replace(config, working_dir="/" + path.lstrip("/"))


def _volume(rest: str, config: Config) -> Config:
    listed = _list(rest)
    paths = [expand(each, _variables(config)).strip() for each in (split(rest) if listed is None else listed)]
    if not paths:
        raise Invalid("VOLUME requires at least one argument")
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    return replace(config, volumes=(config.volumes or {}) | {path: {} for path in paths})


def _stopsignal(rest: str, config: Config) -> Config:
    signal = _one("STOPSIGNAL", rest, config)
    parse_signal(signal)
    return replace(config, stop_signal=signal)


def _onbuild(rest: str, config: Config) -> Config:
    trigger = rest.partition(" ")[0].upper()
    if not trigger:
        raise Invalid("ONBUILD requires at least one argument")
    if trigger == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    return replace(config, on_build=(*(config.on_build or ()), rest))


def _healthcheck(rest: str, config: Config) -> Config:
    flags: dict[str, str] = {}
    while match := _FLAG.match(rest):
        if match[1] not in ("interval", "timeout", "start-period", "start-interval", "retries"):
            raise Invalid(f"Unknown flag: {match[1]}")
        flags[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    kind, _, command = rest.partition(" ")
    command = command.strip()
    match kind.upper():
        case "":
            raise Invalid("HEALTHCHECK requires at least one argument")
        case "NONE":
            if command or flags:
                raise Invalid("HEALTHCHECK NONE takes no arguments")
            return replace(config, healthcheck=Healthcheck(test=("NONE",)))
        case "CMD":
            listed = _list(command)
            test = ("CMD", *listed) if listed is not None else ("CMD-SHELL", command)
            if not command or listed == ():
                raise Invalid("Missing command after HEALTHCHECK CMD")
        case _:
            raise Invalid(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    check = Healthcheck(
        test=test,
        interval=_span("interval", flags),
        timeout=_span("timeout", flags),
        start_period=_span("start-period", flags),
        start_interval=_span("start-interval", flags),
        retries=_retries(flags),
    )
    return replace(config, healthcheck=check)


def _span(name: str, flags: dict[str, str]) -> int:
    """Nanoseconds in a flag's duration; 0 where it is not given."""
    text = flags.get(name, "")
    if not text or text == "0":
        return 0
    if _SPAN.sub("", text):
        raise Invalid(f"invalid duration {text!r} for --{name}", "write it with units, such as 1m30s")
    length = int(sum(Decimal(number) * _UNITS[unit] for number, unit in _SPAN.findall(text)))
    if not _MILLISECOND <= length <= _LONGEST:
        raise Invalid(f"Interval {name!r} cannot be less than 1ms, and not more than 292 years")
    return length


def _retries(flags: dict[str, str]) -> int:
    text = flags.get("retries", "")
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise Invalid(f"--retries must be at least 1 (not {text})")
    return int(text)


INSTRUCTIONS: Final[dict[str, Callable[[str, Config], Config]]] = {
    "cmd": _cmd,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "onbuild": _onbuild,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
