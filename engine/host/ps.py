"""The host's process table, as the host's own `ps` shows it (ps(1) of procps)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.host.tools import ask
from engine.model.errors import HostFailed, Invalid
from engine.model.interface import Top

_RENAMED = re.compile(r"([^\s,=]*)=\s*(PID\S*)")
_PID_COLUMN = re.compile(r"(-?\w*o)?pid")
"""As it stands before the `=`: `pid`, or stuck to its option as in `-opid`."""
_QUICK_LENGTH = 100_000
"""The kernel takes no single argument longer than 128 KiB (execve(2))."""


class HostProcesses:
    """The port `Processes` on the real host."""

    async def top(self, arguments: str, pids: Iterable[int]) -> Top:
        """See `engine.host.Processes`. Raises `Unavailable` where there is no `ps`."""
        words = check(arguments)
        wanted = frozenset(pids)
        # ps reads all of /proc, unless it is told which processes; but -q goes with few other options.
        quick = f"-q{','.join(map(str, sorted(wanted)))}"
        code, out, err = 1, "", ""
        if wanted and len(quick) < _QUICK_LENGTH:
            code, out, err = await ask("ps", *words, quick)
        if code:
            code, out, err = await ask("ps", *words)
        if code:
            said = next(filter(None, err.splitlines()), f"exit code {code}")
            kind = Invalid if said.startswith("error:") else HostFailed
            raise kind(f"cannot list processes with ps {arguments}: {said.removeprefix('error:').strip()}")
        return parse(out, wanted)


def check(arguments: str) -> list[str]:
    """Its words. Raises `Invalid` where another column would pass for the one that says whose process it is."""
    if "\0" in arguments:
        raise Invalid("cannot list processes: the arguments for ps hold a NUL byte")
    for column, title in _RENAMED.findall(arguments):
        if not _PID_COLUMN.fullmatch(column):
            raise Invalid(f"cannot list processes: {column}={title} is not allowed", "only the column pid may be called PID")
    return arguments.split()


def parse(output: str, pids: frozenset[int]) -> Top:
    """The lines of these processes, and of their threads, which have `-` for a pid and follow their process.

    What has more words than there are titles goes into the last column. Raises `Invalid` when no column tells the pid.
    """
    # ps keeps control characters out of a command, but not the white space of other alphabets: ASCII's alone separates.
    header, *lines = output.encode(errors="replace").split(b"\n")
    titles = header.split()
    if b"PID" not in titles:
        raise Invalid("cannot list processes: what ps shows has no column PID", "add the column pid, as in -eo pid,comm")
    column = titles.index(b"PID")
    rows = []
    ours = False
    for line in filter(None, lines):
        fields = line.split(None, len(titles) - 1)
        pid = fields[column] if column < len(fields) else b""
        if pid != b"-":
            if not pid.isdigit():
                raise Invalid(
                    f"cannot list processes: ps shows {pid.decode()!r} where a pid should be", "put the column pid first"
                )
            ours = int(pid) in pids
        if ours:
            rows.append(tuple(field.rstrip().decode() for field in fields))
    return Top(titles=tuple(title.decode() for title in titles), processes=tuple(rows))
