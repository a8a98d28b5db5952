"""Compressed streams, told by their first bytes and inflated piece by piece: gzip, zstd, bzip2 and xz."""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from backports import zstd
from isal import igzip_lib

from engine.model.errors import Invalid

PIECE: Final = 1 << 20
"""The most that is inflated at once: a compressed megabyte may hold gigabytes."""
HEAD: Final = 512
"""A tar's first header. What looks like a tar is one, whatever its first name begins with."""
TAR_MAGIC: Final = (257, b"ustar")
DECODERS: Final[tuple[tuple[re.Pattern[bytes], Callable[[], Any]], ...]] = (
    (re.compile(rb"\x1f\x8b"), lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)),
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), zstd.ZstdDecompressor),  # RFC 8878, 3.1.1 and 3.1.2
    (re.compile(rb"BZh[1-9]"), bz2.BZ2Decompressor),
    (re.compile(rb"\xfd7zXZ\0"), lzma.LZMADecompressor),
)
DAMAGES: Final[tuple[Any, ...]] = (igzip_lib.IsalError, zstd.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError)
"""How the libraries say that a stream is no good. None of them reads a file here."""


class Inflater:
    """One stream. Several compressed streams in a row count as one, as gzip(1) has it; zeros may follow."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._head = b""
        self._make: Callable[[], Any] | None = None
        self._decoder: Any = None
        self._decided = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the data inflates to, in pieces. Raises `Invalid` for a damaged stream."""
        if not self._decided:
            self._head += data
            if len(self._head) < HEAD:
                return iter(())
            data = self._decide()
        return self._inflate(data) if self._make else iter((data,) if data else ())

    def finish(self) -> Iterator[bytes]:
        """The rest. Raises `Invalid` when the stream is cut off."""
        if not self._decided:
            data = self._decide()
            yield from self._inflate(data) if self._make else ((data,) if data else ())
        if self._decoder and not self._decoder.eof:
            raise Invalid(f"cannot read {self._what}: it is damaged: its compressed stream is cut off")

    def _decide(self) -> bytes:
        start, magic = TAR_MAGIC
        head, self._head, self._decided = self._head, b"", True
        if head[start : start + len(magic)] != magic:
            self._make = next((make for pattern, make in DECODERS if pattern.match(head)), None)
        return head

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        assert self._make, "only what is compressed is inflated"
        try:
            while data or not (self._decoder is None or self._decoder.eof or self._decoder.needs_input):
                if self._decoder is None or self._decoder.eof:
                    data = data.lstrip(b"\0") if self._decoder else data
                    if not data:
                        return
                    self._decoder = self._make()
                piece = self._decoder.decompress(data, PIECE)
                data = self._decoder.unused_data if self._decoder.eof else b""
                if piece:
                    yield piece
        except DAMAGES as error:
            raise Invalid(f"cannot read {self._what}: it is damaged: {error}") from error
