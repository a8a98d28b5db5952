"""What a person can say about a container's log, and what it means: drivers, their options, what every record carries.

The names, defaults and refusals are dockerd's (`daemon/logger`); it refuses some values only at start, we refuse all at create.
Driver `none` takes any option, as there: nothing is kept, so nothing can be kept otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from engine.host.things import Output
from engine.model.container import Container
from engine.model.errors import Invalid, NotBuilt
from engine.model.settings import LogConfig

JSON_FILE: Final = "json-file"
LOCAL: Final = "local"
NONE: Final = "none"
DRIVERS: Final = (JSON_FILE, LOCAL, NONE)

DAEMON: Final = "longshore"
"""What `{{.DaemonName}}` stands for."""

FILES: Final = ("max-size", "max-file", "compress")
MODE: Final = ("mode", "max-buffer-size")
ATTRS: Final = ("labels", "labels-regex", "env", "env-regex", "tag")

TAG_FIELDS: Final = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName")

TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
"""What Go's `strconv.ParseBool` reads."""

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(?:([kmgtp])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE)
_FIELD: Final = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


class Settings(NamedTuple):
    """A driver's options, read."""

    max_size: int | None = None
    """Bytes after which a file is full; None: never."""
    max_file: int = 1
    """Files that are kept, the one being written among them."""
    compress: bool = False
    buffer: int | None = None
    """Bytes that wait for a log that cannot be written, before output is dropped; None: the container waits."""


def log_config(asked: LogConfig, default: LogConfig) -> LogConfig:
    """A container's log as asked for, completed from the engine's default. Raises `Invalid`."""
    kind = asked.type or default.type or JSON_FILE
    config = asked.config or {}
    if kind == (default.type or JSON_FILE):
        config = (default.config or {}) | config
    settings(kind, config)
    return replace(asked, type=kind, config=config)


def settings(driver: str, options: Mapping[str, str]) -> Settings:
    """Read the options of a driver. Raises `Invalid`, naming the one that cannot be."""
    if driver not in DRIVERS:
        raise Invalid(f"logger: no log driver named '{driver}' is registered", f"the log drivers are {', '.join(DRIVERS)}")
    if driver == NONE:
        return Settings()
    for name in options:
        if name not in FILES + MODE + ATTRS:
            raise Invalid(f"unknown log opt '{name}' for {driver} log driver", f"it has {', '.join(FILES + MODE + ATTRS)}")
    _check_attrs(options)
    buffer = _buffer(options)
    max_size, max_file, compress = (None, 1, False) if driver == JSON_FILE else (20 * 1024 * 1024, 5, True)
    if "max-size" in options:
        max_size = size(options["max-size"], 1000, "max-size")
    if "max-file" in options:
        max_file = _count(options["max-file"])
        if max_size is None and max_file > 1:
            raise Invalid("max-file is without meaning where max-size is not set", "add max-size, for example max-size=10m")
    compress = compress and max_file > 1
    if "compress" in options:
        compress = _boolean("compress", options["compress"])
        if compress and (max_file < 2 or max_size is None):
            raise Invalid(
                "compress cannot be true when max-file is less than 2 or max-size is not set",
                "only rotated files are compressed",
            )
    return Settings(max_size, max_file, compress, buffer)


def size(text: str, thousand: int, name: str) -> int:
    """Bytes, as go-units reads them: `10m`, `1.5 GB`; `thousand` is 1000 or 1024. Raises `Invalid`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Invalid(f"invalid value for {name}: {text!r} is no size", "give bytes, or a number with k, m or g, such as 10m")
    bytes_ = float(match[1]) * thousand ** ("kmgtp".index(match[2].lower()) + 1 if match[2] else 0)
    if not 1 <= bytes_ < 2**63:
        raise Invalid(f"{name} must be a positive number, and less than 8 EiB", "give a size such as 10m")
    return int(bytes_)


def _count(text: str) -> int:
    if not re.fullmatch(r"\+?[0-9]{1,6}", text, re.ASCII):
        raise Invalid(f"invalid value for max-file: {text!r} is no count of files", "give a whole number")
    if int(text) < 1:
        raise Invalid("max-file cannot be less than 1", "with 1 only the file being written is kept")
    return int(text)


def _boolean(name: str, text: str) -> bool:
    if text not in TRUE + FALSE:
        raise Invalid(f"invalid boolean value for {name}: {text!r}", "give true or false")
    return text in TRUE


def _buffer(options: Mapping[str, str]) -> int | None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise Invalid(f"logger: logging mode not supported: {mode}", "the modes are blocking and non-blocking")
    if mode == "non-blocking":
        return size(options.get("max-buffer-size", "1m"), 1024, "max-buffer-size")
    if "max-buffer-size" in options:
        raise Invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'", "add mode=non-blocking")
    return None


def _check_attrs(options: Mapping[str, str]) -> None:
    for name in ("labels-regex", "env-regex"):
        try:
            re.compile(options.get(name, ""))
        except re.error as error:
            raise Invalid(f"invalid value for {name}: {options[name]!r} is no regular expression: {error}") from error
    rest = _FIELD.sub(lambda match: "" if match[1] in TAG_FIELDS else match[0], options.get("tag", ""))
    if "{{" in rest:
        fields = ", ".join(f"{{{{.{name}}}}}" for name in TAG_FIELDS)
        raise Invalid(f"cannot read the log's tag {options['tag']!r}", f"what it can name is {fields}")


def output(c: Container) -> Output:
    """How the container's process is connected."""
    config = c.host_config.log_config
    options = config.config or {}
    return Output(
        stdin=c.config.open_stdin,
        terminal=c.config.tty,
        driver=config.type or JSON_FILE,
        options={name: value for name, value in options.items() if name in FILES + MODE},
        attrs=dict(sorted(_attrs(c, options))),
    )


def _attrs(c: Container, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the options choose of labels and environment, and the tag. Of an equal name the later holds."""
    env = dict(entry.partition("=")[::2] for entry in c.config.env or () if "=" in entry)
    for kind, have in (("labels", c.config.labels or {}), ("env", env)):
        names = options.get(kind, "").split(",")
        pattern = options.get(f"{kind}-regex")
        for name, value in have.items():
            if name in names or (pattern and re.search(pattern, name)):
                yield name, value
    if tag := options.get("tag"):
        yield "tag", _FIELD.sub(lambda match: _tag_fields(c)[match[1]], tag)


def _tag_fields(c: Container) -> dict[str, str]:
    # `ImageID` is the id's first 12 characters, its algorithm among them, as dockerd's.
    values = (c.id[:12], c.id, c.name, c.image[:12], c.image, c.config.image, DAEMON)
    return dict(zip(TAG_FIELDS, values, strict=True))


def check_readable(driver: str) -> None:
    """Raises `NotBuilt` for a driver that keeps nothing."""
    if driver == NONE:
        raise NotBuilt("configured logging driver does not support reading", "create the container with another --log-driver")
