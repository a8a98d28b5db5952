"""The panes' texts: pure functions of a scene."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from engine.model.status import Status
from engine.model.world import EngineRow, Freezer, ImageRow, LayerRow, World
from tests.tui.made import BRIDGE, IMAGE, row, sample, small_world
from tui.view import containers, footer, header, layers, networks
from tui.view.docker import command
from tui.view.figures import measure
from tui.view.scene import Link, Notice, Scene
from tui.view.text import Line, plain, width_of

NOW = datetime.now(UTC)


def scene(world: World | None = None, **changes: Any) -> Scene:
    world = world or small_world()
    meters = measure({}, world.samples.values())
    base: dict[str, Any] = {"now": datetime.now(UTC), "world": world, "meters": meters, "link": Link(up=True)}
    return Scene(**(base | changes))


def table(shown: Scene, width: int = 130) -> list[str]:
    rows = containers.order(shown, "", True)
    columns = containers.layout(shown, rows, width)
    lines: list[Line] = [containers.head(columns), *(containers.body(shown, r, columns) for r in rows)]
    assert all(width_of(line) <= width for line in lines)
    return [plain(line) for line in lines]


def drawn(shown: Scene, width: int) -> list[Line]:
    rows = networks.tree(shown.world)
    return [networks.body(shown, row, networks.layout(rows, width), "", width) for row in rows]


def tones(line: Line, word: str) -> set[str]:
    return {span.tone for span in line if word in span.text}


def test_the_table_says_what_is_drawn() -> None:
    head, db, web, job = table(scene())
    assert head.split() == ["CPU", "MEM", "NET", "FREEZER", "HEALTH", "PROBES", "STATE", "UP", "NAME", "IMAGE"]
    assert "3%" in web and "128/512 MB" in web and "↓3.1 k" in web and "thawed" in web and "✔ healthy" in web
    assert "FROZEN" in db and "- waiting" in db and "paused" in db
    assert "exited 0" in job and "5 m" in job


@pytest.mark.parametrize("width", range(20, 130, 7))
def test_the_table_fits_any_width_and_keeps_the_name(width: int) -> None:
    assert all(name in line for name, line in zip(("NAME", "db", "web", "job"), table(scene(), width), strict=True))


def test_the_freezer_column_is_the_kernels_word() -> None:
    held = row("a", freezer=Freezer(kernel="frozen", asked=False, self_frozen=True))
    under = row("b", freezer=Freezer(kernel="frozen", asked=False, parent_frozen=True))
    moving = row("c", freezer=Freezer(kernel="freezing", asked=True))
    _, a, b, c = table(scene(World(containers={r.id: r for r in (held, under, moving)})))
    assert "FROZEN from outside" in a
    assert "FROZEN parent frozen" in b
    assert "freezing" in c


def test_what_is_missing_is_loud_everywhere() -> None:
    broken = row("web")
    broken = replace(broken, missing=(broken.veth, "union mount"))
    shown = scene(replace(small_world(), containers={broken.id: broken}))
    assert "! veth" in table(shown, 78)[1]
    assert any("gone ╳ eth0" in plain(line) for line in drawn(shown, 60))
    assert "union mount gone" in layers.title(broken)
    assert "bad" in {span.tone for line in footer.status(shown, broken.id, Notice(), 80) for span in line}


def test_a_bridge_or_nat_that_is_gone_is_said() -> None:
    shown = scene(replace(small_world(), networks={BRIDGE.id: replace(BRIDGE, up=False, nat=False)}))
    text = plain(drawn(shown, 70)[0])
    assert "! longshore0 ✘ gone" in text
    assert "! nat ✘ gone" in text


def test_layers_are_stacked_from_what_is_written_to_the_image() -> None:
    web = row("web")
    shown = scene(replace(small_world(), containers={web.id: web}, samples={web.id: sample(web.id)}))
    text = [plain(line) for line in layers.lines(shown, web, 60)]
    assert "union mounted" in layers.title(web)
    rw, init, top, bottom = text[-4:]
    assert rw.startswith("rw") and "12 kB" in rw and "3 changes" in rw
    assert init.startswith("init") and "-init" in init
    assert 'CMD ["nginx"]' in top and "4.2 MB" in top
    assert "ADD file:rootfs.tar" in bottom
    assert "directories only" in layers.title(row("web", Status.EXITED))


def test_a_layer_made_by_a_shell_shows_the_command() -> None:
    assert layers.made_by(LayerRow(id="x", size=1, made_by="/bin/sh -c apt-get update")) == "apt-get update"
    assert layers.made_by(LayerRow(id="x", size=1, made_by="")) == "-"


def test_layers_of_an_unknown_image_are_left_out() -> None:
    lone = row("a", image_id="sha256:gone")
    assert not any(plain(line).startswith("ro") for line in layers.lines(scene(World(containers={lone.id: lone})), lone, 60))
    assert IMAGE.layers and isinstance(IMAGE, ImageRow)


@pytest.mark.parametrize("width", range(30, 140, 9))
def test_the_header_fits_and_always_says_how_fresh_it_is(width: int) -> None:
    line = header.line(scene(), row("web"), width)
    assert width_of(line) <= width
    assert "● live" in plain(line)


def test_the_header_says_all_of_it_where_there_is_room() -> None:
    text = plain(header.line(scene(now=NOW, written=312.0, host_cpu=12, host_memory=3.1 * (1 << 30)), row("web"), 120))
    for part in ("longshore", "web", "containerd 1.6.20", "cgroup v1", "12%", "3.1/24 GB", "● live", "312 B/s"):
        assert part in text
    assert text.rstrip().endswith(f"{NOW.astimezone():%H:%M}")


def test_lost_and_late_and_held_are_said_in_words() -> None:
    later = NOW + timedelta(seconds=8)
    lost = replace(scene(), link=Link(reason="cannot reach the engine", next_try=later))
    assert f"✘ disconnected, next try {later.astimezone():%H:%M:%S}" in plain(header.line(lost, None, 100))
    assert "cannot reach the engine" in plain(footer.status(lost, "", Notice(), 80)[0])
    late = replace(scene(), link=Link(up=True, age=10))
    assert "◌ 10 s old" in plain(header.line(late, None, 100))
    assert "held" in plain(header.line(scene(held=True), None, 100))
    assert "read-only" in plain(header.line(scene(), None, 60, read_only=True))


def test_the_engines_trouble_is_said() -> None:
    shown = scene(World(engine=EngineRow(trouble="containerd does not answer")))
    assert "! containerd does not answer" in plain(footer.status(shown, "", Notice(), 80)[0])


def test_the_footer_drops_whole_keys_and_keeps_the_last() -> None:
    items = [("n", "new", True), ("s", "stop", False), ("?", "help", True)]
    assert plain(footer.keys(items, 80)) == " n new  s stop  ? help "
    assert plain(footer.keys(items, 17)) == " n new  ? help "
    assert plain(footer.keys(items, 17, keep=2)) == plain(footer.keys(items, 3, keep=2)) == " s stop  ? help "
    assert tones(footer.keys(items, 80), "s") == {"dim"} | tones(footer.keys(items, 80), " stop ")


def test_the_order_puts_what_lives_first_and_filters_by_words() -> None:
    assert [r.name for r in containers.order(scene(), "", True)] == ["db", "web", "job-17"]
    assert [r.name for r in containers.order(scene(), "", False)] == ["db", "web"]
    assert [r.name for r in containers.order(scene(), "nginx run", True)] == ["web"]
    assert containers.counts(scene()) == "1 running · 1 frozen · 1 exited"


@pytest.mark.parametrize(
    ("verb", "params", "said"),
    [
        ("pause", {}, "docker pause web"),
        ("remove", {"force": True}, "docker rm -f web"),
        ("kill", {"signal": "TERM"}, "docker kill --signal TERM web"),
        ("stop", {"t": 3}, "docker stop -t 3 web"),
    ],
)
def test_every_verb_has_its_docker_command(verb: str, params: dict[str, Any], said: str) -> None:
    assert command(verb, "web", params) == said


def test_create_as_a_docker_command_can_be_pasted() -> None:
    check = {"Test": ["CMD-SHELL", "wget -q localhost"], "Interval": 5 * 10**9}
    body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo hi; sleep 9"], "Healthcheck": check}
    assert command("create", "", {"name": "a", "body": body}, "docker -H unix:///x.sock") == (
        "docker -H unix:///x.sock create --name a --health-cmd 'wget -q localhost' --health-interval 5s "
        "busybox sh -c 'echo hi; sleep 9'"
    )
