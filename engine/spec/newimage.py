"""The configs of images that are made here: what `commit` makes of a container, and `import` of a tar. Pure.

The keys are those that dockerd writes, in its order, which is the alphabet's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from engine import __version__
from engine.model.container import Container
from engine.model.settings import Config
from engine.spec.merge import words
from engine.spec.written import config as shown
from engine.spec.written import go_time


def committed(parent: bytes, c: Container, config: Config, diff_id: str, *, comment: str, author: str, now: datetime) -> bytes:
    """The config of an image made from a container. `parent`: its own image's config; `diff_id`: empty for no new layer."""
    below = msgspec.json.decode(parent, type=dict[str, Any])
    entry = _entry(now, author, " ".join(words(c.config.cmd)), comment)
    if not diff_id:
        entry["empty_layer"] = True
    made = {
        "comment": comment,
        "container": c.id,
        "container_config": shown(c.config),
        "history": [*(below.get("history") or ()), entry],
        "rootfs": _root([*(below["rootfs"].get("diff_ids") or ()), *filter(None, (diff_id,))]),
    }
    kept = {key: below[key] for key in ("architecture", "variant", "os", "os.version", "os.features") if below.get(key)}
    return _encode(kept | made, config, author, now)


def imported(
    diff_id: str, config: Config, *, comment: str, system: str, architecture: str, variant: str, now: datetime
) -> bytes:
    """The config of an image made from one tar."""
    made = {
        "architecture": architecture,
        "variant": variant,
        "os": system,
        "comment": comment,
        "history": [_entry(now, "", "", comment)],
        "rootfs": _root([diff_id]),
    }
    return _encode(made, config, "", now)


def _entry(now: datetime, author: str, created_by: str, comment: str) -> dict[str, Any]:
    entry = {"created": go_time(now), "author": author, "created_by": created_by, "comment": comment}
    return {key: value for key, value in entry.items() if value}


def _root(diff_ids: Sequence[str]) -> dict[str, Any]:
    return {"type": "layers", "diff_ids": list(diff_ids)}


def _encode(made: dict[str, Any], config: Config, author: str, now: datetime) -> bytes:
    made |= {"author": author, "config": shown(config), "created": go_time(now), "docker_version": __version__}
    return msgspec.json.encode({key: made[key] for key in sorted(made) if made[key]})
