"""gRPC's errors as ours, and the runtime's texts as exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from grpc import StatusCode

from engine.host.containerd.client import Client, cannot_run, translate
from engine.model.errors import Conflict, EngineError, HostFailed, NotFound, Unavailable


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.NOT_FOUND, NotFound),
        (StatusCode.ALREADY_EXISTS, Conflict),
        (StatusCode.UNAVAILABLE, Unavailable),
        (StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (StatusCode.UNKNOWN, HostFailed),
        (StatusCode.FAILED_PRECONDITION, HostFailed),
    ],
)
def test_every_code_is_a_sentence(code: StatusCode, kind: type[EngineError]) -> None:
    error = translate(code, "the shim says no", "freeze web")
    assert type(error) is kind
    assert error.message.startswith("cannot freeze web: ")


@pytest.mark.parametrize(
    ("text", "exit_code", "status"),
    [
        ('exec: "/x": permission denied: unknown', 126, 400),
        ('exec: "/etc": is a directory: unknown', 126, 400),
        ("error mounting: not a directory: unknown", 127, 400),
        ('exec: "x": executable file not found in $PATH: unknown', 127, 400),
        ("exec /x: No such file or directory", 127, 400),
        ("permission denied, no such file or directory", 126, 400),
        ("something else", 128, 500),
    ],
)
def test_exit_code_of_what_cannot_run(text: str, exit_code: int, status: int) -> None:
    error = cannot_run(HostFailed(text))
    assert (error.exit_code, error.status) == (exit_code, status)
    assert error.message.startswith(text)


def test_a_directory_reads_as_permission_denied() -> None:
    assert cannot_run(HostFailed("is a directory")).message.endswith(": permission denied")


async def test_nobody_there(tmp_path: Path) -> None:
    client = Client(str(tmp_path / "none.sock"), "longshore")
    with pytest.raises(Unavailable, match="cannot reach containerd at"):
        await client.ready(0.05)
    await client.close()
