"""The step on names: who is who on the container's networks."""

from __future__ import annotations

from engine.flow.step import Step
from engine.host import Host
from engine.model.container import Container


class AnswerNames(Step[Host, Container]):
    """Answer for names

    On a network of one's own containers find each other by name. Somebody has to know the addresses: a name server, at
    127.0.0.11 inside the container's namespace, where nobody else has a 127.0.0.11.

    It is the engine itself that listens there. A socket belongs to the namespace it was opened in, whichever process holds
    it. It listens on a port of its own choice and a rule inside the namespace leads port 53 to it, so a name server that
    the container runs is not in its way.

    What is nobody's name here is asked of the host's own name servers.
    """

    thing = "name service"
    renewed = True

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Answer for names no more" if back else "Answer for names at 127.0.0.11"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        return ()

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        inside = f"nsenter --net={host.netns.path(c.sandbox)}"
        return (f"{inside} ss -lntu", f"{inside} nft list ruleset")

    async def do(self, host: Host, c: Container) -> Container:
        await host.names.open(c.sandbox, tuple(c.host_config.dns or ()) or await host.names.host_servers())
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.names.close(c.sandbox)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.names.look(c.sandbox)
