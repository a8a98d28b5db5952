"""The system calls Python 3.11 has no name for, each under the name of its man page, section 2.

They raise `OSError` with the path they were asked about. ctypes releases the interpreter's lock while they run.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

# <linux/mount.h>
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
MS_SLAVE: Final = 0x80000
MS_SHARED: Final = 0x100000
MNT_DETACH: Final = 0x2
UMOUNT_NOFOLLOW: Final = 0x8

# <linux/sched.h>
CLONE_FS: Final = 0x200
CLONE_NEWNS: Final = 0x20000
CLONE_NEWNET: Final = 0x40000000

# <linux/openat2.h>; the call has one number on every architecture
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10
_SYS_OPENAT2: Final = 437
_OPENAT2_TRIES: Final = 1000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    """`struct open_how`, <linux/openat2.h>."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). The kernel takes at most a page of `data`."""
    _check(_libc.mount(_bytes(source), os.fsencode(target), _bytes(fstype), flags, _bytes(data)), target)


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2). EINVAL: nothing is mounted there."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def setns(fd: int, nstype: int) -> None:
    """setns(2): the calling thread alone moves into the namespace that `fd` stands for."""
    _check(_libc.setns(fd, nstype))


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread alone."""
    _check(_libc.unshare(flags))


def openat2(dirfd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): an open that keeps to a directory's tree; returns the file descriptor.

    Where the path has a `..`, the kernel answers EAGAIN when anything was renamed or mounted meanwhile, anywhere: tried again.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    number, size = ctypes.c_long(_SYS_OPENAT2), ctypes.c_size_t(ctypes.sizeof(how))
    for _ in range(_OPENAT2_TRIES):
        fd: int = _libc.syscall(number, ctypes.c_int(dirfd), ctypes.c_char_p(name), ctypes.byref(how), size)
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    _check(fd, path)
    return fd


def syncfs(fd: int) -> None:
    """syncfs(2): write out the whole file system that `fd` lies on."""
    _check(_libc.syncfs(fd))


def _bytes(text: str) -> bytes | None:
    return os.fsencode(text) if text else None


def _check(result: int, path: str | None = None) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
