"""An exec of `true` as `docker exec` does it: made, started with its output listened to, and its exit code looked up."""

from __future__ import annotations

import asyncio

from tests.bench.measure import Subject, report
from tests.bench.pair import pair
from tests.bench.wire import IMAGE, image, take_over

ROUNDS = 40
EXEC = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}


async def execs(rounds: int = ROUNDS) -> list[str]:
    async with pair() as engines:
        subjects = [Subject(engine.socket) for engine in (engines.ours, engines.peer)]
        sockets = engines.ours.socket, engines.peer.socket
        await asyncio.to_thread(_compare, subjects, sockets, rounds)
    ours, theirs = (subject.times for subject in subjects)
    head = f"milliseconds of an exec of `true`, median of {rounds} (and nine of ten below)"
    return [head, *report(ours, theirs, {"exec": 1.0})]


def _compare(subjects: list[Subject], sockets: tuple[str, str], rounds: int) -> None:
    for subject in subjects:
        subject.api.ask("POST", "/images/load?quiet=1", image())
        subject.api.ask("POST", "/containers/create?name=exec", {"Image": IMAGE, "Cmd": ["sleep", "1000000"]})
        subject.api.ask("POST", "/containers/exec/start")
    for number in range(rounds + 1):
        pairs = list(zip(subjects, sockets, strict=True))
        for subject, socket in pairs if number % 2 else reversed(pairs):
            with subject.timed("exec"):
                _once(subject, socket)
            if number == 0:  # it warmed what is cold
                subject.forget()
    for subject in subjects:
        subject.api.ask("DELETE", "/containers/exec?force=1")
        subject.api.close()


def _once(subject: Subject, socket: str) -> None:
    id = subject.api.ask("POST", "/containers/exec/exec", EXEC)["Id"]
    with take_over(socket, f"/exec/{id}/start") as connection:
        said = connection.recv(1)
    found = subject.api.ask("GET", f"/exec/{id}/json")
    assert (said, found["Running"], found["ExitCode"]) == (b"", False, 0), found
