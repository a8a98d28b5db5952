"""What images weigh, what goes with them, and how a transfer adds up. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from engine.model.world import World
from tests.tui.images import BASE, MB, image, some_images
from tests.tui.made import row
from tui.view import images, transfers
from tui.view.images import Weights
from tui.view.scene import Scene
from tui.view.table import Order
from tui.view.text import plain, width_of
from tui.view.transfers import Transfer

NOW = datetime.now(UTC)
IDS = {tag: row.id for row in some_images().values() for tag in row.tags or ("",)}


def scene(**containers: str) -> Scene:
    rows = [row(name, image_id=IDS[tag]) for name, tag in containers.items()]
    return Scene(now=NOW, world=World(images=some_images(), containers={r.id: r for r in rows}))


def test_a_layer_is_shared_only_with_all_that_is_below_it() -> None:
    rows = [image(1, layers=(BASE, (5, "x"))), image(2, layers=(BASE, (5, "x"))), image(3, layers=((7, "other"), (5, "x")))]
    weights = Weights({r.id: r for r in rows})
    assert weights.total == 27 * MB and weights.shared == 15 * MB
    assert [weights.unique(r.id) for r in rows] == [0, 0, 12 * MB]
    assert weights.freed([rows[0].id, rows[1].id]) == 15 * MB


def test_the_usage_line_counts_what_no_container_stands_on() -> None:
    shown = scene(web="nginx:1.27")
    assert (
        plain(images.usage(shown, Weights(shown.world.images)))
        == "on disk 57 MB · unique 47 MB · shared 10 MB · reclaimable 15 MB"
    )


def test_names_are_tags_and_digests_of_other_repositories() -> None:
    row = image(1, "web:1", digests=("web@sha256:aa", "mirror/web@sha256:aa"))
    assert images.names(row) == ("web:1", "mirror/web@sha256:aa")
    assert images.left(row, {"web:1"}) == ("mirror/web@sha256:aa",)
    assert images.left(row, {"web:1", "mirror/web@sha256:aa"}) == ()
    shown = images.entries(Scene(now=NOW, world=World(images={row.id: row})), Weights({row.id: row}))
    assert [(entry.repository, entry.tag) for entry in shown] == [("mirror/web", "@aa"), ("web", "1")]


def test_what_pruning_would_take() -> None:
    parent, child = image(5, layers=((1, "a"),)), image(6, parent="sha256:" + "5" * 64, layers=((1, "a"), (1, "b")))
    rows = some_images() | {parent.id: parent, child.id: child}
    shown = scene(web="app:2")
    shown = replace(shown, world=replace(shown.world, images=rows))
    dangling = images.prunable(shown, dangling=True)
    assert dangling == {IDS[""], parent.id, child.id}  # the child goes first, then nothing was made from its parent
    assert images.prunable(shown, dangling=False) == dangling | {IDS["nginx:1.27"], IDS["registry.example:5000/team/tool:9"]}


@pytest.mark.parametrize("width", [20, 40, 60, 78, 116])
@pytest.mark.parametrize("column", images.SORTED)
def test_the_table_fits_and_ends_in_whole_columns(width: int, column: str) -> None:
    shown = scene(web="nginx:1.27", db="app:2")
    rows = images.entries(shown, Weights(shown.world.images), by=Order(column=column))
    columns = images.layout(rows, NOW, width)
    assert {width_of(images.body(entry, columns, NOW)) for entry in rows} == {
        width_of(images.head(columns, Order(column=column)))
    }
    assert width_of(images.body(rows[0], columns, NOW)) <= width


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("nginx", ""),
        ("registry.example:5000/Team/app", "lower case"),
        ("REGISTRY.example:5000/team/app:V1", ""),
        ("nginx:1.27 extra", "no space"),
        (":1", "missing"),
    ],
)
def test_names_that_cannot_be(typed: str, says: str) -> None:
    wrong = images.wrong_reference(typed)
    assert says in wrong if says else wrong == ""


@pytest.mark.parametrize(
    ("typed", "listed"),
    [
        ("nginx", "nginx:latest"),
        ("docker.io/library/nginx:1", "nginx:1"),
        ("host:5000/a", "host:5000/a:latest"),
        ("a@sha256:1", "a@sha256:1"),
    ],
)
def test_a_pulled_image_is_listed_as(typed: str, listed: str) -> None:
    assert images.with_tag(typed) == listed


def test_a_transfer_adds_up_and_fits() -> None:
    moving = Transfer(key=1, verb="pull", name="nginx:1.27", docker="")
    for status, id, detail in (
        ("Pulling from library/nginx", "1.27", {}),
        ("Already exists", "a" * 12, {}),
        ("Downloading", "b" * 12, {"current": MB, "total": 4 * MB}),
        ("Downloading", "c" * 12, {"current": 2 * MB, "total": 2 * MB}),
        ("Pull complete", "c" * 12, {}),
        ("Waiting\x1b[2J", "d" * 12, {}),
    ):
        moving = transfers.after(moving, {"status": status, "id": id, "progressDetail": detail})
    assert moving.layers == (2, 4) and moving.bytes == 3 * MB
    assert transfers.summary([moving]).text == "↓ nginx:1.27 2/4 3 MB"
    for width in (30, 60, 100):
        lines, starts = transfers.lines([moving, moving], width)
        assert len(lines) == 6 and starts == [0, 3]
        assert "\x1b" not in "".join(map(plain, lines)) and (width < 60 or max(map(width_of, lines)) <= width)
