"""A container's own directory, `containers/<id>/`: the readers' copy of its settings, and its three network files."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from engine.host import Facts
from engine.host.disk import make_directories, names, read_file, read_text, remove_file, remove_tree, write_all, write_file
from engine.host.records import CONTAINERS, DIRECTORY_MODE, FILE_MODE, RECORD
from engine.host.threads import long, short
from engine.host.tools import doing
from engine.model.container import Container
from engine.spec.resolution import hostname, hosts, resolv_conf, values

HOST_CONFIG: Final = "hostconfig.json"
CHECKPOINTS: Final = "checkpoints"
NETWORK_FILES: Final = ("hostname", "hosts", "resolv.conf")
RESOLV_CONF_HASH: Final = "resolv.conf.hash"
"""What the engine has written to `resolv.conf`, a digest a line: else somebody has edited it, and it is theirs."""
HOSTS: Final = "/etc/hosts"
RESOLV_CONF: Final = "/etc/resolv.conf"
RESOLVED: Final = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved(8) keeps the real servers behind its stub, 127.0.0.53."""


class DiskFiles:
    """The port `Files`."""

    def __init__(self, facts: Facts) -> None:
        self._containers = os.path.join(facts.root, CONTAINERS)

    async def make(self, id: str, hostconfig: bytes) -> None:
        with doing(f"write the settings of {id[:12]}"):
            await short(_make, self._path(id), hostconfig)

    async def drop(self, id: str) -> None:
        """All but the record, which goes last, by `Records.forget`."""
        with doing(f"remove the settings of {id[:12]}"):
            await long(_drop, self._path(id))

    async def look(self, id: str) -> str | None:
        """The directory's names, as ls(1) shows them."""
        found = await short(names, self._path(id))
        return "  ".join(found) if HOST_CONFIG in found else None

    async def make_network(self, c: Container) -> None:
        path = self._path(c.id)
        with doing(f"write the network files of {c.name}"):
            await short(_write_network, path, c)

    async def drop_network(self, id: str) -> None:
        with doing(f"remove the network files of {id[:12]}"):
            for name in (*NETWORK_FILES, RESOLV_CONF_HASH):
                await short(remove_file, os.path.join(self._path(id), name))

    async def look_network(self, id: str) -> str | None:
        """The last line of each: name, own entry in `hosts`, how others are found. None when there is none."""
        return await short(_look_network, self._path(id)) or None

    def _path(self, id: str) -> str:
        return os.path.join(self._containers, id)


def _make(path: str, hostconfig: bytes) -> None:
    make_directories(path, DIRECTORY_MODE)
    make_directories(os.path.join(path, CHECKPOINTS), 0o700)
    write_file(os.path.join(path, HOST_CONFIG), hostconfig, FILE_MODE)


def _drop(path: str) -> None:
    # The settings last: they are the evidence that something is left.
    for name in sorted(names(path), key=HOST_CONFIG.__eq__):
        entry = os.path.join(path, name)
        if name.startswith(RECORD):
            continue
        if os.path.isdir(entry) and not os.path.islink(entry):
            remove_tree(entry)
        else:
            remove_file(entry)


def _write_network(path: str, c: Container) -> None:
    _write_in_place(os.path.join(path, "hostname"), hostname(c))
    _write_in_place(os.path.join(path, "hosts"), hosts(c, read_text(HOSTS) or ""))
    _write_resolv_conf(path, resolv_conf(c, _host_resolv_conf()))


def _write_resolv_conf(directory: str, text: str) -> None:
    """Not over what somebody has edited since (reference 9.9)."""
    path, digests = os.path.join(directory, "resolv.conf"), os.path.join(directory, RESOLV_CONF_HASH)
    written = (read_text(digests) or "").split()
    if written and os.path.exists(path) and _digest(read_file(path)) not in written:
        return
    # The digest first, and the old ones kept: whatever a crash leaves of the two is known as the engine's own.
    own = _digest(text.encode())
    _write_in_place(digests, "\n".join([*(digest for digest in written if digest != own), own, ""]))
    _write_in_place(path, text)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _look_network(path: str) -> str:
    texts = {name: read_text(os.path.join(path, name)) for name in NETWORK_FILES}
    return "\n".join(f"{name}: {(text.splitlines() or [''])[-1]}" for name, text in texts.items() if text is not None)


def _host_resolv_conf() -> str:
    text = read_text(RESOLV_CONF) or ""
    return read_text(RESOLVED) or "" if values(text, "nameserver") == ("127.0.0.53",) else text


def _write_in_place(path: str, text: str) -> None:
    """Same inode as before: a bind mount shows an inode, not a name."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.fchmod(fd, 0o644)
        write_all(fd, text.encode())
    finally:
        os.close(fd)
