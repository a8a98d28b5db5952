"""The texts of the tabs: pure functions of what was fetched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.interface import Top
from engine.model.settings import Config, Healthcheck
from engine.model.status import Status
from tests.tui.made import PROCESSES, message, probe, record, row
from tui.view import events, health, inspect, processes
from tui.view.text import Line, plain, width_of

DUE = datetime(2026, 3, 1, 14, 2, 16, tzinfo=UTC)


def text(lines: list[Line]) -> str:
    return "\n".join(plain(line) for line in lines)


def checked(*probes: Any, width: int = 100, opened: frozenset[datetime] = frozenset(), **changes: Any) -> list[Line]:
    status = changes.pop("status", Status.RUNNING)
    r = row("web", status, **({"health": "healthy", "probe_due": DUE} | changes))
    lines, starts = health.lines(record(r, *probes), r, width, opened)
    assert len(starts) == len(probes)
    assert all(width_of(line) <= width for line in lines)
    return lines


# Health


def test_a_probe_is_a_row_with_time_code_duration_and_output() -> None:
    shown = text(checked(probe(0, "fine\n"), probe(1, "503 from upstream", second=5, ms=1200)))
    assert "$ wget -q localhost" in shown and "every 5 s · given 30 s · unhealthy after 3 failures in a row" in shown
    last, first = shown.splitlines()[-2:]
    assert last.startswith("✘") and "1.2 s" in last and "exit 1" in last and "503 from upstream" in last
    assert first.startswith("✔") and "12 ms" in first and "exit 0" in first and "fine" in first


def test_the_next_probe_is_a_time_of_day_that_does_not_tick() -> None:
    assert f"next probe at {DUE.astimezone():%H:%M:%S}" in text(checked())
    assert "frozen: probes wait" in text(checked(status=Status.PAUSED))
    assert "exited: nobody probes" in text(checked(probe(), status=Status.EXITED))


def test_long_output_is_cut_until_it_is_opened() -> None:
    long = probe(1, "\n".join(f"line {n}" for n in range(10)))
    assert "… 7 more lines, Enter shows them" in text(checked(long)) and "line 5" not in text(checked(long))
    assert "line 9" in text(checked(long, opened=frozenset({long.start})))


@pytest.mark.parametrize("width", [24, 40, 61, 80])
def test_output_is_wrapped_and_cannot_steer_the_terminal(width: int) -> None:
    shown = text(checked(probe(-1, "\x1b]0;title\x07a probe that says a great deal " * 4), width=width))
    assert "\x1b" not in shown and "no exit" in shown


def test_without_a_check_it_says_so_and_how_to_add_one() -> None:
    bare = row("web")
    lines, starts = health.lines(record(bare), bare, 80, frozenset())
    assert "has no health check" in text(lines) and "docker create --health-cmd" in text(lines) and not starts
    off = Config(healthcheck=Healthcheck(test=("NONE",)))
    assert "switched off" in text(health.lines(record(bare, config=off), bare, 80, frozenset())[0])


# Processes


def test_processes_are_a_tree_by_parents() -> None:
    rows = processes.arrange(processes.read(PROCESSES), "tree")
    assert [(p.pid, p.depth) for p in rows] == [(4242, 0), (4260, 1), (4261, 1), (4300, 2)]
    assert "└ nginx: cache manager" in plain(processes.body(rows[2], 100))


@pytest.mark.parametrize(("order", "pids"), [("cpu", [4261, 4260, 4242, 4300]), ("memory", [4260, 4261, 4242, 4300])])
def test_processes_are_sorted_by_what_they_take(order: str, pids: list[int]) -> None:
    assert [p.pid for p in processes.arrange(processes.read(PROCESSES), order)] == pids


@pytest.mark.parametrize("width", [30, 69, 70, 120])
def test_processes_fit(width: int) -> None:
    for line in (processes.head(width), *(processes.body(p, width) for p in processes.read(PROCESSES))):
        assert width_of(line) <= width


@pytest.mark.parametrize(
    ("elapsed", "said"),
    [("00:03", "<1 m"), ("12:40", "12 m"), ("03:01:10", "3 h"), ("1-02:00:00", "26 h"), ("9-02:00:00", "9 d")],
)
def test_ages_do_not_tick(elapsed: str, said: str) -> None:
    assert processes.coarse(elapsed) == said


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), unique_by=lambda pair: pair[0]))
def test_every_process_is_shown_once_whatever_the_parents_are(pairs: list[tuple[int, int]]) -> None:
    top = Top(titles=("PID", "PPID", "CMD"), processes=tuple((str(pid), str(parent), "x") for pid, parent in pairs))
    for order in processes.ORDERS:
        assert sorted(p.pid for p in processes.arrange(processes.read(top), order)) == sorted(pid for pid, _ in pairs)


# Inspect

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_the_lines_are_the_json(value: Any) -> None:
    nodes = inspect.flatten(value)
    lines, starts = inspect.lines(nodes, frozenset(), "", 10_000)
    assert len(starts) == len(nodes)
    assert msgspec.json.decode("\n".join(plain(line) for line in lines)) == value


@given(JSON, st.integers(20, 60))
def test_the_lines_fit(value: Any, width: int) -> None:
    lines, _ = inspect.lines(inspect.flatten(value), frozenset(), "a", width)
    assert all(width_of(line) <= max(width, 40) for line in lines)


def test_a_folded_value_is_one_line() -> None:
    nodes = inspect.flatten({"a": {"b": [1, 2]}, "c": 3})
    folded = frozenset({("a",)})
    shown = text(inspect.lines(inspect.unfolded(nodes, folded), folded, "", 80)[0])
    assert shown.splitlines() == ["{", '  "a": { 1 … },', '  "c": 3', "}"]


def test_paths_and_values_are_copied_as_people_want_them() -> None:
    nodes = inspect.flatten({"Env": ["A=1"], "Labels": {"a.b": "x"}})
    by_text = {inspect.path_text(node.path): node for node in nodes if not node.end}
    assert list(by_text) == [".", ".Env", ".Env[0]", ".Labels", '.Labels["a.b"]']
    assert inspect.copied(by_text[".Env[0]"]) == "A=1"
    assert msgspec.json.decode(inspect.copied(by_text["."])) == {"Env": ["A=1"], "Labels": {"a.b": "x"}}


def test_what_is_looked_for_is_marked() -> None:
    lines, _ = inspect.lines(inspect.flatten({"Name": "web"}), frozenset(), "WEB", 40)
    assert [span.text for line in lines for span in line if span.tone == "found"] == ["web"]


# Events


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_an_event_is_one_line(width: int) -> None:
    die = message("die", row("web"), exitCode="137")
    line = events.body(die, width)
    assert width_of(line) <= width and "web" in plain(line) and "die" in plain(line)
    assert width < 60 or "exitCode=137" in plain(line)


def test_events_are_filtered_by_words_and_probes_are_left_out() -> None:
    all_ = [message("die", row("web")), message("exec_start: wget", row("web")), message("start", row("db"))]
    assert [m.action for m in events.seen(all_, "", execs=False)] == ["die", "start"]
    assert [m.action for m in events.seen(all_, "web", execs=True)] == ["die", "exec_start: wget"]
    assert [m.action for m in events.seen(all_, "DB start", execs=False)] == ["start"]
