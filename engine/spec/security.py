"""`HostConfig.SecurityOpt`, read."""

from __future__ import annotations

import re

from msgspec import Struct

from engine.model.errors import Invalid, NotBuilt
from engine.spec import seccomp

BUILTIN, UNCONFINED = "builtin", "unconfined"

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""Go's `strconv.ParseBool`."""


class Security(Struct, frozen=True, kw_only=True):
    no_new_privileges: bool = False
    seccomp: str = BUILTIN
    """`builtin`, `unconfined`, or a profile's JSON text."""


def security(options: tuple[str, ...] | None) -> Security:
    """Read the options. Raises `Invalid` for one that is none, `NotBuilt` for AppArmor profiles and SELinux labels."""
    no_new_privileges, profile = False, BUILTIN
    for option in options or ():
        # `key:value` is the old spelling; a profile's JSON text has colons of its own.
        key, _, value = (re.sub(r"^([a-z-]+):", r"\1=", option)).partition("=")
        if key == "no-new-privileges":
            if (value or "true") not in _BOOLEANS:
                raise Invalid(f"HostConfig.SecurityOpt {option!r} is neither true nor false", "write no-new-privileges=true")
            no_new_privileges = _BOOLEANS[value or "true"]
        elif key == "seccomp" and value:
            if value not in (BUILTIN, UNCONFINED):
                seccomp.parse(value)
            profile = value
        elif option in ("disable", "label=disable", "label:disable", "apparmor=unconfined", "apparmor:unconfined"):
            continue  # Containers get no label and no AppArmor profile anyway.
        elif key in ("label", "apparmor") and value:
            raise NotBuilt(
                f"HostConfig.SecurityOpt {option!r} is not built yet: containers get no {key}",
                "leave it out, or turn it off with label=disable or apparmor=unconfined",
            )
        else:
            raise Invalid(
                f"HostConfig.SecurityOpt {option!r} is unknown",
                "write no-new-privileges, seccomp=unconfined, seccomp=builtin, or seccomp=<JSON of a profile>",
            )
    return Security(no_new_privileges=no_new_privileges, seccomp=profile)
