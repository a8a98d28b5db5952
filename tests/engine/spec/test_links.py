"""Links between containers. What their variables are called is compared with dockerd's in tests/clients."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from engine.model.container import Container
from engine.model.errors import Conflict, Invalid
from engine.model.network import Endpoint
from engine.model.settings import Config, HostConfig
from engine.spec.legality import find
from engine.spec.links import fixed, given_names, parse, shown, tell, told_anew

ENDPOINT = Endpoint(
    network="bridge",
    network_id="n" * 12,
    endpoint_id="e",
    bridge="longshore0",
    veth="veth",
    interface="eth0",
    address="10.88.0.2",
    prefix=16,
    gateway="10.88.0.1",
    mac="02:42:0a:58:00:02",
)


def made(name: str, config: Config = Config(), *, up: bool = True, **host_config: object) -> Container:  # noqa: B008
    return Container(
        id=name[0] * 64,
        name=name,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        path="sh",
        args=(),
        config=config,
        endpoints=(ENDPOINT,),
        host_config=HostConfig(**host_config),  # type: ignore[arg-type]
        held=(f"PlugVeth/{ENDPOINT.key}",) if up else (),
    )


def known(*containers: Container) -> Mapping[str, Container]:
    return {c.id: c for c in containers}


DB = made("db-1", Config(hostname="dbhost", env=("A=1", "PATH=/bin", "HOME=/", "UNSET"), exposed_ports={"80/tcp": {}}))
WEB = made("web", links=(f"{DB.id}:sql-db",))


@pytest.mark.parametrize(
    ("link", "found"),
    [("db", ("db", "db")), ("db:sql", ("db", "sql")), ("/db:/web/sql", ("db", "sql")), ("db:", ("db", ""))],
)
def test_how_a_link_is_written(link: str, found: tuple[str, str]) -> None:
    assert parse(link) == found


@pytest.mark.parametrize("link", ["", ":sql", "a:b:c"])
def test_what_is_no_link(link: str) -> None:
    with pytest.raises(Invalid, match="bad format for links"):
        fixed(HostConfig(links=(link,), network_mode="front"), {})


def test_the_record_has_the_id() -> None:
    inner = made("inner", network_mode=f"container:{DB.id}")
    records = known(DB, inner)
    assert fixed(HostConfig(links=("db-1:sql", "inner:x", "db-1:x")), records).links == (f"{DB.id}:sql", f"{DB.id}:x")
    # On a network of one's own the name service knows them.
    assert fixed(HostConfig(links=("nobody:x",), network_mode="front"), records).links == ("nobody:x",)
    for wanted in ("nobody", "host"):
        with pytest.raises(Invalid):
            fixed(HostConfig(links=(wanted,)), known(made("host", network_mode="host")))


def test_names_of_today() -> None:
    records = known(replace(DB, name="new"), replace(WEB, name="front"))
    assert shown(records[WEB.id], records) == ["/new:/front/sql-db"]
    assert given_names(records) == {DB.id: ["front/sql-db"]}
    assert find("front/sql-db", records) is find("/front/sql-db", records) is records[DB.id]
    assert shown(WEB, known(WEB)) == [f"{DB.id}:sql-db"]


def test_what_a_container_is_told() -> None:
    told = tell(WEB, ENDPOINT, known(WEB, DB))
    assert told.links == {"sql-db dbhost db-1": "10.88.0.2"}
    assert told.variables == (
        "SQL_DB_PORT=tcp://10.88.0.2:80",
        "SQL_DB_PORT_80_TCP=tcp://10.88.0.2:80",
        "SQL_DB_PORT_80_TCP_ADDR=10.88.0.2",
        "SQL_DB_PORT_80_TCP_PORT=80",
        "SQL_DB_PORT_80_TCP_PROTO=tcp",
        "SQL_DB_NAME=/web/sql-db",
        "SQL_DB_ENV_A=1",
    )
    moved = replace(DB, endpoints=(replace(ENDPOINT, address="10.88.0.9"),))
    assert "SQL_DB_PORT=tcp://10.88.0.9:80" in told_anew(WEB, known(WEB, moved)).endpoints[0].variables


def test_nothing_is_told_on_other_networks() -> None:
    other = replace(ENDPOINT, network="front")
    assert tell(WEB, other, {}) == other


@pytest.mark.parametrize("records", [known(WEB), known(WEB, replace(DB, held=()))], ids=["gone", "stopped"])
def test_the_other_must_run(records: Mapping[str, Container]) -> None:
    with pytest.raises(Conflict, match=r"Cannot link to a non running container: /.* AS /web/sql-db; start it first"):
        tell(WEB, ENDPOINT, records)
