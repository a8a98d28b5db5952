"""A container engine whose every operation is a line of reversible steps."""

__version__ = "0.1.0"

API_VERSION = "1.43"
"""The Docker Engine API spoken on the socket."""

MIN_API_VERSION = "1.12"
