"""The log of one container as its copier writes it: a format, and the files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from engine.host.stdio import jsonlog, locallog
from engine.host.stdio.records import Begun, Encoded, Format
from engine.host.stdio.rotation import LogFiles, open_for_writing
from engine.host.things import Output
from engine.spec.logs import JSON_FILE, LOCAL, settings

FORMATS: Final[Mapping[str, Format]] = {JSON_FILE: jsonlog, LOCAL: locallog}


class Log:
    """Records are appended whole; a file that is full is rotated before the next one."""

    def __init__(self, files: LogFiles, output: Output) -> None:
        """Take up the log where it ends. Its directory must be there. Raises `OSError`."""
        options = settings(output.driver, output.options)
        self.files = files
        self._format = FORMATS[output.driver]
        self._attrs = output.attrs
        self._max_size, self._keep, self._compress = options.max_size, options.max_file, options.compress
        files.tidy()
        self._fd = open_for_writing(files.path)
        if self._compress:
            files.pack()

    def repair(self, before: int, after: int) -> bool:
        """Cut off an append that was to end at `after` and did not, and half a record: was the append lost?

        Half a record is left only by a power loss, and so is zeroed space.
        """
        torn = before <= self.size < after
        if torn:
            os.ftruncate(self._fd, before)
        whole = self._format.whole(self._fd)
        if whole < self.size:
            os.ftruncate(self._fd, whole)
        return torn

    @property
    def size(self) -> int:
        """Bytes in the file. Asked for each time: somebody may have truncated it."""
        return os.fstat(self._fd).st_size

    @property
    def full(self) -> bool:
        return self._max_size is not None and self.size >= self._max_size

    def encode(self, data: bytes, stream: str, begun: Begun | None, *, last: bool) -> Encoded:
        """Records that fit into the file, or into the next when this one is full."""
        room = self._max_size if self._max_size is None or self.full else self._max_size - self.size
        now = datetime.now(UTC)
        return self._format.encode(data, stream, now, attrs=self._attrs, begun=begun, last=last, room=room)

    def append(self, records: bytes) -> None:
        """All of it, or nothing and `OSError`."""
        rest, size = memoryview(records), self.size
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, size)
            raise

    def rotate(self) -> None:
        fd = self.files.rotate(self._keep)
        os.close(self._fd)
        self._fd = fd
        if self._compress:
            self.files.pack()

    def close(self) -> None:
        os.close(self._fd)
