"""Images for the scripted engine: rows, and a registry and a store as a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from engine.model.errors import Conflict, EngineError, Invalid, NotFound
from engine.model.frames import Frame, ImagesChanged
from engine.model.registry import Credentials
from engine.model.world import ImageRow, LayerRow, World

MB = 1_000_000
BASE = (10, "ADD rootfs.tar")


def image(number: int, *tags: str, layers: Iterable[tuple[int, str]] = (BASE,), **changes: Any) -> ImageRow:
    """`layers`: megabytes and instruction; the same below is the same layer."""
    stack = tuple(LayerRow(id=f"sha256:{made_by}", size=mb * MB, made_by=made_by) for mb, made_by in layers)
    base: dict[str, Any] = {
        "id": "sha256:" + f"{number:x}" * 64,
        "tags": tags,
        "size": sum(layer.size for layer in stack),
        "created": datetime.now(UTC) - timedelta(days=number, minutes=1),
        "layers": stack,
    }
    return ImageRow(**(base | changes))


def some_images() -> dict[str, ImageRow]:
    rows = (
        image(1, "nginx:1.27", "nginx:latest", layers=(BASE, (32, "RUN install"))),
        image(2, "app:2", layers=(BASE, (5, "COPY app"))),
        image(3, layers=((7, "COPY old"),)),
        image(4, "registry.example:5000/team/tool:9", layers=((3, "COPY tool"),)),
    )
    return {row.id: row for row in rows}


HISTORY = [
    {"Id": "sha256:1", "Created": 1767225600, "CreatedBy": 'CMD ["nginx"]', "Size": 0, "Tags": ["nginx:1.27"], "Comment": ""},
    {"Id": "<missing>", "Created": 1767225600, "CreatedBy": "/bin/sh -c install", "Size": 32 * MB, "Tags": None, "Comment": ""},
]


class ScriptedImages:
    """A store that follows Docker's rules as far as the screen can see them. `moving` are the pulls that wait for lines."""

    world: World
    calls: list[tuple[str, str, str, dict[str, Any]]]
    publish: Callable[..., None]

    def __init__(self) -> None:
        self.moving: dict[str, asyncio.Queue[dict[str, Any] | Exception | None]] = {}
        self.left: list[str] = []
        """Pulls that were given up."""
        self.logins: dict[str, Credentials | None] = {}
        """With which login a pull was asked for."""

    def set_images(self, rows: dict[str, ImageRow]) -> None:
        self.world = replace(self.world, images=rows)
        frame: Frame = ImagesChanged(images=rows)
        self.publish(frame)

    def tell(self, name: str, status: str, id: str = "", current: int = 0, total: int = 0) -> None:
        detail = {"current": current, "total": total} if total else {}
        self.moving[name].put_nowait({"status": status, "id": id, "progressDetail": detail})

    def finish(self, name: str, row: ImageRow | None = None, error: str = "") -> None:
        if row:
            self.set_images(self.world.images | {row.id: row})
        self.moving[name].put_nowait(EngineError(error) if error else None)

    async def _move(self, verb: str, name: str) -> AsyncIterator[dict[str, Any]]:
        self.calls.append((verb, name, "", {}))
        lines = self.moving[name] = asyncio.Queue()
        try:
            while (line := await lines.get()) is not None:
                if isinstance(line, Exception):
                    raise line
                yield line
        except asyncio.CancelledError:
            self.left.append(name)
            raise

    def pull(self, reference: str, *, credentials: Credentials | None = None) -> AsyncIterator[dict[str, Any]]:
        self.logins[reference] = credentials
        return self._move("pull", reference)

    def push(self, reference: str, *, credentials: Credentials | None = None) -> AsyncIterator[dict[str, Any]]:
        return self._move("push", reference)

    async def image_load(self, archive: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        data = b"".join([chunk async for chunk in archive])
        if not data.startswith(b"archive"):
            raise Invalid("it is no archive of images")
        row = image(9, "loaded:1")
        self.set_images(self.world.images | {row.id: row})
        yield {"stream": "Loaded image: loaded:1\n"}

    async def image_save(self, names: Iterable[str]) -> AsyncIterator[bytes]:
        self.calls.append(("save", " ".join(names), "", {}))
        for _ in range(3):
            yield b"archive" * 100

    async def image_tag(self, name: str, reference: str) -> None:
        self.calls.append(("tag", name, reference, {}))
        rows = {id: replace(row, tags=tuple(t for t in row.tags if t != reference)) for id, row in self.world.images.items()}
        found = self._find(name)
        rows[found.id] = replace(rows[found.id], tags=(*rows[found.id].tags, reference))
        self.set_images(rows)

    async def image_remove(self, name: str, *, force: bool = False) -> list[dict[str, Any]]:
        self.calls.append(("remove", name, "", {"force": force}))
        found = self._find(name)
        users = [row for row in self.world.containers.values() if row.image_id == found.id]
        if users and not force and len(found.tags) < 2:
            short = found.id.removeprefix("sha256:")[:12]
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - '
                f"container {users[0].id[:12]} is using its referenced image {short}"
            )
        tags = tuple(tag for tag in found.tags if tag != name)
        rows = {id: row for id, row in self.world.images.items() if id != found.id}
        self.set_images(rows | ({found.id: replace(found, tags=tags)} if tags else {}))
        return [{"Untagged": name}, *([] if tags else [{"Deleted": found.id}])]

    async def image_history(self, name: str) -> list[dict[str, Any]]:
        self.calls.append(("history", name, "", {}))
        return HISTORY

    async def image_json(self, name: str) -> dict[str, Any]:
        found = self._find(name)
        config = {"Env": ["PATH=/bin"], "Cmd": ["serve"], "Labels": None}
        return {"Id": found.id, "RepoTags": list(found.tags), "Size": found.size, "Config": config}

    async def images_prune(self, **filters: list[str]) -> dict[str, Any]:
        self.calls.append(("prune", "", "", dict(filters)))
        return {"ImagesDeleted": [], "SpaceReclaimed": 7 * MB}

    def _find(self, name: str) -> ImageRow:
        for row in self.world.images.values():
            if name in row.tags or name == row.id:
                return row
        raise NotFound(f"no such image: {name}")
