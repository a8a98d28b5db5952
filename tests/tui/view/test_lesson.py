from __future__ import annotations

from msgspec.structs import replace

from engine.model.run import Mark, Plan, StepView, Way
from tests.tui.made import BEGAN, STEPS
from tui.view import lesson, steps
from tui.view.text import plain, width_of


def plan(at: int = 0, way: Way = Way.FORWARD, marks: str = "....", **changes: object) -> Plan:
    known = {".": Mark.WAITING, "d": Mark.DONE, "f": Mark.FAILED, "u": Mark.UNDONE}
    views = tuple(replace(view, mark=known[mark], ms=2.0) for view, mark in zip(STEPS, marks, strict=True))
    running = way in (Way.FORWARD, Way.BACK)
    return Plan(verb="start", container="c", name="web", steps=views, at=at, way=way, running=running, began=BEGAN, **changes)  # type: ignore[arg-type]


def test_the_coming_step_is_the_next_one_in_either_direction() -> None:
    assert lesson.coming(plan(2)) == 2
    assert lesson.coming(plan(2, Way.BACK)) == 1
    assert lesson.coming(plan(4, Way.DONE)) == 3
    assert lesson.coming(plan(0, Way.UNDONE)) == 0


def test_the_evidence_shown_is_that_of_the_step_just_made() -> None:
    assert lesson.moved(plan(1, marks="d..."), plan()) == 0
    assert lesson.moved(plan(4, Way.DONE, "dddd"), plan(1, marks="d...")) == 3
    assert lesson.moved(plan(1, Way.BACK, "du.."), plan(2, Way.BACK, "df..")) == 1
    assert lesson.moved(plan(1), plan(1)) == 1


def test_the_steps_carry_marks_and_durations() -> None:
    lines, starts = lesson.step_lines(plan(1, marks="d..."), 60)
    assert [plain(lines[n])[0] for n in starts] == ["✔", "○", "·", "·"]
    assert "2.0 ms" in plain(lines[0])
    assert "2.0 ms" not in plain(lines[1])


def test_long_titles_take_more_lines_and_no_word_is_cut() -> None:
    lines, starts = lesson.step_lines(plan(), 26)
    assert starts[1] > 1
    assert all(width_of(line) <= 26 for line in lines)
    assert " ".join(plain(line)[2:].strip() for line in lines[: starts[1]]) == STEPS[0].title


def test_the_text_has_lesson_commands_and_looks() -> None:
    text = "\n".join(plain(line) for line in lesson.text_lines(STEPS[0], 60))
    assert "Until now the layers were directories. overlayfs lays them\nover one another.\n\n" in text
    assert text.index("By hand") < text.index("  mkdir ") < text.index("Look at it yourself") < text.index("findmnt")
    assert "no way back" in "\n".join(plain(line) for line in lesson.text_lines(STEPS[3], 60))


def test_what_is_copied_can_be_pasted() -> None:
    copied = lesson.copied(STEPS[2])
    assert "ip link add veth9f3c1a2 type veth peer name eth0\n" in copied
    assert all(line.startswith("#") or not line.startswith(" ") for line in copied.splitlines())


def test_new_and_vanished_lines_carry_a_sign() -> None:
    step = StepView(title="t", name="n", lesson="", mark=Mark.DONE, before="a\nb", now="a\nc")
    assert [plain(line) for line in lesson.now_lines(step, 20)] == ["  a", "+ c"]
    assert [plain(line) for line in lesson.before_lines(step, 20)] == ["  a", "- b"]


def test_a_step_that_waits_has_changed_nothing() -> None:
    step = StepView(title="t", name="n", lesson="", before=None, now="there already")
    assert [plain(line) for line in lesson.before_lines(step, 40)] == ["  there already"]
    assert plain(lesson.before_lines(replace(step, now=None), 60)[0]) == lesson.NOTHING


def test_a_finished_run_is_told_with_its_evidence() -> None:
    lines = [plain(line) for line in steps.lines(plan(4, Way.DONE, "dddd", ms=96.0), 110)]
    assert lines[0] == f"start · {BEGAN.astimezone():%H:%M:%S} · 96 ms · done"
    assert lines[1].startswith("✔ Mount the layers as one file system") and "overlay on /var/lib" in lines[1]


def test_a_failed_run_says_why_and_shows_the_way_back() -> None:
    failed = plan(0, Way.UNDONE, "uf..", error="cannot start web: no space left on device")
    lines = steps.lines(failed, 70)
    text = [plain(line) for line in lines]
    assert "taken back" in text[0]
    assert text[1] == "✘ cannot start web: no space left on device"
    assert text[2][0] == "↩" and text[3][0] == "✘"
    assert {span.tone for span in lines[3] if "namespace" in span.text} == {"bad"}


def test_nothing_done_yet_is_said() -> None:
    assert "step by step" in plain(steps.lines(None, 100)[0])
