"""Signals by name or number, as `docker kill -s` takes them (signal(7))."""

from __future__ import annotations

import re
import signal

from engine.model.errors import Invalid

NAMES = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}
LAST = int(signal.SIGRTMAX)

_REAL_TIME = re.compile(r"(RTMIN\+|RTMAX-)([0-9]{1,2})")


def parse_signal(text: str) -> int:
    """The number of a signal: a name in any case, with or without `SIG`, `RTMIN+3`, `RTMAX-2`, or a decimal number.

    Raises `Invalid` for anything else, 0 included.
    """
    name = text.upper().removeprefix("SIG")
    if name in NAMES:
        return NAMES[name]
    if match := _REAL_TIME.fullmatch(name):
        number = NAMES["RTMIN"] + int(match[2]) if match[1] == "RTMIN+" else LAST - int(match[2])
        if NAMES["RTMIN"] <= number <= LAST:
            return number
    elif text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= LAST:
        return int(text)
    raise Invalid(f"{text!r} is no signal", f"give a name such as SIGTERM, RTMIN+3, or a number from 1 to {LAST}")


def ends(stop_signal: str, signal: int) -> bool:
    """Is this signal meant to end a container with that stop signal? Without one, every signal is (reference 4.2)."""
    return signal == NAMES["KILL"] or not stop_signal or signal == parse_signal(stop_signal)
