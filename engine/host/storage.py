"""The ports of the disk: the image store, and the file system of one container. One Protocol each, as `engine.host` tells."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeAlias

from engine.host.things import Sighting, User
from engine.model.image import Image, ImageLayer

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told of work on a layer: its digest, bytes done, and bytes in all (0: not known). Called on the event loop."""


class Forgotten(NamedTuple):
    """Names to be taken away, familiar with tag or digest, and ids of images to go with all their names."""

    names: Collection[str] = ()
    images: Collection[str] = ()


Choose: TypeAlias = Callable[[Mapping[str, Image]], Forgotten]
"""Chooses what goes among all images there are, by id. What it raises is raised, and nothing goes. It must not wait."""


class Rootfs(Protocol):
    """The overlay2 store of one container: its two layers and the union mount."""

    async def make_init(self, init_id: str, lower: tuple[str, ...]) -> None:
        """The init layer with the files that are mounted over or wanted in every container."""

    async def make_writable(self, mount_id: str, init_id: str, lower: tuple[str, ...], chain_id: str, id: str) -> None: ...

    async def drop_layer(self, layer: str, id: str = "") -> None:
        """Remove a layer's directory and its short link. With `id`: the entry in `layerdb/mounts/<id>` too."""

    async def look_layer(self, layer: str) -> str | None: ...

    async def mount(self, mount_id: str) -> str:
        """Mount the union; its path."""

    async def unmount(self, mount_id: str) -> None: ...

    async def look_mount(self, mount_id: str) -> str | None: ...

    async def make_directory(self, mount_id: str, path: str) -> None:
        """The working directory, inside the root, no symlink followed out of it."""

    async def user(self, mount_id: str, user: str, groups: tuple[str, ...]) -> User:
        """Look a user up in the root's own `/etc/passwd` and `/etc/group`."""

    def merged(self, mount_id: str) -> str:
        """Path of the union mount."""

    async def sightings(self) -> set[Sighting]:
        """Every union mount and every layer there is: `("mount", id)`, `("layer", id)`."""

    async def sizes(self, mount_id: str) -> tuple[int, int]:
        """Bytes and files in the writable layer."""


class Images(Protocol):
    """The image store, `image/overlay2/` and the read-only layers of `overlay2/`.

    A chain id names a layer together with all below it; images share layers by it. Layers that come one by one are kept from
    being freed by `keeping`, until an image holds them.
    """

    async def load_all(self) -> list[Image]: ...

    async def find(self, reference: str) -> Image:
        """By name, digest, id or id prefix (reference 8.9). Raises `NotFound`, `Invalid`."""

    def load(self, archive: AsyncIterator[bytes], progress: Progress | None = None) -> AsyncIterator[str]:
        """Take in a `docker save` archive or an OCI image layout; yields `Loaded image: ...` lines."""

    async def make_busybox(self) -> Image:
        """The first image, from the host's static busybox. Made once."""

    async def tag(self, id: str, reference: str) -> None:
        """Give an image one more name; another image that had it loses it. Raises `NotFound`, `Invalid`."""

    async def forget(self, choose: Choose) -> tuple[str, ...]:
        """Forget names and images, and free the layers that no other image and no container stands on; their chain ids.

        From the tick in which `choose` has chosen an image nobody finds it any more. So whoever finds an image and says in
        the same tick that it is used is either seen by `choose`, or finds nothing.
        """

    async def config(self, id: str) -> bytes:
        """The exact bytes of the image's config. Raises `NotFound`."""

    def keeping(self) -> AbstractAsyncContextManager[None]:
        """No layer is freed while anybody is inside. When the last one leaves, those that no image holds go."""

    async def has_layer(self, chain_id: str) -> bool: ...

    async def add_layer(
        self, parent: str, diff_id: str, chunks: AsyncIterator[bytes], report: Callable[[int], None] | None = None
    ) -> ImageLayer:
        """Unpack a layer on top of the chain `parent` (empty: the bottom). Call it inside `keeping`.

        `chunks`: a tar, plain or compressed (gzip, zstd, bzip2, xz), told by its first bytes. Its content is checked against
        `diff_id` unless that is empty. `report` is told how many bytes of `chunks` are taken.
        Raises `Invalid`, naming the entry, for what no layer can be; `HostFailed` when it does not fit.
        """

    async def add_image(
        self, config: bytes, tags: Iterable[str] = (), digests: Iterable[str] = (), parent: str = "", *, named: bool = False
    ) -> Image:
        """Commit an image whose layers are all there, under these names. Raises `Invalid`, and `NotFound` for a layer.

        `parent`: id of the image that it was made from here. `named`: the tags are a person's, who gives them now.
        """

    def layer_tar(self, chain_id: str) -> AsyncGenerator[bytes, None]:
        """The layer's tar, uncompressed, byte for byte as it came.

        Raises `NotFound`; and `HostFailed`, maybe at the very end, when the layer was changed on the disk meanwhile.
        """

    def save(self, images: Iterable[tuple[Image, tuple[str, ...]]]) -> AsyncGenerator[bytes, None]:
        """Images, each with the names to save it under, as one archive that is Docker's and an OCI image layout at once."""

    def diff_tar(self, mount_id: str) -> AsyncGenerator[bytes, None]:
        """What a container has written, as the tar of a layer. Raises `NotFound`, `HostFailed`."""
