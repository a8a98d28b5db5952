"""Networks and ports as elements, elements as nft's words, and nft's words as elements. Pure."""

# ruff: noqa: E101 (nft mixes tabs and spaces)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host.firewall import ruleset
from engine.host.firewall.ruleset import Element, Place
from engine.model.errors import Invalid
from engine.model.network import HOST_IPV4, ICC, MASQUERADE, Published, Target
from tests.engine.host.wiring import endpoint, network

LISTING = """\
table inet t {
	set ours {
		type ifname
		elements = { "lst0" comment "lst0",
			     "br-1" comment "br-1" }
	}

	set internal {
		type ifname
	}

	set strangers {
		type ifname
		elements = { "eth0" comment "lst0" }
	}

	map any6 {
		type inet_proto . inet_service : ipv6_addr . inet_service
		counter
		elements = { tcp . 1 counter packets 0 bytes 0 : fd00::9 . 1,
			     tcp . 8080 counter packets 12 bytes 720 comment "abc" : fd00::2 . 80 }
	}

	chain published {
		dnat ip6 to meta l4proto . th dport map @any6
	}

	chain forward {
		type filter hook forward priority filter - 1; policy accept;
		iifname != @ours oifname != @ours accept
		iifname @internal counter packets 0 bytes 0 drop
		oifname @ours counter packets 3 bytes 180 drop
	}
}
"""


def test_of_a_listing_our_elements_are_read() -> None:
    found = ruleset.parse(LISTING)
    assert found.elements == {
        Place("ours", '"lst0"'): Element("lst0"),
        Place("ours", '"br-1"'): Element("br-1"),
        Place("any6", "tcp . 8080"): Element("abc", "fd00::2 . 80"),
    }
    assert found.chains.splitlines()[0] == "\tchain published {"
    assert found.chains.count("@") == 5


def test_what_concerns_an_endpoint() -> None:
    assert ruleset.concerning(endpoint(2), LISTING) == (
        'ours "lst0"',
        "forward oifname @ours counter packets 3 bytes 180 drop",
    )


@given(st.text(alphabet='\t\n {},:".=@ace1', max_size=300))
def test_whatever_it_reads_it_reads_to_the_end(text: str) -> None:
    ruleset.parse(text)
    ruleset.parse(f"table inet t {{\n\tset ours {{\n\t\telements = {{ {text} }}\n\t}}\n}}\n")


def test_two_networks_share_no_element() -> None:
    one, two = ruleset.of_network(network(ipv6=True)), ruleset.of_network(network("lst1", 31, ipv6=True))
    assert not one.keys() & two.keys()


@pytest.mark.parametrize(
    ("internal", "options", "sets"),
    [
        (False, {}, {"ours", "within", "own4", "own6", "out4", "out6"}),
        (True, {}, {"ours", "within", "own4", "own6", "internal"}),
        (False, {ICC: "false"}, {"ours", "closed", "own4", "own6", "out4", "out6"}),
        (False, {MASQUERADE: "false"}, {"ours", "within", "own4", "own6"}),
        (False, {HOST_IPV4: "192.0.2.7"}, {"ours", "within", "own4", "own6", "snat4", "out6"}),
    ],
)
def test_a_network_is_in_the_sets_of_its_options(internal: bool, options: dict[str, str], sets: set[str]) -> None:
    found = ruleset.of_network(network(ipv6=True, internal=internal, options=options))
    assert {place.set for place in found} == sets


def test_a_source_address_that_is_none() -> None:
    with pytest.raises(Invalid, match="host_ipv4"):
        ruleset.of_network(network(options={HOST_IPV4: "192.0.2.7 ; flush ruleset"}))


@pytest.mark.parametrize(
    ("host_ip", "place", "value"),
    [
        ("0.0.0.0", "any4 tcp . 8080", "172.30.0.2 . 80"),
        ("127.0.0.1", "bound4 tcp . 127.0.0.1 . 8080", "172.30.0.2 . 80"),
        ("::", "any6 tcp . 8080", "fd00:30::2 . 80"),
        ("2001:DB8:0::1", "bound6 tcp . 2001:db8::1 . 8080", "fd00:30::2 . 80"),
        ("::1", "", ""),
    ],
)
def test_a_port_is_one_element_or_none(host_ip: str, place: str, value: str) -> None:
    target = Target(bridge="lst0", address="172.30.0.2", address6="fd00:30:0::2")
    found = ruleset.of_ports("abc", target, [Published(protocol="tcp", port=80, host_ip=host_ip, host_port=8080)])
    assert [(" ".join(key), element) for key, element in found.items()] == ([(place, Element("abc", value))] if place else [])


@pytest.mark.parametrize(("owner", "protocol"), [('a"; flush ruleset', "tcp"), ("", "tcp"), ("a" * 129, "tcp"), ("a", "icmp")])
def test_what_nft_would_misread_is_refused(owner: str, protocol: str) -> None:
    with pytest.raises(Invalid):
        port = Published(protocol=protocol, port=80, host_ip="0.0.0.0", host_port=1)
        ruleset.of_ports(owner, Target(bridge="lst0", address="172.30.0.2"), [port])
