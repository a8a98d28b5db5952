"""What people write on a command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from tui.cli import words
from tui.pairs import pair

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1m30s", 90 * words.NANO),
        ("1.5h", 5400 * words.NANO),
        ("100ms", 100_000_000),
        (".5s", 500_000_000),
        ("1us2ns", 1002),
        ("-3s", -3 * words.NANO),
        ("+3s", 3 * words.NANO),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert words.duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "-", "10", "1 s", "s", "1m30", "1d", "9999999h", "١s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(Invalid, match=r"duration|longer"):
        words.duration(text)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(["h", "m", "s", "ms", "us", "ns"])), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    total = sum(words.duration(f"{number}{unit}") for number, unit in parts)
    if total <= words.LARGEST:
        assert words.duration(text) == total


@pytest.mark.parametrize(
    ("text", "bytes"),
    [
        ("512", 512),
        ("512b", 512),
        ("512m", 512 << 20),
        ("512MB", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("1 k", 1024),
        ("2t", 2 << 40),
        ("-1", -1),
        ("0", 0),
    ],
)
def test_sizes(text: str, bytes: int) -> None:
    assert words.size(text) == bytes


@pytest.mark.parametrize("text", ["", "m", "-2", "5x", "1..2m", "9999999p", "1 000", "½m"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(Invalid, match=r"no size|64 bits"):
        words.size(text)


@given(st.integers(0, words.LARGEST))
def test_a_number_alone_is_bytes(count: int) -> None:
    assert words.size(str(count)) == count


def test_cpus() -> None:
    assert [words.cpus(text) for text in ("1.5", "2", ".25", "0.000000001", "1.")] == [
        1_500_000_000,
        2 * words.NANO,
        250_000_000,
        1,
        words.NANO,
    ]
    for text in ("", ".", "-1", "1e3", "0.0000000001", "99999999999", "one"):
        with pytest.raises(Invalid):
            words.cpus(text)


def test_ulimits() -> None:
    assert words.ulimit("nofile=1024:2048") == {"Name": "nofile", "Soft": 1024, "Hard": 2048}
    assert words.ulimit("nproc=-1") == {"Name": "nproc", "Soft": -1, "Hard": -1}
    for text in ("nofile", "nofile=", "=5", "nofile=1:2:3", "nofile=a"):
        with pytest.raises(Invalid, match="nofile=1024:2048"):
            words.ulimit(text)


def test_restart_policies() -> None:
    assert words.restart_policy("on-failure:3") == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert words.restart_policy("always") == {"Name": "always", "MaximumRetryCount": 0}
    for text in ("on-failure:", "on-failure:x", "a:b:c"):
        with pytest.raises(Invalid, match="no restart policy"):
            words.restart_policy(text)


def test_pairs_hosts_and_ports() -> None:
    assert [pair(text) for text in ("a=b=c", "a=", "a")] == [("a", "b=c"), ("a", ""), ("a", "")]
    assert words.host("db:10.0.0.2") == words.host("db=10.0.0.2") == "db:10.0.0.2"
    assert words.host("v6=[::1]") == words.host("v6:::1") == "v6:::1"
    assert words.port_range("80") == ("80/tcp",)
    assert words.port_range("8000-8002/udp") == ("8000/udp", "8001/udp", "8002/udp")
    for read, text in (
        (pair, "=b"),
        (words.host, "db"),
        (words.host, ":10.0.0.2"),
        (words.port_range, "0"),
        (words.port_range, "9-8"),
        (words.port_range, "80/icmp"),
        (words.port_range, "65536"),
    ):
        with pytest.raises(Invalid):
            read(text)


def test_a_variable_without_a_value_takes_the_one_it_has_here() -> None:
    here = {"HOME": "/root", "EMPTY": ""}
    assert words.variable("A=b=c", here) == "A=b=c"
    assert words.variable("HOME", here) == "HOME=/root"
    assert words.variable("EMPTY", here) == "EMPTY="
    assert words.variable("OTHER", here) == "OTHER", "inside, it is taken away"
    with pytest.raises(Invalid, match="no name"):
        words.variable("=x", here)


def test_files_of_variables() -> None:
    text = "\ufeff# a comment\n\n  A=1\nB= spaced \nHOME\nOTHER\nC=x # no comment\n"
    assert list(words.lines(text, {"HOME": "/root"})) == ["A=1", "B= spaced ", "HOME=/root", "C=x # no comment"]
    assert list(words.lines("tier\nx=y", None)) == ["tier", "x=y"]
    for text in ("=1", "A B=1", "A B"):
        with pytest.raises(Invalid, match="line 1"):
            list(words.lines(text, {}))


@given(st.dictionaries(st.from_regex(r"[A-Za-z_]\w*", fullmatch=True), st.text().filter(lambda v: v.splitlines() in ([], [v]))))
def test_what_a_file_says_is_read_back(variables: dict[str, str]) -> None:
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    assert list(words.lines(text, {})) == [f"{name}={value}" for name, value in variables.items()]


def test_moments() -> None:
    assert words.moment("10m", NOW) == NOW - timedelta(minutes=10)
    assert words.moment("0s", NOW) == NOW
    assert words.moment("1700000000.5", NOW) == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
    assert words.moment("2026-01-31T12:00:00Z", NOW) == NOW
    assert words.moment("2026-01-31T12:00:00.123456789Z", NOW) == NOW + timedelta(microseconds=123456)
    assert words.moment("2026-01-31T14:00:00+02:00", NOW) == NOW
    assert words.moment("2026-01-31", NOW) == datetime(2026, 1, 31).astimezone()
    assert words.moment("1h", NOW.astimezone(timezone(timedelta(hours=5)))) == NOW - timedelta(hours=1)
    for text in ("", "yesterday", "2026-13-01", "10", "9999999h"):
        if text == "10":
            assert words.moment(text, NOW) == datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC)
            continue
        with pytest.raises(Invalid, match="no point in time"):
            words.moment(text, NOW)


def test_images_as_people_call_them() -> None:
    assert words.familiar("busybox") == "busybox:latest"
    assert words.familiar("docker.io/library/busybox:1") == "busybox:1"
    assert words.familiar("host:5000/x/y") == "host:5000/x/y:latest"
    assert words.familiar("x@sha256:" + 64 * "0") == "x@sha256:" + 64 * "0"
    assert words.familiar("sha256:" + 64 * "0") == words.familiar(64 * "f") == ""
