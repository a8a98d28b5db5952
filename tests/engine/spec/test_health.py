from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.container import Health, Probe, State
from engine.model.settings import Config, Healthcheck
from engine.spec import health
from engine.spec.merge import merge

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 10**9


def probe(exit_code: int, at: float = 100.0) -> Probe:
    begin = START + timedelta(seconds=at)
    return Probe(start=begin, end=begin + timedelta(seconds=1), exit_code=exit_code)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (Config(), None),
        (Config(healthcheck=Healthcheck()), None),
        (Config(healthcheck=Healthcheck(test=())), None),
        (Config(healthcheck=Healthcheck(test=("NONE",))), None),
        (Config(healthcheck=Healthcheck(test=("CMD",))), None),
        (Config(healthcheck=Healthcheck(test=("cmd", "x"))), None),
        (Config(healthcheck=Healthcheck(test=("CMD", "a", "b"))), ("a", "b")),
        (Config(healthcheck=Healthcheck(test=("CMD-SHELL", "a b"))), ("/bin/sh", "-c", "a b")),
        (Config(healthcheck=Healthcheck(test=("CMD-SHELL", "a")), shell=("/bin/ash", "-ec")), ("/bin/ash", "-ec", "a")),
    ],
)
def test_command(config: Config, command: tuple[str, ...] | None) -> None:
    assert health.probe_command(config) == command
    assert (health.check(config) is None) == (command is None)


@pytest.mark.parametrize(
    ("test", "warning"),
    [
        (("SHELL", "x"), ("Healthcheck.Test 'SHELL' is none of NONE, CMD and CMD-SHELL: health is not checked",)),
        (("CMD",), ("Healthcheck.Test 'CMD' is given no command: health is not checked",)),
        (("CMD-SHELL",), ("Healthcheck.Test 'CMD-SHELL' is given no command: health is not checked",)),
        (("NONE",), ()),
        ((), ()),
        (None, ()),
    ],
)
def test_a_health_test_that_nobody_can_run_is_a_warning(test: tuple[str, ...] | None, warning: tuple[str, ...]) -> None:
    assert tuple(health.warnings(Config(healthcheck=Healthcheck(test=test)))) == warning
    assert health.check(Config(healthcheck=Healthcheck(test=test))) is None


def test_defaults() -> None:
    assert health.check(Config(healthcheck=Healthcheck(test=("CMD", "x")))) == health.Check(
        command=("x",), interval=30, timeout=30, start_period=0, start_interval=30, retries=3
    )


def test_none_overrides_the_images_check_and_single_settings_keep_it() -> None:
    image = Config(healthcheck=Healthcheck(test=("CMD", "x"), interval=7 * SECOND, timeout=SECOND, retries=5))
    assert health.check(merge(Config(healthcheck=Healthcheck(test=("NONE",))), image)) is None
    own = Healthcheck(interval=2 * SECOND, start_interval=SECOND)
    assert health.check(merge(Config(healthcheck=own), image)) == health.Check(
        command=("x",), interval=2, timeout=1, start_interval=1, retries=5
    )


def test_own_times_are_nanoseconds() -> None:
    asked = Healthcheck(test=("CMD", "x"), interval=2 * SECOND, timeout=SECOND // 2, start_period=9 * SECOND, retries=1)
    check = health.check(Config(healthcheck=asked))
    assert check == health.Check(command=("x",), interval=2, timeout=0.5, start_period=9, start_interval=2, retries=1)


def test_nonsense_of_an_image_is_the_default() -> None:
    asked = Healthcheck(test=("CMD", "x"), interval=-1, timeout=-1, start_period=-1, start_interval=-1, retries=-1)
    assert health.check(Config(healthcheck=asked)) == health.Check(command=("x",))


def test_start_interval_holds_while_starting() -> None:
    check = health.Check(command=("x",), interval=30, start_period=10, start_interval=1)
    early, late = START + timedelta(seconds=9), START + timedelta(seconds=10)
    assert check.pause(Health(), START, early) == 1
    assert check.pause(Health(), START, late) == 30
    assert check.pause(Health(status="healthy"), START, early) == 30


def test_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() -> None:
    seen = []
    state = Health()
    for exit_code in (1, 2, -1, 0, 1):
        state = health.after_probe(state, probe(exit_code), START, 0, 3)
        seen.append((state.status, state.failing_streak))
    assert seen == [("starting", 1), ("starting", 2), ("unhealthy", 3), ("healthy", 0), ("healthy", 1)]


def test_failures_in_the_start_period_do_not_count() -> None:
    state = health.after_probe(Health(), probe(1, at=4.9), START, 5, 1)
    assert (state.status, state.failing_streak) == ("starting", 0)
    assert health.after_probe(state, probe(1, at=5), START, 5, 1).status == "unhealthy"


def test_the_first_success_ends_the_start_period() -> None:
    state = health.after_probe(Health(), probe(0, at=1), START, 60, 1)
    assert health.after_probe(state, probe(1, at=2), START, 60, 1).status == "unhealthy"


@given(st.lists(st.sampled_from([0, 1, -1]), min_size=1, max_size=20), st.integers(1, 4))
def test_log_and_streak(codes: list[int], retries: int) -> None:
    state = Health()
    for exit_code in codes:
        state = health.after_probe(state, probe(exit_code), START, 0, retries)
    assert [p.exit_code for p in state.log] == codes[-health.LOG_LENGTH :]
    streak = next((i for i, code in enumerate(reversed(codes)) if code == 0), len(codes))
    assert state.failing_streak == streak
    assert (state.status == "unhealthy") == (streak >= retries)


def test_begin_and_close_keep_the_log() -> None:
    old = Health(status="healthy", failing_streak=2, log=(probe(1),))
    assert health.begun(old) == Health(log=old.log)
    assert health.begun(None) == Health()
    assert health.closed(old) == Health(status="unhealthy", failing_streak=2, log=old.log)


def test_the_interval_is_counted_from_the_last_look_at_this_process() -> None:
    def looked(*ends: float) -> float:
        state = State(started_at=START, health=Health(log=tuple(probe(0, at=end - 1) for end in ends)))
        return (health.last_looked_at(state, START + timedelta(seconds=60)) - START).total_seconds()

    assert looked() == looked(-5) == 0  # that one was of the run before
    assert looked(-5, 20) == 20
    assert looked(100) == 60  # the clock was set back since
    assert health.last_looked_at(State(started_at=START), START) == START


def test_texts() -> None:
    assert health.clip(b"x" * 4096) == "x" * 4096
    assert health.clip(b"x" * 4097) == "x" * 4096 + "..."
    assert health.clip(b"\xff") == "\ufffd"
    assert health.timed_out(90) == "Health check exceeded timeout (1m30s)"
    assert health.timed_out(0.5, b"so far") == "Health check exceeded timeout (500ms): so far"
