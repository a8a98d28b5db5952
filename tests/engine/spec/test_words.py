from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model.container import Health, State
from engine.model.status import Status
from engine.spec.words import go_duration, human_duration, human_status
from tests.engine.spec.made import container

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "Less than a second"),
        (0.99, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (HOUR - 1, "59 minutes"),
        (HOUR, "About an hour"),
        (1.49 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47.4 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13.9 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (-5, "Less than a second"),
    ],
)
def test_durations_as_docker_words_them(seconds: float, words: str) -> None:
    assert human_duration(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(status=Status.CREATING), "Created"),
        (State(status=Status.CREATED), "Created"),
        (State(status=Status.RUNNING, started_at=NOW - timedelta(minutes=5)), "Up 5 minutes"),
        (State(status=Status.PAUSED, started_at=NOW - timedelta(minutes=5), health=Health()), "Up 5 minutes (Paused)"),
        (State(status=Status.RUNNING, started_at=NOW, health=Health()), "Up Less than a second (health: starting)"),
        (State(status=Status.RUNNING, started_at=NOW, health=Health(status="healthy")), "Up Less than a second (healthy)"),
        (State(status=Status.RUNNING, started_at=NOW, health=Health(status="")), "Up Less than a second (unhealthy)"),
        (State(status=Status.EXITED, exit_code=137, finished_at=NOW - timedelta(hours=3)), "Exited (137) 3 hours ago"),
        (State(status=Status.EXITED), ""),
        (State(status=Status.REMOVING), "Removal In Progress"),
        (State(status=Status.DEAD), "Dead"),
    ],
)
def test_status_column(state: State, words: str) -> None:
    assert human_status(replace(container(), state=state), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (30, "30s"),
        (90, "1m30s"),
        (0.5, "500ms"),
        (2.5, "2.5s"),
        (3600, "1h0m0s"),
        (0.0015, "1.5ms"),
        (60.25, "1m0.25s"),
        (-1, "-1s"),
    ],
)
def test_durations_as_go_spells_them(seconds: float, text: str) -> None:
    assert go_duration(timedelta(seconds=seconds)) == text


@given(
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)),
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=100)),
)
def test_every_length_has_words_of_one_number(length: timedelta, more: timedelta) -> None:
    words = human_duration(length)
    assert words.startswith(("Less than", "About a", "1 second")) or int(words.split()[0]) >= 2
