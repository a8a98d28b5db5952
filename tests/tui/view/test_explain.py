"""Why a container is in its state: one sentence at least for everything that can be so."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.container import Container
from engine.model.run import Run, Way
from engine.model.settings import HostConfig, RestartPolicy
from engine.model.status import Status
from engine.model.world import ContainerRow, Freezer
from tests.tui.made import probe, record, row
from tui.view.explain import explain, meaning

NOW = datetime.now(UTC)


def told(r: ContainerRow, *probes: Any, **changes: Any) -> str:
    return " ".join(explain(r, record(r, *probes, **changes)))


def exited(code: int, **changes: Any) -> ContainerRow:
    return row("web", Status.EXITED, exit_code=code, **changes)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "success"),
        (1, "general word for an error"),
        (2, "options they do not understand"),
        (125, "`docker run` uses it"),
        (126, "cannot be executed"),
        (127, "not found in the image"),
        (129, "128+1, SIGHUP"),
        (130, "128+2, SIGINT: as Ctrl-C does"),
        (134, "128+6, SIGABRT: the program gave up on itself"),
        (137, "128+9, SIGKILL, not sent from here"),
        (139, "128+11, SIGSEGV: it touched memory that is not its own"),
        (143, "128+15, SIGTERM: somebody asked it to end"),
        (128 + 38, "SIGRTMIN+4"),
        (255, "-1"),
        (42, "only the program knows"),
    ],
)
def test_what_an_exit_code_means(code: int, said: str) -> None:
    assert said in told(exited(code))


@pytest.mark.parametrize(
    ("code", "sent", "said"),
    [
        (143, (15,), "SIGTERM, sent from here"),
        (137, (9,), "sent from here; no program can refuse it"),
        (137, (15, 9), "because it had not ended on SIGTERM within its grace time"),
        (0, (15,), "it was sent SIGTERM from here, and ended in good order"),
        (1, (15,), "general word for an error"),
    ],
)
def test_who_sent_the_signal(code: int, sent: tuple[int, ...], said: str) -> None:
    assert said in told(exited(code), signalled=sent)


@given(st.integers(-300, 300), st.lists(st.integers(1, 64)), st.booleans())
def test_every_code_has_a_meaning(code: int, sent: list[int], oom: bool) -> None:
    assert meaning(code, tuple(sent), oom=oom).strip()


def test_want_of_memory_is_told_with_the_limit() -> None:
    limited = HostConfig(memory=64 << 20)
    killed = told(exited(137, oom=True), host_config=limited)
    assert "The kernel killed it for want of memory: its limit is 64 MB." in killed and "somebody on this host" not in killed
    assert "though not its first one" in told(exited(1, oom=True), host_config=limited)
    assert "though not its first one" in told(row("web", oom=True))


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "by_hand", "said"),
    [
        ("", 1, 0, False, "no restart policy"),
        ("no", 1, 0, False, "no restart policy"),
        ("always", 0, 0, True, "leaves it alone, because somebody stopped it by hand"),
        ("on-failure:3", 0, 0, False, "only after a failure"),
        ("on-failure:3", 1, 3, False, "given up after 3 restarts"),
    ],
)
def test_why_it_is_not_started_again(policy: str, code: int, restarts: int, by_hand: bool, said: str) -> None:
    assert said in told(exited(code, policy=policy, restarts=restarts), has_been_manually_stopped=by_hand)


def test_which_restart_is_next_and_when() -> None:
    due = NOW + timedelta(seconds=2)
    waiting = row("web", Status.RESTARTING, exit_code=139, policy="on-failure:5", restarts=2, restart_at=due)
    text = told(waiting, backoff=1.6)
    assert "exit code 139" in text and "SIGSEGV" in text
    at = f"{due.astimezone():%H:%M:%S}"
    assert f"Its policy on-failure:5 starts it again at {at}, restart 3 of 5, after waiting 1.6 s" in text


def test_restarts_so_far_are_told_of_what_runs() -> None:
    assert "has started it again 4 times" in told(row("web", policy="always", restarts=4))
    assert "once" in told(row("web", policy="always", restarts=1))
    assert "policy" not in told(row("web", policy="always"))


@pytest.mark.parametrize(
    ("status", "freezer", "said"),
    [
        (Status.PAUSED, Freezer(kernel="frozen", asked=True, self_frozen=True, ms=3.2), "paused from here"),
        (Status.PAUSED, Freezer(kernel="thawed", asked=True), "somebody thawed its cgroup from outside"),
        (Status.PAUSED, Freezer(kernel="freezing", asked=True), "a system call that it cannot leave"),
        (Status.RUNNING, Freezer(kernel="freezing", asked=False), "a system call that it cannot leave"),
        (Status.RUNNING, Freezer(kernel="frozen", asked=False, self_frozen=True), "somebody froze its cgroup from outside"),
        (Status.RUNNING, Freezer(kernel="frozen", asked=False, parent_frozen=True), "a cgroup above its own is frozen"),
        (Status.RUNNING, Freezer(kernel="thawed", asked=False), "It runs since"),
    ],
)
def test_who_froze_it(status: Status, freezer: Freezer, said: str) -> None:
    assert said in told(row("web", status, freezer=freezer))


def test_which_probe_fails_and_how() -> None:
    sick = row("web", health="unhealthy", streak=3, probe_due=NOW)
    text = told(sick, probe(0), probe(1, "connecting\nwget: server returned error: 503\n\n"))
    assert "its health check failed 3 times in a row: it ended with 1 and said “wget: server returned error: 503”" in text
    assert f"The next probe is at {NOW.astimezone():%H:%M:%S}." in text
    hung = told(row("web", health="unhealthy", streak=1), probe(-1))
    assert "it did not come to an end and said nothing" in hung


@pytest.mark.parametrize(
    ("health", "probes", "said"),
    [
        ("healthy", (probe(),), "Its health check succeeds."),
        ("starting", (), "No probe of its health check has ended yet."),
        ("starting", (probe(7),), "has not succeeded yet; it ended with 7"),
    ],
)
def test_health_while_all_is_well_or_open(health: str, probes: tuple[Any, ...], said: str) -> None:
    assert said in told(row("web", health=health), *probes)


def test_a_frozen_containers_health_is_not_told() -> None:
    assert "health" not in told(row("web", Status.PAUSED, health="unhealthy"), probe(1))


def test_created_and_never_started() -> None:
    assert "never started" in told(row("web", Status.CREATED))
    failed = told(row("web", Status.CREATED, exit_code=127, error='exec: "nginz": not found'))
    assert 'could not be started: exec: "nginz": not found. Exit code 127: its command was not found' in failed


def test_dead_with_its_reason() -> None:
    dead = row("web", Status.DEAD, error="the disk is full")
    broken = Run(verb="remove", rows=(), began=NOW, way=Way.BROKEN, error="cannot unmount: busy")
    assert "It is dead: the disk is full." in told(dead)
    assert "Its last operation, remove, could go neither forward nor back: cannot unmount: busy." in told(dead, run=broken)


def test_what_is_under_way_or_gone_comes_first() -> None:
    first = explain(*_with(row("web", verb="stop", step="End the process", at=1, of=6)))[0]
    assert first == "A stop is on its way: step 2 of 6, End the process."
    assert "step by step, at step 2 of 6" in told(row("web", lesson=True, verb="stop", at=1, of=6))
    assert "Deleted behind the engine's back: union mount gone" in told(row("web", missing=("union mount",)))


def test_what_the_engine_says_is_shown_not_obeyed() -> None:
    assert "\x1b" not in told(exited(255, error="\x1b[31mits end was not seen"))


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_explained(status: Status) -> None:
    sentences = explain(*_with(row("web", status)))
    assert sentences and all(text.endswith((".", "!", "?")) for text in sentences)


def test_the_numbers_are_this_kernels() -> None:
    assert meaning(128 + signal.SIGSYS).startswith("128+31, SIGSYS")


def _with(r: ContainerRow) -> tuple[ContainerRow, Container]:
    policy = HostConfig(restart_policy=RestartPolicy(name=r.policy))
    return r, record(r, host_config=policy)
