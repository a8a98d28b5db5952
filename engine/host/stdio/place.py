"""What a container's streams are on disk, below `<exec root>/stdio/<id>/`: FIFOs, and a note of how they are used.

The note lets the next engine go on, or end it, without being told: an option may read otherwise to a later version.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.host.things import Output, Pipes

NOTE: Final = "output"
REMOVING: Final = "-removing"


class Note(Struct, frozen=True, kw_only=True):
    output: Output = Output()
    stdin_closed: bool = False


def pipes(directory: str, *, stdin: bool, terminal: bool) -> Pipes:
    """A terminal has its whole output on `stdout`, and its input is a keyboard, so there always is one."""
    return Pipes(
        stdin=os.path.join(directory, "stdin") if stdin or terminal else "",
        stdout=os.path.join(directory, "stdout"),
        stderr="" if terminal else os.path.join(directory, "stderr"),
        terminal=terminal,
    )


def paths(pipes: Pipes) -> list[str]:
    return [path for path in (pipes.stdin, pipes.stdout, pipes.stderr) if path]


def make(directory: str, output: Output) -> Note:
    """The FIFOs and the note. What is there already holds."""
    _make_directory(directory)
    note = read_note(directory)
    if note is None:
        note = Note(output=output)
        _write_note(directory, note)
    make_fifos(pipes(directory, stdin=note.output.stdin, terminal=note.output.terminal))
    return note


def make_fifos(pipes: Pipes) -> None:
    for path in paths(pipes):
        _make_directory(os.path.dirname(path))
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            if not is_fifo(path):
                raise


def _make_directory(directory: str) -> None:
    for path in (os.path.dirname(directory), directory):
        os.makedirs(path, mode=0o700, exist_ok=True)


def read_note(directory: str) -> Note | None:
    try:
        with open(os.path.join(directory, NOTE), "rb") as file:
            return msgspec.json.decode(file.read(), type=Note)
    except FileNotFoundError:
        return None


def _write_note(directory: str, note: Note) -> None:
    path = os.path.join(directory, NOTE)
    with open(path + ".tmp", "wb") as file:
        file.write(msgspec.json.encode(note))
    os.rename(path + ".tmp", path)  # not synced: no exec root is trusted after a power loss


def note_stdin_closed(directory: str) -> None:
    if note := read_note(directory):
        _write_note(directory, replace(note, stdin_closed=True))


def names(directory: str) -> list[str]:
    """What was made in it, also what a crash left half removed."""
    try:
        return sorted({name.removesuffix(REMOVING) for name in os.listdir(directory)})
    except FileNotFoundError:
        return []


def is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def remove(directory: str) -> None:
    """At one go: spools without their cursor would be written a second time."""
    removing = directory + REMOVING
    with suppress(FileNotFoundError):
        shutil.rmtree(removing)  # left by a crash
    with suppress(FileNotFoundError):
        os.rename(directory, removing)
        shutil.rmtree(removing)
