"""The health check of a container: what is run, how the last probes went, and when the next one is due."""

from __future__ import annotations

from datetime import datetime

from engine.model.container import Container, Probe
from engine.model.settings import Config, Healthcheck
from engine.model.status import Status
from engine.model.world import ContainerRow
from tui.view.containers import health
from tui.view.figures import duration
from tui.view.text import BLANK, Line, Span, clean, line, pad, shorten, width_of, wrap

OUTPUT_LINES = 3
"""Lines shown of a probe's output until it is opened."""
SECOND = 10**9
DEFAULT = Healthcheck(interval=30 * SECOND, timeout=30 * SECOND, retries=3)
"""What the engine takes where nothing is set (reference, section 5)."""

NONE = (
    "This container has no health check: it counts as fine while its process runs, whatever it does.",
    "",
    "A check is a command that is run inside every few seconds; exit code 0 means healthy. It is given at create:",
)
NONE_KEY = "n asks for one as Health, run every 5 s; the docker command for it:"
NONE_COMMAND = "docker create --health-cmd 'wget -q -O /dev/null localhost' --health-interval 5s IMAGE"
OFF = "The health check of its image was switched off when it was made (--no-health-check): nobody looks."
NO_PROBE = "No probe has ended yet."


def command(config: Config) -> str:
    """The check as a person would type it; empty: there is none."""
    match (config.healthcheck.test if config.healthcheck else None) or ():
        case ("CMD", *words) if words:
            return " ".join(words)
        case ("CMD-SHELL", script, *_):
            return script
    return ""


def lines(c: Container, row: ContainerRow, width: int, opened: frozenset[datetime]) -> tuple[list[Line], list[int]]:
    """The tab's lines, and the line on which each probe begins, newest first. `opened`: probes whose output is shown whole."""
    script = command(c.config)
    if not script:
        return _none(c.config, width), []
    assert c.config.healthcheck
    log = c.state.health.log if c.state.health else ()
    shown = [*_heading(row, width), *_settings(script, c.config.healthcheck, width), BLANK]
    if not log:
        return [*shown, line(NO_PROBE, "dim")], []
    starts: list[int] = []
    for probe in reversed(log):
        starts.append(len(shown))
        shown += _probe(probe, width, whole=probe.start in opened)
    return shown, starts


def _none(config: Config, width: int) -> list[Line]:
    if config.healthcheck and config.healthcheck.test and config.healthcheck.test[0] == "NONE":
        return [line(row) for row in wrap(OFF, width)]
    prose = [line(row) for text in NONE for row in wrap(text, width)]
    asks = [line(row, "dim") for row in wrap(NONE_KEY, width)]
    return [*prose, BLANK, *asks, *(line(row, "code") for row in wrap(NONE_COMMAND, width, indent="    "))]


def _heading(row: ContainerRow, width: int) -> list[Line]:
    """`✘ unhealthy 3× · next probe at 14:02:16`. The time itself, not how long until then: that would tick."""
    if row.status is Status.PAUSED:
        return [line(text, "dim") for text in wrap("- frozen: probes wait until it is thawed", width)]
    if not row.status.alive:
        return [line(text, "dim") for text in wrap(f"- {row.status}: nobody probes; these are the last results", width)]
    due = f"next probe at {row.probe_due.astimezone():%H:%M:%S}" if row.probe_due else "a probe is on its way"
    whole = (health(row), Span(" · ", "dim"), Span(due))
    return [whole] if width_of(whole) <= width else [(health(row),), *(line(text) for text in wrap(due, width))]


def _settings(script: str, check: Healthcheck, width: int) -> list[Line]:
    every = _time(check.interval or DEFAULT.interval)
    parts = [
        f"every {every}",
        f"given {_time(check.timeout or DEFAULT.timeout)}",
        f"unhealthy after {check.retries or DEFAULT.retries} failures in a row",
    ]
    if check.start_period:
        parts.append(f"failures of the first {_time(check.start_period)} do not count")
    if check.start_interval:
        parts.append(f"every {_time(check.start_interval)} while it starts")
    said = [line(row, "code") for row in wrap(f"$ {clean(script)}", width, indent="    ")]
    return [*said, *(line(row, "dim") for row in wrap(" · ".join(parts), width))]


def _time(ns: int) -> str:
    return duration(ns / 1e6).replace(".0 ", " ")


def ended(probe: Probe) -> str:
    """How a probe ended, in a word or two."""
    return "no exit" if probe.exit_code < 0 else f"exit {probe.exit_code}"


def _probe(probe: Probe, width: int, *, whole: bool) -> list[Line]:
    good = probe.exit_code == 0
    took = duration((probe.end - probe.start).total_seconds() * 1000)
    wide = width >= 60
    cells = (pad(took, 9, right=True), "  " + pad(ended(probe), 9)) if wide else (f" {took}", f" {ended(probe)}")
    lead: Line = (
        Span("✔ " if good else "✘ ", "good" if good else "bad"),
        Span(f"{probe.start.astimezone():%H:%M:%S}"),
        Span(cells[0], "dim"),
        Span(cells[1], "" if good else "bad"),
    )
    indent = 30 if wide else 4
    said = [row for text in probe.output.splitlines() for row in wrap(clean(text), width - indent)]
    hidden = 0 if whole else max(0, len(said) - OUTPUT_LINES)
    said = said[: len(said) - hidden]
    rest = [line(" " * indent + text) for text in said]
    if hidden:
        more = f"… {hidden} more line{'s' * (hidden > 1)}, Enter shows them"
        rest.append(line(" " * indent + shorten(more, width - indent), "dim"))
    if not wide or not rest:
        return [lead, *rest]
    return [(*lead, Span(rest[0][0].text[indent:])), *rest[1:]]
