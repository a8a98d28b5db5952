"""What is asked about files: the engine in process and the client over its socket, on layers of a real disk."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.client import Client
from engine.files import Files
from engine.host import Facts
from engine.host.layers import LayerStore
from engine.host.trees import DiskTrees
from engine.model.errors import Invalid, NotFound
from engine.model.tree import Change, ChangeKind, TreeInterface
from tests.engine.api.conftest import Served, serve

IMAGE_LAYER = "c" * 64


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """An engine with a container `web`, whose layers lie on the disk."""
    async with serve(tmp_path) as served:
        engine = served.engine
        engine.host = dataclasses.replace(engine.host, trees=DiskTrees(Facts(root=str(tmp_path))))
        await served.create("web")
        store, layers = LayerStore(str(tmp_path)), engine.resolve("web").layers
        assert layers
        store.make(IMAGE_LAYER)
        store.make(layers.init_id, IMAGE_LAYER)
        store.make(layers.mount_id, layers.init_id)
        for layer, path, text in (
            (IMAGE_LAYER, "etc/motd", "hello"),
            (IMAGE_LAYER, "etc/old", "1"),
            (layers.mount_id, "etc/motd", "changed"),
            (layers.mount_id, "new", ""),
        ):
            place = Path(store.diff(layer), path)
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
        yield served


@pytest.fixture(params=["in process", "over the socket"])
async def files(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[TreeInterface]:
    if request.param == "in process":
        yield Files(served.engine)
    else:
        async with Client(served.path) as client:
            yield client


CHANGED = (
    Change(path="/etc", kind=ChangeKind.MODIFIED),
    Change(path="/etc/motd", kind=ChangeKind.MODIFIED),
    Change(path="/new", kind=ChangeKind.ADDED),
)


async def test_the_stack_of_a_container(files: TreeInterface) -> None:
    stack = await files.stack("web")
    assert [layer.kind for layer in stack.layers] == ["rw", "init", "ro"]
    assert stack.layers[-1].size == 1000 and stack.layers[-1].wasted == len("hello")
    assert stack.name == "web" and stack.mount == () and stack.image.startswith("sha256:")


async def test_mounted_or_not(files: TreeInterface, served: Served) -> None:
    await served.engine.do("start", "web")
    assert (await files.stack("web")).mount


async def test_the_stack_of_an_image(files: TreeInterface) -> None:
    stack = await files.stack("busybox")
    assert [layer.id for layer in stack.layers] == [IMAGE_LAYER] and stack.name == "busybox:latest"


@pytest.mark.parametrize(
    ("history", "age"),
    [
        ('[{"created": "2026-01-02T03:04:05Z", "empty_layer": true}, {"created": "2026-01-03T00:00:00Z"}]', 3),
        ('[{"created": "long ago"}]', None),
        ('[{"created_by": "RUN"}]', None),
        ('"none"', None),
        ("[]", None),
    ],
)
async def test_the_age_of_a_layer(served: Served, history: str, age: int | None) -> None:
    (image,) = served.world.images.values()
    served.world.image_configs[image.id] = b'{"history": %s}' % history.encode()
    (layer,) = (await Files(served.engine).stack("busybox")).layers
    assert (layer.created and layer.created.day) == age


async def test_the_files_of_a_container_and_its_image(files: TreeInterface) -> None:
    assert [(entry.name, entry.layers) for entry in (await files.listing("web")).entries] == [("etc", (0, 2)), ("new", (0,))]
    assert (await files.content("web", "/etc/motd")).data == b"changed"
    assert (await files.content("busybox", "/etc/motd")).data == b"hello"
    assert await files.changes("web") == CHANGED
    assert {(each.path, each.only) for each in (await files.compare("web", "busybox")).differences} == {
        ("/etc/motd", ""),
        ("/new", "first"),
    }


async def test_what_is_not_there(files: TreeInterface) -> None:
    with pytest.raises(NotFound, match="no container and no image"):
        await files.stack("nobody")
    with pytest.raises(NotFound):
        await files.content("web", "/etc/nothing")
    with pytest.raises(Invalid):
        await files.listing("web", "/etc/motd")


async def test_docker_diff(served: Served) -> None:
    assert await served.get("/v1.43/containers/web/changes") == [
        {"Path": "/etc", "Kind": 0},
        {"Path": "/etc/motd", "Kind": 0},
        {"Path": "/new", "Kind": 1},
    ]
    assert (await served.ask("GET", "/containers/busybox/changes")).status == 404
    assert (await served.ask("GET", "/longshore/tree/stack")).status == 400


async def test_docker_diff_of_nothing_changed_is_null(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await served.create("web")
        assert await served.get("/containers/web/changes") is None
