"""What the image says and what the person says, made one. The person wins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.settings import Config, Healthcheck, Strings


def words(value: Strings | str) -> tuple[str, ...]:
    """A command as a tuple: Docker takes a bare string for a list of one."""
    return (value,) if isinstance(value, str) else value or ()


def merge(user: Config, image: Config) -> Config:
    """The container's config: the user's, completed from the image's."""
    entrypoint, cmd = words(user.entrypoint), words(user.cmd)
    if not entrypoint:
        # An entrypoint of the user's own makes the image's cmd meaningless: it was written for another program.
        cmd = cmd or words(image.cmd)
        if user.entrypoint is None:
            entrypoint = words(image.entrypoint)
    return replace(
        user,
        user=user.user or image.user,
        working_dir=user.working_dir or image.working_dir,
        stop_signal=user.stop_signal or image.stop_signal,
        exposed_ports=_union(image.exposed_ports, user.exposed_ports),
        volumes=_union(image.volumes, user.volumes),
        labels=_union(image.labels, user.labels),
        env=_env(user.env or (), image.env or ()),
        entrypoint=None if entrypoint in ((), ("",)) else entrypoint,
        cmd=cmd or None,
        healthcheck=_healthcheck(user.healthcheck, image.healthcheck),
    )


def _union(image: dict[str, Any] | None, user: dict[str, Any] | None) -> dict[str, Any] | None:
    return (image or {}) | (user or {}) or None


def _env(user: Iterable[str], image: Iterable[str]) -> tuple[str, ...]:
    own = tuple(user)
    keys = {entry.partition("=")[0] for entry in own}
    return own + tuple(entry for entry in image if entry.partition("=")[0] not in keys)


def _healthcheck(user: Healthcheck | None, image: Healthcheck | None) -> Healthcheck | None:
    if user is None or image is None:
        return user or image
    return Healthcheck(
        test=user.test or image.test,
        interval=user.interval or image.interval,
        timeout=user.timeout or image.timeout,
        start_period=user.start_period or image.start_period,
        start_interval=user.start_interval or image.start_interval,
        retries=user.retries or image.retries,
    )


def command(config: Config) -> tuple[str, tuple[str, ...]]:
    """The program and its arguments, of a merged config. Raises `Invalid` when nothing says what to run."""
    line = words(config.entrypoint) + words(config.cmd)
    if not line:
        raise Invalid(
            "no command is specified: the image has neither Entrypoint nor Cmd, and none was given",
            "give a command after the image's name",
        )
    return line[0], line[1:]
