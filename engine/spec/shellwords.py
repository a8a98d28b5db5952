"""Words as instructions of a Dockerfile have them: quotes, backslashes, and variables of the environment.

Facts: Dockerfile reference, "Environment replacement" and "Shell form".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.model.errors import Invalid

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?\-$!]")
_PIECES: Final = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s'"\\]|['"\\])+""", re.DOTALL)


def split(text: str) -> list[str]:
    """The words of a line, their quotes left as they are."""
    return _PIECES.findall(text)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Take quotes and backslashes away, and put variables' values in: `$x`, `${x}`, `${x:-other}`, `${x:+instead}`.

    Raises `Invalid`.
    """
    try:
        return _Reader(text, variables).until("")
    except RecursionError as error:
        raise Invalid(f"{text[:50]!r}...: its substitutions lie too deep in one another") from error


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text, self._variables, self._at = text, variables, 0

    def until(self, end: str) -> str:
        """What is read up to the character `end`; empty: to the end of the text."""
        found = ""
        while self._at < len(self._text):
            c = self._next()
            if c == end:
                return found
            if c == "'":
                found += self._single()
            elif c == '"':
                found += self._double()
            elif c == "\\":
                found += self._next()
            elif c == "$":
                found += self._variable()
            else:
                found += c
        if end:
            raise self._cut(end)
        return found

    def _next(self) -> str:
        c = self._text[self._at : self._at + 1]
        self._at += 1
        return c

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise self._cut("'")
        start, self._at = self._at, end + 1
        return self._text[start:end]

    def _double(self) -> str:
        found = ""
        while self._at < len(self._text):
            c = self._next()
            if c == '"':
                return found
            if c == "$":
                found += self._variable()
            elif c == "\\":
                escaped = self._next()
                found += escaped if escaped in ('"', "$", "\\") else c + escaped
            else:
                found += c
        raise self._cut('"')

    def _variable(self) -> str:
        """What follows a `$`."""
        braced = self._text[self._at : self._at + 1] == "{"
        match = _NAME.match(self._text, self._at + braced)
        if match is None:
            if braced:
                raise Invalid(f"{self._text!r}: bad substitution")
            return "$"
        self._at = match.end()
        value = self._variables.get(match[0], "")
        if not braced:
            return value
        modifier = self._next()
        if not modifier:
            raise self._cut("}")
        if modifier == "}":
            return value
        given = bool(value) if modifier == ":" else match[0] in self._variables
        if modifier == ":":
            modifier = self._next()
        if modifier not in ("-", "+"):
            raise Invalid(f"{self._text!r}: unsupported modifier ({modifier}) in substitution", "use :- or :+")
        other = self.until("}")
        return (value if given else other) if modifier == "-" else (other if given else "")

    def _cut(self, quote: str) -> Invalid:
        return Invalid(f"{self._text!r}: unexpected end of statement while looking for matching {quote}")
