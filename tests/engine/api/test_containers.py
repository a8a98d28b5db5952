"""The verbs as HTTP requests: every status of the reference's table 1.5 that is built, and what is told of a container."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.model.status import Status
from tests.engine.api.conftest import Served, until
from tests.engine.worlds import REACH

C, E, R, P = Status.CREATED, Status.EXITED, Status.RUNNING, Status.PAUSED

TABLE: dict[tuple[str, str], dict[Status, int]] = {
    ("POST", "/containers/web/start"): {C: 204, E: 204, R: 304, P: 409},
    ("POST", "/containers/web/stop"): {C: 304, E: 304, R: 204, P: 204},
    ("POST", "/containers/web/kill"): {C: 409, E: 409, R: 204, P: 204},
    ("POST", "/containers/web/pause"): {C: 409, E: 409, R: 204, P: 409},
    ("POST", "/containers/web/unpause"): {C: 500, E: 500, R: 500, P: 204},
    ("DELETE", "/containers/web"): {C: 204, E: 204, R: 409, P: 409},
    ("DELETE", "/containers/web?force=1"): {C: 204, E: 204, R: 204, P: 204},
    ("GET", "/containers/web/json"): {C: 200, E: 200, R: 200, P: 200},
    ("GET", "/containers/web/logs?stdout=1"): {C: 200, E: 200, R: 200, P: 200},
    ("POST", "/containers/web/restart"): {C: 204, E: 204, R: 204, P: 204},
    ("POST", "/containers/web/rename?name=other"): {C: 204, E: 204, R: 204, P: 204},
    ("GET", "/containers/web/top"): {C: 409, E: 409, R: 200, P: 200},
}


@pytest.mark.parametrize(
    ("method", "url", "before", "status"),
    [(method, url, before, status) for (method, url), row in TABLE.items() for before, status in row.items()],
)
async def test_the_table(served: Served, method: str, url: str, before: Status, status: int) -> None:
    await REACH[before](served.engine)
    answer = await served.ask(method, url)
    assert answer.status == status, answer.data
    if status in (204, 304):
        assert answer.data == b""
    if status >= 400:
        assert "web" in answer.json["message"]


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("POST", "/containers/web/start?checkpoint=c1", 400),
        ("POST", "/containers/web/start?checkpoint-dir=/tmp", 403),
        ("POST", "/containers/web/start?checkpoint=c1&checkpoint-dir=/tmp", 403),
        ("POST", "/containers/web/stop?t=soon", 500),
        ("POST", "/containers/web/stop?t=1.5", 500),
        ("POST", "/containers/web/stop?signal=LOUD", 500),
        ("POST", "/containers/web/kill?signal=LOUD", 400),
        ("POST", "/containers/web/kill?signal=0", 400),
        ("POST", "/containers/web/wait?condition=bored", 400),
        ("GET", "/containers/web/logs", 400),
        ("GET", "/containers/web/logs?stdout=0&stderr=false", 400),
        ("GET", "/containers/web/logs?stdout=1&since=yesterday", 400),
        ("POST", "/containers/web/restart?t=soon", 500),
        ("POST", "/containers/web/restart?signal=LOUD", 500),
        ("POST", "/containers/web/rename", 400),
        ("POST", "/containers/web/rename?name=web", 400),
        ("POST", "/containers/web/rename?name=%20", 400),
        ("DELETE", "/containers/web?link=1", 409),
        ("DELETE", "/containers/web/db?link=1", 404),
        ("GET", "/containers/json?limit=many", 500),
        ("GET", "/containers/json?filters=x", 400),
        ("GET", '/containers/json?filters={"colour":["red"]}', 400),
        ("GET", '/containers/json?filters={"status":["asleep"]}', 400),
        ("GET", '/containers/json?filters={"exited":["zero"]}', 400),
        ("GET", '/containers/json?filters={"health":["fine"]}', 400),
        ("GET", '/containers/json?filters={"is-task":["perhaps"]}', 400),
        ("GET", '/containers/json?filters={"expose":["99999"]}', 400),
        ("GET", '/containers/json?filters={"before":["nobody"]}', 404),
        ("GET", '/containers/json?filters={"status":"running"}', 400),
        *((method, f"/containers/nobody{rest}", 404) for method, rest in (
            *(("POST", f"/{verb}") for verb in ("start", "stop", "kill", "pause", "unpause", "wait", "restart")),
            ("POST", "/rename?name=other"), ("POST", "/resize?h=1&w=1"), ("DELETE", ""),
            ("GET", "/json"), ("GET", "/logs?stdout=1"), ("GET", "/top"),
        )),
    ],
)  # fmt: skip
async def test_violations(served: Served, method: str, url: str, status: int) -> None:
    await REACH[R](served.engine)
    before = served.engine.resolve("web")
    answer = await served.ask(method, url)
    assert answer.status == status, answer.data
    assert answer.json["message"]
    assert served.engine.resolve("web") == before


@pytest.mark.parametrize(("url", "status"), [("/v1.23/containers/web/start", 204), ("/containers/web/start", 400)])
async def test_a_body_at_start_is_refused_since_1_24(served: Served, url: str, status: int) -> None:
    await served.create()
    body = b'{"Binds": ["/a:/b"]}'
    assert (await served.ask("POST", url, data=body, headers={"Content-Type": "application/json"})).status == status
    assert served.engine.resolve("web").status is (R if status == 204 else C)


async def test_a_chunked_body_at_start_is_refused(served: Served) -> None:
    async def pieces() -> Any:
        yield b"{}"

    await served.create()
    assert (await served.ask("POST", "/containers/web/start", data=pieces())).status == 400


async def test_the_tiny_body_of_old_clients_is_none(served: Served) -> None:
    await served.create()
    assert (await served.ask("POST", "/containers/web/start", data=b"null")).status == 204


async def test_an_ambiguous_prefix_is_400(served: Served) -> None:
    ids = [await served.create(f"c{number}") for number in range(17)]
    first = next(digit for digit in "0123456789abcdef" if sum(id.startswith(digit) for id in ids) > 1)
    answer = await served.ask("GET", f"/containers/{first}/json")
    assert answer.status == 400 and "begin" in answer.json["message"]


async def test_create_answers_with_id_and_warnings(served: Served) -> None:
    body = {"Image": "busybox", "HostConfig": {"Memory": 100 << 20}}
    answer = await served.ask("POST", "/containers/create?name=web", json=body)
    assert answer.status == 201 and answer.data.endswith(b"}\n")
    assert answer.json["Id"] == served.engine.resolve("web").id
    assert any("memory" in warning.lower() for warning in answer.json["Warnings"])  # the simulated kernel has no controllers


async def test_a_name_in_use_is_409(served: Served) -> None:
    await served.create()
    answer = await served.ask("POST", "/containers/create?name=web", json={"Image": "busybox"})
    assert answer.status == 409 and "already in use" in answer.json["message"]


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/containers/create?platform=linux/amd64", 201),
        ("/containers/create?platform=linux", 201),
        ("/containers/create?platform=linux/arm64", 404),
        ("/v1.40/containers/create?platform=linux/arm64", 201),
    ],
)
async def test_the_platform_must_be_the_images(served: Served, url: str, status: int) -> None:
    answer = await served.ask("POST", url, json={"Image": "busybox"})
    assert answer.status == status, answer.data


async def test_an_older_api_means_other_things(served: Served) -> None:
    body = {"Image": "busybox", "HostConfig": {"AutoRemove": True, "Annotations": {"a": "b"}, "IpcMode": "private"}}
    old = (await served.ask("POST", "/v1.24/containers/create", json=body)).json["Id"]
    new = (await served.ask("POST", "/v1.43/containers/create", json=body)).json["Id"]
    records = served.engine.ledger.records
    assert not records[old].host_config.auto_remove and not records[old].host_config.annotations
    assert records[new].host_config.auto_remove and records[new].host_config.annotations == {"a": "b"}


async def test_inspect_tells_the_truth_in_every_status(served: Served) -> None:
    id = await served.create(Labels={"tier": "front"}, Hostname="web-1")
    shown = await served.get("/containers/web/json")
    assert shown["Id"] == id and shown["Name"] == "/web" and shown["Platform"] == "linux"
    assert shown["State"]["Status"] == "created" and not shown["State"]["Running"]
    assert shown["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert shown["Config"]["Labels"] == {"tier": "front"} and shown["Config"]["Hostname"] == "web-1"
    assert shown["NetworkSettings"]["IPAddress"] == "" and shown["NetworkSettings"]["SandboxKey"] == ""
    assert shown["GraphDriver"]["Name"] == "overlay2" and shown["GraphDriver"]["Data"]["UpperDir"].endswith("/diff")

    await served.engine.do("start", "web")
    shown = await served.get("/containers/web/json")
    assert shown["State"]["Running"] and shown["State"]["Pid"] > 0
    bridge = shown["NetworkSettings"]["Networks"]["bridge"]
    assert bridge["IPAddress"] == shown["NetworkSettings"]["IPAddress"] == "10.84.0.2"
    assert (bridge["Gateway"], bridge["IPPrefixLen"]) == ("10.84.0.1", 16)
    assert shown["NetworkSettings"]["SandboxKey"].endswith(id[:12])
    assert shown["HostConfig"]["LogConfig"]["Type"] == "json-file"

    await served.engine.do("pause", "web")
    state = (await served.get("/containers/web/json"))["State"]
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)

    await served.engine.do("kill", "web")
    shown = await served.get("/containers/web/json")
    assert (shown["State"]["Status"], shown["State"]["ExitCode"], shown["State"]["Pid"]) == ("exited", 137, 0)
    assert shown["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""


async def test_list_shows_what_runs_newest_first(served: Served) -> None:
    for name in ("one", "two", "three"):
        await served.create(name)
    await served.engine.do("start", "one")
    await served.engine.do("start", "two")
    await served.engine.do("pause", "one")
    assert await names(served, "") == ["two", "one"]
    assert await names(served, "?all=1") == ["three", "two", "one"]
    assert await names(served, "?all=False") == ["two", "one"]
    assert await names(served, "?limit=1") == ["three"]
    row = (await served.get("/containers/json?limit=3"))[1]
    assert row["Names"] == ["/two"] and row["Image"] == "busybox" and row["Command"] == "sleep 1000"
    assert row["State"] == "running" and row["Status"].startswith("Up ")
    assert row["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] and row["HostConfig"] == {"NetworkMode": "default"}


async def names(served: Served, query: str) -> list[str]:
    return [row["Names"][0][1:] for row in await served.get("/containers/json" + query)]


async def test_filters(served: Served) -> None:
    web = await served.create("web", Labels={"tier": "front"}, ExposedPorts={"80/tcp": {}})
    await served.create("webdb", Labels={"tier": "back", "keep": ""})
    await served.create("lone", HostConfig={"NetworkMode": "none"})
    for name in ("web", "webdb"):
        await served.engine.do("start", name)
    await served.engine.do("kill", "webdb")

    async def found(text: str) -> set[str]:
        return set(await names(served, f"?all=1&filters={text}"))

    everything = {"web", "webdb", "lone"}
    cases = {
        '{"name":["web"]}': {"web", "webdb"},
        '{"name":["^/web$"]}': {"web"},
        '{"name":["["]}': set(),
        '{"name":{"web":true,"lone":false}}': {"web", "webdb"},
        f'{{"id":["{web[:8]}"]}}': {"web"},
        '{"status":["exited","created"]}': {"webdb", "lone"},
        '{"exited":["137"]}': {"webdb"},
        '{"exited":["0"]}': set(),
        '{"label":["tier"]}': {"web", "webdb"},
        '{"label":["tier=back","keep"]}': {"webdb"},
        '{"label":["tier=front","keep"]}': set(),
        '{"network":["none"]}': {"lone"},
        '{"network":["bridge"]}': {"web", "webdb"},
        '{"ancestor":["busybox"]}': everything,
        '{"ancestor":["docker.io/library/busybox:latest"]}': everything,
        '{"ancestor":["sha256:bbbbbbbb"]}': everything,
        '{"ancestor":["alpine"]}': set(),
        '{"before":["webdb"]}': {"web"},
        '{"since":["webdb"]}': {"lone"},
        '{"expose":["80"]}': {"web"},
        '{"expose":["70-90/tcp"]}': {"web"},
        '{"expose":["80/udp"]}': set(),
        '{"publish":["80"]}': set(),
        '{"volume":["/data"]}': set(),
        '{"health":["none"]}': everything,
        '{"is-task":["false"]}': everything,
        '{"is-task":["true"]}': set(),
        "{}": everything,
    }
    for text, names_found in cases.items():
        assert await found(text) == names_found, text


async def test_wait_sends_its_head_before_the_container_starts(served: Served) -> None:
    await served.create()
    async with served.session.post("/containers/web/wait?condition=next-exit") as response:
        assert response.status == 200 and response.content_type == "application/json"
        await served.engine.do("start", "web")
        await served.engine.do("kill", "web")
        assert await response.json() == {"StatusCode": 137}


async def test_wait_for_what_is_over_answers_at_once(served: Served) -> None:
    await REACH[E](served.engine)
    assert (await served.ask("POST", "/containers/web/wait")).json == {"StatusCode": 137}


async def test_wait_tells_what_went_wrong(served: Served) -> None:
    await served.create(Cmd=["missing"])
    said = (await served.ask("POST", "/containers/web/start")).json["message"]
    assert "not found" in said
    assert (await served.ask("POST", "/containers/web/wait")).json == {"StatusCode": 127, "Error": {"Message": said}}


async def test_wait_for_removal(served: Served) -> None:
    await served.create(HostConfig={"AutoRemove": True})
    async with served.session.post("/containers/web/wait?condition=removed") as response:
        await served.engine.do("start", "web")
        await served.engine.do("stop", "web")
        assert await response.json() == {"StatusCode": 143}
    assert not served.engine.ledger.records


async def test_a_client_that_vanishes_while_waiting_leaves_nothing(served: Served) -> None:
    await REACH[R](served.engine)
    tasks = len(asyncio.all_tasks())
    async with served.session.post("/containers/web/wait") as response:
        assert len(asyncio.all_tasks()) > tasks
        response.close()
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_client_that_vanishes_cancels_no_operation(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.create()
    standing, go = asyncio.Event(), asyncio.Event()
    mount = served.engine.host.rootfs.mount

    async def slow(mount_id: str) -> str:
        standing.set()
        await go.wait()
        return await mount(mount_id)

    monkeypatch.setattr(served.engine.host.rootfs, "mount", slow)
    asked = asyncio.create_task(served.ask("POST", "/containers/web/start"))
    await standing.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go.set()
    await until(lambda: served.engine.resolve("web").status is R)


async def test_top(served: Served) -> None:
    await REACH[R](served.engine)
    pid = served.engine.resolve("web").state.pid
    assert await served.get("/containers/web/top?ps_args=aux") == {
        "Titles": ["PID", "CMD"],
        "Processes": [[str(pid), "sleep 1000"]],
    }


async def test_update_answers_with_warnings(served: Served) -> None:
    await REACH[R](served.engine)
    answer = await served.ask("POST", "/containers/web/update", json={"CpuShares": 512})
    assert answer.status == 200 and answer.json["Warnings"][0].startswith("cpu shares discarded")
    assert (await served.ask("POST", "/containers/web/update", json={})).json == {"Warnings": None}
    assert (await served.ask("POST", "/containers/web/update", json={"RestartPolicy": {"Name": "always"}})).status == 200
    assert served.engine.resolve("web").host_config.restart_policy.name == "always"
    assert (await served.ask("POST", "/containers/web/update", json={"CpuShares": -1})).status == 400
    assert (await served.ask("POST", "/containers/nobody/update", json={})).status == 404


async def test_a_restart_of_older_clients_has_no_signal(served: Served) -> None:
    await REACH[R](served.engine)
    assert (await served.ask("POST", "/v1.41/containers/web/restart?signal=LOUD")).status == 204
