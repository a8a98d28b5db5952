"""Files for the scripted engine: a container with three layers and an image with one, as a script."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.model.errors import Invalid, NotFound
from engine.model.tree import (
    Change,
    ChangeKind,
    Comparison,
    Content,
    Difference,
    Entry,
    Hidden,
    Layer,
    Listing,
    Stack,
)

MADE = datetime(2026, 2, 1, tzinfo=UTC)

STACK = Stack(
    name="web",
    layers=(
        Layer(kind="rw", id="9f3c1a2b" + "0" * 56, created=MADE, size=12_000),
        Layer(kind="init", id="9f3c1a2b" + "0" * 56 + "-init", created=MADE),
        Layer(kind="ro", id="a" * 64, diff_id="sha256:4133" + "0" * 60, made_by='CMD ["nginx"]', size=4_200_000, created=MADE),
        Layer(
            kind="ro",
            id="b" * 64,
            diff_id="sha256:9a8b" + "0" * 60,
            made_by="/bin/sh -c #(nop) ADD file:rootfs.tar in / ",
            size=2_200_000,
            wasted=1_500_000,
            created=MADE,
        ),
    ),
    mount=("overlay on /var/lib/longshore/overlay2/9f3c/merged", "upperdir=/var/lib/longshore/overlay2/9f3c/diff"),
)

CHANGES: tuple[Change, ...] = (
    Change(path="/etc", kind=ChangeKind.MODIFIED),
    Change(path="/etc/motd", kind=ChangeKind.MODIFIED),
    Change(path="/etc/old", kind=ChangeKind.DELETED),
    Change(path="/new", kind=ChangeKind.ADDED),
)

DIRECTORIES: dict[str, tuple[Entry, ...]] = {
    "/": (
        Entry(name="bin", kind="directory", layers=(3,), mode=0o755),
        Entry(name="etc", kind="directory", layers=(0, 1, 3), mode=0o755),
        Entry(name="new", kind="file", layers=(0,), size=12, mode=0o644),
        Entry(name="pipe", kind="fifo", layers=(3,), mode=0o644),
    ),
    "/bin": (Entry(name="sh", kind="symlink", layers=(3,), mode=0o777, target="busybox"),),
    "/etc": (
        Entry(name="motd", kind="file", layers=(0,), size=5, mode=0o644, hides=(Hidden(layer=3, kind="file", size=3000),)),
        Entry(name="old", kind="whiteout", layers=(0,), hides=(Hidden(layer=2, kind="file", size=7),)),
        Entry(
            name="conf.d", kind="directory", layers=(0,), mode=0o755, opaque=True, hides=(Hidden(layer=3, kind="directory"),)
        ),
    ),
    "/etc/conf.d": (),
}

CONTENTS = {"/new": b"fresh\x1b[2J\x1b]0;title\x07 and \x1b[31mred\n", "/etc/motd": b"hello"}


class ScriptedTrees:
    """Implements `TreeInterface`. `asked` is which questions it was asked."""

    def __init__(self) -> None:
        self.stack_now, self.changes_now = STACK, CHANGES
        self.asked: list[tuple[str, str]] = []

    def _ask(self, question: str, about: str) -> None:
        self.asked.append((question, about))

    async def stack(self, target: str) -> Stack:
        self._ask("stack", target)
        return self.stack_now

    async def listing(self, target: str, path: str = "/") -> Listing:
        self._ask("listing", path)
        if path not in DIRECTORIES:
            raise NotFound(f"there is no {path}")
        return Listing(path=path, layers=(0, 1, 3), entries=DIRECTORIES[path])

    async def content(self, target: str, path: str) -> Content:
        self._ask("content", path)
        if path not in CONTENTS:
            raise Invalid(f"cannot show the content of {path}: it is no file")
        return Content(path=path, layer=0, size=len(CONTENTS[path]), data=CONTENTS[path])

    async def changes(self, target: str) -> tuple[Change, ...]:
        self._ask("changes", target)
        return self.changes_now

    async def compare(self, first: str, second: str) -> Comparison:
        self._ask("compare", f"{first} {second}")
        return Comparison(
            first=first,
            second=second,
            differences=(
                Difference(path="/etc/motd", what=("size", "mode")),
                Difference(path="/only", only="first", kind="directory"),
                Difference(path="/there", only="second"),
            ),
        )
