"""Docker's `filters=` query value: `{"key": ["value"]}`, or the older `{"key": {"value": true}}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from engine.model.errors import Invalid

Filters = Mapping[str, tuple[str, ...]]


def names(text: str) -> frozenset[str]:
    """The keys a route knows, from one line."""
    return frozenset(text.split())


def parse(text: str, known: frozenset[str]) -> Filters:
    """Read the value. Raises `Invalid` for what is no such object and for a key nobody knows."""
    if not text:
        return {}
    try:
        given = msgspec.json.decode(text.encode(errors="surrogateescape"), type=dict[str, list[str] | dict[str, bool]])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"invalid filter: {error}", 'write filters as {"status":["running"]}') from error
    if unknown := sorted(given.keys() - known):
        raise Invalid(f"invalid filter '{unknown[0]}'", f"known are {', '.join(sorted(known))}")
    return {
        key: tuple(values) if isinstance(values, list) else tuple(value for value, on in values.items() if on)
        for key, values in given.items()
    }


def boolean(filters: Filters, key: str) -> bool | None:
    """A filter that is true or false; None when it is not given. Raises `Invalid`."""
    words = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    values = {words.get(value.lower()) for value in filters.get(key, ())}
    if None in values or len(values) > 1:
        raise Invalid(f"invalid filter '{key}={','.join(filters[key])}'", "give true or false")
    return values.pop() if values else None


def one_of(filters: Filters, key: str, allowed: Iterable[str]) -> None:
    """Refuse a value that can never match. Raises `Invalid`."""
    allowed = tuple(allowed)
    for value in filters.get(key, ()):
        if value not in allowed:
            raise Invalid(f"invalid filter '{key}={value}'", f"give one of {', '.join(allowed)}")


def any_of(filters: Filters, key: str, match: Callable[[str], bool]) -> bool:
    """Does one of the values match? Also when the key is not given."""
    values = filters.get(key, ())
    return not values or any(match(value) for value in values)


def pattern(text: str, *sources: str) -> bool:
    """A value of `id` or `name`: the text itself, or a regular expression found in it."""
    try:
        return text in sources or any(re.search(text, source) for source in sources)
    except re.error:
        return False


def labels(filters: Filters, has: Mapping[str, str]) -> bool:
    """All of `k` and `k=v` in `label` must be there, and not all of those in `label!`."""
    return _has_all(filters.get("label", ()), has) and not (filters.get("label!") and _has_all(filters["label!"], has))


def _has_all(texts: Iterable[str], has: Mapping[str, str]) -> bool:
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in has or (equals and has[key] != value):
            return False
    return True
