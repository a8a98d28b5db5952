"""Which names and images go, and what forbids it: Docker's rules (reference 8.10), on a copy of what there is. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from engine.host import Forgotten
from engine.model.container import Container
from engine.model.errors import Conflict
from engine.model.image import Image
from engine.model.status import Status
from engine.spec import references

UNTAGGED, DELETED = "Untagged", "Deleted"


class Removal:
    """A removal that is being thought out. What was decided is in `forgotten`; `told` and `events` say it in Docker's order."""

    def __init__(self, images: Mapping[str, Image], containers: Iterable[Container]) -> None:
        self._images = dict(images)
        self._children = Counter(image.parent for image in images.values())
        self._users: defaultdict[str, list[Container]] = defaultdict(list)
        for c in containers:
            self._users[c.image].append(c)
        self._records: list[tuple[str, str]] = []
        self._names: list[str] = []
        self._deleted: dict[str, Image] = {}
        self.events: list[tuple[str, Image]] = []
        """Action and image."""

    @property
    def forgotten(self) -> Forgotten:
        return Forgotten(self._names, tuple(self._deleted))

    def remove(self, name: str, *, force: bool = False, prune: bool = True) -> None:
        """`DELETE /images/x`. By id all its names go, by name that one; the image goes with the last.

        `prune`: parents go too when nothing holds them. Raises `NotFound`, `Invalid`, `Conflict`; nothing is decided then.
        """
        image = references.find(name, self._images)
        if not image.id.startswith(name) and not image.id.removeprefix("sha256:").startswith(name):
            self._remove_name(image, references.parse(name).familiar, name, force=force, prune=prune)
            return
        if obstacle := self._obstacle(image, force=force, named=not _is_single(names_of(image))):
            raise obstacle
        self._delete(image, prune=prune)

    def prune(self, wanted: Callable[[Image], bool], *, dangling: bool = True) -> None:
        """`POST /images/prune`: what no container uses and nothing that stays was made from. `dangling`: only what has no tag.

        dockerd would take all but the last name from an image that is in use; here it keeps them all.
        """
        left = [image for image in self._images.values() if wanted(image) and not (dangling and image.tags)]
        while going := [image for image in left if self._is_unused(image)]:
            for image in going:
                self._delete(image, prune=True)
            left = [image for image in left if image.id in self._images]

    def told(self, freed: Collection[str]) -> list[dict[str, str]]:
        """The answer: names and images as they went, each image with those of the `freed` layers that nothing later held."""
        last = {layer.chain_id: id for id, image in self._deleted.items() for layer in image.layers}
        answer = []
        for key, value in self._records:
            answer.append({key: value})
            if key == DELETED:
                chain = [layer.chain_id for layer in reversed(self._deleted[value].layers)]
                answer += [{DELETED: id} for id in chain if id in freed and last[id] == value]
        return answer

    def reclaimed(self, freed: Collection[str]) -> int:
        """Bytes of the deleted images' layers that are free."""
        sizes = {layer.chain_id: layer.size for image in self._deleted.values() for layer in image.layers}
        return sum(size for id, size in sizes.items() if id in freed)

    def _remove_name(self, image: Image, name: str, asked: str, *, force: bool, prune: bool) -> None:
        users = self._users[image.id]
        if users and not force and _is_single(names_of(image)):
            raise Conflict(
                f'conflict: unable to remove repository reference "{asked}" (must force) - '
                f"container {users[0].short_id} is using its referenced image {_short(image)}"
            )
        image = self._untag(image, name)
        repository = _repository(name)
        if "@" not in name and repository not in map(_repository, image.tags):
            for digest in image.digests:
                if _repository(digest) == repository:
                    image = self._untag(image, digest, told=False)
        if not names_of(image) and not self._obstacle(image, force=force):
            self._delete(image, prune=prune)

    def _obstacle(self, image: Image, *, force: bool, named: bool = False) -> Conflict | None:
        """What keeps an image from being deleted. `named`: its names do, too."""
        users = self._users[image.id]
        running = next((c for c in users if c.status.up), None)
        coming = next((c for c in users if c.status is Status.CREATING), None)
        hard = True
        if self._children[image.id]:
            reason = "image has dependent child images"
        elif running:
            reason = f"image is being used by running container {running.short_id}"
        elif coming:  # its layers hold the image's only once they are made
            reason = f"image is being used by container {coming.short_id}, which is being created"
        elif force:
            return None
        elif named and names_of(image):
            hard, reason = False, "image is referenced in multiple repositories"
        elif users:
            hard, reason = False, f"image is being used by stopped container {users[0].short_id}"
        else:
            return None
        return Conflict(f"conflict: unable to delete {_short(image)} ({'cannot' if hard else 'must'} be forced) - {reason}")

    def _delete(self, image: Image, *, prune: bool) -> None:
        for name in names_of(image):
            image = self._untag(image, name)
        self._deleted[image.id] = self._images.pop(image.id)
        self._children[image.parent] -= 1
        self._records.append((DELETED, image.id))
        self.events.append(("delete", image))
        parent = self._images.get(image.parent)
        if prune and parent and not self._obstacle(parent, force=False, named=True):
            self._delete(parent, prune=True)

    def _untag(self, image: Image, name: str, *, told: bool = True) -> Image:
        """Take a name away. dockerd tells no event of digests that go with the last tag beside them."""
        if told:
            self.events.append(("untag", image))
        self._records.append((UNTAGGED, name))
        self._names.append(name)
        tags, digests = (tuple(each for each in names if each != name) for names in (image.tags, image.digests))
        self._images[image.id] = replace(image, tags=tags, digests=digests)
        return self._images[image.id]

    def _is_unused(self, image: Image) -> bool:
        return image.id in self._images and not self._users[image.id] and not self._children[image.id]


def names_of(image: Image) -> tuple[str, ...]:
    """All names, tags and digests, in Docker's order: as they read in full."""
    return tuple(sorted((*image.tags, *image.digests), key=references.in_full))


def _repository(name: str) -> str:
    """What stands before tag or digest in a familiar name."""
    return name.rpartition("@" if "@" in name else ":")[0]


def _is_single(names: tuple[str, ...]) -> bool:
    """Is there but one tag at most, and one repository?"""
    return len({_repository(name) for name in names}) == 1 and sum("@" not in name for name in names) <= 1


def _short(image: Image) -> str:
    return image.id.removeprefix("sha256:")[:12]
