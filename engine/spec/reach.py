"""Why one end does not reach another: every reason as a sentence with its remedy, told from what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import ip_address

from engine.host.sight import Answer, Attempt, Interface, Listener, Route, Sight
from engine.host.things import Freeze
from engine.model.container import Container
from engine.model.network import Endpoint, Network, Published
from engine.model.reach import Hop, Outcome
from engine.model.status import Status


class Reason(StrEnum):
    NOT_RUNNING = "not running"
    FROZEN = "frozen"
    NO_NETWORK = "no network"
    NAMESPACE_GONE = "namespace gone"
    BRIDGE_GONE = "bridge gone"
    CABLE_GONE = "cable gone"
    UNPLUGGED = "unplugged"
    DOWN = "interface down"
    NO_ADDRESS = "no address"
    ADDRESS_GONE = "address gone"
    NO_NAME = "no such name"
    NAMELESS = "no names here"
    DIFFERENT_BRIDGE = "different bridge"
    CLOSED = "icc off"
    INTERNAL = "internal network"
    NO_ROUTE = "no route"
    NO_WAY_OUT = "the host has no route"
    FORWARDING_OFF = "forwarding off"
    NOT_PUBLISHED = "not published"
    OTHER_ADDRESS = "published elsewhere"
    NOT_OURS = "the host's address gone"
    LEADS_NOWHERE = "port leads nowhere"
    KEPT_APART = "kept apart"
    FIREWALL = "firewall"
    NOTHING_LISTENS = "nothing listens"
    LISTENS_ELSEWHERE = "listens elsewhere"
    NOBODY_THERE = "nobody there"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SILENT = "no answer"
    UNTOLD = "untold"


REASONS: dict[Reason, tuple[str, str]] = {
    Reason.NOT_RUNNING: ("{name} does not run: it is {status}", "start it: docker start {name}"),
    Reason.FROZEN: (
        "{name} is frozen{how}: the kernel still takes connections for it, but no process of it answers or asks",
        "thaw it{where}",
    ),
    Reason.NO_NETWORK: ("{name} is on no network{why}", "{remedy}"),
    Reason.NAMESPACE_GONE: (
        "the network namespace of {name} is gone: somebody has unmounted it",
        "make it again: docker restart {name}",
    ),
    Reason.BRIDGE_GONE: (
        "the bridge {bridge} is gone: somebody has deleted it",
        "make it again: docker restart {name}",
    ),
    Reason.CABLE_GONE: (
        "the cable {veth} of {name} is gone: somebody has deleted it",
        "plug it in again: docker restart {name}",
    ),
    Reason.UNPLUGGED: (
        "the cable {veth} of {name} is no port of the bridge {bridge} any more",
        "put it back: ip link set {veth} master {bridge}",
    ),
    Reason.DOWN: ("{interface} is switched off", "switch it on: {enter}ip link set {interface} up"),
    Reason.NO_ADDRESS: (
        "{name} has no IPv{family} address on {network}",
        "ask by IPv{other}, or create a network with --ipv6 and connect it",
    ),
    Reason.ADDRESS_GONE: (
        "{interface} of {name} has lost its address {address}: somebody has taken it away",
        "give it back: docker restart {name}",
    ),
    Reason.NO_NAME: ("{server} knows no {wanted}{trouble}", "see that the name is right, or use the address"),
    Reason.NAMELESS: (
        "only by its address {address}, not by its name: the network {network} has no name service",
        "connect both to a network of your own: docker network create NETWORK",
    ),
    Reason.DIFFERENT_BRIDGE: (
        "they are on different networks ({here}; {there}), which are kept apart",
        "connect {name} to the other's: docker network connect {network} {name}",
    ),
    Reason.CLOSED: (
        "the network {network} lets its containers not talk to each other (icc is off)",
        "create a network without com.docker.network.bridge.enable_icc=false, and connect both to it",
    ),
    Reason.INTERNAL: (
        "the network {network} is internal: nothing leaves it and nothing comes in",
        "connect {name} to another network that is not",
    ),
    Reason.NO_ROUTE: (
        "{name} has no route to {address}",
        "see its routes: {enter}ip route; docker restart {name} sets them again",
    ),
    Reason.NO_WAY_OUT: ("this host has no route to {address}", "see its routes: ip route"),
    Reason.FORWARDING_OFF: (
        "this host does not forward what comes in by {interface}",
        "switch it on: sysctl -w net.ipv{family}.conf.{interface}.{switch}=1",
    ),
    Reason.NOT_PUBLISHED: (
        "{name} does not publish its port {port}{published}",
        "make the container again with -p {number}:{port}: from outside only published ports lead in",
    ),
    Reason.OTHER_ADDRESS: (
        "{name} publishes its port {port} on {published} only, and not on {asked}, where others ask this host",
        "publish it on {asked}, or on every address of the host: -p {number}:{port}",
    ),
    Reason.NOT_OURS: (
        "{name} publishes its port {port} on {address}, which this host no longer has",
        "give the host that address, or publish on every address of it",
    ),
    Reason.LEADS_NOWHERE: (
        "the host's port {published} leads nowhere: {what}",
        "make it again: docker restart {name}",
    ),
    Reason.KEPT_APART: ("our firewall drops it, as it must: {rule}", "publish the port, or connect both to one network"),
    Reason.FIREWALL: (
        "a firewall that is not ours drops it: {rule}",
        "add a rule before it that accepts this, or take it away",
    ),
    Reason.NOTHING_LISTENS: (
        "nothing listens on port {port} of {name}{others}",
        "see that its program runs, and on which port it listens",
    ),
    Reason.LISTENS_ELSEWHERE: (
        "what listens on port {port} of {name} does so on {where} only",
        "let the program listen on 0.0.0.0, or on {address}",
    ),
    Reason.NOBODY_THERE: (
        "nobody on the link has the address {neighbour}: nobody answers who is asked for it",
        "see that whoever has the address is switched on and connected",
    ),
    Reason.REFUSED: ("{name} answers that nothing listens there", "see that the service runs, and that no firewall rejects it"),
    Reason.UNREACHABLE: ("{error}", "see the routes on the way: traceroute {address}"),
    Reason.SILENT: ("no answer came within {seconds:g} s, and no firewall of this host dropped it", "{look}"),
    Reason.UNTOLD: (
        "a datagram left this host and nobody refused it, but whether {name} took it UDP does not tell",
        "ask with the service's own program",
    ),
}
"""Sentences, without a full stop, and what a person can do."""


def stop(reason: Reason, title: str, shown: str, outcome: Outcome = Outcome.STOPPED, /, **words: object) -> Hop:
    why, remedy = (text.format(**words) for text in REASONS[reason])
    return Hop(title=title, shown=shown, outcome=outcome, reason=reason, why=why, remedy=remedy)


# A container and its cable


def lives(c: Container, pid: int, freeze: Freeze | None) -> Hop:
    """`pid`: of its process as containerd has it; 0: none."""
    title = f"{c.name} runs"
    if not pid:
        return stop(Reason.NOT_RUNNING, title, f"no process, {c.status}", name=c.name, status=c.status)
    if freeze and freeze.kernel != "thawed":
        paused = c.state.status is Status.PAUSED
        above = freeze.parent_frozen and not freeze.self_frozen
        how = " by a cgroup above its own" if above else "" if paused else " from outside"
        where = f": docker unpause {c.name}" if paused and not above else " where it was frozen"
        return stop(Reason.FROZEN, title, f"pid {pid}, freezer {freeze.kernel}", name=c.name, how=how, where=where)
    return Hop(title=title, shown=f"pid {pid}")


def networks(c: Container, mode: str, endpoints: Sequence[Endpoint]) -> Hop:
    title = f"{c.name} is on a network"
    if endpoints:
        return Hop(title=title, shown=", ".join(f"{e.network} by {e.interface} {e.address}" for e in endpoints))
    none = mode == "none"
    return stop(
        Reason.NO_NETWORK,
        title,
        f"mode {mode}, no cable",
        name=c.name,
        why=", for that was asked (mode none)" if none else "",
        remedy="make it again with --network NETWORK" if none else f"connect it: docker network connect NETWORK {c.name}",
    )


def cable(c: Container, e: Endpoint, here: Sight, inside: Sight | None, enter: str) -> Hop:
    """From the container's interface to the bridge. `here`: the host's namespace; `enter`: the command that enters its own."""
    title, shown = f"{c.name}'s cable", f"{e.interface} ═ {e.veth} ═ {e.bridge}"

    def gone(reason: Reason, **words: object) -> Hop:
        return stop(reason, title, shown, name=c.name, veth=e.veth, bridge=e.bridge, **words)

    bridge, end = here.interfaces.get(e.bridge), here.interfaces.get(e.veth)
    if inside is None:
        return gone(Reason.NAMESPACE_GONE)
    if bridge is None:
        return gone(Reason.BRIDGE_GONE)
    own = inside.interfaces.get(e.interface)
    if end is None or own is None:
        return gone(Reason.CABLE_GONE)
    if end.bridge != e.bridge:
        return gone(Reason.UNPLUGGED)
    for interface, how in ((own, enter), (end, ""), (bridge, "")):
        if not interface.up:
            return gone(Reason.DOWN, interface=interface.name, enter=how)
    return Hop(title=title, shown=f"{shown}, all up")


def address(c: Container, e: Endpoint, family: int, inside: Sight) -> Hop:
    title, wanted = f"{c.name}'s address", address_of(e, family)
    if not wanted:
        other = 4 if family == 6 else 6
        return stop(
            Reason.NO_ADDRESS, title, e.address or e.address6, name=c.name, family=family, other=other, network=e.network
        )
    own = inside.interfaces.get(e.interface, Interface(name=e.interface))
    if wanted not in own.addresses:
        shown = ", ".join(own.addresses) or "none"
        return stop(Reason.ADDRESS_GONE, title, shown, name=c.name, interface=e.interface, address=wanted)
    return Hop(title=title, shown=f"{wanted} on {e.interface}")


def address_of(e: Endpoint, family: int) -> str:
    return e.address if family == 4 else e.address6


def meeting(here: Sequence[Endpoint], there: Sequence[Endpoint]) -> tuple[Endpoint, Endpoint] | None:
    """The cables of two containers into the same network, the first's first one. None: they have none in common."""
    return next(((a, b) for a in here for b in there if a.network_id == b.network_id), None)


# The way between


def together(a: Container, b: Container, here: Sequence[Endpoint], there: Sequence[Endpoint], tried: Attempt) -> Hop:
    """Of two containers that have no network in common."""
    ours, theirs = (", ".join(f"{c.name} on {e.network}" for e in es) for c, es in ((a, here), (b, there)))
    title, shown = "They meet on a network", f"{ours}; {theirs}"
    answered = tried.answer in (Answer.ANSWERED, Answer.REFUSED) and tried.drop is None
    outcome = Outcome.NOTED if answered else Outcome.STOPPED
    words = {"here": ours, "there": theirs, "name": a.name, "network": there[0].network}
    return stop(Reason.DIFFERENT_BRIDGE, title, shown, outcome, **words)


def route(name: str, wanted: str, found: Route | None, enter: str) -> Hop:
    title = f"{name} knows the way" if name else "The host knows the way"
    if found:
        return Hop(title=title, shown=f"{wanted} {found}")
    if not name:
        return stop(Reason.NO_WAY_OUT, title, "no route", address=wanted)
    return stop(Reason.NO_ROUTE, title, "no route", name=name, address=wanted, enter=enter)


def closed_in(c: Container, e: Endpoint) -> Hop:
    return stop(Reason.INTERNAL, f"{c.name}'s way out", f"{e.network} is internal", network=e.network, name=c.name)


def forwarding(interface: str, family: int, on: bool) -> Hop:
    title = f"The host forwards what comes by {interface}"
    if on:
        return Hop(title=title, shown="forwarding on")
    switch = "forwarding" if family == 4 else "force_forwarding"
    return stop(Reason.FORWARDING_OFF, title, "forwarding off", interface=interface, family=family, switch=switch)


def rules(tried: Attempt, shared: Network | None, where: str) -> Hop:
    """What the firewalls make of it. `shared`: the network that both ends are on; `where`: whose namespace the rule is in."""
    title, drop = "The firewall lets it pass", tried.drop
    off = shared is not None and not shared.icc
    if drop is None:
        silent = tried.answer not in (Answer.ANSWERED, Answer.REFUSED)
        if shared and off and silent:
            return stop(Reason.CLOSED, title, "the bridge keeps isolated ports apart", network=shared.name)
        if shared and off:
            return stop(Reason.CLOSED, title, "icc is off, but its ports are not isolated", Outcome.NOTED, network=shared.name)
        return Hop(title=title, shown="no rule drops it" if silent else "something came back")
    if drop.ours and shared and off:
        return stop(Reason.CLOSED, title, str(drop), network=shared.name)
    rule = f"{drop}{' (inside ' + where + ')' if where else ''}"
    return stop(Reason.KEPT_APART if drop.ours else Reason.FIREWALL, title, rule, rule=rule)


# Published ports


def publishing(c: Container, port: int, protocol: str, family: int, alike: Sequence[str]) -> Hop | Published:
    """The published port by which somebody outside comes in, or why there is none. `alike`: the host's addresses that he can
    ask, the one he would take first."""
    own, wanted = c.ports, f"{port}/{protocol}"
    ours = [p for p in own if (p.port, p.protocol) == (port, protocol) and ip_address(p.host_ip).version == family]
    if ours:
        likely = ("0.0.0.0", "::", *alike)
        return min(ours, key=lambda p: likely.index(p.host_ip) if p.host_ip in likely else len(likely))
    told, shown = ("; it publishes ", ", ".join(map(str, own))) if own else (", nor any other", "")
    words = {"name": c.name, "port": wanted, "number": port, "published": told + shown}
    return stop(Reason.NOT_PUBLISHED, "The port is published", shown or "none", **words)


def published(
    c: Container, p: Published, here: Sight, alike: Sequence[str], held: str | None, led: str | None, *, translated: bool
) -> Hop:
    """Is all there that a published port is made of, where it is asked for? `held`, `led`: what ports and firewall say."""
    title, shown = "The port is published", str(p)
    words = {"name": c.name, "port": f"{p.port}/{p.protocol}", "number": p.port}
    anywhere = ip_address(p.host_ip).is_unspecified
    if not anywhere and p.host_ip not in here.addresses:
        return stop(Reason.NOT_OURS, title, shown, address=p.host_ip, **words)
    lacking = "nobody holds it" if held is None else "the firewall's rule is gone" if translated and led is None else ""
    if lacking:
        return stop(Reason.LEADS_NOWHERE, title, shown, published=p, what=lacking, **words)
    if anywhere or p.host_ip in alike[:1]:
        return Hop(title=title, shown=shown)
    outcome = Outcome.NOTED if p.host_ip in alike else Outcome.STOPPED
    asked = next(iter(alike), "another")
    return stop(Reason.OTHER_ADDRESS, title, shown, outcome, published=p.host_ip, asked=asked, **words)


# The other end


def listening(name: str, address: str, port: int, protocol: str, listeners: Iterable[Listener]) -> Hop:
    """Does anything wait at this address? What the firewall leads there needs no ear."""
    title, wanted = f"{name} listens on {port}/{protocol}", f"{port}/{protocol}"
    same = [each for each in listeners if each.protocol == protocol]
    there = [each for each in same if each.port == port]
    if not there:
        others = sorted({each.port for each in same if not ip_address(each.address).is_loopback})
        told = f"; {protocol} ports with a listener: {', '.join(map(str, others))}" if others else ""
        return stop(Reason.NOTHING_LISTENS, title, "nothing", port=wanted, name=name, others=told)
    heard = [each for each in there if hears(each, address)]
    if not heard:
        where = " and ".join(sorted({each.address for each in there}))
        shown = ", ".join(map(str, there))
        return stop(Reason.LISTENS_ELSEWHERE, title, shown, port=wanted, name=name, where=where, address=address)
    return Hop(title=title, shown=", ".join(sorted({str(each) for each in heard})))


def hears(listener: Listener, address: str) -> bool:
    """`::` is taken to hear IPv4 too, as it does unless a program says otherwise (ipv6(7), IPV6_V6ONLY)."""
    own = ip_address(listener.address)
    if own.is_unspecified:
        return own.version == 6 or ip_address(address).version == 4
    return listener.address == address


def answer(
    name: str, what: str, tried: Attempt, seconds: float, neighbour: str, state: str, address: str, *, beyond: bool
) -> Hop:
    """How the attempt ended. `neighbour`: the next on the way, with its state; `beyond`: past this host nobody can see."""
    title = f"{name} answers"
    words: dict[str, object] = {"name": name, "address": address}
    match tried.answer:
        case Answer.ANSWERED:
            return Hop(title=title, shown=f"{what} answered after {tried.ms:.1f} ms")
        case Answer.REFUSED:
            return stop(Reason.REFUSED, title, tried.error, **words)
        case _ if state in AWAY:
            return stop(Reason.NOBODY_THERE, title, f"{neighbour} {state}", neighbour=neighbour)
        case Answer.UNREACHABLE:
            return stop(Reason.UNREACHABLE, title, tried.error, error=f"the answer was: {tried.error.lower()}", **words)
    if what.endswith("/udp"):
        shown = "a datagram was sent and nobody refused it; UDP tells no more"
        if not beyond:
            return Hop(title=title, shown=shown)
        return stop(Reason.UNTOLD, title, shown, Outcome.UNKNOWN, **words)
    look = (
        "see whether it answers others: what is beyond this host cannot be seen from here"
        if beyond
        else f"see it pass: tcpdump -ni any host {address}"
    )
    return stop(Reason.SILENT, title, "silence", seconds=seconds, look=look)


AWAY = ("failed", "incomplete")
"""States of a neighbour that does not answer (`NUD_*`, <linux/neighbour.h>)."""


# Names


def named(asker: str, server: str, wanted: str, found: Sequence[str], address: str, trouble: str) -> Hop:
    title = f"{asker} finds {wanted} by its name"
    if trouble or not found or (address and address not in found):
        told = f" at {address}" if found else f": {trouble}" if trouble else ""
        shown = ", ".join(found) or trouble or "no such name"
        return stop(Reason.NO_NAME, title, shown, server=server, wanted=wanted, trouble=told)
    return Hop(title=title, shown=f"{server} says {', '.join(found)}")


def nameless(asker: str, wanted: str, network: str, address: str) -> Hop:
    title = f"{asker} finds {wanted} by its name"
    return stop(Reason.NAMELESS, title, "no name service", Outcome.NOTED, address=address, network=network)
