"""Health checks: what to run, how often, and what a result means (Docker's `Healthcheck`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from engine.model.container import Health, Probe, State
from engine.model.settings import Config
from engine.spec.words import go_duration

OUTPUT_LIMIT = 4096
"""Bytes kept of a probe's output."""
LOG_LENGTH = 5
SHELL = ("/bin/sh", "-c")

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


class Check(Struct, frozen=True, kw_only=True):
    """A health check with its defaults filled in. All times in seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    """From the end of one probe to the beginning of the next; also from the start to the first."""
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 30.0
    """Instead of `interval` while starting and in the start period."""
    retries: int = 3

    def pause(self, health: Health, started_at: datetime, now: datetime) -> float:
        """How long to wait before the next probe."""
        starting = health.status == STARTING and (now - started_at).total_seconds() < self.start_period
        return self.start_interval if starting else self.interval


def probe_command(config: Config) -> tuple[str, ...] | None:
    """The probe's command line; None when there is no health check, or a kind of test nobody knows."""
    test = (config.healthcheck.test if config.healthcheck else None) or ()
    match test:
        case ("CMD", *command) if command:
            return tuple(command)
        case ("CMD-SHELL", *script) if script:
            return (*(config.shell or SHELL), *script)
    return None


def warnings(config: Config) -> Iterator[str]:
    """What is wrong with the test of a merged config, an image's too: it still runs, and nobody looks after its health."""
    test = (config.healthcheck.test if config.healthcheck else None) or ("",)
    if test[0] not in ("", "NONE", "CMD", "CMD-SHELL"):
        yield f"Healthcheck.Test {test[0]!r} is none of NONE, CMD and CMD-SHELL: health is not checked"
    elif test in (("CMD",), ("CMD-SHELL",)):
        yield f"Healthcheck.Test {test[0]!r} is given no command: health is not checked"


def check(config: Config) -> Check | None:
    """The health check of a merged config, or None."""
    command, asked = probe_command(config), config.healthcheck
    if command is None or asked is None:
        return None
    default = Check(command=command)
    interval = _seconds(asked.interval, default.interval)
    return Check(
        command=command,
        interval=interval,
        timeout=_seconds(asked.timeout, default.timeout),
        start_period=_seconds(asked.start_period, default.start_period),
        start_interval=_seconds(asked.start_interval, interval),
        retries=asked.retries if asked.retries > 0 else default.retries,
    )


def _seconds(nanoseconds: int, default: float) -> float:
    """A person's nonsense is refused; an image's would else be a probe without a pause."""
    return nanoseconds / 1e9 if nanoseconds > 0 else default


def after_probe(health: Health, probe: Probe, started_at: datetime, start_period: float, retries: int) -> Health:
    """The health after one more result. `start_period` in seconds.

    One success makes it healthy. Failures in a row, `retries` of them, make it unhealthy; those in the start period count
    only once there was a success.
    """
    log = (*health.log, probe)[-LOG_LENGTH:]
    if probe.exit_code == 0:
        return Health(status=HEALTHY, failing_streak=0, log=log)
    early = health.status == STARTING and (probe.start - started_at).total_seconds() < start_period
    streak = health.failing_streak if early else health.failing_streak + 1
    return Health(status=UNHEALTHY if streak >= retries else health.status, failing_streak=streak, log=log)


def last_looked_at(state: State, now: datetime) -> datetime:
    """When the interval before the next probe began: at the end of the last one of this run, or at its start."""
    ends = [probe.end for probe in state.health.log if probe.start >= state.started_at] if state.health else []
    return min(now, max((state.started_at, *ends)))  # a clock that was set back must not make it wait for long


def begun(health: Health | None) -> Health:
    """At start: all begins anew, but the last results stay readable."""
    return Health(log=health.log if health else ())


def closed(health: Health) -> Health:
    """At pause and exit, nobody looks any more, and what is not looked after is not healthy. No event tells of it."""
    return replace(health, status=UNHEALTHY)


def clip(output: bytes) -> str:
    """A probe's output as text. Read one byte more than `OUTPUT_LIMIT` to have the cut shown."""
    text = output[:OUTPUT_LIMIT].decode(errors="replace")
    return text + "..." if len(output) > OUTPUT_LIMIT else text


def timed_out(timeout: float, output: bytes = b"") -> str:
    """The text of a probe that ran longer than `timeout` seconds, with what it had said."""
    text = f"Health check exceeded timeout ({go_duration(timedelta(seconds=timeout))})"
    return f"{text}: {clip(output)}" if output else text
