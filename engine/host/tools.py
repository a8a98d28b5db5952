"""Small helps for the ports: child programs, and errors of the kernel as sentences."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2.netlink.exceptions import NetlinkError

from engine.model.errors import HostFailed, Unavailable

SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""Where programs are looked for: a login shell's PATH often lacks the sbin directories."""

PACKAGES = {
    "nft": "nftables",
    "ps": "procps",
    "containerd": "containerd",
    "runc": "runc",
    "containerd-shim-runc-v2": "containerd",
}
"""Debian's package for a program, for the remedy."""

REMEDIES = {
    errno.ENOSPC: "make room on the disk, then try again",
    errno.EDQUOT: "raise the disk quota or make room, then try again",
    errno.EROFS: "make the file system writable, or choose another --data-root",
}
"""What a person can do about a full or read-only disk."""


def find(program: str) -> str | None:
    """Path of an installed program."""
    return shutil.which(program, path=SEARCH_PATH)


def not_installed(program: str) -> Unavailable:
    return Unavailable(f"the program {program} is not installed", f"install it: apt install {PACKAGES.get(program, program)}")


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn the kernel's refusal into `HostFailed("cannot <what>: <reason>")`."""
    try:
        yield
    except NetlinkError as error:
        raise HostFailed(f"cannot {what}: {os.strerror(error.code)}", errno=error.code) from error
    except OSError as error:
        number = error.errno or 0
        raise HostFailed(f"cannot {what}: {error.strerror or error}", REMEDIES.get(number, ""), errno=number) from error


async def ask(program: str, *args: str, stdin: str | None = None) -> tuple[int, str, str]:
    """Run a program to its end: exit code, output, errors. Raises `Unavailable` when it is not installed."""
    path = find(program)
    if path is None:
        raise not_installed(program)
    with doing(f"run {path}"):
        child = await asyncio.create_subprocess_exec(
            path,
            *args,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
    out, err = await child.communicate(None if stdin is None else stdin.encode())
    return child.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


async def tell(program: str, *args: str, stdin: str | None = None) -> str:
    """Run a program that must succeed; its output. Raises `HostFailed` with the program's own words."""
    code, out, err = await ask(program, *args, stdin=stdin)
    if code:
        raise HostFailed(f"{program} {' '.join(args)} failed with exit code {code}: {err.strip() or out.strip()}")
    return out
