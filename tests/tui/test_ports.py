"""Published ports as they are written, and as they are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.model.errors import Invalid
from tui.ports import bindings, brief, fitted, publish


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("80", [("80/tcp", "", "")]),
        ("8080:80", [("80/tcp", "", "8080")]),
        ("8080:80/udp", [("80/udp", "", "8080")]),
        ("8080:80/UDP", [("80/udp", "", "8080")]),
        ("127.0.0.1:8080:80", [("80/tcp", "127.0.0.1", "8080")]),
        ("127.0.0.1::80", [("80/tcp", "127.0.0.1", "")]),
        ("[::1]:8080:80/sctp", [("80/sctp", "::1", "8080")]),
        ("8000-8001:80-81", [("80/tcp", "", "8000"), ("81/tcp", "", "8001")]),
        ("80-81/udp", [("80/udp", "", ""), ("81/udp", "", "")]),
        ("8000-8010:80", [("80/tcp", "", "8000-8010")]),
        ("published=8080,target=80", [("80/tcp", "", "8080")]),
        ("target=80,published=8080,protocol=udp", [("80/udp", "", "8080")]),
    ],
)
def test_what_people_write(text: str, made: list[tuple[str, str, str]]) -> None:
    assert [(port, each["HostIp"], each["HostPort"]) for port, each in publish(text)] == made


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "x", "80:x", "0", "65536", "8080:70000", "90-80", "80/", "80/icmp", "1-2:1-3", "8080:80:90", "-80:80"),
        *("localhost:80:80", "300.0.0.1:80:80", "::1:80:80", "target=80,mode=host", "target=", "80\n"),
    ],
)
def test_what_cannot_be_right_is_said(text: str) -> None:
    with pytest.raises(Invalid):
        publish(text)


@given(some.text(alphabet="0123456789-:/[]. tcpud=", max_size=24))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        made = publish(text)
    except Invalid:
        return
    assert made and all(port.partition("/")[2] in ("tcp", "udp") for port, _ in made)


def test_several_bindings_of_a_port_stand_together() -> None:
    made = bindings((*publish("8080:80"), *publish("127.0.0.1:9090:80"), *publish("53:53/udp")))
    assert [len(made[port]) for port in ("80/tcp", "53/udp")] == [2, 1]


@pytest.mark.parametrize(
    ("ports", "shown"),
    [
        ((), ""),
        (("0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp"), "8080→80"),
        (("0.0.0.0:53->53/udp", "0.0.0.0:443->443/tcp"), "443→443 53→53/udp"),
        (("127.0.0.1:8080->80/tcp",), "127.0.0.1:8080→80"),
        (("[::1]:8080->80/tcp",), "[::1]:8080→80"),
        (tuple(f"0.0.0.0:{8000 + n}->{80 + n}/tcp" for n in range(3)), "8000-8002→80-82"),
        (("0.0.0.0:8000->80/tcp", "0.0.0.0:9000->80/tcp"), "8000→80 9000→80"),
        (("0.0.0.0:8000->80/tcp", "0.0.0.0:8001->82/tcp"), "8000→80 8001→82"),
        (("no port",), ""),
    ],
)
def test_what_people_read(ports: tuple[str, ...], shown: str) -> None:
    assert brief(ports) == shown


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, "8080→80 127.0.0.1:8443→443 53→53/udp"),
        (30, "8080→80 127.0.0.1:8443→443 +1"),
        (10, "8080→80 +2"),
        (9, "+3"),
        (1, "+3"),
    ],
)
def test_ports_are_never_cut_in_the_middle(width: int, shown: str) -> None:
    assert fitted("8080→80 127.0.0.1:8443→443 53→53/udp", width) == shown
    assert fitted("", width) == ""
