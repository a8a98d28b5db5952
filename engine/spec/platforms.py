"""Platforms as people write them, `linux/arm/v7`, and as images say them (containerd's rules for short forms)."""

from __future__ import annotations

import re
from typing import Final

from engine.host.distribution import Platform
from engine.model.errors import Invalid

PART: Final = re.compile(r"[A-Za-z0-9_.-]+")
SYSTEMS: Final = ("linux", "windows", "darwin", "freebsd")
ALIASES: Final = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}


def parse(text: str, architecture: str) -> Platform:
    """The platform a person asks for; what is left out is the host's. Empty: all of it. Raises `Invalid`."""
    if not text:
        return Platform("linux", architecture)
    parts = text.split("/")
    if len(parts) > 3 or not all(map(PART.fullmatch, parts)):
        raise Invalid(f"{text!r} is no platform", "write it as linux/amd64 or linux/arm/v7")
    parts = [part.lower() for part in parts]
    if len(parts) == 1 and parts[0] in SYSTEMS:
        return Platform(parts[0], architecture)
    if len(parts) == 1:
        parts = ["linux", *parts]
    name, variant = ALIASES.get(parts[1], (parts[1], ""))
    return Platform(parts[0], name, parts[2] if len(parts) == 3 else variant)
