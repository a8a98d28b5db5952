import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import EngineError, Invalid
from engine.model.settings import Config, CreateBody, HostConfig
from engine.spec.decode import decode_create


def decode(body: Any) -> CreateBody:
    return decode_create(json.dumps(body).encode())


def test_a_body() -> None:
    body = decode({"Image": "busybox", "Cmd": ["ls"], "HostConfig": {"Memory": 7_000_000}, "NetworkingConfig": {}})
    assert (body.image, body.cmd, body.host_config.memory) == ("busybox", ("ls",), 7_000_000)
    assert body.networking_config == {}


def test_bare_strings_are_lists_of_one() -> None:
    body = decode({"Cmd": "ls", "Entrypoint": ""})
    assert (body.cmd, body.entrypoint) == (("ls",), ("",))


def test_keys_in_any_case_and_null_is_not_said() -> None:
    body = decode(
        {
            "image": "busybox",
            "TTY": None,
            "Healthcheck": {"test": ["CMD", "x"], "Retries": None},
            "hostconfig": {"dns": ["1.1.1.1"], "LogConfig": None, "Ulimits": [{"name": "nofile", "Hard": None}]},
        }
    )
    assert body.image == "busybox"
    assert body.tty is False
    assert body.healthcheck is not None
    assert body.healthcheck.test == ("CMD", "x")
    assert body.host_config.dns == ("1.1.1.1",)
    assert body.host_config.ulimits is not None
    assert body.host_config.ulimits[0].name == "nofile"


def test_networks_in_any_case() -> None:
    body = decode({"networkingconfig": {"endpointsConfig": {"a": None}}})
    assert body.networking_config == {"EndpointsConfig": {"a": None}}
    assert decode({"NetworkingConfig": {"EndpointsConfig": None}}).networking_config == {}


def test_every_key_null_is_nothing_said() -> None:
    host_config = {field.encode_name: None for field in msgspec.structs.fields(HostConfig)}
    keys: dict[str, Any] = {field.encode_name: None for field in msgspec.structs.fields(Config)}
    assert decode(keys | {"HostConfig": host_config}) == decode({})


def test_defaults_of_decoding() -> None:
    host_config = decode({"HostConfig": {"PidsLimit": 0, "MemorySwappiness": -1}}).host_config
    assert host_config == HostConfig(network_mode="default")
    assert decode({"HostConfig": {"PidsLimit": -1}}).host_config.pids_limit is None
    assert decode({"HostConfig": {"PidsLimit": 7}}).host_config.pids_limit == 7


def test_limits_beside_the_host_config_fill_it() -> None:
    body = decode({"Memory": 1, "CpuShares": 2, "Cpuset": "0", "HostConfig": {"CpuShares": 3}})
    assert (body.host_config.memory, body.host_config.cpu_shares, body.host_config.cpuset_cpus) == (1, 3, "0")


def test_without_a_host_config_all_of_it_may_stand_beside() -> None:
    assert decode({"Privileged": True, "HostConfig": None}).host_config.privileged


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "got EOF"),
        (b"  \n", "got EOF"),
        (b"null", "config cannot be empty"),
        (b"[]", "config cannot be empty"),
        (b"{", "not valid JSON"),
        (b"{}{}", "trailing"),
        (b"{} x", "trailing"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"Image": "\xff"}', "not valid JSON"),
        (b'{"Image": 5}', r"Expected `str`, got `int` - at `\$.Image`"),
        (b'{"HostConfig": []}', r"at `\$.HostConfig`"),
        (b'{"HostConfig": {"Memory": "1g"}}', r"at `\$.HostConfig.Memory`"),
        (b'{"HostConfig": {"RestartPolicy": {"Name": 3}}}', r"at `\$.HostConfig.RestartPolicy.Name`"),
        (b'{"HostConfig": {"Memory": 9223372036854775808}}', r"\$.HostConfig.Memory is 9223372036854775808"),
        (b'{"Memory": "1g"}', r"at `\$.Memory`"),
    ],
)
def test_wrong_form(raw: bytes, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        decode_create(raw)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"HostConfig": {"NetworkMode": "container:"}}, "names no container"),
        ({"Hostname": "h", "HostConfig": {"NetworkMode": "container:x"}}, "Hostname"),
        ({"HostConfig": {"NetworkMode": "container:x", "Links": ["a:b"]}}, "Links"),
        ({"HostConfig": {"NetworkMode": "host", "Links": ["a:b"]}}, "Links"),
        ({"HostConfig": {"NetworkMode": "container:x", "Dns": ["1.1.1.1"]}}, "Dns"),
        ({"HostConfig": {"NetworkMode": "container:x", "ExtraHosts": ["a:1.1.1.1"]}}, "ExtraHosts"),
        ({"HostConfig": {"NetworkMode": "container:x", "PortBindings": {"80": []}}}, "PortBindings"),
        ({"HostConfig": {"NetworkMode": "container:x", "PublishAllPorts": True}}, "PublishAllPorts"),
        ({"ExposedPorts": {"80": {}}, "HostConfig": {"NetworkMode": "container:x"}}, "ExposedPorts"),
        ({"MacAddress": "02:00:00:00:00:01", "HostConfig": {"NetworkMode": "host"}}, "MacAddress"),
        ({"Hostname": "h", "HostConfig": {"UTSMode": "host"}}, "UTSMode"),
    ],
)
def test_modes_that_rule_each_other_out(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=field):
        decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([field.encode_name for field in msgspec.structs.fields(CreateBody)])
HOST_KEYS = st.sampled_from([field.encode_name for field in msgspec.structs.fields(HostConfig)])


@given(st.dictionaries(KEYS, JSON, max_size=4), st.dictionaries(HOST_KEYS, JSON, max_size=4))
def test_any_object_is_read_or_refused_with_a_sentence(body: dict[str, Any], host_config: dict[str, Any]) -> None:
    try:
        decode(body | {"HostConfig": host_config})
    except EngineError as error:
        assert error.status == 400
        assert error.hint


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        decode_create(raw)
    except Invalid as error:
        assert error.hint
