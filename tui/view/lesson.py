"""A lesson's four panes: the steps, the text, the kernel before, the kernel now."""

from __future__ import annotations

from engine.model.run import Mark, Plan, StepView, Way
from tui.view.figures import duration
from tui.view.steps import MARKS, how
from tui.view.text import BLANK, Line, Span, commands, line, pad, paragraphs, wrap

_TONES = {Mark.DONE: "", Mark.FAILED: "bad", Mark.UNDONE: "bad"}

NOTHING = "nothing: the kernel does not know it"


def coming(plan: Plan) -> int:
    """The step that the next move is about."""
    last = len(plan.steps) - 1
    return max(0, min(last, plan.at - 1 if plan.way is Way.BACK else plan.at))


def moved(plan: Plan, before: Plan | None) -> int:
    """The step whose mark the last move changed; the coming one where none did."""
    if before is None or len(before.steps) != len(plan.steps):
        return coming(plan)
    changed = [n for n, (old, new) in enumerate(zip(before.steps, plan.steps, strict=True)) if old.mark is not new.mark]
    if not changed:
        return coming(plan)
    return changed[0] if plan.way in (Way.BACK, Way.UNDONE) else changed[-1]


def title(plan: Plan) -> str:
    return f"{said(plan)} · lesson · {how(plan).text}"


def said(plan: Plan) -> str:
    """`start web`, `create network backend`."""
    return f"{plan.verb.replace('_', ' ')} {plan.name}"


def step_lines(plan: Plan, width: int) -> tuple[list[Line], list[int]]:
    """The list of steps, and for each step the line it begins on."""
    lines: list[Line] = []
    starts: list[int] = []
    here = coming(plan) if plan.running else -1
    wide = max(8, width - 11)
    for number, step in enumerate(plan.steps):
        starts.append(len(lines))
        mark = Span("○", "accent") if number == here and step.mark in (Mark.WAITING, Mark.DONE) else MARKS[step.mark]
        tone = "strong" if number == here else _TONES.get(step.mark, "dim")
        head, *rest = wrap(step.title, wide)
        took = duration(step.ms) if step.ms and step.mark is not Mark.WAITING else ""
        lines.append((mark, Span(" "), Span(pad(head, wide), tone), Span(pad(took, 8, right=True), "dim")))
        lines += [line("  " + text, tone) for text in rest]
    return lines, starts


def text_lines(step: StepView, width: int) -> list[Line]:
    """What a student reads: the lesson, the commands by hand, the commands that look."""
    lines = paragraphs(step.lesson, width)
    if step.final:
        lines += [BLANK, *(line(text, "warn") for text in wrap("! there is no way back behind this step", width))]
    for heading, shell in (("By hand", step.shell), ("Look at it yourself", step.look)):
        if shell:
            lines += [BLANK, line(heading, "strong"), *commands(shell, width)]
    return lines


def copied(step: StepView) -> str:
    """The commands as they are pasted into a root shell."""
    looks = (f"# {step.name}", *step.shell, *(("# look at it yourself", *step.look) if step.look else ()))
    return "\n".join(looks) + "\n"


def before_lines(step: StepView, width: int) -> list[Line]:
    """What the kernel had before; what is gone since is marked with a minus."""
    return _evidence(_before(step), step.now, "-", "bad", width)


def now_lines(step: StepView, width: int) -> list[Line]:
    """What the kernel has now; what is new is marked with a plus."""
    return _evidence(step.now, _before(step), "+", "good", width)


def _before(step: StepView) -> str | None:
    """A step that waits has changed nothing yet."""
    return step.now if step.mark is Mark.WAITING else step.before


def _evidence(shown: str | None, other: str | None, sign: str, tone: str, width: int) -> list[Line]:
    if not shown:
        return [line(text, "dim") for text in wrap(NOTHING, width)]
    known = set((other or "").splitlines())
    lines: list[Line] = []
    for text in shown.splitlines():
        same = text in known
        for number, row in enumerate(wrap(text, width - 2, indent="  ")):
            lead = "  " if same or number else f"{sign} "
            lines.append((Span(lead, tone), Span(row, "" if same else tone)))
    return lines
