from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.model.world import Sample
from tui.view import figures
from tui.view.figures import Meter, age, duration, first, measure, memory, rate, settle, size

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shown", "figure"),
    [
        (size(0), "0 B"),
        (size(12_000), "12 kB"),
        (size(4_200_000), "4.2 MB"),
        (size(999_999), "1 MB"),
        (memory(96 << 20, 0), "96 MB"),
        (memory(128 << 20, 512 << 20), "128/512 MB"),
        (memory(3.1 * (1 << 30), 24 << 30), "3.1/24 GB"),
        (rate(0.4), "0"),
        (rate(340), "340"),
        (rate(3100), "3.1 k"),
        (rate(12_000), "12 k"),
        (duration(0.42), "0.4 ms"),
        (duration(96), "96 ms"),
        (duration(1234), "1.2 s"),
        (duration(200_000), "3 min"),
        (age(None, NOW), "-"),
        (age(NOW - timedelta(seconds=59), NOW), "<1 m"),
        (age(NOW - timedelta(hours=3, minutes=59), NOW), "3 h"),
        (age(NOW - timedelta(days=3), NOW), "3 d"),
    ],
)
def test_figures_are_short(shown: str, figure: str) -> None:
    assert shown == figure


def test_a_figure_that_changes_little_is_held_still() -> None:
    assert settle(100, 108, 1) == 100
    assert settle(100, 120, 1) == 120
    assert settle(5, 0, 10) == 0


def test_steady_load_settles_to_one_meter() -> None:
    meters: dict[str, Meter] = {}
    shown = []
    for n in range(60):
        wobble = 1 + (n % 3 - 1) * 0.05
        meters = measure(meters, [Sample(id="a", cpu=10 * wobble, memory=100 << 20, rx=3000 * wobble, tx=1000)])
        meter = meters["a"]
        shown.append((meter.cpu_shown, meter.bars, meter.memory, meter.rx, meter.tx))
    assert len(set(shown[30:])) == 1


def test_a_burst_and_its_end_are_seen_at_once() -> None:
    meter = first(Sample(id="a", cpu=1.0)).after(Sample(id="a", cpu=90.0))
    assert meter.cpu_shown > 30
    assert meter.after(Sample(id="a", cpu=0.0)).cpu_shown == 0


def test_bars_rise_with_load() -> None:
    assert figures.bars(figures.level(percent) for percent in (0, 3, 15, 50, 100)) == "▁▂▄▆█"


def test_a_limit_of_the_whole_host_is_none() -> None:
    meter = measure({}, [Sample(id="a", memory=1 << 20, memory_limit=8 << 30)], host_memory=8 << 30)["a"]
    assert memory(meter.memory, meter.memory_limit) == "1 MB"
