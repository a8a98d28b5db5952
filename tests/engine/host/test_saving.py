"""Images saved as one archive, and loaded again."""

import io
import os
import tarfile
from contextlib import aclosing
from pathlib import Path

from engine.host import Facts
from engine.host.images import ImageStore
from tests.engine.host.archives import digest, entry, saved, tar
from tests.engine.host.test_layers import BASE, OTHER, TOP, load, removed, store, whole

__all__ = ["store"]


async def test_saved_images_load_again_in_either_layout(store: ImageStore, tmp_path: Path) -> None:
    await load(store, saved([BASE, TOP], ["one:1", "one:2"]))
    await load(store, saved([BASE, OTHER], None))
    images = sorted(await store.load_all(), key=lambda image: image.id)
    wanted = [(image, image.tags) for image in images]
    data = await whole(store.save(wanted))
    assert data == await whole(store.save(wanted))
    only_oci = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, tarfile.open(fileobj=only_oci, mode="w") as other:
        names = archive.getnames()
        for member in archive:
            if member.name not in ("manifest.json", "repositories"):
                other.addfile(member, archive.extractfile(member))
    assert len(names) == len(set(names)) and {f"blobs/sha256/{digest(x)[7:]}" for x in (BASE, TOP, OTHER)} <= set(names)
    for number, form in enumerate((data, only_oci.getvalue())):
        again = ImageStore(Facts(root=str(tmp_path / f"again{number}")))
        await load(again, form)
        assert {image.id: image.tags for image in await again.load_all()} == {image.id: image.tags for image in images}


async def test_a_save_that_is_given_up_lets_go(store: ImageStore) -> None:
    await load(store, saved([tar(entry("big", os.urandom(3 << 20)))], ["web"]))
    image = await store.find("web")
    async with aclosing(store.save([(image, image.tags)])) as chunks:
        await anext(chunks)
    assert await removed(store, image.id) == (image.layers[0].chain_id,)
