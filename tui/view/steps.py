"""A plan as a list of steps: how far it is, how long each took, what the kernel shows, and after a failure the way back."""

from __future__ import annotations

from rich.cells import cell_len

from engine.model.run import Mark, Plan, StepView, Way
from tui.view.figures import duration
from tui.view.text import GAP, Line, Span, line, pad, shorten, wrap

MARKS: dict[Mark, Span] = {
    Mark.WAITING: Span("·", "dim"),
    Mark.DOING: Span("▸", "accent"),
    Mark.DONE: Span("✔", "good"),
    Mark.UNDOING: Span("◂", "bad"),
    Mark.UNDONE: Span("↩", "bad"),
    Mark.FAILED: Span("✘", "bad"),
}

_TONES: dict[Mark, str] = {Mark.WAITING: "dim", Mark.UNDOING: "bad", Mark.UNDONE: "bad", Mark.FAILED: "bad"}

NONE = "What the engine did last with this container is shown here, step by step."

_ENDS: dict[Way, Span] = {
    Way.DONE: Span("done", "good"),
    Way.UNDONE: Span("taken back: the world is as before", "warn"),
    Way.ENDED: Span("ended half way; the record says how things are", "bad"),
    Way.BROKEN: Span("✘ neither forward nor back worked; it is tried again at the next start", "bad"),
}


def heading(plan: Plan) -> Line:
    """`start · 14:01:58 · 96 ms · done`."""
    parts = [Span(plan.verb, "strong")]
    if plan.began:
        parts.append(Span(f" · {plan.began.astimezone():%H:%M:%S}"))
    if plan.ms and not plan.lesson:
        parts.append(Span(f" · {duration(plan.ms)}"))
    return (*parts, Span(" · "), how(plan))


def how(plan: Plan) -> Span:
    """How far the run is, or how it ended."""
    if plan.way is Way.BACK:
        return Span(f"on the way back, {plan.at} to go", "bad")
    if plan.way is Way.FORWARD:
        return Span(f"step {min(plan.at + 1, len(plan.steps))} of {len(plan.steps)}", "accent")
    return _ENDS[plan.way]


def lines(plan: Plan | None, width: int) -> list[Line]:
    if plan is None or not plan.verb:
        return [line(text, "dim") for text in wrap(NONE, width)]
    wide = min(max((cell_len(step.title) for step in plan.steps), default=0), max(20, width - 10))
    reason = [line(text, "bad") for text in wrap(f"✘ {plan.error}", width)] if plan.error else []
    return [heading(plan), *reason, *(row for step in plan.steps for row in _step(step, wide, width))]


def _step(step: StepView, wide: int, width: int) -> list[Line]:
    tone = _TONES.get(step.mark, "")
    head, *rest = wrap(step.title, wide)
    took = duration(step.ms) if step.ms and step.mark not in (Mark.WAITING, Mark.DOING) else ""
    parts = [MARKS[step.mark], Span(" "), Span(pad(head, wide), tone), Span(pad(took, 8, right=True), "dim")]
    room = width - wide - 12
    if step.now and room >= 12 and step.mark is Mark.DONE:
        parts += [GAP, Span(shorten(step.now.splitlines()[0], room), "dim")]
    return [tuple(parts), *(line("  " + text, tone) for text in rest)]
