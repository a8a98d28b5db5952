"""Which events a change of a record stands for. Pure: the difference of two records says it all."""

from __future__ import annotations

from engine.model.container import Container
from engine.model.events import Happened
from engine.model.network import Endpoint
from engine.model.run import Mark, Way


def happened(before: Container | None, after: Container | None) -> list[Happened]:
    """Docker's events for one saved change, in Docker's order (reference 4.14)."""
    if after is None:
        removed = before is not None and before.run is not None and before.run.verb == "remove"
        return [*_died(before), container_event(before, "destroy")] if before and removed else []
    events = _network(before, after)
    known = len(before.signalled) if before else 0
    events += [container_event(after, "kill", signal=str(signal)) for signal in after.signalled[known:]]
    was, now = before.state.health if before else None, after.state.health
    # Only a probe's result is told; start, pause and exit change the status without a word.
    if was and now and was.log != now.log and was.status != now.status:
        events.append(container_event(after, f"health_status: {now.status}"))
    if after.state.oom_killed and before and not before.state.oom_killed:
        events.append(container_event(after, "oom"))
    if before and before.name != after.name:
        events.append(container_event(after, "rename", oldName=f"/{before.name}"))
    if after.run and not after.run.open and before and before.run and before.run.open:
        events += _ended(after)
    return events


def _ended(c: Container) -> list[Happened]:
    """What the end of a run is worth telling. A remove ends with its record."""
    assert c.run
    events = _died(c) if c.run.verb != "remove" else []
    if c.run.way is Way.DONE and c.run.verb in ("create", "start", "pause", "unpause", "stop", "update"):
        events.append(container_event(c, c.run.verb))
    if c.run.way is Way.DONE and c.run.compound and c.run.verb == "start":
        events.append(container_event(c, c.run.compound))
    return events


def _died(c: Container) -> list[Happened]:
    """`die`, where the run recorded an exit."""
    if not (c.run and any(row.step == "RecordExit" and row.mark is Mark.DONE for row in c.run.rows)):
        return []
    lived = int((c.state.finished_at - c.state.started_at).total_seconds())
    return [container_event(c, "die", exitCode=str(c.state.exit_code), execDuration=str(lived))]


def _network(before: Container | None, after: Container) -> list[Happened]:
    was = {e.endpoint_id: e for e in (before.plugged if before else ())}
    now = {e.endpoint_id: e for e in after.plugged}
    gone = [_wired(after, was[id], "disconnect") for id in was if id not in now]
    return [*gone, *(_wired(after, now[id], "connect") for id in now if id not in was)]


def _wired(c: Container, e: Endpoint, action: str) -> Happened:
    attributes = {"container": c.id, "name": e.network, "type": "bridge"}
    return Happened(type="network", action=action, id=e.network_id, attributes=attributes)


def container_event(c: Container, action: str, **attributes: str) -> Happened:
    """An event of a container, with the attributes every one of them has."""
    own = {"image": c.config.image, "name": c.name}
    return Happened(type="container", action=action, id=c.id, attributes=(c.config.labels or {}) | own | attributes)
