"""Why a port cannot be had, and who has it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import psutil
from msgspec import Struct

from engine.host.threads import long
from engine.model.errors import HostFailed

HINT = "publish another port or stop it"
WILDCARDS = ("0.0.0.0", "::")


class No(Struct, frozen=True):
    """The holder's answer to what it cannot hold."""

    errno: int
    protocol: str
    ip: str
    first: int
    last: int
    owner: str
    """Of our own containers, the one that has it."""

    @property
    def port(self) -> str:
        """As a person names it: `port 8080`, `port 53/udp of 127.0.0.1`."""
        protocol = "" if self.protocol == "tcp" else f"/{self.protocol}"
        ip = "" if self.ip in ("", *WILDCARDS) else f" of {self.ip}"
        return f"port {self.first}{protocol}{ip}"


async def refusal(no: No, what: str, called: Callable[[str], str]) -> HostFailed:
    """The error for a person, naming who has the port where that can be told.

    `what`: what cannot be done without it. `called`: a container's id -> its name.
    """
    if no.errno != errno.EADDRINUSE:
        return _impossible(no)
    if no.last > no.first:
        message, hint = f"none of the {no.protocol} ports {no.first} to {no.last} is free", "publish others"
    elif no.owner:
        message, hint = f"{no.port} is taken by container {called(no.owner)}", HINT
    elif holder := await long(_holder, no):
        message, hint = f"{no.port} is taken by {holder}", HINT
    else:
        message, hint = f"{no.port} is taken", "publish another port"
    return HostFailed(f"cannot {what}: {message}", hint, no.errno)


def _impossible(no: No) -> HostFailed:
    why, hint = os.strerror(no.errno), ""
    if no.errno == errno.EADDRNOTAVAIL:
        why, hint = f"this host has no address {no.ip}", "publish on one that it has, or on all"
    elif no.errno == errno.EAFNOSUPPORT:
        why, hint = "IPv6 is off on this host", "publish on an IPv4 address"
    elif no.errno in (errno.EACCES, errno.EPERM):
        hint = "publish a port from 1024 on, or let the engine run as root"
    elif no.errno in (errno.EMFILE, errno.ENFILE):
        hint = "raise the engine's limit of open files (LimitNOFILE), or publish fewer ports"
    return HostFailed(f"cannot publish on {no.port}: {why}", hint, no.errno)


def _holder(no: No) -> str:
    """`nginx (pid 812)`, looked up by the inode of its socket; empty when it cannot be told. Blocks."""
    same = {no.ip, f"::ffff:{no.ip}", *WILDCARDS}
    found = [
        each
        for each in psutil.net_connections(no.protocol)
        if each.laddr and each.laddr.port == no.first and (each.laddr.ip in same or no.ip in WILDCARDS)
    ]
    # Whoever listens, rather than one of its connections.
    for each in sorted(found, key=lambda each: each.status != psutil.CONN_LISTEN):
        if each.pid:
            try:
                return f"{psutil.Process(each.pid).name()} (pid {each.pid})"
            except psutil.NoSuchProcess:
                continue
    if found and all(each.status == psutil.CONN_TIME_WAIT for each in found):
        return "a connection that has just been closed"
    return ""
