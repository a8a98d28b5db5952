"""Steps of connect and disconnect: what is asked of a network, and the files that tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.flow.step import Step
from engine.host import Host
from engine.model.container import Container
from engine.model.network import Attachment


@dataclass(frozen=True)
class Attach(Step[Host, Container]):
    """Note the network in the record

    That a container belongs to a network outlives its process: it is written into its record, and each start plugs it in
    again. Address and cable do not outlive it; they are given anew each time.
    """

    network: str
    wanted: dict[str, Any]
    """The attachment, as plain data."""
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return (
            f"Strike {self.network} from the networks of {c.name}" if back else f"Note {self.network} as a network of {c.name}"
        )

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"grep -A9 Networks {host.facts.root}/containers/{c.id}/config.v2.json",)

    async def do(self, host: Host, c: Container) -> Container:
        return replace(c, networks=c.networks | {self.network: msgspec.convert(self.wanted, Attachment)})

    async def undo(self, host: Host, c: Container) -> Container:
        return replace(c, networks={name: kept for name, kept in c.networks.items() if name != self.network})

    async def evidence(self, host: Host, c: Container) -> str | None:
        return f"{c.name} is on {', '.join(c.networks)}" if self.network in c.networks else None


@dataclass(frozen=True)
class RewriteNetworkFiles(Step[Host, Container]):
    """Write hosts and resolv.conf anew

    The container's own address stands in its `hosts`, and `resolv.conf` says whom to ask for names: both follow its
    networks. They are changed in place. The process has them mounted, and a mount shows a file, not a name; a new file of
    the same name it would never see. A `resolv.conf` that somebody has edited inside is theirs, and stays as it is.
    """

    network: str
    """`Endpoint.key` of the endpoint that comes, or goes on the way back."""
    holds = False

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Write hosts and resolv.conf anew"

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        path = f"{host.facts.root}/containers/{c.id}"
        return (f"cat {path}/hosts {path}/resolv.conf",)

    async def do(self, host: Host, c: Container) -> Container:
        await host.files.make_network(c)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.files.make_network(replace(c, endpoints=tuple(e for e in c.endpoints if e.key != self.network)))
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        told = await host.files.look_network(c.id)
        return told if told and any(e.key == self.network and e.address in told for e in c.endpoints) else None
