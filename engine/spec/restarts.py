"""Restart policies: whether a container that has ended is started again, and when (reference 7.1). Pure."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from engine.model.container import Container
from engine.model.settings import RestartPolicy
from engine.model.status import Status
from engine.spec.signals import ends

FIRST, LONGEST = 0.1, 60.0
"""Seconds of the first back-off and of the longest; between them each is twice the one before."""
STEADY = 10.0
"""A container that has run so many seconds begins its back-off anew."""


def wanted(policy: RestartPolicy, *, exit_code: int, restarts: int, manually_stopped: bool) -> bool:
    """Does the policy want a container started that has ended like this, `restarts` times restarted already?"""
    match policy.name:
        case "always":
            return True
        case "unless-stopped":
            return not manually_stopped
        case "on-failure":
            return exit_code != 0 and (not policy.maximum_retry_count or restarts < policy.maximum_retry_count)
    return False


def wanted_at_boot(c: Container) -> bool:
    """Does a new engine start it? `always` has forgotten by then that somebody stopped it (reference 7.2)."""
    return (
        not c.status.up
        and c.has_been_started_before
        and wanted(
            c.host_config.restart_policy,
            exit_code=c.state.exit_code,
            restarts=c.restart_count,
            manually_stopped=c.has_been_manually_stopped,
        )
    )


def after_exit(c: Container) -> Container:
    """A container that has just ended: as it is, or waiting for its next start."""
    if any(ends(c.config.stop_signal, signal) for signal in c.signalled):
        return c  # somebody wanted it to end
    again = wanted(
        c.host_config.restart_policy,
        exit_code=c.state.exit_code,
        restarts=c.restart_count,
        manually_stopped=c.has_been_manually_stopped,
    )
    if not again:
        return c
    seconds = backoff(c)
    return replace(
        c,
        restart_count=c.restart_count + 1,
        backoff=seconds,
        restart_at=c.state.finished_at + timedelta(seconds=seconds),
        state=replace(c.state, status=Status.RESTARTING),
    )


def backoff(c: Container) -> float:
    """Seconds to wait before the next start."""
    ran = (c.state.finished_at - c.state.started_at).total_seconds()
    if not c.backoff or ran >= STEADY:
        return FIRST
    return min(2 * c.backoff, LONGEST)
