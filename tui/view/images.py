"""The images as a table: one row for each name, as `docker images` has it, and what each weighs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct
from rich.cells import cell_len

from engine.model.world import ImageRow
from tui.view import table
from tui.view.bulk import Item
from tui.view.figures import long_age, size
from tui.view.layers import instruction
from tui.view.scene import Scene
from tui.view.table import Layout, Order, joined, place, total
from tui.view.text import GAP, Line, Span, clean, pad, shorten, shorten_left, wrap

NONE = "<none>"
DANGLING = "dangling"


class Weights:
    """Which images stand on which layers. A layer counts with all below it: the same files on another base lie elsewhere."""

    def __init__(self, images: Mapping[str, ImageRow]) -> None:
        self.images = images
        self._layers: dict[str, dict[int, int]] = {}
        """Of each image: its layers by number, and their bytes."""
        self._holders: Counter[int] = Counter()
        """How many images stand on a layer."""
        known: dict[tuple[int, str], int] = {}
        for image in images.values():
            at, layers = -1, {}
            for layer in image.layers:
                at = known.setdefault((at, layer.id), len(known))
                layers[at] = layer.size
            self._layers[image.id] = layers
            self._holders.update(layers.keys())
        self._sizes = {number: bytes for layers in self._layers.values() for number, bytes in layers.items()}
        self.total = sum(self._sizes.values())
        self.shared = sum(bytes for number, bytes in self._sizes.items() if self._holders[number] > 1)

    def unique(self, id: str) -> int:
        """Bytes that no other image stands on."""
        return self.freed((id,))

    def freed(self, ids: Collection[str]) -> int:
        """Bytes that go with these images."""
        going = Counter(number for id in ids for number in self._layers[id])
        return sum(self._sizes[number] for number, count in going.items() if count == self._holders[number])


class Entry(Struct, frozen=True, kw_only=True):
    """A name of an image; or an image without one."""

    image: ImageRow
    name: str
    """`nginx:1.27`, `nginx@sha256:...`; empty: it has none."""
    unique: int
    containers: int = 0
    running: int = 0
    parent: bool = False
    """Another image was made from it."""

    @property
    def key(self) -> str:
        return self.name or self.image.id

    @property
    def short_id(self) -> str:
        return self.image.id.removeprefix("sha256:")[:12]

    @property
    def target(self) -> str:
        """What it is called on a command line."""
        return self.name or self.short_id

    @property
    def repository(self) -> str:
        return self.name.rpartition("@" if "@" in self.name else ":")[0] or NONE

    @property
    def tag(self) -> str:
        """With a digest in its place: `@` and how it begins. Without a name it is a parent of others, or dangling."""
        if "@" in self.name:
            return f"@{self.name.rpartition(':')[2][:12]}"
        return self.name.rpartition(":")[2] or (NONE if self.parent else DANGLING)


def entries(
    scene: Scene, weights: Weights, query: str = "", *, hidden: bool = False, by: Order = Order()  # noqa: B008 - frozen
) -> tuple[Entry, ...]:  # fmt: skip
    """The rows to show. `query` is looked for in name and id. `hidden`: also nameless images that others were made from."""
    images = scene.world.images.values()
    used = Counter(row.image_id for row in scene.world.containers.values())
    running = Counter(row.image_id for row in scene.world.containers.values() if row.status.alive)
    parents = {image.parent for image in images}
    words, found = query.lower().split(), []
    for image in images:
        if not names(image) and image.id in parents and not hidden:
            continue
        for name in names(image) or ("",):
            entry = Entry(
                image=image,
                name=name,
                unique=weights.unique(image.id),
                containers=used[image.id],
                running=running[image.id],
                parent=image.id in parents,
            )
            if all(word in f"{entry.repository}:{entry.tag} {entry.short_id}".lower() for word in words):
                found.append(entry)
    found.sort(key=lambda entry: (not entry.name, entry.repository, entry.tag, entry.image.id))
    if by.column:
        found.sort(key=_KEYS[by.column])
    return tuple(found if by.up else reversed(found))


def names(image: ImageRow) -> tuple[str, ...]:
    """Its tags; and its digests where no tag of that repository tells of them."""
    told = {tag.rpartition(":")[0] for tag in image.tags}
    return *image.tags, *(name for name in image.digests if name.rpartition("@")[0] not in told)


def find(scene: Scene, key: str) -> ImageRow | None:
    """The image of an entry's key."""
    return next((image for image in scene.world.images.values() if key == image.id or key in names(image)), None)


# The table


class Column(NamedTuple):
    title: str
    cell: Callable[[Entry, datetime], Span]
    least: int
    most: int = 0
    """Cells it may grow to; 0: it does not grow."""


def _used(entry: Entry, now: datetime) -> Span:
    if entry.running:
        among = "" if entry.running == entry.containers else f" of {entry.containers}"
        return Span(f"{entry.running}{among} running", "good")
    return Span(f"{entry.containers} not running" if entry.containers else "-", "" if entry.containers else "dim")


def _tag(entry: Entry, now: datetime) -> Span:
    return Span(entry.tag, "warn" if entry.tag == DANGLING else "strong" if entry.name else "dim")


COLUMNS: dict[str, Column] = {
    "repository": Column("REPOSITORY", lambda e, now: Span(e.repository, "strong" if e.name else "dim"), 10, 36),
    "tag": Column("TAG", _tag, 8, 20),
    "id": Column("ID", lambda e, now: Span(e.short_id, "dim"), 12),
    "size": Column("SIZE", lambda e, now: Span(pad(size(e.image.size), 7, right=True)), 7),
    "unique": Column("UNIQUE", lambda e, now: Span(pad(size(e.unique), 7, right=True)), 7),
    "shared": Column("SHARED", lambda e, now: Span(pad(size(e.image.size - e.unique), 7, right=True), "dim"), 7),
    "created": Column("CREATED", lambda e, now: Span(pad(long_age(e.image.created, now), 7)), 8),
    "used": Column("CONTAINERS", _used, 11, 16),
}

TITLES = {key: column.title for key, column in COLUMNS.items()}
WANTED = ("tag", "size", "used", "unique", "created", "id", "shared")
"""The order in which columns get their place where the screen is narrow. The repository has `LEAST` cells, and what is left."""
LEAST = 20

_NEVER = datetime.min.replace(tzinfo=UTC)

_KEYS: dict[str, Callable[[Entry], Any]] = {
    "repository": lambda entry: (entry.repository, entry.tag),
    "tag": lambda entry: (entry.tag, entry.repository),
    "size": lambda entry: -entry.image.size,
    "unique": lambda entry: -entry.unique,
    "shared": lambda entry: entry.unique - entry.image.size,
    "created": lambda entry: (_NEVER - (entry.image.created or _NEVER)).total_seconds(),
    "used": lambda entry: (-entry.running, -entry.containers),
}

SORTED = ("", *_KEYS)


def layout(rows: Sequence[Entry], now: datetime, width: int) -> Layout:
    """The columns that fit into `width`, and their widths."""
    need = {key: _need(column, rows, now) for key, column in COLUMNS.items()}
    taken = place(need, WANTED, width, {"repository": min(need["repository"], LEAST)})
    taken["repository"] = max(1, min(need["repository"], taken["repository"] + width - total(taken)))
    return tuple((key, taken[key]) for key in COLUMNS if key in taken)


def _need(column: Column, rows: Sequence[Entry], now: datetime) -> int:
    longest = max((cell_len(column.cell(row, now).text) for row in rows), default=0) if column.most else 0
    return min(column.most or column.least, max(column.least, longest))


def head(columns: Layout, by: Order) -> Line:
    return table.head(columns, TITLES, by)


def body(entry: Entry, columns: Layout, now: datetime) -> Line:
    cells = []
    for key, width in columns:
        text, tone = COLUMNS[key].cell(entry, now)
        fit = shorten_left if key == "repository" else shorten
        cells.append(Span(pad(fit(text, width), width), tone))
    return joined(cells)


EMPTY = (
    "There is no image yet.",
    "",
    "p  pulls one from a registry: busybox, nginx:1.27, registry.example:5000/team/app",
    "L  loads an archive that docker save or longshore save has written",
    "?  shows all keys",
)


# What they weigh


def usage(scene: Scene, weights: Weights) -> Line:
    """All of them on the disk, in one line; reclaimable is what no container's image stands on."""
    images, used = weights.images, {row.image_id for row in scene.world.containers.values()}
    idle = [id for id in images if id not in used]
    parts = [
        ("on disk ", weights.total),
        ("unique ", weights.total - weights.shared),
        ("shared ", weights.shared),
        ("reclaimable ", weights.freed(idle)),
    ]
    cells = [span for text, bytes in parts for span in (Span(text, "dim"), Span(size(bytes)), Span(" · ", "dim"))]
    return tuple(cells[:-1])


def counts(scene: Scene) -> str:
    """`7 images · 2 dangling`."""
    images = scene.world.images.values()
    parents = {image.parent for image in images}
    dangling = sum(not names(image) and image.id not in parents for image in images)
    return " · ".join([str(len(images)), *([f"{dangling} dangling"] if dangling else [])])


# Removal and pruning


def left(image: ImageRow, going: Collection[str]) -> tuple[str, ...]:
    """The names an image keeps when these go. With the last tag of a repository its digests go too."""
    tags = [tag for tag in image.tags if tag not in going]
    kept = {tag.rpartition(":")[0] for tag in tags}
    lost = {tag.rpartition(":")[0] for tag in image.tags} - kept
    return *tags, *(name for name in image.digests if name not in going and name.rpartition("@")[0] not in lost)


def removal(rows: Sequence[Entry], weights: Weights) -> tuple[tuple[Item, ...], int]:
    """What becomes of each when all of these are removed, and the bytes it frees."""
    going = {row.name for row in rows if row.name}
    gone = {row.image.id for row in rows if not left(row.image, going)}
    items = tuple(
        Item(name=row.target, said="remove" if row.image.id in gone else "remove the name; the image stays", tone="")
        for row in rows
    )
    return items, weights.freed(gone)


def question(scene: Scene, entry: Entry, weights: Weights) -> str:
    """What is lost when it is removed, and who might mind."""
    others = left(entry.image, {entry.name})
    if entry.name and others:
        return f"Take the name {entry.name} away? The image stays, it is also called {', '.join(others)}. Nothing is freed."
    users = [f"{row.name} ({row.status})" for row in scene.world.containers.values() if row.image_id == entry.image.id]
    if users:
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        return f"Remove {entry.target}? Containers were made from it: {', '.join(users[:3])}{more}."
    kept = entry.image.size - entry.unique
    stays = f"; {size(kept)} stay, other images stand on them" if kept else ""
    return f"Remove {entry.target}? That frees {size(entry.unique)}{stays}."


def prunable(scene: Scene, *, dangling: bool) -> set[str]:
    """Ids of the images that `docker image prune` takes, with `-a` where not only the `dangling`."""
    images = scene.world.images
    used = {row.image_id for row in scene.world.containers.values()}
    left = {id for id, image in images.items() if id not in used and not (dangling and image.tags)}
    gone: set[str] = set()
    while going := left - gone - {image.parent for id, image in images.items() if id not in gone}:
        gone |= going
    return gone


def must_be_forced(sentence: str) -> bool:
    """Would force help? Docker says so in the words of the conflict."""
    return "(must force)" in sentence or "(must be forced)" in sentence


def wrong_reference(text: str) -> str:
    """Why this can be no name of an image, as far as that is plain; the engine knows the rest."""
    domain, slash, path = text.partition("/")
    name = path if slash and (any(sign in domain for sign in ".:") or domain == "localhost") else text
    repository = name.partition("@")[0].partition(":")[0]
    if any(char.isspace() for char in text):
        return "the name of an image has no space in it"
    if repository != repository.lower():
        return "the name of an image is in lower case; only its tag may have capitals"
    if text and not repository:
        return "the name of the image is missing"
    return ""


def with_tag(text: str) -> str:
    """The name by which an image will be listed that was asked for so."""
    name = text.removeprefix("docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


# History


def history(told: Iterable[Mapping[str, Any]], now: datetime, width: int) -> tuple[list[Line], list[int]]:
    """Every instruction, newest first, whole; and the line on which each begins."""
    shown: list[Line] = []
    starts = []
    for entry in told:
        starts.append(len(shown))
        made = datetime.fromtimestamp(entry["Created"], UTC) if entry.get("Created", 0) > 0 else None
        bytes = entry.get("Size", 0)
        lead = (Span(pad(long_age(made, now), 6), "dim"), GAP, Span(pad(size(bytes) if bytes else "-", 7, right=True)), GAP)
        words = instruction(str(entry.get("CreatedBy", "")))
        if words == "-":
            words = clean(str(entry.get("Comment", ""))) or "-"
        first, *rest = wrap(words, max(10, width - 17), indent="  ")
        shown += [(*lead, Span(first, "" if bytes else "dim"))]
        shown += [(Span(" " * 17), Span(text, "" if bytes else "dim")) for text in rest]
    return shown, starts
