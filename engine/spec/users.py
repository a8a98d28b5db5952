"""Who `Config.User` is: `[user|uid][:group|gid]`, looked up in the container's own passwd(5) and group(5)."""

from __future__ import annotations

from collections.abc import Iterator

from engine.host import User
from engine.model.errors import EngineError

LARGEST_ID = 2**31 - 1


def find_user(asked: str, extra_groups: tuple[str, ...], passwd: str, group: str) -> User:
    """uid, gid and supplementary groups, the primary one first. No user: root.

    A number need not be in the files. Raises `EngineError` (500, as Docker answers) for a name that is in none.
    """
    user_part, _, group_part = asked.partition(":")
    groups = list(_groups(group))
    uid, gid, name = _user(user_part, passwd)
    supplementary: list[int] = []
    if group_part:
        gid = _group(group_part, groups)
    elif name:
        supplementary = [number for _, number, members in groups if name in members]
    supplementary += [_group(extra, groups) for extra in extra_groups]
    return User(uid=uid, gid=gid, groups=tuple(dict.fromkeys((gid, *supplementary))))


def _user(asked: str, passwd: str) -> tuple[int, int, str]:
    """uid, gid and name; the name is empty for a number that has no entry."""
    number = _number(asked) if asked else 0
    for fields in _entries(passwd, 4):
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is not None and gid is not None and (fields[0] == asked or (number is not None and uid == number)):
            return uid, gid, fields[0]
    if number is None:
        raise EngineError(f"unable to find user {asked}: no matching entries in passwd file")
    return _checked(number), 0, ""


def _group(asked: str, groups: list[tuple[str, int, list[str]]]) -> int:
    number = _number(asked)
    for name, gid, _ in groups:
        if name == asked or gid == number:
            return gid
    if number is None:
        raise EngineError(f"unable to find group {asked}: no matching entries in group file")
    return _checked(number)


def _groups(text: str) -> Iterator[tuple[str, int, list[str]]]:
    for fields in _entries(text, 3):
        gid = _number(fields[2])
        if gid is not None:
            yield fields[0], gid, [member for member in "".join(fields[3:4]).split(",") if member]


def _entries(text: str, least: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _checked(number: int) -> int:
    if number > LARGEST_ID:
        raise EngineError(f"user and group ids must be between 0 and {LARGEST_ID}, not {number}")
    return number
