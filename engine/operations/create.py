"""create: settings become a record, and three kinds of directories. Nothing is mounted, no process runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.flow.step import Operation, Step
from engine.host import Host
from engine.model.container import Container, Layers, State
from engine.model.errors import Invalid
from engine.model.image import Image
from engine.model.interface import Params
from engine.model.network import Attachment
from engine.model.run import Way
from engine.model.settings import Config, HostConfig, LogConfig
from engine.model.status import Status
from engine.spec import built, health, links, ports
from engine.spec.decode import decode_create
from engine.spec.identity import ATTEMPTS, check_name, free, hostname, new_id, random_name, taken
from engine.spec.legality import find
from engine.spec.logs import log_config
from engine.spec.merge import command, merge
from engine.spec.settings import adapt, verify, verify_networking
from engine.spec.wiring import SHARED
from engine.steps.layers import MakeInitLayer, MakeWritableLayer, WriteSettings


class Announce(Step[Host, Container]):
    """Announce the container

    All parts lie ready, so the record's status becomes "created". Until this moment a failure would have taken everything
    away again and the name would be free; from now on the container stays until somebody removes it.
    """

    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return f"Announce {c.name}"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"docker -H unix://{host.facts.exec_root}/engine.sock ps -a",)

    async def do(self, host: Host, c: Container) -> Container:
        return replace(c, state=replace(c.state, status=Status.CREATED))

    async def undo(self, host: Host, c: Container) -> Container:
        return replace(c, state=replace(c.state, status=Status.CREATING))

    async def evidence(self, host: Host, c: Container) -> str | None:
        return None if c.state.status is Status.CREATING else f"{c.name} is {c.state.status}"


def create(c: Container) -> Operation[Host, Container]:
    return Operation("create", (MakeInitLayer(), MakeWritableLayer(), WriteSettings(), Announce()), forget=Way.UNDONE)


class Settled(Struct, frozen=True, kw_only=True):
    """A create request, checked, adjusted and merged with its image: all but who the container is."""

    config: Config
    host_config: HostConfig
    networks: dict[str, Attachment]
    image: Image
    warnings: tuple[str, ...]


async def settle(host: Host, params: Params, log: LogConfig) -> Settled:
    """Decode, check, adjust, find the image, merge (reference 2.1 to 2.5). Raises `Invalid`, `NotFound`, `NotBuilt`.

    `log`: what a container gets that asks for no log of its own.
    """
    body = params.get("body", {})
    asked = decode_create(body if isinstance(body, bytes) else msgspec.json.encode(body))
    if name := params.get("name"):
        check_name(name)
    host_config, warnings = verify(asked, asked.host_config, host.facts)
    networks = verify_networking(asked, asked.host_config)
    built.check(asked)
    if not asked.image:
        raise Invalid("cannot create a container: no image is named", "name one, for example busybox")
    image = await host.images.find(asked.image)
    config = merge(Config(**{key: getattr(asked, key) for key in Config.__struct_fields__}), image.config)
    command(config)
    config = replace(config, exposed_ports=ports.exposing(config, host_config))
    if host_config.network_mode == "host" and not config.hostname:
        config = replace(config, hostname=host.facts.hostname)
    host_config = adapt(host_config, host.facts)
    host_config = replace(host_config, log_config=log_config(host_config.log_config, log))
    warnings = (*warnings, *_notes(image, host), *health.warnings(config))
    return Settled(config=config, host_config=host_config, networks=networks, image=image, warnings=warnings)


def _notes(image: Image, host: Host) -> Iterable[str]:
    """What a person should know of the image."""
    if image.architecture != host.facts.architecture:
        yield (
            f"The requested image's platform ({image.os}/{image.architecture}) does not match the detected host "
            f"platform ({image.os}/{host.facts.architecture}) and no specific platform was requested"
        )
    yield from built.image_warnings(image.config)


def identify(s: Settled, others: Iterable[Container], params: Params) -> Container:
    """Give it id, name and directories. Must be followed by the claim without an await. Raises `Conflict`."""
    id, others = new_id(), tuple(others)
    name = _name(params.get("name") or "", id, others)
    config, host_config = _joined(s.config, s.host_config, others)
    host_config = links.fixed(host_config, {c.id: c for c in others})
    path, args = command(s.config)
    mount_id = secrets.token_hex(32)
    chain = s.image.layers[-1].chain_id if s.image.layers else ""
    lower = tuple(layer.cache_id for layer in reversed(s.image.layers))
    return Container(
        id=id,
        name=name,
        created=datetime.now(UTC),
        path=path,
        args=args,
        config=replace(config, hostname=config.hostname or hostname(config, id)),
        image=s.image.id,
        state=State(status=Status.CREATING),
        host_config=host_config,
        networks=s.networks,
        layers=Layers(mount_id=mount_id, init_id=f"{mount_id}-init", lower=lower, chain_id=chain),
        warnings=s.warnings,
    )


def _joined(config: Config, hc: HostConfig, others: tuple[Container, ...]) -> tuple[Config, HostConfig]:
    """Whose network namespace is shared, by its id: a name may change. The host name is shared with it."""
    if not hc.network_mode.startswith(SHARED):
        return config, hc
    target = find(hc.network_mode.removeprefix(SHARED), {c.id: c for c in others})
    shared = replace(config, hostname=target.config.hostname, domainname=target.config.domainname)
    return shared, replace(hc, network_mode=f"{SHARED}{target.id}")


def _name(wanted: str, id: str, others: tuple[Container, ...]) -> str:
    if wanted:
        return free(check_name(wanted), others)
    names = taken(others)
    return next((name for attempt in range(ATTEMPTS) if (name := random_name(attempt)) not in names), id[:12])
