"""Figures for people: short, of fixed width, and calm. What looks the same is the same text, so it costs nothing to show."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from engine.model.world import Sample

_BARS = "▁▂▃▄▅▆▇█"
_LEVELS = (2, 5, 10, 20, 40, 70, 90)
"""Per cent at which the next bar begins: closer together where containers mostly are."""

BARS = 5
SAMPLES_PER_BAR = 4
"""A bar is the mean of so many samples, so that the strip moves every few seconds and not with each."""


class Flow(Struct, frozen=True, kw_only=True):
    """Bytes per second through one of several cables: as shown, and smoothed."""

    rx: float = 0.0
    tx: float = 0.0
    rx_mean: float = 0.0
    tx_mean: float = 0.0

    def after(self, rx: float, tx: float) -> Flow:
        rx, tx = smooth(self.rx_mean, rx), smooth(self.tx_mean, tx)
        return Flow(rx=settle(self.rx, rx, 100.0), tx=settle(self.tx, tx, 100.0), rx_mean=rx, tx_mean=tx)


def begun(rx: float, tx: float) -> Flow:
    """A flow seen for the first time: no smoothing from zero."""
    return Flow(rx_mean=rx, tx_mean=tx)


class Meter(Struct, frozen=True, kw_only=True):
    """A container's figures as shown: smoothed, and held still while they change little."""

    cpu: float = 0.0
    """Smoothed, per cent of a core."""
    cpu_shown: int = 0
    bar: float = 0.0
    """The load that the last bar stands for."""
    bars: tuple[int, ...] = (0,) * BARS
    recent: tuple[float, ...] = ()
    memory: float = 0.0
    memory_limit: int = 0
    flow: Flow = Flow()
    wires: dict[str, Flow] = {}
    """Of each cable, where there are several."""

    @property
    def rx(self) -> float:
        return self.flow.rx

    @property
    def tx(self) -> float:
        return self.flow.tx

    def after(self, sample: Sample) -> Meter:
        cpu = smooth(self.cpu, sample.cpu)
        recent, bars, bar = (*self.recent, sample.cpu), self.bars, self.bar
        if len(recent) >= SAMPLES_PER_BAR:
            bar = settle(bar, sum(recent) / len(recent), 1.0)
            bars, recent = (*bars[1:], level(bar)), ()
        return replace(
            self,
            cpu=cpu,
            cpu_shown=round(settle(self.cpu_shown, cpu, 1.0)),
            bar=bar,
            bars=bars,
            recent=recent,
            memory=settle(self.memory, sample.memory, 64 * 1024),
            memory_limit=sample.memory_limit,
            flow=self.flow.after(sample.rx, sample.tx),
            wires={veth: self.wires.get(veth, begun(*rates)).after(*rates) for veth, rates in sample.wires.items()},
        )


NO_METER = Meter()


def first(sample: Sample) -> Meter:
    """The meter of a container seen for the first time: no smoothing from zero."""
    flow = begun(sample.rx, sample.tx)
    meter = Meter(cpu=sample.cpu, cpu_shown=round(sample.cpu), memory=sample.memory, flow=flow)
    return meter.after(sample)


def measure(meters: dict[str, Meter], samples: Iterable[Sample], host_memory: int = 0) -> dict[str, Meter]:
    """The meters after these samples. A limit as large as the host's memory (bytes; 0: unknown) is none."""
    limited = (replace(s, memory_limit=0) if host_memory and s.memory_limit >= host_memory else s for s in samples)
    return {s.id: meters[s.id].after(s) if s.id in meters else first(s) for s in limited}


def smooth(mean: float, value: float) -> float:
    """An exponential mean over about three samples; what stopped is zero at once."""
    return 0.0 if value == 0 else mean + (value - mean) * 0.4


def settle(shown: float, value: float, least: float) -> float:
    """The figure to show: the one already shown while the new one is within `least` or an eighth of it."""
    return shown if abs(value - shown) <= max(least, shown / 8) and (value > 0 or shown == 0) else value


def level(percent: float) -> int:
    return sum(percent >= limit for limit in _LEVELS)


def bars(levels: Iterable[int]) -> str:
    return "".join(_BARS[n] for n in levels)


def _scaled(value: float, step: int, units: tuple[str, ...]) -> tuple[str, str]:
    unit = 0
    while value >= step * 0.9995 and unit < len(units) - 1:
        value /= step
        unit += 1
    digits = f"{value:.1f}" if unit and value < 9.95 else f"{value:.0f}"
    return digits.removesuffix(".0"), units[unit]


def size(count: float) -> str:
    """Bytes, as Docker counts them (thousands): `4.2 MB`."""
    return " ".join(_scaled(count, 1000, ("B", "kB", "MB", "GB", "TB", "PB")))


def memory(used: float, limit: int) -> str:
    """`96 MB`, or with a limit `128/512 MB` in the unit of the limit. Counted in 1024s, as limits are given."""
    units = ("B", "kB", "MB", "GB", "TB")
    if not limit:
        return " ".join(_scaled(used, 1024, units))
    top, unit = _scaled(limit, 1024, units)
    share = used / 1024 ** units.index(unit)
    return f"{share:.1f}/{top} {unit}" if 0.05 <= share < 9.95 and units.index(unit) > 2 else f"{share:.0f}/{top} {unit}"


def rate(per_second: float) -> str:
    """Bytes per second without the unit, two digits: `0`, `340`, `3 k`, `1.2 M`."""
    if per_second < 1:
        return "0"
    digits, unit = _scaled(per_second, 1000, ("", "k", "M", "G"))
    return f"{digits} {unit}".strip()


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, in one unit; never in seconds, which would tick."""
    if since is None:
        return "-"
    minutes = int((now - since).total_seconds() // 60)
    if minutes < 1:
        return "<1 m"
    if minutes < 60:
        return f"{minutes} m"
    if minutes < 48 * 60:
        return f"{minutes // 60} h"
    return f"{minutes // 1440} d"


def long_age(since: datetime | None, now: datetime) -> str:
    """As `age`, in years where there are some."""
    years = (now - since).days // 365 if since else 0
    return f"{years} y" if years > 2 else age(since, now)


def duration(ms: float) -> str:
    """How long a step took: `0.4 ms`, `12 ms`, `1.2 s`, `3 min`."""
    if ms < 9.95:
        return f"{ms:.1f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms / 60_000:.0f} min"
