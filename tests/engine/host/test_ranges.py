"""Ranges this host uses."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host.links import KernelLinks
from engine.host.ranges import name_servers
from engine.host.tools import tell


@pytest.mark.usefixtures("outside")
async def test_ranges_of_both_families_are_told_whatever_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 10.3.255.53\nnameserver fd53::53\n")
    monkeypatch.setattr("engine.host.ranges.RESOLV_CONF", (str(resolv), str(tmp_path / "absent")))
    await tell("ip", "route", "add", "10.1.0.0/17", "via", "192.0.2.9")
    await tell("ip", "route", "add", "10.2.0.0/24", "dev", "up0", "table", "77")
    await tell("ip", "address", "add", "10.4.9.9/32", "dev", "lo")
    await tell("ip", "address", "add", "fd04::1/64", "dev", "up0", "nodad")
    await tell("ip", "route", "add", "fd05::/48", "via", "fd04::9")
    await tell("ip", "route", "add", "default", "via", "192.0.2.9")
    await tell("ip", "route", "add", "default", "via", "fd04::9")
    used = await KernelLinks(str(tmp_path)).used()
    assert len(used) == len(set(used))
    assert set(used) == {
        "10.1.0.0/17", "10.2.0.0/24", "10.4.9.9/32", "192.0.2.0/24", "192.0.2.1/24", "10.3.255.53",
        "fd04::/64", "fd04::1/64", "fd05::/48", "fd53::53",
    }  # fmt: skip


@pytest.mark.usefixtures("machine")
async def test_a_host_without_anything_uses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.host.ranges.RESOLV_CONF", ())
    assert await KernelLinks(str(tmp_path)).used() == ()


def test_name_servers_are_read_past_all_else() -> None:
    text = "# nameserver 10.0.0.1\n; a comment\n nameserver\t10.0.0.2 # ours\nnameserver none\nnameserver\nsearch 10.0.0.3\n"
    assert name_servers(text + "nameserver fe80::1%eth0\n") == ["10.0.0.2", "fe80::1"]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    name_servers(text)


@given(st.lists(st.ip_addresses()))
def test_every_name_server_is_found(servers: list[IPv4Address | IPv6Address]) -> None:
    lines = [f"nameserver {server}\noptions ndots:1\n" for server in servers]
    assert name_servers("".join(lines)) == [str(server).partition("%")[0] for server in servers]
