"""The service manager's side of a service: whether it waits for our word, and how it is told (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Tell the service manager, `READY=1` say. Without one that waits, nothing; one that is deaf is no reason to end."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect("\0" + address[1:] if address[0] == "@" else address)  # an abstract one, unix(7)
            sender.sendall(state.encode())
    except OSError as error:
        log.warning("cannot tell the service manager at %s: %s", address, error.strerror)


def journal() -> bool:
    """Is what we write to standard error kept by the journal, which dates each line itself (systemd.exec(5))?"""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    there = os.fstat(2)
    return (device, inode) == (str(there.st_dev), str(there.st_ino))
