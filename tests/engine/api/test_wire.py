"""Records as Docker's clients read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import netwire, wire
from engine.host import Facts
from engine.host.simulated_world import BUSYBOX
from engine.model.container import NEVER, Container, Health, Layers, Probe, State
from engine.model.image import Image, ImageLayer
from engine.model.interface import LogLine
from engine.model.network import Attachment, Endpoint
from engine.model.run import Run, Way
from engine.model.settings import Config, Healthcheck, HostConfig
from engine.model.status import Status

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FACTS = Facts(root="/data", exec_root="/exec")
ENDPOINT = Endpoint(
    network="bridge",
    network_id="n" * 64,
    endpoint_id="e" * 64,
    bridge="longshore0",
    veth="vethcccccccccccc",
    interface="eth0",
    address="10.84.0.2",
    prefix=16,
    gateway="10.84.0.1",
    mac="02:42:0a:54:00:02",
)


def container(status: Status = Status.RUNNING, **more: object) -> Container:
    given: dict[str, object] = {
        "id": "c" * 64,
        "name": "web",
        "created": AT,
        "path": "sh",
        "args": ("-c", "echo a b", "plain"),
        "config": Config(image="busybox"),
        "image": BUSYBOX.id,
        "state": State(status=status, pid=7, started_at=AT),
        "layers": Layers(mount_id="m", init_id="m-init", lower=("l2", "l1")),
    }
    return Container(**(given | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NEVER, "0001-01-01T00:00:00Z"),
        (AT, "2026-01-02T03:04:05Z"),
        (AT.replace(microsecond=120000), "2026-01-02T03:04:05.12Z"),
        (AT.replace(microsecond=1), "2026-01-02T03:04:05.000001Z"),
        (AT.astimezone(timezone(timedelta(hours=5))), "2026-01-02T03:04:05Z"),
    ],
)
def test_go_writes_times_so(moment: datetime, text: str) -> None:
    assert wire.go_time(moment) == text


def test_a_log_has_nine_digits() -> None:
    assert wire.log_time(AT.replace(microsecond=1)) == "2026-01-02T03:04:05.000001000Z"


@given(st.binary(max_size=300), st.sampled_from(["stdout", "stderr"]))
def test_a_frame_carries_any_bytes(log: bytes, stream: str) -> None:
    line = LogLine(stream=stream, time=AT, log=log)
    framed = wire.log_bytes(line, timestamps=False, details=False, multiplexed=True)
    assert framed[:4] == (b"\1\0\0\0" if stream == "stdout" else b"\2\0\0\0")
    assert int.from_bytes(framed[4:8], "big") == len(log) and framed[8:] == log
    assert wire.log_bytes(line, timestamps=False, details=False, multiplexed=False) == log


def test_an_argument_with_a_space_is_quoted() -> None:
    assert wire.command(container()) == "sh -c 'echo a b' plain"


@pytest.mark.parametrize(
    ("status", "word", "on"),
    [
        (Status.CREATING, "created", set()),
        (Status.CREATED, "created", set()),
        (Status.RUNNING, "running", {"Running"}),
        (Status.PAUSED, "paused", {"Running", "Paused"}),
        (Status.EXITED, "exited", set()),
        (Status.REMOVING, "removing", set()),
        (Status.DEAD, "dead", {"Dead"}),
    ],
)
def test_states(status: Status, word: str, on: set[str]) -> None:
    shown = wire.state(container(status))
    assert shown["Status"] == word
    assert {key for key in ("Running", "Paused", "Restarting", "Dead") if shown[key]} == on


def test_what_broke_is_dead_in_every_word() -> None:
    broken = container(Status.EXITED, run=Run(verb="stop", rows=(), began=AT, way=Way.BROKEN))
    assert wire.state(broken)["Status"] == "dead" and wire.state(broken)["Dead"]
    row = wire.container_summary(broken, BUSYBOX, AT)
    assert (row["State"], row["Status"]) == ("dead", "Dead")


def test_health_is_there_only_with_a_check() -> None:
    assert "Health" not in wire.state(container())
    probe = Probe(start=AT, end=AT + timedelta(seconds=1), exit_code=1, output="no\n")
    health = Health(status="unhealthy", failing_streak=3, log=(probe,))
    shown = wire.state(container(state=State(status=Status.RUNNING, started_at=AT, health=health)))["Health"]
    assert (shown["Status"], shown["FailingStreak"]) == ("unhealthy", 3)
    assert shown["Log"] == [{"Start": "2026-01-02T03:04:05Z", "End": "2026-01-02T03:04:06Z", "ExitCode": 1, "Output": "no\n"}]


def test_an_endpoint_is_shown_while_it_is_plugged_in() -> None:
    plugged = container(
        endpoints=(ENDPOINT,), networks={"bridge": Attachment()}, held=("MakeNetworkNamespace", f"PlugVeth/{ENDPOINT.key}")
    )
    shown = netwire.network_settings(plugged, FACTS)
    assert shown["IPAddress"] == shown["Networks"]["bridge"]["IPAddress"] == "10.84.0.2"
    assert shown["SandboxKey"] == f"/exec/netns/{'c' * 12}"
    pulled = netwire.network_settings(container(endpoints=(ENDPOINT,), networks={"bridge": Attachment()}), FACTS)
    assert pulled["IPAddress"] == pulled["Networks"]["bridge"]["IPAddress"] == pulled["SandboxKey"] == ""


def test_without_a_network_there_is_one_called_none() -> None:
    assert list(netwire.networks(container(host_config=HostConfig(network_mode="none")))) == ["none"]


def test_where_the_layers_lie() -> None:
    data = wire.container_inspect(container(), FACTS)["GraphDriver"]["Data"]
    assert data == {
        "LowerDir": "/data/overlay2/m-init/diff:/data/overlay2/l2/diff:/data/overlay2/l1/diff",
        "MergedDir": "/data/overlay2/m/merged",
        "UpperDir": "/data/overlay2/m/diff",
        "WorkDir": "/data/overlay2/m/work",
    }


def test_config_leaves_out_what_says_nothing() -> None:
    assert not {"Healthcheck", "StopSignal", "StopTimeout", "Shell", "MacAddress"} & wire.config(Config()).keys()
    given = Config(stop_timeout=0, stop_signal="SIGHUP", healthcheck=Healthcheck(test=("CMD", "true"), interval=5))
    shown = wire.config(given)
    assert (shown["StopTimeout"], shown["StopSignal"]) == (0, "SIGHUP")
    assert shown["Healthcheck"] == {"Test": ("CMD", "true"), "Interval": 5}


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("busybox", True),
        ("busybox:latest", True),
        ("docker.io/library/busybox", True),
        (BUSYBOX.id, True),
        (BUSYBOX.id[7:19], True),
        ("busybox:1", False),
        ("library", False),
        ("", False),
        ("Not A Name", False),
    ],
)
def test_the_names_of_an_image(name: str, answers: bool) -> None:
    assert wire.answers_to(BUSYBOX, name) is answers


def test_a_moved_tag_shows_as_an_id() -> None:
    assert wire.container_summary(container(), BUSYBOX, AT)["Image"] == "busybox"
    untagged = Image(id=BUSYBOX.id)
    assert wire.container_summary(container(), untagged, AT)["Image"] == BUSYBOX.id
    assert wire.container_summary(container(), None, AT)["Image"] == BUSYBOX.id


def test_ports_that_are_none_are_passed_over() -> None:
    odd = container(config=Config(exposed_ports={"80": {}, "53/udp": {}, "x/tcp": {}, "": {}, "8-9/tcp": {}}))
    assert netwire.exposed(odd) == [(53, "udp"), (80, "tcp")]


def test_shared_size_counts_layers_two_images_stand_on() -> None:
    layers = [ImageLayer(diff_id=name, chain_id=name, cache_id=name, size=size) for name, size in (("a", 5), ("b", 7))]
    image = Image(id="sha256:1", layers=tuple(layers))
    assert wire.shared_size(image, {"a": 2, "b": 1}) == 5
