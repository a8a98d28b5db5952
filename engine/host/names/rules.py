"""The nft rules that lead 127.0.0.11:53 to our sockets, in the calling thread's network namespace. Blocking calls.

As nft(8) lists them:

    table ip longshore-names {
      chain output { type nat hook output priority -100;
        ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:<udp>
        ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:<tcp> }
      chain postrouting { type nat hook postrouting priority srcnat;
        ip saddr 127.0.0.11 udp sport <udp> snat to :53
        ip saddr 127.0.0.11 tcp sport <tcp> snat to :53 } }

They are written through netlink(7), since a container's start waits for them: 0.3 ms, where running nft(8) in the namespace
takes 6 ms and more.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from engine.host.netlink import NLM_F_APPEND, NLM_F_CREATE, Attributes, attribute, attributes, nested
from engine.host.nfnetlink import (
    NFNL_SUBSYS_CTNETLINK,
    NFNL_SUBSYS_NFTABLES,
    NFPROTO_IPV4,
    ask,
    dump,
    elements,
    message,
    number,
    text,
    transact,
)

ADDRESS = "127.0.0.11"
PORT = 53
TABLE = "longshore-names"

Ports = dict[int, int]
"""Where queries go: the port of each protocol, `IPPROTO_UDP` and `IPPROTO_TCP`."""

# <linux/netfilter.h>, <linux/netfilter_ipv4.h>
NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING = 3, 4
NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC = -100, 100

# <linux/netfilter/nf_tables.h>
NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, NEWRULE, GETRULE = (NFNL_SUBSYS_NFTABLES << 8 | n for n in (0, 1, 2, 3, 6, 7))
NFTA_TABLE_NAME = 1
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_TYPE = 1, 3, 4, 7
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS = 1, 2, 4
NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA, NFTA_DATA_VALUE = 1, 1, 2, 1
NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN = 1, 2, 3, 4
NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA, NFT_CMP_EQ = 1, 2, 3, 0
NFTA_META_DREG, NFTA_META_KEY, NFT_META_L4PROTO = 1, 2, 16
NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA = 1, 2
NFTA_NAT_TYPE, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN = 1, 2, 3, 5
NFT_NAT_SNAT, NFT_NAT_DNAT = 0, 1
NFT_REG_1, NFT_REG_2 = 1, 2

# <linux/netfilter/nfnetlink_conntrack.h>
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = NFNL_SUBSYS_CTNETLINK << 8 | 1, NFNL_SUBSYS_CTNETLINK << 8 | 2
CTA_TUPLE_ORIG, CTA_TUPLE_IP, CTA_TUPLE_PROTO, CTA_IP_V4_DST, CTA_PROTO_DST_PORT = 1, 1, 2, 2, 3

OUTPUT, POSTROUTING = "output", "postrouting"
IPV4_SOURCE, IPV4_DESTINATION, SOURCE_PORT, DESTINATION_PORT = 12, 16, 0, 2
"""Offsets in the headers."""


def lead(ports: Ports, former: Ports) -> None:
    """Lead queries to these ports, in place of the former ones, in one transaction. Raises `OSError`."""
    chains = [
        _chain(OUTPUT, NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST),
        _chain(POSTROUTING, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC),
    ]
    rules = [rule for protocol, port in ports.items() for rule in _there_and_back(protocol, port)]
    transact([*_clear(), _table(NEWTABLE), *chains, *rules])
    if former:
        _forget_flows()


def clear() -> None:
    """No rules of ours any more. Raises `OSError`."""
    if changes := _clear():
        transact(changes)


def led() -> Ports:
    """Where the kernel leads queries. A protocol is left out when its answers are not led back."""
    back = {(protocol, port) for protocol, port, said in _rules(POSTROUTING) if said == PORT}
    return {protocol: port for protocol, asked, port in _rules(OUTPUT) if asked == PORT and (protocol, port) in back}


def _clear() -> list[bytes]:
    """What takes our table away, whatever is in it. Deleting none would be an error."""
    return [_table(DELTABLE)] if ask(GETTABLE, text(NFTA_TABLE_NAME, TABLE)) else []


def _forget_flows() -> None:
    """The kernel remembers where a flow went: a client that keeps its socket would ask the former port for ever."""
    for flow in dump(IPCTNL_MSG_CT_GET):
        whither = attributes(flow[CTA_TUPLE_ORIG])
        address = attributes(whither[CTA_TUPLE_IP]).get(CTA_IP_V4_DST)
        port = attributes(whither[CTA_TUPLE_PROTO]).get(CTA_PROTO_DST_PORT)
        if address == socket.inet_aton(ADDRESS) and port == _port(PORT):
            ask(IPCTNL_MSG_CT_DELETE, nested(CTA_TUPLE_ORIG, flow[CTA_TUPLE_ORIG]))


def _rules(chain: str) -> Iterator[tuple[int, int, int]]:
    """Of each rule: the protocol and the port it matches, and the port it puts in its place."""
    for rule in dump(GETRULE, text(NFTA_RULE_TABLE, TABLE) + text(NFTA_RULE_CHAIN, chain)):
        values = [_value(attributes(expression)) for expression in elements(rule.get(NFTA_RULE_EXPRESSIONS, b""))]
        protocols = [value[0] for value in values if len(value) == 1]
        ports = [int.from_bytes(value) for value in values if len(value) == 2]
        if len(protocols) == 1 and len(ports) == 2:
            yield protocols[0], ports[0], ports[1]


def _value(expression: Attributes) -> bytes:
    """What a `cmp` compares with or an `immediate` puts into a register; nothing of other expressions."""
    kind = {b"cmp\0": NFTA_CMP_DATA, b"immediate\0": NFTA_IMMEDIATE_DATA}.get(expression[NFTA_EXPR_NAME])
    if kind is None:
        return b""
    return attributes(attributes(expression[NFTA_EXPR_DATA]).get(kind, b"")).get(NFTA_DATA_VALUE, b"")


# What the rules are made of


def _table(kind: int) -> bytes:
    return message(kind, text(NFTA_TABLE_NAME, TABLE))


def _chain(name: str, hook: int, priority: int) -> bytes:
    named = text(NFTA_CHAIN_TABLE, TABLE) + text(NFTA_CHAIN_NAME, name) + text(NFTA_CHAIN_TYPE, "nat")
    place = nested(NFTA_CHAIN_HOOK, number(NFTA_HOOK_HOOKNUM, hook), number(NFTA_HOOK_PRIORITY, priority))
    return message(NEWCHAIN, named + place, NLM_F_CREATE)


def _there_and_back(protocol: int, port: int) -> Iterator[bytes]:
    yield _rule(
        OUTPUT,
        *_match(protocol, IPV4_DESTINATION, DESTINATION_PORT, PORT),
        _immediate(NFT_REG_1, socket.inet_aton(ADDRESS)),
        _immediate(NFT_REG_2, _port(port)),
        _nat(NFT_NAT_DNAT, number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1), number(NFTA_NAT_REG_PROTO_MIN, NFT_REG_2)),
    )
    yield _rule(
        POSTROUTING,
        *_match(protocol, IPV4_SOURCE, SOURCE_PORT, port),
        _immediate(NFT_REG_1, _port(PORT)),
        _nat(NFT_NAT_SNAT, number(NFTA_NAT_REG_PROTO_MIN, NFT_REG_1)),
    )


def _rule(chain: str, *expressions: bytes) -> bytes:
    named = text(NFTA_RULE_TABLE, TABLE) + text(NFTA_RULE_CHAIN, chain)
    return message(NEWRULE, named + nested(NFTA_RULE_EXPRESSIONS, *expressions), NLM_F_CREATE | NLM_F_APPEND)


def _match(protocol: int, address_at: int, port_at: int, port: int) -> Iterator[bytes]:
    yield _payload(NFT_PAYLOAD_NETWORK_HEADER, address_at, 4)
    yield _equal(socket.inet_aton(ADDRESS))
    yield _expression("meta", number(NFTA_META_DREG, NFT_REG_1), number(NFTA_META_KEY, NFT_META_L4PROTO))
    yield _equal(bytes((protocol,)))
    yield _payload(NFT_PAYLOAD_TRANSPORT_HEADER, port_at, 2)
    yield _equal(_port(port))


def _payload(base: int, offset: int, length: int) -> bytes:
    where = number(NFTA_PAYLOAD_BASE, base) + number(NFTA_PAYLOAD_OFFSET, offset) + number(NFTA_PAYLOAD_LEN, length)
    return _expression("payload", number(NFTA_PAYLOAD_DREG, NFT_REG_1), where)


def _equal(value: bytes) -> bytes:
    return _expression("cmp", number(NFTA_CMP_SREG, NFT_REG_1), number(NFTA_CMP_OP, NFT_CMP_EQ), _data(NFTA_CMP_DATA, value))


def _immediate(register: int, value: bytes) -> bytes:
    return _expression("immediate", number(NFTA_IMMEDIATE_DREG, register), _data(NFTA_IMMEDIATE_DATA, value))


def _nat(kind: int, *registers: bytes) -> bytes:
    return _expression("nat", number(NFTA_NAT_TYPE, kind), number(NFTA_NAT_FAMILY, NFPROTO_IPV4), *registers)


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(NFTA_LIST_ELEM, text(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, *parts))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(NFTA_DATA_VALUE, value))


def _port(port: int) -> bytes:
    return struct.pack(">H", port)
