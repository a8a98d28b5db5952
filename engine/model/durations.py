"""How long something took, in the words that Docker has for it: both the engine and its command line say them."""

from __future__ import annotations

from datetime import timedelta

DAY, WEEK, MONTH, YEAR = 24, 24 * 7, 24 * 30, 24 * 365
"""In hours."""


def human_duration(length: timedelta) -> str:
    """`5 minutes`, `About an hour`. Minutes are cut, hours rounded to the nearest, larger units cut."""
    total = length.total_seconds()
    seconds, minutes, hours = int(total), int(total / 60), int(total / 3600 + 0.5)
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 2 * DAY:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 2 * WEEK:
        return f"{hours // DAY} days"
    if hours < 2 * MONTH:
        return f"{hours // WEEK} weeks"
    if hours < 2 * YEAR:
        return f"{hours // MONTH} months"
    return f"{int(total / 3600) // YEAR} years"
