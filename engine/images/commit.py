"""Commit: what a container has written becomes a layer, and with its settings an image on top of the one it was made from.

While its files are read a running container stands still. The record says so before it is frozen, as the journal of a run that
is on its way back: an engine that is killed meanwhile leaves it to the next one to thaw, by the very walk that ends the hold
here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from engine.flow.ledger import Ledger
from engine.flow.runner import Runner
from engine.host import Host
from engine.images.made import Made, name_of
from engine.model.container import Container, Layers
from engine.model.errors import Conflict, NotFound
from engine.model.image import Image
from engine.model.run import Run, Way
from engine.model.settings import Config
from engine.model.status import Status
from engine.spec.changes import apply
from engine.spec.merge import merge
from engine.spec.newimage import committed
from engine.steps.task import Freeze

VERB: Final = "commit"
NOTHING: Final = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""DiffID of a tar without entries: such a layer is told of in the history alone, as Docker does."""


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody wants of a commit."""

    repository: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()
    """Instructions of a Dockerfile."""
    config: Config | None = None
    """Settings that count before the container's own; None: the container's."""


class Commits:
    """All commits of one engine. `tell`: an event of a container, with its attributes."""

    def __init__(
        self,
        host: Host,
        ledger: Ledger[Container],
        runner: Runner[Host, Container],
        tell: Callable[..., None],
        made: Made,
    ) -> None:
        self._host, self._ledger, self._runner = host, ledger, runner
        self._tell, self._made = tell, made

    async def commit(self, id: str, wish: Wish) -> Image:
        """Make an image of a container. Raises `Conflict`, `Invalid`, `NotFound`, `HostFailed`."""
        c, images = self._get(id), self._host.images
        layers = writable(c, VERB)
        name = name_of(wish.repository, wish.tag)
        config = merge(apply(wish.changes, wish.config or c.config), c.config)
        async with images.keeping():
            below = await self._below(c)
            async with aclosing(self._written(c, layers, pause=wish.pause)) as chunks:
                layer = await images.add_layer(below.layers[-1].chain_id if below.layers else "", "", chunks)
            data = committed(
                await images.config(below.id),
                c,
                config,
                layer.diff_id if layer.diff_id != NOTHING else "",
                comment=wish.comment,
                author=wish.author,
                now=self._host.clock.now(),
            )
            image = await images.add_image(data, (name,) if name else (), parent=below.id, named=bool(name))
        if name:
            await self._made(image, "tag", name)
        self._tell(self._ledger.get(id) or c, VERB, comment=wish.comment, imageID=image.id, imageRef=name)
        return image

    async def _below(self, c: Container) -> Image:
        try:
            return await self._host.images.find(c.image)
        except NotFound as error:
            raise NotFound(f"cannot commit {c.name}: the image it was made from is gone ({c.image})") from error

    async def _written(self, c: Container, layers: Layers, *, pause: bool) -> AsyncGenerator[bytes, None]:
        """What the container has written, as a tar. It goes on as soon as the last byte is read."""
        async with (
            self._still(c.id) if pause else nullcontext(),
            aclosing(self._host.images.diff_tar(layers.mount_id)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk
            writable(self._get(c.id), VERB)  # or it is being removed, and the tar is not whole

    @asynccontextmanager
    async def _still(self, id: str) -> AsyncIterator[None]:
        """Nothing happens to the container, and if it runs, nothing in it."""
        async with self._ledger.lock(id):
            c, freeze = self._get(id), Freeze()
            if c.status is not Status.RUNNING:
                yield
                return
            run = Run(verb=VERB, rows=(freeze.row(c),), began=self._host.clock.now(), at=1, way=Way.BACK)
            held = await self._ledger.save(replace(c, run=run))
            try:
                held = await freeze.do(self._host, held)
                self._ledger.keep(held)
                self._tell(held, "pause")
                yield
            finally:
                now = await self._runner.resume(self._get(id))
                if held.status is Status.PAUSED:
                    self._tell(now, "unpause")
                await self._ledger.save(replace(now, run=c.run))  # the last operation is again what it was

    def _get(self, id: str) -> Container:
        c = self._ledger.get(id)
        if c is None:
            raise NotFound(f"No such container: {id[:12]}")
        return c


def writable(c: Container, verb: str) -> Layers:
    """The layers of a container whose files may be read as a whole. Raises `Conflict`."""
    if c.status is Status.DEAD:
        raise Conflict(f"You cannot {verb} container {c.name} which is Dead", "remove it")
    if c.status is Status.REMOVING or (c.run and c.run.moving and c.run.verb == "remove"):
        raise Conflict(f"You cannot {verb} container {c.name} which is being removed")
    if c.layers is None or c.status is Status.CREATING:
        raise Conflict(f"cannot {verb} {c.name}: it is being made", "ask again")
    return c.layers
