"""Images: what there is, what comes and what goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import msgspec

from engine.client.connection import Connection, part, split
from engine.logins import to_header
from engine.model.errors import EngineError, HostFailed
from engine.model.image import Image
from engine.model.registry import Credentials


class Images(Connection):
    async def images(self) -> list[Image]:
        return await self._get("/longshore/images", list[Image])

    async def images_json(self, **query: str) -> list[dict[str, Any]]:
        """`GET /images/json`; `query`: all, filters, as in the Docker API."""
        return await self._get("/images/json", list[dict[str, Any]], **query)

    async def image_json(self, name: str) -> dict[str, Any]:
        """`GET /images/x/json`."""
        return await self._get(f"/images/{part(name)}/json", dict[str, Any])

    async def pull(
        self, reference: str, platform: str = "", *, every_tag: bool = False, credentials: Credentials | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """`POST /images/create`: fetch an image; what the engine says of its progress. Raises `EngineError` when it fails.

        `credentials`: who asks the registry; None: the engine's own user.
        """
        name, tag = named(reference)
        query = _given(fromImage=name, tag="" if every_tag else tag or "latest", platform=platform)
        async with aclosing(self._progress("/images/create", query, headers=_login(credentials))) as told:
            async for line in told:
                yield line

    async def push(
        self, reference: str, *, every_tag: bool = False, credentials: Credentials | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """`POST /images/x/push`: bring an image to a registry; as `pull`. A name without a tag means `latest`."""
        name, tag = named(reference)
        query = _given(tag="" if every_tag else tag or "latest")
        async with aclosing(self._progress(f"/images/{part(name)}/push", query, headers=_login(credentials))) as told:
            async for line in told:
                yield line

    async def image_import(
        self,
        source: str,
        archive: AsyncIterator[bytes] | None = None,
        *,
        repository: str = "",
        tag: str = "",
        message: str = "",
        changes: Iterable[str] = (),
        platform: str = "",
    ) -> AsyncIterator[dict[str, Any]]:
        """`POST /images/create`: a tar becomes an image; the last line's `status` is its id.

        `source`: a URL that the engine fetches, or `-` for what `archive` yields. `changes`: instructions of a Dockerfile.
        """
        named = _given(fromSrc=source, repo=repository, tag=tag, message=message, platform=platform)
        query = [*named.items(), *(("changes", change) for change in changes)]
        headers = {"Content-Type": "application/x-tar"}
        async with aclosing(self._progress("/images/create", query, data=archive, headers=headers)) as told:
            async for line in told:
                yield line

    async def commit(
        self,
        target: str,
        *,
        repository: str = "",
        tag: str = "",
        comment: str = "",
        author: str = "",
        pause: bool = True,
        changes: Iterable[str] = (),
    ) -> str:
        """`POST /commit`: an image of what a container has written; its id. `pause`: nothing moves in it meanwhile."""
        named = _given(container=target, repo=repository, tag=tag, comment=comment, author=author)
        query = [*named.items(), ("pause", str(int(pause))), *(("changes", change) for change in changes)]
        async with self._request("POST", "/commit", params=query) as answer:
            return str(msgspec.json.decode(await answer.read(), type=dict[str, Any])["Id"])

    async def export(self, target: str) -> AsyncIterator[bytes]:
        """`GET /containers/x/export`: all files that a container sees, as a tar, in pieces."""
        async with self._request("GET", f"/containers/{part(target)}/export") as answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    async def _progress(
        self, path: str, query: dict[str, str] | list[tuple[str, str]], **options: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        async with self._request("POST", path, params=query, **options) as answer:
            async for line in split(answer.content):
                told = msgspec.json.decode(line, type=dict[str, Any])
                if "error" in told:
                    raise EngineError(told["error"])
                yield told

    async def image_load(self, archive: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        """`POST /images/load`: take in a `docker save` archive; what the engine says of it, as `pull`."""
        headers = {"Content-Type": "application/x-tar"}
        async with aclosing(self._progress("/images/load", {}, data=archive, headers=headers)) as told:
            async for line in told:
                yield line

    async def images_load(self, path: str) -> list[str]:
        """Load a `docker save` archive; the lines the engine says. Raises `EngineError` for one that is none."""
        try:
            archive = open(path, "rb")  # noqa: ASYNC230, SIM115 - a local file; read in pieces by the upload
        except OSError as error:
            raise HostFailed(f"cannot read {path}: {error.strerror}", "give an archive made by docker save") from error
        with archive:
            headers = {"Content-Type": "application/x-tar"}
            async with self._request("POST", "/images/load", data=archive, headers=headers) as answer:
                said = [msgspec.json.decode(line, type=dict[str, Any]) async for line in split(answer.content)]
        if broken := next((line["error"] for line in said if "error" in line), ""):
            raise EngineError(broken)
        return [line["stream"].strip() for line in said if "stream" in line]

    async def image_tag(self, name: str, reference: str) -> None:
        """`POST /images/x/tag`: one more name for an image, `repo:tag`. Another image that had it loses it."""
        repo, tag = named(reference)
        await self._say(f"/images/{part(name)}/tag", **{"repo": repo} | ({"tag": tag} if tag else {}))

    async def image_remove(self, name: str, *, force: bool = False, noprune: bool = False) -> list[dict[str, Any]]:
        """`DELETE /images/x`: what was done, in order, each `{"Untagged": name}` or `{"Deleted": id}`."""
        query = {"force": str(int(force)), "noprune": str(int(noprune))}
        async with self._request("DELETE", f"/images/{part(name)}", params=query) as answer:
            return msgspec.json.decode(await answer.read(), type=list[dict[str, Any]])

    async def image_history(self, name: str) -> list[dict[str, Any]]:
        """`GET /images/x/history`: every instruction, newest first."""
        return await self._get(f"/images/{part(name)}/history", list[dict[str, Any]])

    async def image_save(self, names: Iterable[str]) -> AsyncIterator[bytes]:
        """`GET /images/get`: the images in one archive, in pieces."""
        query = [("names", name) for name in names]
        async with self._request("GET", "/images/get", params=query) as answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    async def images_prune(self, **filters: list[str]) -> dict[str, Any]:
        """`POST /images/prune`; `filters`: dangling, until, label, label_not. The answer's SpaceReclaimed is in bytes."""
        return await self._post("/images/prune", None, dict[str, Any], filters=_filters(filters))

    async def containers_prune(self, **filters: list[str]) -> dict[str, Any]:
        """`POST /containers/prune`; `filters`: until, label, label_not. The answer's SpaceReclaimed is in bytes."""
        return await self._post("/containers/prune", None, dict[str, Any], filters=_filters(filters))

    async def disk_usage(self) -> dict[str, Any]:
        """`GET /system/df`."""
        return await self._get("/system/df", dict[str, Any])


def named(reference: str) -> tuple[str, str]:
    """What stands before a tag or digest, and the tag or digest; the latter is empty where there is none."""
    if "@" in reference:
        name, _, tag = reference.partition("@")
    else:
        name, colon, tag = reference.rpartition(":")
        if not colon or "/" in tag:  # a port
            return reference, ""
    return name, tag


def _given(**query: str) -> dict[str, str]:
    """What is not empty."""
    return {key: value for key, value in query.items() if value}


def _login(credentials: Credentials | None) -> dict[str, str]:
    return {"X-Registry-Auth": to_header(credentials)} if credentials else {}


def _filters(filters: dict[str, list[str]]) -> str:
    return msgspec.json.encode({"label!" if key == "label_not" else key: values for key, values in filters.items()}).decode()
