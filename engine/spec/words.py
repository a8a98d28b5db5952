"""Durations and states in the words `docker ps` uses. Clients and scripts read them."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.model.container import NEVER, Container, State
from engine.model.durations import human_duration as human_duration
from engine.model.status import Status


def human_status(c: Container, now: datetime) -> str:
    """The status column of `docker ps`."""
    state = c.state
    if c.status.alive:
        return f"Up {human_duration(now - state.started_at)}{_remark(state)}"
    if c.status is Status.RESTARTING:
        return f"Restarting ({state.exit_code}) {human_duration(now - state.finished_at)} ago"
    if c.status is Status.EXITED:
        if state.finished_at == NEVER:
            return ""
        return f"Exited ({state.exit_code}) {human_duration(now - state.finished_at)} ago"
    return {Status.REMOVING: "Removal In Progress", Status.DEAD: "Dead"}.get(c.status, "Created")


def _remark(state: State) -> str:
    if state.status is Status.PAUSED:
        return " (Paused)"
    if state.health is None:
        return ""
    return " (health: starting)" if state.health.status == "starting" else f" ({state.health.status or 'unhealthy'})"


def go_duration(length: timedelta) -> str:
    """A duration in Go's spelling: `1m30s`, `500ms`, `2.5s`. Docker writes these into texts people search for."""
    micros = length // timedelta(microseconds=1)
    if micros < 0:
        return "-" + go_duration(-length)
    if micros == 0:
        return "0s"
    if micros < 1_000:
        return f"{micros}µs"
    if micros < 1_000_000:
        return f"{_decimal(micros, 1_000)}ms"
    minutes, rest = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 1_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    """`value / unit` exactly, without trailing zeros."""
    whole, rest = divmod(value, unit)
    digits = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
