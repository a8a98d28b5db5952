"""What people type after `--format`: the part of Go's text/template that prints fields. Pure.

`{{.Name}}`, `{{.State.Status}}`, `{{json .Labels}}`, `{{json .}}` and the text between; `table` before it makes columns with
titles of what stands between `\\t`. Anything else of the language (range, if, index, functions) is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from engine.model.errors import Invalid
from tui.view.text import clean

_ACTION: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD: Final = re.compile(r"(?:(json)\s+)?(\.|(?:\.[A-Za-z_][A-Za-z0-9_]*)+)")
_TABLE: Final = "table "
_KNOWN: Final = "take {{.FIELD}}, {{.A.B}}, {{json .FIELD}} or {{json .}}; or --format json, and jq for the rest"


class Field(NamedTuple):
    path: tuple[str, ...]
    """Empty: the whole."""
    as_json: bool

    def __str__(self) -> str:
        return "." + ".".join(self.path)

    def of(self, value: Any) -> str:
        """The field as text. Raises `Invalid` where there is none, or it has fields of its own."""
        for depth, name in enumerate(self.path):
            before = str(Field(self.path[:depth], False))
            if not isinstance(value, Mapping):
                raise Invalid(f"there is no field {self}: {before} has no fields")
            # Go's own name and JSON's may differ in their case: `.ID` is "Id".
            key = name if name in value else next((key for key in value if key.lower() == name.lower()), None)
            if key is None:
                raise Invalid(f"there is no field {self}", f"{before} has {', '.join(sorted(value)) or 'none'}")
            value = value[key]
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if self.as_json else self._plain(value)

    def _plain(self, value: Any) -> str:
        """As Go prints it, as far as JSON tells."""
        if isinstance(value, Mapping):
            raise Invalid(f"{self} has fields of its own", f"take one of them, or {{{{json {self}}}}}")
        if isinstance(value, list | tuple):
            return f"[{' '.join(map(self._plain, value))}]"
        if value is None or isinstance(value, bool):
            return {None: "<nil>", True: "true", False: "false"}[value]
        return clean(str(value))


Piece = str | Field


class Template(NamedTuple):
    pieces: tuple[Piece, ...]
    table: bool = False

    def wants(self, field: str) -> bool:
        return any(isinstance(piece, Field) and piece.path[:1] in ((), (field,)) for piece in self.pieces)

    def check(self, fields: Iterable[str]) -> None:
        """Raises `Invalid` for a field that is not among these."""
        for piece in self.pieces:
            if isinstance(piece, Field) and piece.path and (len(piece.path) > 1 or piece.path[0] not in fields):
                raise Invalid(f"there is no field {piece} in this list", f"take of {', '.join(fields)}")

    def fill(self, value: Any) -> str:
        """One object's line. Raises `Invalid`."""
        return _filled(self.pieces, value)

    def cells(self, rows: Iterable[Mapping[str, str]], titles: Mapping[str, str]) -> Iterator[list[str]]:
        """Of a table: its titles, then each row's cells."""
        columns = list(_columns(self.pieces))
        yield ["".join(titles.get(str(p)[1:], "") if isinstance(p, Field) else p for p in column) for column in columns]
        for row in rows:
            yield [_filled(column, row) for column in columns]


def parse(text: str) -> Template:
    """Raises `Invalid` for what is none, or not known here."""
    table = text.startswith(_TABLE)
    text = text.removeprefix(_TABLE).replace("\\t", "\t").replace("\\n", "\n")
    pieces: list[Piece] = []
    for number, part in enumerate(_ACTION.split(text)):
        if number % 2:
            match = _FIELD.fullmatch(part.strip())
            if not match:
                raise Invalid(f"{{{{{part}}}}} is not known here", _KNOWN)
            pieces.append(Field(tuple(filter(None, match[2].split("."))), bool(match[1])))
        elif "{{" in part:
            raise Invalid(f"the template {text!r} has a {{{{ without }}}}", _KNOWN)
        elif part:
            pieces.append(part)
    return Template(tuple(pieces), table)


def _filled(pieces: Iterable[Piece], value: Any) -> str:
    return "".join(piece.of(value) if isinstance(piece, Field) else piece for piece in pieces)


def _columns(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    column: list[Piece] = []
    for piece in pieces:
        first, *rest = piece.split("\t") if isinstance(piece, str) else (piece,)
        column.append(first)
        for text in rest:
            yield column
            column = [text]
    yield column
