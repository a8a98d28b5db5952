"""The keeper: a process that does nothing but hold the containers' FIFOs open.

The content of a pipe is gone with its last file descriptor. While no engine lives and a container ends, the keeper's is
the last, so that the next engine reads what the container said. One serves all containers of an engine; it is run as
`python -I -S keeper.py <socket>`, goes to the background when the socket answers, and answers each line with one:

    hold <path>     open the FIFO for reading        answer: ok, or why not
    drop <path>     close it again                   answer: ok, also when it is not held

It never reads. It ends when it holds nothing and nobody is connected, so that it does not keep the exec root busy.
Only the standard library, and little of it: it lives beside every engine for weeks.
"""

import os
import resource
import select
import socket
import sys

FIRST = 10.0
"""Seconds to wait for the engine that started it."""


def main(path: str) -> None:
    try:
        os.unlink(path)  # of a keeper that was killed
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    serve(listener)
    # Before the listener closes: whoever finds the path is heard, or finds it gone and starts the next.
    os.unlink(path)


def serve(listener: socket.socket) -> None:
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    held: dict[str, int] = {}
    wait = FIRST
    while True:
        for fd, _ in poll.poll(wait):
            if fd == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
            elif not answer(clients[fd], held):
                clients.pop(fd).close()
        if not clients and not held:
            return
        wait = -1


def answer(client: socket.socket, held: dict[str, int]) -> bool:
    """Answer one line; False when the client is gone. A client waits for the answer, so what comes at once is one line."""
    try:
        request = client.recv(4096)
        if not request:
            return False
        verb, _, path = request.decode().rstrip("\n").partition(" ")
        client.send(f"{obey(verb, path, held)}\n".encode())
    except OSError:
        return False
    return True


def obey(verb: str, path: str, held: dict[str, int]) -> str:
    if verb not in ("hold", "drop"):
        return f"unknown request: {verb}"
    old = held.pop(path, -1)
    try:
        if verb == "hold":
            held[path] = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return str(error)
    finally:
        if old >= 0:
            os.close(old)
    return "ok"


if __name__ == "__main__":
    main(sys.argv[1])
