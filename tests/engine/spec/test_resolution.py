"""hosts, hostname and resolv.conf."""

from datetime import UTC, datetime

from engine.model.container import Container
from engine.model.network import Endpoint
from engine.model.settings import Config, HostConfig
from engine.spec.resolution import LOCAL_NAMES, hostname, hosts, resolv_conf

ENDPOINT = Endpoint(
    network="bridge",
    network_id="n",
    endpoint_id="e",
    bridge="longshore0",
    veth="veth",
    interface="eth0",
    address="10.88.0.2",
    prefix=16,
    gateway="10.88.0.1",
    mac="02:42:0a:58:00:02",
)
SERVERS = "# made\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver ::1\nnameserver 2001:db8::1\n"
HOST = SERVERS + "search a.example b.example\noptions edns0\n"


def web(config: Config = Config(hostname="web1"), endpoint: Endpoint | None = ENDPOINT, **host_config: object) -> Container:  # noqa: B008
    created = datetime(2026, 1, 1, tzinfo=UTC)
    own = HostConfig(**host_config)  # type: ignore[arg-type]
    endpoints = (endpoint,) if endpoint else ()
    return Container(
        id="1", name="web", created=created, path="sh", args=(), config=config, endpoints=endpoints, host_config=own
    )


def own_lines(c: Container) -> list[str]:
    lines = hosts(c).splitlines()
    assert lines[: len(LOCAL_NAMES)] == list(LOCAL_NAMES) and hosts(c).endswith("\n")
    return lines[len(LOCAL_NAMES) :]


def test_the_container_is_known_by_its_name_at_its_address() -> None:
    assert hostname(web()) == "web1\n"
    assert own_lines(web()) == ["10.88.0.2\tweb1"]
    assert own_lines(web(Config(hostname="web1", domainname="example.com"))) == ["10.88.0.2\tweb1.example.com web1"]
    assert own_lines(web(Config(hostname="web1.example.com"))) == ["10.88.0.2\tweb1.example.com web1"]
    assert own_lines(web(endpoint=None)) == []


def test_extra_hosts_come_first() -> None:
    extra = ("db:192.0.2.7", "six:2001:db8::7", "up:host-gateway")
    expected = ["192.0.2.7\tdb", "2001:db8::7\tsix", "10.88.0.1\tup"]
    assert own_lines(web(extra_hosts=extra)) == [*expected, "10.88.0.2\tweb1"]
    assert own_lines(web(endpoint=None, extra_hosts=extra)) == expected[:2]


def test_servers_that_a_container_cannot_reach_are_left_out() -> None:
    assert resolv_conf(web(), HOST) == "nameserver 192.0.2.1\nsearch a.example b.example\noptions edns0\n"
    assert resolv_conf(web(), "nameserver 127.0.0.1\nnameserver nonsense\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_each_part_is_replaced_by_the_persons_own() -> None:
    own = web(dns=("192.0.2.9", "127.0.0.1"), dns_options=("ndots:2", "rotate"))
    assert resolv_conf(own, HOST).splitlines() == [
        "nameserver 192.0.2.9",
        "nameserver 127.0.0.1",
        "search a.example b.example",
        "options ndots:2 rotate",
    ]
    assert resolv_conf(web(dns_search=("c.example",)), HOST).splitlines()[1] == "search c.example"
    assert "search" not in resolv_conf(web(dns_search=(".",)), HOST)


def test_the_last_search_line_of_the_host_counts_and_a_domain_is_one() -> None:
    assert "search b\n" in resolv_conf(web(), "search a\nsearch b\n")
    assert "search c\n" in resolv_conf(web(), "domain c\n")
