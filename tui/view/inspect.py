"""A value as JSON that can be folded, searched, and copied piece by piece."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import msgspec

from tui.view.text import Line, Span, wrap

Path = tuple[str | int, ...]

INDENT = 2


class Node(NamedTuple):
    """One line of the JSON, before it is wrapped."""

    path: Path
    key: str
    """The key with its colon, or empty: in a list, and at the top."""
    text: str
    """The value, or the bracket that begins or ends it."""
    tone: str
    value: Any
    comma: bool
    size: int = -1
    """Of an object or a list: its members; else -1."""
    end: bool = False
    """The closing bracket."""


def encode(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=INDENT).decode()


def flatten(value: Any) -> list[Node]:
    """All lines of the JSON of `value`, any msgspec value."""
    nodes: list[Node] = []
    _add(nodes, msgspec.to_builtins(value), (), "", comma=False)
    return nodes


def _add(nodes: list[Node], value: Any, path: Path, key: str, *, comma: bool) -> None:
    members: list[tuple[str | int, Any]]
    match value:
        case dict():
            members, brackets = list(value.items()), "{}"
        case list() | tuple():
            members, brackets = list(enumerate(value)), "[]"
        case _:
            nodes.append(Node(path, key, _scalar(value), _tone(value), value, comma))
            return
    if not members:
        nodes.append(Node(path, key, brackets, "dim", value, comma))
        return
    nodes.append(Node(path, key, brackets[0], "dim", value, comma, len(members)))
    for number, (name, member) in enumerate(members):
        label = f"{_scalar(name)}: " if isinstance(name, str) else ""
        _add(nodes, member, (*path, name), label, comma=number + 1 < len(members))
    nodes.append(Node(path, "", brackets[1], "dim", value, comma, len(members), end=True))


def _scalar(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _tone(value: Any) -> str:
    if value is None or value in ("", 0, False):
        return "dim"
    return "good" if isinstance(value, str) else "accent"


def unfolded(nodes: Sequence[Node], folded: Set[Path]) -> list[Node]:
    """The lines that are seen: of a folded value only the first."""
    return [node for node in nodes if not any(node.path[:cut] in folded for cut in range(len(node.path) + node.end))]


def lines(nodes: Sequence[Node], folded: Set[Path], wanted: str, width: int) -> tuple[list[Line], list[int]]:
    """The lines, wrapped, and where each node begins. What was looked for is marked."""
    shown: list[Line] = []
    starts: list[int] = []
    for node in nodes:
        starts.append(len(shown))
        lead = " " * (INDENT * len(node.path))
        text = node.text
        if node.path in folded and node.size > 0:
            text = f"{node.text} {node.size} … {'}' if node.text == '{' else ']'}"
        text += "," if node.comma and (node.end or node.size < 0 or node.path in folded) else ""
        for number, row in enumerate(wrap(lead + node.key + text, width, indent=lead + "  ")):
            head = len(lead + node.key) if number == 0 else 0
            spans = (Span(row[:head], "key"), Span(row[head:], node.tone))
            shown.append(tuple(part for span in spans for part in marked(span, wanted) if part.text))
    return shown, starts


def marked(span: Span, wanted: str) -> list[Span]:
    """The span in pieces, what was looked for in a tone of its own."""
    parts: list[Span] = []
    text, low, want = span.text, span.text.lower(), wanted.lower()
    at = 0
    while want and (found := low.find(want, at)) >= 0:
        parts += [Span(text[at:found], span.tone), Span(text[found : found + len(want)], "found")]
        at = found + len(want)
    return [*parts, Span(text[at:], span.tone)]


def has(node: Node, wanted: str) -> bool:
    return wanted.lower() in (node.key + node.text).lower()


def path_text(path: Path) -> str:
    """As `jq` takes it: `.Config.Env[0]`, `.Labels["a.b"]`."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and part.isidentifier()
        text += f".{part}" if plain else f"[{_scalar(part)}]"
    return text if text.startswith(".") else f".{text}"


def copied(node: Node) -> str:
    """What a person wants of a value: text without its quotes, anything else as JSON."""
    return node.value if isinstance(node.value, str) else encode(node.value)
