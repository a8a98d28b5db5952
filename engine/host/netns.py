"""Network namespaces, kept alive by a bind mount of their file below `<exec root>/netns/`.

unshare(2) and setns(2) move the calling thread alone. So both happen in a thread that is thrown away afterwards: a thread
of a pool would carry the foreign namespace into the next call.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from engine.host import Sighting
from engine.host.mounts import MountTable
from engine.host.syscalls import CLONE_NEWNET, MNT_DETACH, MS_BIND, UMOUNT_NOFOLLOW, mount, setns, umount2, unshare
from engine.host.threads import short
from engine.host.tools import doing

T = TypeVar("T")

THREAD_NS = "/proc/thread-self/ns/net"
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


class KernelNetns:
    """The port `Netns` on the real kernel."""

    def __init__(self, exec_root: str) -> None:
        self._dir = os.path.join(exec_root, "netns")
        self._table = MountTable(os.path.realpath(self._dir))  # the kernel's mount table shows no symlinks

    def path(self, name: str) -> str:
        return os.path.join(self._dir, name)

    async def make(self, name: str) -> None:
        """A new namespace with `lo` up, IPv6 off, kept by a bind mount. One that is there is left alone.

        An interface that gets an IPv6 address switches IPv6 on, for itself and `lo` (`interfaces.py`).
        """
        path = self.path(name)
        with doing(f"make the network namespace {name}"):
            if await short(inode, path) is None:
                await short(in_new_thread, lambda: _make(path))

    async def drop(self, name: str) -> None:
        path = self.path(name)
        with doing(f"remove the network namespace {name}"):
            await short(_drop, path)

    async def look(self, name: str) -> str | None:
        """`net:[inode]`, as `readlink /proc/<pid>/ns/net` says it of a process inside."""
        number = await short(inode, self.path(name))
        return None if number is None else f"net:[{number}]"

    async def sightings(self) -> set[Sighting]:
        return {("netns", name) for name in await short(self._table.paths, "nsfs")}


def inside(path: str, call: Callable[[], T]) -> T:
    """Run a short call in the namespace that `path` keeps. Blocks. Raises `OSError` when it is not one."""

    def enter() -> T:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd, CLONE_NEWNET)
        finally:
            os.close(fd)
        return call()

    return in_new_thread(enter)


def in_new_thread(call: Callable[[], T]) -> T:
    """Run a call in a thread of its own, which then ends."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            done.set_exception(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    return done.result()


def inode(path: str) -> int | None:
    """Inode number of the namespace kept at `path`; None where there is no file, or one with nothing mounted on it."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return None
    return there.st_ino if there.st_dev == os.stat(THREAD_NS).st_dev else None


def _make(path: str) -> None:
    unshare(CLONE_NEWNET)
    _raise_loopback()
    for interface in ("all", "default"):
        configure("ipv6", interface, "disable_ipv6", 1)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o644))
    # Last: a namespace that can be seen is complete.
    mount(THREAD_NS, path, flags=MS_BIND)


def _drop(path: str) -> None:
    with suppress(FileNotFoundError):
        _unmount(path)
        # Unlinking also detaches the copies of the mount in other mount namespaces.
        os.unlink(path)


def _unmount(path: str) -> None:
    """Detach every mount on `path`: there are two when two engines met here."""
    while True:
        try:
            umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.EINVAL:  # nothing is mounted there
                return
            raise


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))  # netdevice(7)


def configure(family: str, interface: str, setting: str, value: int) -> None:
    """Set a sysctl of one interface, of `all` there are or the `default` of those to come, in the calling thread's namespace.

    `family`: `ipv4` or `ipv6`. A kernel without it, and an interface that is gone, are passed over.
    """
    with suppress(FileNotFoundError), open(f"/proc/sys/net/{family}/conf/{interface}/{setting}", "w") as file:
        file.write(str(value))
