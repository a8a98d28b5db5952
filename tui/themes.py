"""The two themes of our own: a harbour by night, and by day. Every other theme of Textual can be chosen from the palette."""

from __future__ import annotations

import os

from textual.theme import Theme

NIGHT = Theme(
    name="longshore-night",
    primary="#5fb3d9",
    secondary="#3f6f8c",
    accent="#f2b25c",
    success="#7fd18b",
    warning="#f2b25c",
    error="#ff6b6b",
    foreground="#d7e1ea",
    background="#0d1720",
    surface="#122130",
    panel="#1b3043",
    variables={"border": "#5fb3d9", "border-blurred": "#2f4a5e", "cold": "#6fe0ff"},
)

DAY = Theme(
    name="longshore-day",
    primary="#0b6a9c",
    secondary="#5b8fae",
    accent="#9a5400",
    success="#1d7a35",
    warning="#9a5400",
    error="#b3202c",
    foreground="#1a2630",
    background="#f6f3ec",
    surface="#ece7dc",
    panel="#ddd6c8",
    dark=False,
    variables={"border": "#0b6a9c", "border-blurred": "#a9b4ba", "cold": "#00618f"},
)

DEFAULTS = {"cold": "ansi_bright_cyan"}
"""The variables of ours, for the themes that do not know them."""

THEMES = (NIGHT, DAY)


def fitting() -> str:
    """The theme that suits the terminal: its own sixteen colours where it has no more."""
    term = os.environ.get("TERM", "")
    many = os.environ.get("COLORTERM") or "256color" in term or "kitty" in term or "direct" in term
    return NIGHT.name if many else "ansi-dark"
