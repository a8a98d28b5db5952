"""Asking further, with real packets to name servers on another machine."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import dns.flags
import dns.message
import pytest
from dns.rcode import Rcode

from engine.host.names import NameServers, serving
from engine.host.names import upstream as upstream_module
from engine.host.netns import KernelNetns
from tests.engine.host.names.conftest import new_engine
from tests.engine.host.names.kit import Start, answering, ask, exchange, failing, question, said, silent

FIRST, SECOND, THIRD = "192.0.2.2", "192.0.2.3", "192.0.2.4"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    assert upstream_module.PATIENCE == 4.0
    monkeypatch.setattr(upstream_module, "PATIENCE", 0.2)


@pytest.mark.parametrize("tcp", [False, True])
async def test_others_are_asked_by_the_same_protocol_and_quoted_unchanged(
    names: NameServers, netns: KernelNetns, upstream: Start, tcp: bool
) -> None:
    def say(wire: bytes, tcp: bool) -> list[bytes]:
        return [answer + b"whatever follows" for answer in answering()(wire, tcp)]

    server = await upstream(say)
    await names.open("web", (FIRST,))
    wire = question("Example.ORG", "A", use_edns=0)
    assert [await exchange(netns.path("web"), wire, tcp=tcp)] == say(wire, tcp)
    ((heard, by_tcp),) = server.heard
    assert heard.to_wire() == wire
    assert by_tcp is tcp


async def test_other_types_of_a_name_of_ours_are_asked_further(names: NameServers, netns: KernelNetns, upstream: Start) -> None:
    server = await upstream(failing(Rcode.NXDOMAIN))
    await names.open("web", (FIRST,))
    for kind in ("TXT", "SRV", "ANY"):
        assert (await ask(netns.path("web"), "db", kind)).rcode() == Rcode.NXDOMAIN
    assert (await ask(netns.path("web"), "db", "MX")).rcode() == Rcode.NOERROR
    assert len(server.heard) == 3


@pytest.mark.parametrize("rcode", [Rcode.SERVFAIL, Rcode.REFUSED])
async def test_a_server_that_cannot_say_is_followed_by_the_next(
    names: NameServers, netns: KernelNetns, upstream: Start, rcode: Rcode
) -> None:
    await upstream(failing(rcode), FIRST)
    await upstream(answering(), SECOND)
    await names.open("web", (FIRST, SECOND))
    for tcp in (False, True):
        assert said(await ask(netns.path("web"), "example.org", tcp=tcp)) == {"203.0.113.7"}


async def test_any_other_answer_is_an_answer(names: NameServers, netns: KernelNetns, upstream: Start) -> None:
    await upstream(failing(Rcode.NXDOMAIN), FIRST)
    never = await upstream(answering(), SECOND)
    await names.open("web", (FIRST, SECOND))
    assert (await ask(netns.path("web"), "example.org")).rcode() == Rcode.NXDOMAIN
    assert never.heard == []


@pytest.mark.parametrize("tcp", [False, True])
async def test_silent_and_absent_servers_are_passed_over(
    names: NameServers, netns: KernelNetns, upstream: Start, impatient: None, tcp: bool
) -> None:
    await upstream(silent, FIRST)
    await upstream(answering(), THIRD)
    await names.open("web", (FIRST, SECOND, THIRD))
    assert said(await ask(netns.path("web"), "example.org", tcp=tcp)) == {"203.0.113.7"}


async def test_three_servers_are_asked_and_no_more(
    names: NameServers, netns: KernelNetns, upstream: Start, impatient: None
) -> None:
    never = await upstream(answering(), THIRD)
    await names.open("web", (SECOND, "198.51.100.1", "2001:db8::1", THIRD))
    assert (await ask(netns.path("web"), "example.org")).rcode() == Rcode.SERVFAIL
    assert never.heard == []


async def test_nobody_to_ask(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ())
    found = await ask(netns.path("web"), "example.org")
    assert (found.rcode(), str(found.question[0].name)) == (Rcode.SERVFAIL, "example.org.")


async def test_opening_again_takes_other_servers(names: NameServers, netns: KernelNetns, upstream: Start) -> None:
    await upstream(answering(), SECOND)
    await names.open("web", ())
    await names.open("web", (SECOND,))
    assert said(await ask(netns.path("web"), "example.org")) == {"203.0.113.7"}


async def test_an_answer_to_another_question_is_no_answer(names: NameServers, netns: KernelNetns, upstream: Start) -> None:
    """What a stranger sends who guesses, before the server answers."""

    def say(wire: bytes, tcp: bool) -> list[bytes]:
        (false,) = answering("6.6.6.6")(wire, tcp)
        another_id = bytes((false[0] ^ 1,)) + false[1:]
        another_name = false.replace(b"example", b"exbmple")
        another_type = false[:12] + false[12:].replace(b"\0\1\0\1", b"\0\2\0\1", 1)
        no_answer = false[:2] + bytes((false[2] & 0x7F,)) + false[3:]
        return [another_id, another_name, another_type, no_answer, false[:8], *answering()(wire, tcp)]

    await upstream(say)
    await names.open("web", (FIRST,))
    assert said(await ask(netns.path("web"), "example.org")) == {"203.0.113.7"}


async def test_a_truncated_answer_comes_whole_by_tcp(names: NameServers, netns: KernelNetns, upstream: Start) -> None:
    def say(wire: bytes, tcp: bool) -> list[bytes]:
        answer = dns.message.from_wire(answering()(wire, tcp)[0])
        if not tcp:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        return [answer.to_wire()]

    await upstream(say)
    await names.open("web", (FIRST,))
    assert (await ask(netns.path("web"), "example.org")).flags & dns.flags.TC
    assert said(await ask(netns.path("web"), "example.org", tcp=True)) == {"203.0.113.7"}


@pytest.mark.parametrize("limit", ["MOST_ASKED", "MOST_ASKED_BY_ALL"])
async def test_too_many_questions_at_once_are_refused(
    names: NameServers, netns: KernelNetns, upstream: Start, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    assert (serving.MOST_ASKED, serving.MOST_ASKED_BY_ALL) == (1024, 4096)
    monkeypatch.setattr(serving, limit, 8)
    server = await upstream(silent)
    await names.open("web", (FIRST,))
    waiting = [asyncio.create_task(ask(netns.path("web"), f"{number}.example.org")) for number in range(8)]
    await server.heard_of(8)
    assert (await ask(netns.path("web"), "example.org")).rcode() == Rcode.REFUSED
    assert said(await ask(netns.path("web"), "old")) == {"172.30.0.9"}
    server.say = answering()
    for task in waiting:
        task.cancel()
    await names.close("web")
    await names.open("web", (FIRST,))
    assert said(await ask(netns.path("web"), "example.org")) == {"203.0.113.7"}


async def test_the_hosts_own_loopback_server_is_asked_on_the_host(
    names: NameServers, netns: KernelNetns, upstream: Start, tmp_path: Path
) -> None:
    loopback = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.7"
    (tmp_path / "resolv.conf").write_text(f"nameserver {loopback}\n")
    server = await upstream(answering(), loopback, None)
    engine = new_engine(netns, str(tmp_path / "resolv.conf"))
    await engine.open("web", await engine.host_servers())
    for tcp in (False, True):
        assert said(await ask(netns.path("web"), "example.org", tcp=tcp)) == {"203.0.113.7"}
    assert len(server.heard) == 2
    await engine.close("web")


async def test_a_loopback_server_that_a_person_names_is_the_containers(
    names: NameServers, netns: KernelNetns, upstream: Start
) -> None:
    await upstream(answering(), "127.0.0.5", netns.path("web"))
    await names.open("web", ("127.0.0.5",))
    assert said(await ask(netns.path("web"), "example.org")) == {"203.0.113.7"}


async def test_nobody_asks_himself(names: NameServers, netns: KernelNetns) -> None:
    await names.open("web", ("127.0.0.11",))
    assert (await ask(netns.path("web"), "example.org")).rcode() == Rcode.SERVFAIL


@pytest.mark.parametrize(
    ("text", "behind", "found"),
    [
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.org\n", "", ("192.0.2.1", "2001:db8::1")),
        ("nameserver 127.0.0.1\n", "nameserver 192.0.2.9\n", ("127.0.0.1",)),
        ("nameserver 127.0.0.53\n", "nameserver 192.0.2.9\nnameserver 192.0.2.8\n", ("192.0.2.9", "192.0.2.8")),
        ("nameserver 127.0.0.53\n", "", ("127.0.0.53",)),
        ("nameserver nonsense\n# nameserver 1.1.1.1\n", "", ()),
        ("", "", ()),
    ],
)
async def test_the_hosts_name_servers(tmp_path: Path, text: str, behind: str, found: tuple[str, ...]) -> None:
    for name, content in (("resolv.conf", text), ("resolved", behind)):
        if content:
            (tmp_path / name).write_text(content)
    names = NameServers(str(tmp_path), str(tmp_path / "resolv.conf"), str(tmp_path / "resolved"))
    assert await names.host_servers() == found
