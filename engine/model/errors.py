"""The few errors of the engine.

    EngineError            500   something failed that is nobody's input
      Invalid              400   the request cannot be right
      Unauthorized         401   the registry does not know who asks
      Forbidden            403   the request is right and refused all the same
      NotFound             404   the thing named does not exist
      Conflict             409   the thing is in a state that forbids it
      AlreadySo            304   the thing is so already
      TooLarge             413   the request is longer than we read
      NotBuilt             501   an option whose effect does not exist yet
      Unavailable          503   a part of the host is away (containerd, nft)
      HostFailed           500   the kernel, containerd or a tool said no

Every error says what could not be done and why; `hint` says what a person can do about it.
Statuses are those of the Docker Engine API; they are read at the border (`api/`, `client.py`) and nowhere else.
"""

from __future__ import annotations


class EngineError(Exception):
    """Something could not be done. `message` is a sentence, `hint` the remedy."""

    status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Invalid(EngineError):
    status = 400


class Unauthorized(EngineError):
    status = 401


class Forbidden(EngineError):
    status = 403


class NotFound(EngineError):
    status = 404


class Conflict(EngineError):
    status = 409


class AlreadySo(EngineError):
    status = 304


class TooLarge(EngineError):
    status = 413


class NotBuilt(EngineError):
    status = 501


class Unavailable(EngineError):
    status = 503


class HostFailed(EngineError):
    """The host refused. `errno` is the kernel's number where there is one, else 0."""

    def __init__(self, message: str, hint: str = "", errno: int = 0) -> None:
        super().__init__(message, hint)
        self.errno = errno


class GivenUp(EngineError):
    """A person has ended a lesson on the way: nothing went wrong."""


class DidNotHappen(HostFailed):
    """What cannot be forced did not happen (no exit after SIGKILL): the operation ends where it is, nothing is taken back."""


class CannotRun(HostFailed):
    """The runtime could not run the command. `exit_code` is 126, 127 or 128 as `docker run` reports it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.status = 500 if exit_code == 128 else 400


def by_status(status: int, message: str) -> EngineError:
    """The error that a status on the wire stands for: the client's side of the border."""
    kinds = (Invalid, Unauthorized, Forbidden, NotFound, Conflict, AlreadySo, TooLarge, NotBuilt, Unavailable)
    kind = next((k for k in kinds if k.status == status), EngineError)
    return kind(message)
