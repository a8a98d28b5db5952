"""What holds for every route: versions, headers, errors, bodies."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from engine.api import unbuilt
from engine.api.query import MAX_BODY
from tests.engine.api.conftest import Served

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("prefix", ["", "/v1.43", "/v1.12"])
async def test_a_route_exists_with_and_without_a_version(served: Served, prefix: str) -> None:
    answer = await served.ask("GET", f"{prefix}/_ping")
    assert (answer.status, answer.data) == (200, b"OK")
    assert answer.headers["Api-Version"] == "1.43"
    assert answer.headers["Server"].startswith("Docker/") and answer.headers["Server"].endswith(" (linux)")
    assert answer.headers["Ostype"] == "linux" and answer.headers["Docker-Experimental"] == "false"
    assert answer.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"


async def test_head_ping_has_no_body(served: Served) -> None:
    answer = await served.ask("HEAD", "/_ping")
    assert (answer.status, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")
    assert answer.headers["Api-Version"] == "1.43"


@pytest.mark.parametrize(
    ("version", "word"), [("1.44", "too new"), ("2.0", "too new"), ("1.11", "too old"), ("0.9", "too old")]
)
async def test_a_client_of_another_time_is_refused(served: Served, version: str, word: str) -> None:
    answer = await served.ask("GET", f"/v{version}/containers/json")
    assert answer.status == 400 and word in answer.data.decode()


async def test_old_clients_get_errors_as_text(served: Served) -> None:
    answer = await served.ask("GET", "/v1.23/containers/none/json")
    assert (answer.status, answer.data) == (404, b"No such container: none\n")


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "/"), ("GET", "/nothing"), ("PATCH", "/containers/json"), ("GET", "/v1.43/x"), ("GET", "/vx/info")],
)
async def test_an_unknown_page_is_404(served: Served, method: str, url: str) -> None:
    answer = await served.ask(method, url)
    assert (answer.status, answer.json) == (404, {"message": "page not found"})
    assert answer.headers["Api-Version"] == "1.43"


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in unbuilt.ROUTES])
async def test_what_is_not_built_says_so(served: Served, method: str, path: str) -> None:
    url = path.replace("{name:.+}", "a/b:c").replace("{verb:", "{").replace("{name}", "x").replace("{id}", "y")
    url = url.replace("{enable|disable|upgrade|push|set}", "set").replace("{init|join|leave|update|unlock}", "join")
    answer = await served.ask(method, url)
    assert answer.status == 501
    if method != "HEAD":
        assert method in answer.json["message"] and "not supported" in answer.json["message"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"   ", JSON, 400),
        (b"{", JSON, 400),
        (b"{}{}", JSON, 400),
        (b"[1]", JSON, 400),
        (b"null", JSON, 400),
        (b'{"Image": 7}', JSON, 400),
        (b'{"Image": "busybox", "Cmd": {"a": 1}}', JSON, 400),
        (b'{"Image": "busybox", "HostConfig": []}', JSON, 400),
        (b'{"Image": "busybox", "HostConfig": {"Memory": 1e400}}', JSON, 400),
        (b'{"Image": "busybox", "HostConfig": {"Memory": 99999999999999999999}}', JSON, 400),
        (b"\xff\xfe{}", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"Image": "\xc3\x28"}', JSON, 400),
        (b'{"Image": "busybox"}', {"Content-Type": "text/plain"}, 400),
        (b'{"Image": "busybox"}', {"Content-Type": "application/json; charset=utf-8"}, 201),
        (b'{"Image": "no-such-image"}', JSON, 404),
        (b'{"Image": ""}', JSON, 400),
        (b"{}", JSON, 400),
    ],
)
async def test_bodies(served: Served, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = await served.ask("POST", "/containers/create", data=body, headers=headers)
    assert answer.status == status, answer.data
    if status != 201:
        assert answer.json["message"] and not served.engine.ledger.records
    assert (await served.ask("GET", "/_ping")).status == 200


async def _endless(pieces: int) -> Any:
    for _ in range(pieces):
        yield b" " * 65536


@pytest.mark.parametrize("data", [b"x" * (MAX_BODY + 1), _endless(150)], ids=["announced", "chunked"])
async def test_a_body_of_9_mib_is_413(served: Served, data: Any) -> None:
    try:
        answer = await served.ask("POST", "/containers/create", data=data, headers=JSON)
        assert answer.status == 413 and "8 MiB" in answer.json["message"]
    except aiohttp.ClientOSError:
        # The engine may close while the client still sends; what counts is that it goes on.
        assert not served.engine.ledger.records
    assert (await served.ask("GET", "/_ping")).status == 200


async def test_8_mib_are_read(served: Served) -> None:
    body = b'{"Image": "busybox"}' + b" " * (MAX_BODY - 20)
    assert (await served.ask("POST", "/containers/create", data=body, headers=JSON)).status == 201


async def test_a_defect_is_a_sentence_and_in_the_log(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(target: str) -> None:
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr(served.engine, "resolve", broken)
    answer = await served.ask("GET", "/containers/web/json")
    assert answer.status == 500 and "a wheel came off" in answer.json["message"]
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "request_text",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /_ping HTTP/9.9\r\n\r\n",
        b"GET " + b"/a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /containers/%ff%00%0a/json HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /containers/json?filters=%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_garbage_gets_an_answer_below_500_and_the_engine_goes_on(served: Served, request_text: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(served.path)
    writer.write(request_text)
    head = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert head.startswith(b"HTTP/1.") and head.split()[1].startswith(b"4"), head
    assert (await served.ask("GET", "/_ping")).status == 200
