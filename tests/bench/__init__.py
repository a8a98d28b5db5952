"""Measurements beside Debian's dockerd: `make bench`. Numbers to read, never to pass or fail by."""
