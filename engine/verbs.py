"""What a verb means for a container now: the transition table is asked, and all that its steps need is decided."""

from __future__ import annotations

from collections.abc import Iterable
from signal import SIGTERM

from msgspec.structs import replace

from engine.flow.step import Operation
from engine.host import Host
from engine.model.container import Container
from engine.model.errors import AlreadySo, EngineError, NotFound
from engine.model.interface import Params
from engine.model.status import Verb
from engine.networks import Networks
from engine.operations.again import again
from engine.operations.connect import connect
from engine.operations.create import create
from engine.operations.disconnect import disconnect
from engine.operations.exited import exited
from engine.operations.kill import kill
from engine.operations.pause import pause
from engine.operations.remove import remove
from engine.operations.rename import rename
from engine.operations.restart import restart
from engine.operations.start import start
from engine.operations.stop import grace, stop
from engine.operations.unpause import unpause
from engine.operations.update import unlink, update
from engine.spec.endpoints import attachment, check_connect
from engine.spec.legality import refuse
from engine.spec.signals import ends, parse_signal
from engine.spec.updates import updated

Decided = tuple[Container, Operation[Host, Container]]


def decide(verb: Verb, c: Container, params: Params, *, host: Host, networks: Networks, others: Iterable[Container]) -> Decided:
    """The record and the operation to walk on it. No await between this and the claim that follows.

    Raises `AlreadySo`, `Conflict`, `Invalid` for what may not be.
    """
    refuse(verb, c, forced=bool(params.get("force")))
    match verb:
        case Verb.CREATE:
            return c, create(c)
        case Verb.START:
            c = networks.wire(by_hand(c), others)
            return c, start(c)
        case Verb.AGAIN:
            c = networks.wire(c, others)
            return c, again(c)
        case Verb.STOP:
            return c, _stop(c, params)
        case Verb.RESTART:
            if c.status.up:
                return c, restart(_stop(c, params))
            c = networks.wire(by_hand(c), others)
            return c, restart(start(c))
        case Verb.KILL:
            signal = parse_signal(params.get("signal") or "SIGKILL")
            return c, kill(c, signal, is_stop_signal=ends(c.config.stop_signal, signal))
        case Verb.PAUSE:
            return c, pause(c)
        case Verb.UNPAUSE:
            return c, unpause(c)
        case Verb.RENAME:
            return c, rename(c, params.get("name") or "", others)
        case Verb.UPDATE if alias := params.get("unlink"):
            return c, unlink(c, alias)
        case Verb.UPDATE:
            after, warnings = updated(c, params.get("body") or {}, host.facts)
            return replace(c, warnings=warnings), update(c, after)
        case Verb.CONNECT:
            return _connect(c, params, networks, others)
        case Verb.DISCONNECT:
            return c, _disconnect(c, params, networks)
        case Verb.REMOVE:
            return c, remove(c)
        case Verb.EXITED:
            if (pid := params.get("pid")) and pid != c.state.pid:
                raise AlreadySo(f"{c.name} stands by another process by now")
            return c, exited(c)


def _connect(c: Container, params: Params, networks: Networks, others: Iterable[Container]) -> Decided:
    n = networks.find(params["network"])
    check_connect(c, n)
    wanted = attachment(n, params.get("endpoint") or {})
    if not c.status.alive:
        return c, connect(c, n.name, wanted, None)
    new = networks.endpoint(replace(c, endpoints=c.plugged), n, wanted, others)
    c = replace(c, endpoints=(*c.plugged, new))
    return c, connect(c, n.name, wanted, new)


def _disconnect(c: Container, params: Params, networks: Networks) -> Operation[Host, Container]:
    wanted = params["network"]
    try:
        n = networks.find(wanted)
    except NotFound:
        if wanted not in c.networks:
            raise
        return disconnect(c, wanted, c.networks[wanted], None)  # it is gone, its mention is not
    name = next((name for name in (n.name, n.id, wanted) if name in c.networks), "")
    if not name:
        raise EngineError(f"container {c.id} is not connected to network {n.name}")
    old = next((e for e in c.plugged if e.network_id == n.id), None)
    return disconnect(c, name, c.networks[name], old)


def by_hand(c: Container) -> Container:
    """Somebody starts it: what its restart policy has counted is forgotten."""
    return replace(c, restart_count=0, backoff=0.0, has_been_manually_stopped=False)


def _stop(c: Container, params: Params) -> Operation[Host, Container]:
    signal = params.get("signal") or c.config.stop_signal
    manual = bool(params.get("manual", True))
    return stop(c, parse_signal(signal) if signal else SIGTERM, grace(c, params), manual=manual)
