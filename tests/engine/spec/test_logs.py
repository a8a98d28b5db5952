"""Log drivers and their options: what is filled in, what is refused, what every record carries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model.container import Container
from engine.model.errors import EngineError, Invalid, NotBuilt
from engine.model.settings import Config, HostConfig, LogConfig
from engine.spec.logs import Settings, check_readable, log_config, output, settings, size
from tests.engine.spec.made import ID, container

MIB = 1024 * 1024
DEFAULT = LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"})


@pytest.mark.parametrize(
    ("asked", "merged"),
    [
        (LogConfig(), LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"})),
        (LogConfig(config={"max-file": "5"}), LogConfig(type="json-file", config={"max-size": "10m", "max-file": "5"})),
        (LogConfig(type="json-file"), LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"})),
        (LogConfig(type="local", config={"max-file": "2"}), LogConfig(type="local", config={"max-file": "2"})),
        (LogConfig(type="none", config={"whatever": "x"}), LogConfig(type="none", config={"whatever": "x"})),
    ],
)
def test_what_is_missing_comes_from_the_default_of_the_same_driver(asked: LogConfig, merged: LogConfig) -> None:
    assert log_config(asked, DEFAULT) == merged


def test_without_any_default_it_is_json_file() -> None:
    assert log_config(LogConfig(), LogConfig()) == LogConfig(type="json-file", config={})


@pytest.mark.parametrize(
    ("driver", "options", "read"),
    [
        ("json-file", {}, Settings()),
        ("json-file", {"max-size": "1k"}, Settings(1000)),
        ("json-file", {"max-size": "1.5m", "max-file": "2", "compress": "T"}, Settings(1_500_000, 2, True)),
        ("json-file", {"compress": "false", "max-file": "1"}, Settings()),
        ("json-file", {"mode": "blocking"}, Settings()),
        ("json-file", {"mode": "non-blocking"}, Settings(buffer=MIB)),
        ("json-file", {"mode": "non-blocking", "max-buffer-size": "4k"}, Settings(buffer=4096)),
        ("local", {}, Settings(20 * MIB, 5, True)),
        ("local", {"max-file": "1"}, Settings(20 * MIB, 1, False)),
        ("local", {"max-size": "2g", "compress": "0"}, Settings(2_000_000_000, 5, False)),
        ("none", {"max-size": "what"}, Settings()),
    ],
)
def test_options_are_read(driver: str, options: dict[str, str], read: Settings) -> None:
    assert settings(driver, options) == read


@pytest.mark.parametrize(
    ("driver", "options", "said"),
    [
        ("syslog", {}, "logger: no log driver named 'syslog' is registered"),
        ("json-file", {"max-sise": "1m"}, "unknown log opt 'max-sise' for json-file log driver"),
        ("json-file", {"max-size": "big"}, "invalid value for max-size: 'big'"),
        ("json-file", {"max-size": "-1"}, "invalid value for max-size"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-size": "1" * 400}, "max-size must be a positive number"),
        ("json-file", {"max-size": "1m", "max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-size": "1m", "max-file": "two"}, "invalid value for max-file"),
        ("json-file", {"max-file": "3"}, "max-size is not set"),
        ("json-file", {"compress": "true"}, "compress cannot be true"),
        ("json-file", {"compress": "true", "max-size": "1m"}, "compress cannot be true"),
        ("local", {"compress": "true", "max-file": "1"}, "compress cannot be true"),
        ("local", {"compress": "yes"}, "invalid boolean value for compress"),
        ("local", {"mode": "lazy"}, "logging mode not supported: lazy"),
        ("json-file", {"max-buffer-size": "1m"}, "only supported with 'mode=non-blocking'"),
        ("json-file", {"mode": "non-blocking", "max-buffer-size": ""}, "invalid value for max-buffer-size"),
        ("json-file", {"labels-regex": "("}, "invalid value for labels-regex"),
        ("json-file", {"tag": "{{.Nmae}}"}, "cannot read the log's tag"),
        ("json-file", {"tag": "{{"}, "cannot read the log's tag"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(driver: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid) as refused:
        log_config(LogConfig(type=driver, config=options), LogConfig())
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("text", "thousand", "bytes_"),
    [
        ("10", 1000, 10), ("10b", 1000, 10), ("10m", 1000, 10_000_000), ("10 MB", 1000, 10_000_000), ("1KiB", 1000, 1000),
        ("1.5g", 1024, 3 * 2**29), (".5k", 1024, 512), ("2t", 1000, 2 * 10**12), ("1.p", 1000, 10**15),
    ],
)  # fmt: skip
def test_sizes_are_read_as_go_units_reads_them(text: str, thousand: int, bytes_: int) -> None:
    assert size(text, thousand, "max-size") == bytes_


@pytest.mark.parametrize("text", ["", "m", "1  m", "1mm", "1i", "1bb", "1e3", "+1", "1,5m", "１m", "1m\n", "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(Invalid):
        size(text, 1000, "max-size")


@given(st.integers(1, 10**6), st.sampled_from(["", "k", "m", "g", "t"]), st.sampled_from(["", "b", "ib", "B", "iB"]))
def test_a_written_size_is_the_number_times_its_unit(number: int, unit: str, rest: str) -> None:
    rest = rest if unit else rest.replace("i", "")
    assert size(f"{number}{unit}{rest}", 1024, "max-size") == number * 1024 ** " kmgt".index(unit or " ")


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        assert 0 < size(text, 1000, "max-size") < 2**63
    except EngineError as error:
        assert isinstance(error, Invalid)


# What a container's output is


def made(options: dict[str, str], driver: str = "json-file", **config: Any) -> Container:
    host_config = HostConfig(log_config=LogConfig(type=driver, config=options))
    c = container(replace(Config(image="busybox:latest"), **config), host_config)
    return replace(c, name="web", image="sha256:4a6b8c")


def test_output_is_connected_as_the_settings_say() -> None:
    options = {"max-size": "1m", "mode": "non-blocking", "labels": "tier"}
    got = output(made(options, "local", open_stdin=True, tty=True))
    assert (got.stdin, got.terminal, got.driver, got.attrs) == (True, True, "local", {})
    assert got.options == {"max-size": "1m", "mode": "non-blocking"}
    assert output(made({}, "")).driver == "json-file"


@pytest.mark.parametrize(
    ("options", "attrs"),
    [
        ({"labels": "tier,missing"}, {"tier": "front"}),
        ({"labels-regex": "^com"}, {"com.x": "1", "com.y": "2"}),
        ({"env": "TZ,EMPTY"}, {"TZ": "UTC", "EMPTY": ""}),
        ({"env-regex": "Z$", "labels": "tier"}, {"TZ": "UTC", "tier": "front"}),
        ({"tag": "{{.Name}}/{{ .ID }}"}, {"tag": f"web/{ID[:12]}"}),
        ({"tag": "{{.FullID}}"}, {"tag": ID}),
        ({"tag": "{{.ImageName}} {{.ImageID}} {{.ImageFullID}}"}, {"tag": "busybox:latest sha256:4a6b8 sha256:4a6b8c"}),
        ({"tag": "{{.DaemonName}}"}, {"tag": "longshore"}),
        ({"tag": "plain"}, {"tag": "plain"}),
        ({"tag": ""}, {}),
    ],
)
def test_attributes_are_chosen_from_labels_environment_and_tag(options: dict[str, str], attrs: dict[str, str]) -> None:
    labels = {"tier": "front", "com.x": "1", "com.y": "2"}
    env = ("TZ=local", "EMPTY=", "NOVALUE", "TZ=UTC")
    got = output(made(options, labels=labels, env=env)).attrs
    assert got == attrs
    assert list(got) == sorted(got)


def test_only_none_cannot_be_read() -> None:
    for driver in ("json-file", "local"):
        check_readable(driver)
    with pytest.raises(NotBuilt):
        check_readable("none")
