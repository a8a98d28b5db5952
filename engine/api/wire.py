"""Records as Docker clients read them (Engine API 1.43, reference 11.6). Pure: a record and the host's facts in, JSON out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

import msgspec

from engine.api.netwire import network_mode, network_settings, networks, published
from engine.host import Facts
from engine.host.imageconfig import History, ImageConfig
from engine.model.container import NEVER, Container, Probe
from engine.model.errors import EngineError, Invalid
from engine.model.image import Image
from engine.model.interface import LogLine
from engine.model.network import DEFAULT, HOST_BINDING, ICC, MASQUERADE, MTU, NAME, OPTION, Network, Subnet
from engine.model.settings import Config
from engine.model.status import Status
from engine.spec import references
from engine.spec.words import human_status
from engine.spec.written import config as config
from engine.spec.written import go_time as go_time
from engine.spec.written import go_written

Json = dict[str, Any]

UNKNOWN = -1
"""For a number: it was not counted."""
STREAM_TYPE = {"stdout": 1, "stderr": 2}
"""First byte of a multiplexed frame."""
SYSTEM_ERROR = 3


def log_time(moment: datetime) -> str:
    """RFC 3339 with nine digits, so that a log's columns stand in line."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def frame(kind: int, payload: bytes) -> bytes:
    """One frame of the multiplexed stream: type, three zeros, length (big endian), payload."""
    return bytes((kind, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload


def log_bytes(line: LogLine, *, timestamps: bool, details: bool, multiplexed: bool) -> bytes:
    """A line as a client asked for it. Its details, what the log options keep with every line, come before it."""
    text = (f"{log_time(line.time)} ".encode() if timestamps else b"") + (_details(line) if details else b"") + line.log
    return frame(STREAM_TYPE[line.stream], text) if multiplexed else text


def _details(line: LogLine) -> bytes:
    """`k=v,k2=v2 `, sorted and escaped as in a URL's query. Only the space where there are none."""
    return ",".join(sorted(f"{quote_plus(key)}={quote_plus(value)}" for key, value in line.attrs.items())).encode() + b" "


def progress(value: Any) -> bytes:
    """One object of a progress stream."""
    return msgspec.json.encode(value) + b"\r\n"


def command(c: Container) -> str:
    """Path and arguments on one line; an argument with a space in it is quoted."""
    return " ".join((c.path, *(f"'{arg}'" if " " in arg else arg for arg in c.args)))


def keyword(c: Container) -> str:
    """The state's one word. A container that is being made is shown as created."""
    return str(Status.CREATED if c.status is Status.CREATING else c.status)


def state(c: Container) -> Json:
    s = c.state
    shown: Json = {"Status": keyword(c)} | c.status.flags()
    shown |= {
        "OOMKilled": s.oom_killed,
        "Pid": s.pid,
        "ExitCode": s.exit_code,
        "Error": s.error,
        "StartedAt": go_time(s.started_at),
        "FinishedAt": go_time(s.finished_at),
    }
    if s.health:
        shown["Health"] = {
            "Status": s.health.status,
            "FailingStreak": s.health.failing_streak,
            "Log": [probe(p) for p in s.health.log],
        }
    return shown


def probe(p: Probe) -> Json:
    return {"Start": go_time(p.start), "End": go_time(p.end), "ExitCode": p.exit_code, "Output": p.output}


def answers_to(image: Image, name: str) -> bool:
    """Is the image known by this name, or this beginning of its id?"""
    if name in (image.id, *image.tags, *image.digests) or familiar(name) in (*image.tags, *image.digests):
        return True
    return bool(name) and image.id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))


@lru_cache(1024)
def familiar(name: str) -> str:
    """`busybox:latest` for `docker.io/library/busybox`; empty for what is no name."""
    try:
        return references.parse(name).familiar
    except Invalid:
        return ""


def container_summary(c: Container, image: Image | None, now: datetime, links: Iterable[str] = ()) -> Json:
    """A row of `docker ps`. The image is named by its id where its tag has moved on or is gone.

    `links`: by which names others know it too.
    """
    named = image is not None and answers_to(image, c.config.image)
    return {
        "Id": c.id,
        "Names": [f"/{name}" for name in (c.name, *links)],
        "Image": c.config.image if named else c.image,
        "ImageID": c.image,
        "Command": command(c),
        "Created": int(c.created.timestamp()),
        "Ports": published(c) if c.status.alive else [],
        "Labels": c.config.labels or {},
        "State": keyword(c),
        "Status": human_status(c, now),
        "HostConfig": {"NetworkMode": network_mode(c)},
        "NetworkSettings": {"Networks": networks(c)},
        "Mounts": [],
    }


def layer_directories(store: str, top: str, lower: Iterable[str]) -> Json:
    """`GraphDriver` of overlay2: where the layers lie. `LowerDir` is absent where nothing lies below."""
    below = ":".join(f"{store}/{layer}/diff" for layer in lower)
    data = {"LowerDir": below} if below else {}
    for key, name in (("MergedDir", "merged"), ("UpperDir", "diff"), ("WorkDir", "work")):
        data[key] = f"{store}/{top}/{name}"
    return {"Data": data, "Name": "overlay2"}


def container_inspect(c: Container, facts: Facts, links: Iterable[str] = ()) -> Json:
    """`links`: `HostConfig.Links` as people read them."""
    home = f"{facts.root}/containers/{c.id}"
    started = "WriteNetworkFiles" in c.held or c.has_been_started_before
    layers = c.layers
    return {
        "Id": c.id,
        "Created": go_time(c.created),
        "Path": c.path,
        "Args": list(c.args),
        "State": state(c),
        "Image": c.image,
        "ResolvConfPath": f"{home}/resolv.conf" if started else "",
        "HostnamePath": f"{home}/hostname" if started else "",
        "HostsPath": f"{home}/hosts" if started else "",
        "LogPath": f"{home}/{c.id}-json.log" if started else "",
        "Name": "/" + c.name,
        "RestartCount": c.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": msgspec.to_builtins(c.host_config) | {"Links": list(links) or None},
        "GraphDriver": layer_directories(f"{facts.root}/overlay2", layers.mount_id, (layers.init_id, *layers.lower))
        if layers
        else {"Data": None, "Name": "overlay2"},
        "Mounts": [],
        "Config": config(c.config),
        "NetworkSettings": network_settings(c, facts),
    }


def shared_size(image: Image, uses: Mapping[str, int]) -> int:
    """Bytes in layers that another image stands on too. `uses`: images for each chain id."""
    return sum(layer.size for layer in image.layers if uses[layer.chain_id] > 1)


def image_summary(image: Image, shared: int = UNKNOWN, containers: int = UNKNOWN) -> Json:
    """A row of `docker images`."""
    return {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Created": int((image.created or NEVER).timestamp()),
        "Size": image.size,
        "SharedSize": shared,
        "VirtualSize": image.size,
        "Labels": image.config.labels,
        "Containers": containers,
    }


def image_inspect(image: Image, told: ImageConfig, created: str, facts: Facts) -> Json:
    """`told`: the image's config; `created`: when it was made, as it stands there."""
    caches = [layer.cache_id for layer in reversed(image.layers)]
    return {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Parent": image.parent,
        "Comment": image.comment,
        "Created": go_written(created),
        "Container": told.container,
        "ContainerConfig": config(told.container_config or Config()),
        "DockerVersion": image.docker_version,
        "Author": image.author,
        "Config": config(told.config) if told.config else None,
        "Architecture": image.architecture,
        **filled({"Variant": image.variant}),
        "Os": image.os,
        **filled({"OsVersion": told.os_version}),
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": layer_directories(f"{facts.root}/overlay2", caches[0], caches[1:])
        if caches
        else {"Data": None, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in image.layers]},
        "Metadata": {"LastTagTime": go_time(image.tagged or NEVER)},
    }


def filled(values: Json) -> Json:
    """What Go's `omitempty` leaves of an object."""
    return {name: value for name, value in values.items() if value}


def image_history(image: Image, history: Iterable[History], images: Mapping[str, Image]) -> list[Json]:
    """Every instruction, newest first. The newest is the image, those below it its parents as far as they are here.

    Raises `EngineError` for a history of more layers than the image has.
    """
    layers = iter(image.layers)
    try:
        rows = [(entry, 0 if entry.empty_layer else next(layers).size) for entry in history]
    except StopIteration as error:
        raise EngineError("too many non-empty layers in History section") from error
    shown = []
    own: Image | None = image
    for entry, size in reversed(rows):
        shown.append(
            {
                "Id": own.id if own else "<missing>",
                "Created": int((entry.created or NEVER).timestamp()),
                "CreatedBy": entry.created_by or "",
                "Tags": list(own.tags) or None if own else None,
                "Size": size,
                "Comment": entry.comment or "",
            }
        )
        own = images.get(own.parent) if own else None
    return shown


def network(n: Network, containers: Iterable[Container] = ()) -> Json:
    """A network. Those of `containers` that are plugged in are shown; only `inspect` gives any."""
    return {
        "Name": n.name,
        "Id": n.id,
        "Created": go_time(n.created),
        "Scope": "local",
        "Driver": n.driver,
        "EnableIPv6": n.ipv6 is not None,
        "IPAM": {"Driver": "default", "Options": None, "Config": [_range(own) for own in (n.ipv4, n.ipv6) if own]},
        "Internal": n.internal,
        "Attachable": n.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            c.id: {
                "Name": c.name,
                "EndpointID": e.endpoint_id,
                "MacAddress": e.mac,
                "IPv4Address": f"{e.address}/{e.prefix}",
                "IPv6Address": f"{e.address6}/{e.prefix6}" if e.address6 else "",
            }
            for c in containers
            for e in c.plugged
            if e.network_id == n.id
        },
        "Options": _options(n),
        "Labels": n.labels,
    }


def _range(own: Subnet) -> Json:
    told: Json = {"Subnet": own.subnet, "Gateway": own.gateway}
    if own.ip_range:
        told["IPRange"] = own.ip_range
    if own.aux:
        told["AuxiliaryAddresses"] = own.aux
    return told


def _options(n: Network) -> Json:
    """As they were given; of the first bridge, all that Docker tells of its own."""
    if n.name != DEFAULT:
        return n.options
    return {
        f"{OPTION}bridge.default_bridge": "true",
        ICC: "true",
        MASQUERADE: "true",
        HOST_BINDING: "0.0.0.0",
        NAME: n.bridge,
        MTU: str(n.mtu),
    }
