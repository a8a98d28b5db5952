"""Progress as text: lines for programs, bars for people."""

from __future__ import annotations

import io
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import HostFailed
from tui.cli.archives import bytes_of, write_to
from tui.cli.progress import Bars, Lines, show

PULL: list[dict[str, Any]] = [
    {"status": "Pulling from web", "id": "1"},
    {"status": "Pulling fs layer", "id": "aaa"},
    {"status": "Pulling fs layer", "id": "bbb"},
    {"status": "Downloading", "id": "bbb", "progressDetail": {"current": 500, "total": 1000}},
    {"status": "Download complete", "id": "bbb"},
    {"status": "Extracting", "id": "aaa", "progressDetail": {"current": 7}},
    {"aux": {"Tag": "1"}},
    {"status": "evil \x1b[2J\r", "id": "a\x1bc"},
    {"status": "Status: done"},
]


async def stream() -> AsyncIterator[dict[str, Any]]:
    for told in PULL:
        yield told


async def test_programs_get_a_line_for_each_step() -> None:
    out = io.StringIO()
    assert await show(stream(), out) == "Status: done"
    assert out.getvalue().splitlines() == [
        "1: Pulling from web",
        "aaa: Pulling fs layer",
        "bbb: Pulling fs layer",
        "bbb: Download complete",
        "a\N{REPLACEMENT CHARACTER}c: evil \N{REPLACEMENT CHARACTER}",
        "Status: done",
    ]
    assert "\x1b" not in out.getvalue()
    assert await show(stream(), out := io.StringIO(), quiet=True) == "Status: done" and not out.getvalue()


def drawn(text: str, rows: int = 50) -> list[str]:
    """What a terminal shows that understands as much as the bars use."""
    lines, at = [""] * rows, 0
    for piece in re.findall(r"\x1b\[\d*[AKB]|\n|\r|[^\x1b\n\r]+", text):
        if match := re.fullmatch(r"\x1b\[(\d+)([AB])", piece):
            at += int(match[1]) * (-1 if match[2] == "A" else 1)
        elif piece == "\n":
            at += 1
        elif piece.startswith("\x1b"):
            lines[at] = ""
        elif piece != "\r":
            lines[at] += piece
    return [line.rstrip() for line in lines if line]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 4)))


@pytest.mark.usefixtures("narrow")
def test_people_get_a_line_for_each_thing_written_over() -> None:
    out = io.StringIO()
    bars = Bars(out)
    for told in PULL[:4]:
        bars.tell(told)
    shown = drawn(out.getvalue())
    assert shown[:2] == ["1: Pulling from web", "aaa: Pulling fs layer"]
    assert re.fullmatch(r"bbb: Downloading +█{12}░{12}  500 B of 1 kB", shown[2])
    for told in PULL[4:]:
        bars.tell(told)
    shown = drawn(out.getvalue())
    assert shown[1] == "aaa: Extracting  7 B" and shown[2] == "bbb: Download complete" and shown[-1] == "Status: done"
    assert "\x1b[2J" not in out.getvalue()


@pytest.mark.usefixtures("narrow")
def test_what_has_left_the_screen_is_not_written_over() -> None:
    out = io.StringIO()
    bars = Bars(out)
    for number in range(5):
        bars.tell({"id": f"layer{number}", "status": "Waiting"})
    before = out.getvalue()
    bars.tell({"id": "layer0", "status": "Pull complete"})
    assert out.getvalue() == before
    bars.tell({"id": "layer4", "status": "x" * 200})
    assert max(map(len, drawn(out.getvalue()))) < 80


def test_a_line_without_words_is_none() -> None:
    out = io.StringIO()
    Lines(out).tell({"aux": {}})
    Bars(out).tell({"aux": {}})
    assert not out.getvalue()


async def chunks(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error:
        raise error


async def test_there_is_no_file_before_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(b"before")
    with pytest.raises(HostFailed, match="cut"):
        await write_to(str(file), chunks(b"half", error=HostFailed("cut")))
    assert file.read_bytes() == b"before" and os.listdir(tmp_path) == ["x.tar"]
    await write_to(str(file), chunks(b"one", b"two"))
    assert file.read_bytes() == b"onetwo" and os.listdir(tmp_path) == ["x.tar"]
    await write_to("/dev/null", chunks(b"one"))
    assert [chunk async for chunk in bytes_of(str(file))] == [b"onetwo"]
    with pytest.raises(HostFailed, match="cannot write"):
        await write_to("/dev/full", chunks(b"x" * 100_000))
