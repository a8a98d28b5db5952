"""`longshored unit`: the systemd unit of this installation (systemd.service(5), systemd.exec(5), systemd.kill(5))."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.config import Config

UNIT = """\
[Unit]
Description=Longshore container engine
After=network-online.target firewalld.service
Wants=network-online.target
RequiresMountsFor={roots}
StartLimitIntervalSec=60
StartLimitBurst=3

[Service]
# Ready when the socket answers; what a dead engine left open may take long to put right.
Type=notify
NotifyAccess=main
TimeoutStartSec=infinity
{directory}ExecStart={command}
Restart=on-failure
RestartSec=2
# Containers, and the containerd below them, outlive the engine.
KillMode=process
# The cgroups below this one are the containers', not systemd's. Mounts must be the host's own: no Private*, no Protect*.
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""


def unit(config: Config, options: Sequence[str]) -> str:
    """The unit's text; `options` are longshored's own, which `config` was read from."""
    command, directory = program()
    return UNIT.format(
        roots=" ".join(word(path) for path in (config.data_root, config.exec_root)),
        command=" ".join(word(part).replace("$", "$$") for part in (*command, *options)),
        directory=f"WorkingDirectory={directory.replace('%', '%%')}\n" if directory else "",
    )


def program() -> tuple[list[str], str]:
    """The command that starts this installation's engine, and the directory it must be started in, if any.

    A source tree that was never installed has no program; Python finds its packages from the directory they are in.
    """
    installed = Path(sys.executable).with_name("longshored")
    if os.access(installed, os.X_OK):
        return [str(installed)], ""
    return [sys.executable, "-m", "engine"], str(Path(__file__).parents[1])


def word(text: str) -> str:
    """A word as a unit file has it: `%` doubled, quoted where it must be (systemd.syntax(7), "Quoting")."""
    text = text.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./$-]+", text, re.ASCII):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
