"""What Docker clients read and write of images and of the disk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.client import Client
from engine.host.simulated_world import BUSYBOX
from engine.model.errors import Conflict, EngineError, Invalid, NotFound
from tests.engine.api.conftest import Served
from tests.engine.host.archives import digest

ID = BUSYBOX.id
LAYERS = (b"one" * 100, b"two" * 10)
HISTORY = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "ADD one"},
    {"created": "2024-01-02T00:00:00Z", "created_by": "ENV A=1", "empty_layer": True, "comment": "buildkit"},
    {"created_by": "COPY two"},
]


async def sent(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def add(served: Served, name: str = "", parent: str = "", **more: Any) -> str:
    """An image of `LAYERS` in the simulated store; its id."""
    images, ids = served.engine.host.images, [digest(layer) for layer in LAYERS]
    config = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}, "history": HISTORY} | more
    async with images.keeping():
        below = ""
        for layer in LAYERS:
            below = (await images.add_layer(below, "", sent(layer))).chain_id
        return (await images.add_image(json.dumps(config).encode(), [name] if name else [], parent=parent)).id


async def test_tag(served: Served) -> None:
    answer = await served.ask("POST", "/images/busybox/tag?repo=web&tag=1")
    assert (answer.status, answer.data) == (201, b"")
    await served.ask("POST", f"/v1.41/images/{ID}/tag?repo=localhost:5000/a/web:2")
    assert (await served.get("/images/web:1/json"))["RepoTags"] == ["busybox:latest", "web:1", "localhost:5000/a/web:2"]
    assert (await served.get("/images/json"))[0]["RepoTags"] == ["busybox:latest", "web:1", "localhost:5000/a/web:2"]
    for url, status in (
        ("/images/nope/tag?repo=web", 404),
        ("/images/busybox/tag?repo=Web", 400),
        ("/images/busybox/tag?repo=web&tag=a/b", 400),
        (f"/images/busybox/tag?repo=web@sha256:{'1' * 64}", 400),
        ("/images/busybox/tag", 400),
    ):
        assert (await served.ask("POST", url)).status == status, url


async def test_remove(served: Served) -> None:
    await served.create()
    busy = await served.ask("DELETE", "/images/busybox")
    assert busy.status == 409 and busy.json["message"].startswith('conflict: unable to remove repository reference "busybox"')
    assert (await served.ask("DELETE", "/images/nope")).status == 404
    forced = await served.ask("DELETE", "/images/busybox?force=1")
    assert (forced.status, forced.json) == (200, [{"Untagged": "busybox:latest"}, {"Deleted": ID}])
    assert (await served.get("/containers/json?all=1"))[0]["Image"] == ID


async def test_a_parent_stays_when_asked(served: Served) -> None:
    parent = await add(served)
    child = await add(served, "web", parent, comment="child")
    assert [row["Id"] for row in await served.get("/images/json?filters=%7B%22dangling%22:[%22true%22]%7D")] == []
    assert {row["Id"]: row["ParentId"] for row in await served.get("/images/json?all=1")}[child] == parent
    answer = await served.ask("DELETE", "/images/web?noprune=1")
    assert answer.json == [{"Untagged": "web:latest"}, {"Deleted": child}]
    gone = (await served.ask("DELETE", f"/images/{parent[7:20]}")).json
    assert gone[0] == {"Deleted": parent} and len(gone) == 3


async def test_an_image_without_a_name_is_none_to_older_clients(served: Served) -> None:
    await add(served)
    rows = {}
    for version in ("1.42", "1.43"):
        rows[version] = (await served.get(f"/v{version}/images/json"))[-1]
    assert (rows["1.42"]["RepoTags"], rows["1.42"]["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
    assert (rows["1.43"]["RepoTags"], rows["1.43"]["RepoDigests"]) == ([], [])


async def test_history(served: Served) -> None:
    parent = await add(served, "base")
    await add(served, "web", parent, comment="child")
    rows = await served.get("/images/web/history")
    assert [(row["CreatedBy"], row["Size"], row["Comment"]) for row in rows] == [
        ("COPY two", 30, ""),
        ("ENV A=1", 0, "buildkit"),
        ("ADD one", 300, ""),
    ]
    assert [row["Created"] for row in rows] == [-62135596800, 1704153600, 1704067200], "Go's zero time where none is told"
    child = (await served.get("/images/web/json"))["Id"]
    assert [row["Id"] for row in rows] == [child, parent, "<missing>"]
    assert [row["Tags"] for row in rows] == [["web:latest"], ["base:latest"], None]
    await add(served, "wrong", history=HISTORY * 2)
    answer = await served.ask("GET", "/images/wrong/history")
    assert answer.status == 500 and "too many non-empty layers" in answer.json["message"]
    assert (await served.ask("GET", "/images/nope/history")).status == 404


async def test_save(served: Served) -> None:
    await add(served, "web:1")
    both = await served.ask("GET", "/images/get?names=web:1&names=busybox")
    assert both.headers["Content-Type"] == "application/x-tar" and b"manifest.json" in both.data
    assert (await served.ask("GET", "/images/web/get")).data == (await served.ask("GET", "/images/get?names=web")).data
    for url, status in (("/images/get?names=web&names=nope", 404), ("/images/nope/get", 404), ("/images/get", 400)):
        assert (await served.ask("GET", url)).status == status


async def test_prune_of_images(served: Served, client: Client) -> None:
    nameless = await add(served, created="2024-01-01T00:00:00Z", config={"Labels": {"tier": "front"}})
    for filters in ({"until": ["2023-01-01"]}, {"label": ["tier=back"]}, {"label_not": ["tier"]}):
        assert await client.images_prune(**filters) == {"ImagesDeleted": None, "SpaceReclaimed": 0}
    gone = await client.images_prune(until=["2025-01-01"], label=["tier"])
    assert gone["ImagesDeleted"][0] == {"Deleted": nameless} and gone["SpaceReclaimed"] == 330
    assert [image.id for image in await client.images()] == [ID]
    assert (await client.images_prune(dangling=["false"]))["SpaceReclaimed"] == 1000
    for wrong in ({"foo": ["1"]}, {"until": ["1", "2"]}, {"until": ["soon"]}, {"dangling": ["perhaps"]}):
        with pytest.raises(Invalid):
            await client.images_prune(**wrong)


async def test_prune_of_containers(served: Served, client: Client) -> None:
    ids = {name: await served.create(name, Labels={name: "1"}) for name in ("one", "two", "three", "four")}
    await served.engine.do("start", "four")
    assert await client.containers_prune(until=["2025-01-01"]) == {"ContainersDeleted": None, "SpaceReclaimed": 0}
    assert (await client.containers_prune(label=["one"]))["ContainersDeleted"] == [ids["one"]]
    assert (await client.containers_prune(label_not=["two"]))["ContainersDeleted"] == [ids["three"]]
    assert (await client.containers_prune())["ContainersDeleted"] == [ids["two"]]
    assert list(served.engine.ledger.records) == [ids["four"]]
    with pytest.raises(Invalid):
        await client.containers_prune(dangling=["1"])


async def test_disk_usage(served: Served) -> None:
    web, also = await add(served, "web"), await add(served, "also", comment="also")
    await served.create()
    used = await served.get("/system/df")
    assert used["LayersSize"] == 1330 and used["Volumes"] == used["BuildCache"] == []
    assert {row["Id"]: (row["Size"], row["SharedSize"], row["Containers"]) for row in used["Images"]} == {
        web: (330, 330, 0),
        also: (330, 330, 0),
        ID: (1000, 0, 1),
    }
    assert [(row["Names"], row["SizeRw"], row["SizeRootFs"]) for row in used["Containers"]] == [(["/web"], 0, 1000)]
    only = await served.get("/system/df?type=container&type=volume")
    assert (only["LayersSize"], only["Images"], only["BuildCache"]) == (0, None, None) and only["Volumes"] == []
    assert (await served.get("/v1.41/system/df?type=container"))["LayersSize"] == 1330
    assert (await served.ask("GET", "/system/df?type=cake")).status == 400


async def test_the_client(client: Client) -> None:
    await client.image_tag("busybox", "localhost:5000/web")
    await client.image_tag("busybox", "web:1")
    assert (await client.image_json("web:1"))["RepoTags"][-1] == "localhost:5000/web:latest"
    assert await client.image_history("web:1") == [], "no history is told"
    data = b"".join([chunk async for chunk in client.image_save(["web:1", "busybox"])])
    assert b"manifest.json" in data
    with pytest.raises(NotFound):
        await anext(client.image_save(["nope"]))
    with pytest.raises(Conflict, match="must be forced"):
        await client.image_remove(ID)
    assert (await client.disk_usage())["LayersSize"] == 1000
    assert await client.image_remove("web:1", noprune=True) == [{"Untagged": "web:1"}]
    assert {"Deleted": ID} in await client.image_remove(ID, force=True)
    with pytest.raises(EngineError):
        await client.image_history("busybox")
