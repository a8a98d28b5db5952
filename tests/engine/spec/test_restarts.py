"""Restart policies, purely."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model.settings import Config, HostConfig, RestartPolicy
from engine.model.status import Status
from engine.spec.restarts import FIRST, LONGEST, STEADY, after_exit, backoff, wanted
from tests.engine.spec.made import container

POLICIES = st.sampled_from(["", "no", "always", "unless-stopped", "on-failure"])


@given(POLICIES, st.integers(0, 5), st.integers(0, 255), st.integers(0, 10), st.booleans())
def test_a_policy_says_what_docker_says(name: str, most: int, code: int, restarts: int, manually: bool) -> None:
    policy = RestartPolicy(name=name, maximum_retry_count=most)
    expected = {
        "always": True,
        "unless-stopped": not manually,
        "on-failure": code != 0 and (most == 0 or restarts < most),
    }.get(name, False)
    assert wanted(policy, exit_code=code, restarts=restarts, manually_stopped=manually) is expected


def test_the_back_off_doubles_up_to_a_minute_and_begins_anew_after_a_steady_run() -> None:
    c = container(host_config=HostConfig(restart_policy=RestartPolicy(name="always")))
    waits = []
    for _ in range(12):
        ended = replace(c, state=replace(c.state, finished_at=c.state.started_at, status=Status.EXITED))
        c = after_exit(ended)
        waits.append(c.backoff)
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8] and waits[-1] == LONGEST and sorted(waits) == waits
    steady = replace(c, state=replace(c.state, finished_at=c.state.started_at + timedelta(seconds=STEADY)))
    assert backoff(steady) == FIRST


def test_who_was_told_to_end_is_not_started_again() -> None:
    always = HostConfig(restart_policy=RestartPolicy(name="always"))
    c = container(host_config=always)
    ended = replace(c, state=replace(c.state, status=Status.EXITED))
    for stop_signal, signals, again in (
        ("", (), True),
        ("", (1,), False),
        ("", (15,), False),
        ("SIGTERM", (1,), True),
        ("SIGTERM", (15,), False),
        ("SIGTERM", (9,), False),
    ):
        told = replace(ended, config=Config(stop_signal=stop_signal), signalled=signals)
        assert (after_exit(told).state.status is Status.RESTARTING) is again
