"""Images: what there is, what comes and what goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from engine.client.connection import Connection, part, split
from engine.model.errors import EngineError, HostFailed
from engine.model.image import Image


class Images(Connection):
    async def images(self) -> list[Image]:
        return await self._get("/longshore/images", list[Image])

    async def image_json(self, name: str) -> dict[str, Any]:
        """`GET /images/x/json`."""
        return await self._get(f"/images/{part(name)}/json", dict[str, Any])

    async def pull(self, reference: str, platform: str = "") -> AsyncIterator[dict[str, Any]]:
        """`POST /images/create`: fetch an image; what the engine says of its progress. Raises `EngineError` when it fails."""
        name, _, tag = reference.partition("@") if "@" in reference else reference.rpartition(":")
        query = {"fromImage": name, "tag": tag} | ({"platform": platform} if platform else {})
        async with self._request("POST", "/images/create", params=query) as answer:
            async for line in split(answer.content):
                told = msgspec.json.decode(line, type=dict[str, Any])
                if "error" in told:
                    raise EngineError(told["error"])
                yield told

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
