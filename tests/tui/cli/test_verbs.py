"""Verbs on an engine with a simulated host: what they print, on which output, and how they end."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.client import Client
from engine.model.errors import NotBuilt, NotFound, Unavailable
from engine.model.interface import Done
from engine.model.registry import Credentials
from engine.model.status import Status
from tests.engine.api.conftest import Served
from tests.tui.cli.conftest import Typed
from tests.tui.commands import begin, longshore
from tui.cli import run as running
from tui.cli import stats


async def status(served: Served, name: str) -> Status:
    return (await served.engine.inspect(name)).status


async def test_a_life(typed: Typed, served: Served) -> None:
    made = await typed("create", "--name", "web", "busybox", "sleep", "1000")
    assert made.code == 0 and re.fullmatch(r"[0-9a-f]{64}\n", made.out)
    for verb, reached in (
        ("start", Status.RUNNING),
        ("start", Status.RUNNING),
        ("pause", Status.PAUSED),
        ("unpause", Status.RUNNING),
        ("restart", Status.RUNNING),
        ("kill", Status.EXITED),
        ("stop", Status.EXITED),
    ):
        assert await typed(verb, "web") == (0, "web\n", ""), verb
        assert await status(served, "web") is reached
    assert await typed("rename", "web", "other") == (0, "", "")
    assert await typed("wait", "other") == (0, "137\n", "")
    assert await typed("rm", "other") == (0, "other\n", "")
    assert await typed("ps", "-aq") == (0, "", "")


async def test_run_in_the_background(typed: Typed, served: Served) -> None:
    said = await typed("run", "-d", "--name", "web", "-e", "A=b", "--label", "x=y", "busybox", "sh", "-c", "exit 1")
    assert said.code == 0 and said.err == ""
    c = await served.engine.inspect("web")
    assert said.out == f"{c.id}\n" and c.status is Status.RUNNING
    assert c.config.cmd == ("sh", "-c", "exit 1") and c.config.labels == {"x": "y"} and "A=b" in (c.config.env or ())
    again = await typed("run", "-d", "--name", "web", "busybox")
    assert again.code == 125 and again.out == "" and "in use" in again.err


async def test_what_fails_does_not_stop_the_others(typed: Typed, served: Served) -> None:
    await served.create("one")
    await served.create("two")
    said = await typed("start", "nobody", "two", "one")
    assert said == (1, "two\none\n", "longshore: No such container: nobody\n")
    said = await typed("rm", "one", "nobody")
    assert (said.code, said.out) == (1, "") and said.err.count("\n") == 2
    assert await typed("rm", "-f", "nobody", "one", "two") == (0, "one\ntwo\n", "")


async def test_warnings_go_to_the_standard_error(typed: Typed, served: Served) -> None:
    said = await typed("create", "--name", "web", "--oom-kill-disable", "busybox")
    assert said.code == 0 and said.err.startswith("WARNING: ") and len(said.out) == 65
    said = await typed("update", "--cpu-shares", "512", "--restart", "always", "web")
    assert (said.code, said.out) == (0, "web\n") and said.err.startswith("WARNING: cpu shares discarded")
    assert (await served.engine.inspect("web")).host_config.restart_policy.name == "always"
    said = await typed("update", "web")
    assert said.code == 1 and "nothing to change" in said.err


async def test_containers_are_listed(typed: Typed, served: Served) -> None:
    first = await served.create("first")
    second = await served.create("second", Cmd=["sh", "-c", "a command that is too long to be shown"], Labels={"x": "y"})
    await served.engine.do("start", "second")
    shown = (await typed("ps")).out.splitlines()
    assert shown[0].split() == ["CONTAINER", "ID", "NAME", "IMAGE", "STATE", "HEALTH", "SINCE", "ADDRESS", "PORTS", "COMMAND"]
    assert len(shown) == 2 and shown[1].startswith(second[:12]) and "running" in shown[1] and shown[1].endswith("…")
    assert (await typed("ps", "-aq")).out.split() == [second[:12], first[:12]]
    assert (await typed("ps", "-a", "-q", "--no-trunc", "-f", "status=created")).out.split() == [first]
    assert (await typed("ps", "-lq")).out.split() == (await typed("ps", "-n", "1", "-q")).out.split() == [second[:12]]
    (line,) = (await typed("ps", "--format", "json", "-f", "label=x=y")).out.splitlines()
    assert json.loads(line)["Id"] == second
    listed = await typed("ps", "-a", "--format", "{{.Names}} {{.ID}} {{.Networks}} {{.RunningFor}}{{.Ports}}")
    assert re.fullmatch(rf"second {second[:12]} bridge .* second.* ago\nfirst {first[:12]} bridge .* ago\n", listed.out)
    listed = await typed("ps", "--no-trunc", "--format", r"table {{.Names}}\t{{.Labels}} {{.Command}}")
    assert listed.out == "NAMES     LABELS COMMAND\nsecond    x=y \"sh -c 'a command that is too long to be shown'\"\n"
    refused = await typed("ps", "--format", "{{.Nope}}")
    assert refused.code == 1 and "there is no field .Nope in this list; take of ID, Names" in refused.err
    refused = await typed("ps", "--format", "{{range .Names}}")
    assert refused.code == 125 and "{{range .Names}} is not known here" in refused.err
    refused = await typed("ps", "-f", "nonsense=1")
    assert refused.code == 1 and "nonsense" in refused.err
    refused = await typed("ps", "-f", "status")
    assert refused.code == 1 and "has no value" in refused.err


async def test_images_and_inspect(typed: Typed, served: Served) -> None:
    id = await served.create("web")
    assert (await typed("images")).out.splitlines()[1].startswith("busybox:latest ")
    image = (await typed("images", "-q", "--no-trunc")).out.strip()
    assert json.loads((await typed("images", "--format", "json")).out)["Id"] == image
    assert (await typed("images", "-q", "busybox")).out == (await typed("image", "ls", "-q")).out != ""
    assert (await typed("images", "-q", "other")).out == ""
    assert (
        await typed("images", "--format", "{{.Repository}} {{.Tag}} sha256:{{.ID}}")
    ).out == f"busybox latest {image[:19]}\n"
    said = await typed("inspect", "-f", "{{.Name}} {{.State.Running}} {{json .State.Pid}}", "web", "nobody")
    assert (said.code, said.out) == (1, "/web false 0\n")
    assert (await typed("image", "inspect", "-f", "{{.ID}}", "busybox")).out == f"{image}\n"
    assert (await typed("network", "inspect", "-f", "{{.Name}} {{.Internal}}", "none")).out == "none false\n"
    assert (await typed("network", "ls", "--format", "{{.Name}} {{.Driver}}")).out == "bridge bridge\nhost host\nnone null\n"
    said = await typed("inspect", "web", "busybox", "nobody")
    assert [one["Id"] for one in json.loads(said.out)] == [id, image]
    assert (said.code, said.err) == (1, "longshore: there is no container, no image and no network 'nobody'\n")


async def test_stats(typed: Typed, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "SECONDS", 0.01)
    for name in ("one", "two", "off"):
        await served.create(name)
    for name in ("one", "two"):
        await served.engine.do("start", name)
    shown = (await typed("stats", "--no-stream")).out.splitlines()
    assert shown[0].split("   ")[0] == "CONTAINER ID" and [line.split()[1] for line in shown[1:]] == ["two", "one"]
    rows = [json.loads(line) for line in (await typed("stats", "-a", "--no-stream", "--format", "json")).out.splitlines()]
    assert [row["Name"] for row in rows] == ["off", "two", "one"] and rows[0]["MemUsage"] == "0B / 0B"
    assert (await typed("stats", "--no-stream", "--format", "{{.Container}} {{.PIDs}}", "off", "one")).out.startswith(
        "off 0\none "
    )
    said = await typed("stats", "--no-stream", "one", "nobody")
    assert (said.code, said.out, said.err) == (1, "", "longshore: No such container: nobody\n")
    assert (await typed("stats", "--no-stream", "--format", "{{.Nope}}")).code == 1


async def test_stats_go_on_and_leave_out_what_has_gone(typed: Typed, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One goes after each look, then the engine."""
    await served.create("one")
    await served.engine.do("start", "one")
    await served.create("two")
    await served.engine.do("start", "two")
    look, names, loop = stats._look, ["two", "one"], asyncio.get_running_loop()

    async def after(*asked: Any) -> dict[str, Any]:
        found = await look(*asked)
        if not names:
            raise Unavailable("enough")
        work = served.engine.do("remove", names.pop(0), {"force": True})
        asyncio.run_coroutine_threadsafe(work, loop).result(10)
        return found

    monkeypatch.setattr(stats, "SECONDS", 0)
    monkeypatch.setattr(stats, "_look", after)
    said = await typed("stats", "--format", "{{.Name}} {{.CPUPerc}}")
    assert (said.code, said.out, said.err) == (1, "two --\none --\none 0.00%\n", "longshore: enough\n")


def test_figures_of_two_looks() -> None:
    v1 = {"usage": 100, "limit": 400, "stats": {"total_inactive_file": 20, "inactive_file": 1}}
    assert stats.used_memory(v1) == 80 and stats.used_memory({"usage": 10, "stats": {"inactive_file": 20}}) == 10
    before = {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000, "online_cpus": 4}
    now = {"cpu_usage": {"total_usage": 150}, "system_cpu_usage": 1400, "online_cpus": 4}
    assert stats.cpu(now, before) == 50.0 and stats.cpu(before, now) == stats.cpu(before, before) == 0.0
    look: dict[str, Any] = {
        "id": "7" * 64,
        "name": "/web",
        "cpu_stats": now,
        "memory_stats": v1,
        "pids_stats": {"current": 3},
        "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 1}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"op": "Read", "value": 5},
                {"op": "write", "value": 7},
                {"op": "Total", "value": 12},
            ]
        },
    }
    shown = stats.row("web", look, look | {"cpu_stats": before})
    assert list(shown.values()) == ["web", "7" * 12, "web", "50.00%", "80B / 400B", "20.00%", "2kB / 1B", "5B / 7B", "3"]
    assert list(shown) == list(stats.TITLES) and stats.row("web", look, None)["CPUPerc"] == "--"


async def test_what_the_disk_holds(typed: Typed, served: Served) -> None:
    await served.create("web")
    shown = (await typed("system", "df", "-v")).out
    images, containers = shown.split("Containers space usage:")
    assert "IMAGE ID" in images and re.search(r"busybox:latest .* 1\n", images)
    assert re.search(r"web +busybox +created +<1 m +0 B\n", containers)


async def test_events_of_the_past(typed: Typed, served: Served) -> None:
    id = await served.create("web")
    said = await typed("events", "--since", "1h", "--until", "0s", "--filter", "type=container")
    assert re.fullmatch(rf"\S+ container create {id} \(image=busybox, name=web\)\n", said.out)
    said = await typed("events", "--since", "1h", "--until", "0s", "--format", "json", "--filter", "container=web")
    assert json.loads(said.out)["Actor"]["ID"] == id


async def test_nothing_is_changed_when_told_so(typed: Typed, served: Served) -> None:
    await served.create("web")
    for verb in (("start", "web"), ("rm", "-f", "web"), ("run", "-d", "busybox"), ("engine", "stop")):
        said = await typed("--read-only", *verb)
        assert said.code == 1 and "--read-only" in said.err, verb
    assert (await typed("--read-only", "ps", "-a")).out.count("\n") == 2
    assert await status(served, "web") is Status.CREATED


async def test_a_file_for_the_id(typed: Typed, served: Served, tmp_path: Path) -> None:
    file = tmp_path / "id"
    said = await typed("create", "--cidfile", str(file), "busybox")
    assert file.read_text() == said.out.strip()
    said = await typed("run", "-d", "--cidfile", str(file), "busybox")
    assert said.code == 125 and f"there is a file {file} already" in said.err
    said = await typed("create", "--cidfile", str(tmp_path / "other"), "no-such-image")
    assert said.code == 1 and not (tmp_path / "other").exists()
    said = await typed("create", "--cidfile", "/no/such/directory/id", "busybox")
    assert said.code == 1 and "cannot write /no/such/directory/id: No such file" in said.err


NOBODY = Credentials()


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


class Registry(Client):
    """A client of an engine that lacks an image until it is fetched."""

    def __init__(self, fetches: bool = True) -> None:
        super().__init__("/nowhere")
        self.images_there: set[str] = set()
        self.fetches = fetches
        self.asked: list[str] = []

    async def create(self, body: dict[str, Any], name: str = "", platform: str = "") -> Done:
        self.asked.append("create")
        if body["Image"] not in self.images_there:
            raise NotFound(f"No such image: {body['Image']}")
        return Done(id="7" * 64)

    async def pull(
        self, reference: str, platform: str = "", *, every_tag: bool = False, credentials: Credentials | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        assert credentials == NOBODY and not every_tag
        self.asked.append(f"pull {reference} {platform}".strip())
        yield {"status": "Pulling from library/x", "id": "latest"}
        yield {"status": "Downloading", "id": "abc", "progressDetail": {"current": 1}}
        if not self.fetches:
            raise NotBuilt("images cannot be pulled yet")
        self.images_there.add(reference.removesuffix(":latest"))


async def create(client: Registry, image: str = "x", **given: Any) -> Done:
    command = running.create_command
    params = command.make_context("create", [image]).params
    params.pop("image"), params.pop("command")
    return await running._create(client, image, (), params | given)


async def test_an_image_that_is_missing_is_fetched_once(capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry()
    assert (await create(registry, platform="linux/arm64")).id == "7" * 64
    assert registry.asked == ["create", "pull x:latest linux/arm64", "create"]
    assert capsys.readouterr() == ("", "Unable to find image 'x:latest' locally\nlatest: Pulling from library/x\n")

    registry = Registry()
    await create(registry, pull="always", quiet=True)
    assert registry.asked == ["pull x:latest", "create"] and capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("image", "given"), [("x", {"pull": "never"}), ("f" * 64, {})])
async def test_an_image_that_is_missing_is_not_fetched(image: str, given: dict[str, str]) -> None:
    registry = Registry()
    with pytest.raises(NotFound, match="No such image"):
        await create(registry, image, **given)
    assert registry.asked == ["create"]


async def test_what_cannot_be_fetched_is_told(typed: Typed) -> None:
    with pytest.raises(NotBuilt):
        await create(Registry(fetches=False))
    said = await typed("run", "no-such-image")
    assert said.code == 125 and said.err.startswith("Unable to find image 'no-such-image:latest' locally\nlongshore: ")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("stat /x: No such file or directory", 127),
        ("exec: permission denied", 126),
        ("/etc: is a directory", 126),
        ("the engine is away", 125),
    ],
)
def test_codes_of_what_could_not_be_started(text: str, code: int) -> None:
    assert running.exit_code(NotFound(text)) == code


async def test_the_engine_s_own_program_answers() -> None:
    said = await longshore("doctor", "--help")
    assert said.code == 0 and "longshored" in said.out, "its options are the engine's"
    said = await longshore("engine", "unit", "--data-root", "/srv/longshore")
    assert said.code == 0 and said.out.startswith("[Unit]") and "--data-root /srv/longshore" in said.out
    said = await longshore("engine", "unit", "--no-such-option")
    assert said.code != 0 and "no-such-option" in said.err


async def test_whoever_has_read_enough_ends_it_quietly(served: Served) -> None:
    for number in range(3):
        await served.create(f"name{number}")
    process = await begin("--host", f"unix://{served.path}", "ps", "-a")
    assert process.stdout and process.stderr
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert (await process.wait(), await process.stderr.read()) == (1, b"")
