"""Detach keys: what a person types to leave a terminal without ending what runs in it. Pure."""

from __future__ import annotations

from engine.model.errors import Invalid

DEFAULT = b"\x10\x11"
"""ctrl-p, ctrl-q."""

_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"
"""With ctrl held, what these send is their place in this row (ascii(7))."""


def parse(text: str) -> bytes:
    """The bytes of keys such as `ctrl-p,ctrl-q`: each `ctrl-` and one of `@ a-z [ \\ ] ^ _`, `DEL`, or one ASCII character.

    Raises `Invalid`.
    """
    return bytes(_code(key, text) for key in text.split(","))


def _code(key: str, text: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    if key == "DEL":
        return 127
    control = key.removeprefix("ctrl-")
    if len(control) != 1 or control == key or control not in _CONTROL:
        raise Invalid(f"invalid detach keys {text!r}: unknown key {key!r}", "give keys such as ctrl-p,ctrl-q")
    return _CONTROL.index(control)


class Scanner:
    """Looks for the keys in what is typed, however it is cut, and lets everything else through unchanged."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        """The beginning of the keys, until it is known what follows."""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What goes on to the process; were the keys typed? What comes after them is dropped."""
        data = self._held + data
        at = data.find(self._keys)
        if at >= 0:
            return data[:at], True
        longest = min(len(data), len(self._keys) - 1)
        held = next((n for n in range(longest, 0, -1) if data.endswith(self._keys[:n])), 0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held], False

    def rest(self) -> bytes:
        """At the end of the input: what was held back after all goes on."""
        rest, self._held = self._held, b""
        return rest
