"""`/commit`, `/containers/x/export` and import over HTTP, on a simulated host."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web

from engine.client import Client
from engine.host.simulated_images import SimulatedImages
from engine.host.simulated_trees import SimulatedTrees
from engine.model.errors import Invalid, NotFound
from engine.model.run import Move
from tests.engine.api.conftest import Served, until
from tests.engine.host.archives import entry, tar
from tests.registries import Server

TAR = tar(entry("hello", b"hello"))


def actions(served: Served) -> list[str]:
    return [message.action for message in served.engine.events._history]


async def test_commit(served: Served) -> None:
    id = await served.create("web")
    asked = "/commit?container=web&repo=a/b&tag=1&comment=c&author=me&pause=&changes=USER%20me&changes=ENV%20A%3Db"
    for body in (None, b"null"):
        answer = await served.ask("POST", asked, data=body)
        assert answer.status == 201
        image = await served.engine.host.images.find("a/b:1")
        assert answer.json == {"Id": image.id} and image.config.user == "me"
        assert image.config.hostname == id[:12], "without settings of its own a commit takes all of the container's"
    answer = await served.ask("POST", "/commit?container=web", json={"cmd": "true", "Healthcheck": None})
    image = await served.engine.host.images.find(answer.json["Id"])
    assert image.config.cmd == ("true",) and image.config.hostname == "" and not image.tags


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("container=nobody", 404),
        ("", 400),
        ("container=web&repo=UPPER", 400),
        ("container=web&changes=RUN%20x", 400),
    ],
)
async def test_what_cannot_be_committed(served: Served, query: str, status: int) -> None:
    await served.create("web")
    assert (await served.ask("POST", f"/commit?{query}")).status == status
    assert len(served.world.images) == 1


async def test_a_body_that_is_none(served: Served) -> None:
    await served.create("web")
    for body in (b"{", b"[]", b'{"Cmd": 3}'):
        assert (await served.ask("POST", "/commit?container=web", data=body)).status == 400


async def test_a_lesson_is_not_disturbed(served: Served) -> None:
    """It holds the container until somebody ends it."""
    await served.create("web")
    await served.engine.begin("start", "web")
    answer = await served.ask("POST", "/commit?container=web")
    assert answer.status == 409 and "step by step" in answer.json["message"]
    await served.engine.advance("web", Move.RUN)


async def test_pause_is_asked_for_unless_said_otherwise(served: Served, client: Client) -> None:
    await served.create("web")
    await served.engine.do("start", "web")
    for query, frozen in (("", 1), ("&pause=1", 2), ("&pause=0", 2), ("&pause=false", 2)):
        await served.ask("POST", f"/commit?container=web{query}")
        assert actions(served).count("pause") == actions(served).count("unpause") == frozen, query
    await client.commit("web", pause=False)
    assert actions(served).count("pause") == 2
    await client.commit("web", repository="x", tag="1", changes=("USER a", "USER b"))
    assert (await served.engine.host.images.find("x:1")).config.user == "b"


async def test_export(served: Served, client: Client) -> None:
    await served.create("web")
    answer = await served.ask("GET", "/containers/web/export")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/x-tar" and answer.data == bytes(1024)
    assert actions(served)[-1] == "export"
    assert b"".join([chunk async for chunk in client.export("web")]) == bytes(1024)
    with pytest.raises(NotFound):
        _ = [chunk async for chunk in client.export("nobody")]


async def test_what_is_removed_on_the_way_is_no_whole_archive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is cut, so that nobody takes the half for the whole."""
    await served.create("web")

    async def packed(self: SimulatedTrees, layers: tuple[str, ...]) -> Any:
        yield b"first"
        await served.engine.do("remove", "web")
        yield bytes(1024)

    monkeypatch.setattr(SimulatedTrees, "tar", packed)
    with pytest.raises(Exception, match=r"payload|closed|disconnect"):
        await served.ask("GET", "/containers/web/export")


async def test_import(served: Served, client: Client) -> None:
    asked = "/images/create?fromSrc=-&repo=imported&tag=1&message=why&changes=CMD%20true&platform=linux/arm64/v8"
    answer = await served.ask("POST", asked, data=TAR)
    assert answer.status == 200
    image = await served.engine.host.images.find("imported:1")
    assert answer.data == msgspec.json.encode({"status": image.id}) + b"\r\n"
    assert (image.architecture, image.variant, image.comment) == ("arm64", "v8", "why")
    assert image.config.cmd == ("/bin/sh", "-c", "true") and len(image.layers) == 1 and not image.parent
    assert actions(served)[-2:] == ["tag", "import"]

    async def archive() -> Any:
        yield TAR

    said = [told async for told in client.image_import("-", archive(), changes=("USER me",))]
    image = await served.engine.host.images.find(said[-1]["status"])
    assert image.config.user == "me" and image.comment == "Imported from -" and not image.tags
    answer = await served.ask("POST", "/images/create?fromSrc=-&changes=RUN%20x", data=TAR)
    assert answer.status == 400 and "run is not a valid change command" in answer.json["message"]
    with pytest.raises(Invalid, match="nothing is named"):
        _ = [told async for told in client.image_import("")]


async def test_import_of_a_url(served: Served, client: Client) -> None:
    async def there(request: web.Request) -> web.Response:
        return web.Response(body=TAR) if request.path == "/a.tar" else web.Response(status=int(request.path[1:]))

    async with Server(there) as server:
        said = [told async for told in client.image_import(f"http://{server.name}/a.tar", repository="x")]
        assert said[0]["status"] == f"Downloading from http://{server.name}/a.tar" and said[1]["status"] == "Importing"
        assert said[-1]["status"] == (await served.engine.host.images.find("x")).id
        _ = [told async for told in client.image_import(f"{server.name}/a.tar")]
        for status in (404, 503):
            with pytest.raises(Exception, match=f"failed to GET .* with status {status}"):
                _ = [told async for told in client.image_import(f"{server.name}/{status}")]
    for wrong, why in ((f"{server.name}/a.tar", "cannot fetch"), ("ftp://x/y", "is no URL"), ("http://[", "is no URL")):
        with pytest.raises(Exception, match=why):
            _ = [told async for told in client.image_import(wrong)]


async def test_a_client_that_goes_leaves_no_container_frozen(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def diff_tar(self: SimulatedImages, mount_id: str) -> Any:
        begun.set()
        await go_on.wait()
        yield bytes(1024)

    monkeypatch.setattr(SimulatedImages, "diff_tar", diff_tar)
    id = await served.create("web")
    await served.engine.do("start", "web")
    asking = asyncio.create_task(served.ask("POST", "/commit?container=web&repo=x"))
    await begun.wait()
    assert served.world.tasks[id].frozen
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    go_on.set()
    await until(lambda: "commit" in actions(served))
    assert not served.world.tasks[id].frozen and (await served.engine.host.images.find("x")).parent
