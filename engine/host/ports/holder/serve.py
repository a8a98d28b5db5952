"""The process, and what the engine asks of it: each line of JSON is answered with one.

    ["take", owner, [[protocol, port, ip, first, last], ...], [address, address6]]      {"held": [...], "pid": 812}
                          all of these and nothing else; or all is as before, and       {"errno", "protocol", "ip", ...}
    ["look", owner]       what does it hold?                                            {"held": [...], "pid": 812}
    ["give", owner]       it holds nothing any more, and its connections end            {}
    ["owners"]            who holds anything?                                           {"owners": [...]}

`held` has `[protocol, port, ip, number]` in the order asked for; `address6` and `ip` may be empty, `first` 0: any free port.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
from typing import Any

from .loop import Loop
from .ports import Ports, Refused

FIRST = 10.0
"""Seconds to wait for the engine that started it."""
NAME = "longshore-ports"
"""How ps(1) and ss(8) call it; at most 15 characters."""


def main(path: str, idle: float) -> None:
    """Answer at the socket `path`, and go to the background as soon as it is there. Ends when nothing is held and nobody is
    connected. `idle`: seconds until a UDP client that is silent is forgotten. Raises `OSError`."""
    try:
        os.unlink(path)  # of a holder that was killed
    except FileNotFoundError:
        pass
    os.umask(0o077)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(path)
    listener.listen(16)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    with open("/proc/self/comm", "w") as name:
        name.write(NAME)
    serve(listener, Loop(idle, most))
    # Before the listener closes: whoever finds the path is heard, or finds it gone and starts the next.
    os.unlink(path)


def serve(listener: socket.socket, loop: Loop) -> None:
    ports = Ports(loop)
    engines: set[Engine] = set()

    def accept(_: int) -> None:
        if sock := loop.accept(listener):
            Engine(loop, ports, sock, engines)

    loop.watch(listener, accept)
    wait: float | None = FIRST
    while True:
        loop.turn(wait)
        if not engines and not ports.owners:
            return
        wait = None


class Engine:
    """Somebody connected who asks; an engine, and for a moment the next one."""

    def __init__(self, loop: Loop, ports: Ports, sock: socket.socket, all: set[Engine]) -> None:
        self._loop, self._ports, self._sock, self._all = loop, ports, sock, all
        self._asked, self._answer = bytearray(), bytearray()
        sock.setblocking(False)
        loop.watch(sock, self._talk)
        all.add(self)

    def _talk(self, _: int) -> None:
        try:
            if not self._answer:
                self._hear()
            if self._answer:
                del self._answer[: self._sock.send(self._answer)]
        except BlockingIOError:
            pass  # it does not read: others need not wait for that
        except OSError:
            self._asked.clear()
            self._all.discard(self)
            self._loop.close(self._sock)
            return
        self._loop.change(self._sock, self._talk, select.EPOLLOUT if self._answer else select.EPOLLIN)

    def _hear(self) -> None:
        """Raises `OSError` when it is gone."""
        data = self._sock.recv(1 << 20)
        if not data:
            raise ConnectionResetError
        self._asked += data
        if data.endswith(b"\n"):  # it waits for the answer, so what comes is one line
            try:
                answer = obey(self._ports, *json.loads(self._asked))
            except (ValueError, TypeError, OverflowError) as error:  # an engine of another version
                answer = {"error": f"not understood: {error}"}
            self._answer += json.dumps(answer).encode() + b"\n"
            self._asked.clear()


def obey(ports: Ports, verb: str, owner: str = "", *rest: Any) -> dict[str, object]:
    """Raises `ValueError`, `TypeError` or `OverflowError` for what makes no sense; then all is as it was."""
    if verb == "owners":
        return {"owners": list(ports.owners)}
    if verb == "give":
        ports.give(owner)
        return {}
    if verb == "take":
        try:
            ports.take(owner, *rest)
        except Refused as no:
            about = {"protocol": no.protocol, "ip": no.ip, "first": no.first, "last": no.last, "owner": no.owner}
            return {"errno": no.code, **about}
    elif verb != "look":
        raise ValueError(verb)
    held = ports.owners.get(owner, {}).values()
    return {"held": [(each.key[0], each.port, *each.key[1:]) for each in held], "pid": os.getpid()}
