"""`longshore why` on an engine with a simulated host."""

from __future__ import annotations

import json

from engine.host.sight import Listener
from tests.engine.api.conftest import Served
from tests.tui.cli.conftest import Typed


async def test_why(typed: Typed, served: Served) -> None:
    for name in ("web", "db"):
        await served.create(name)
        await served.engine.do("start", name)
    db = await served.engine.inspect("db")
    served.world.listeners[db.sandbox] = (Listener(protocol="tcp", address="0.0.0.0", port=5432),)
    said = await typed("why", "web", "db", "5432/tcp")
    assert said.code == 0 and said.out.startswith("✔ web runs") and "web reaches db (port 5432/tcp)" in said.out
    said = await typed("why", "web", "db", "80")
    assert (
        said.code == 1 and "✘ db listens on 80/tcp" in said.out and "→ see that its program runs" in said.out and not said.err
    )
    said = await typed("--read-only", "why", "-4", "--format", "json", "web", "db")
    told = json.loads(said.out)
    assert said.code == 0 and told["protocol"] == "icmp" and told["reached"] is True and told["hops"]
    said = await typed("why", "-6", "web", "db", "5432")
    assert said.code == 1 and "has no IPv6 address" in said.out
    for asked in (("web", "nobody"), ("web", "db", "http"), ("web",)):
        said = await typed("why", *asked)
        assert said.code in (1, 125) and said.err and not said.out
