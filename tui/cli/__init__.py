"""What can be typed: the dashboard, the demo, Docker's verbs for this engine, and the engine itself.

A verb asks the engine through `engine.client` and nothing else. Exit codes are Docker's: 0, 1 when the engine said no,
125 for a command line that cannot be right, and from `run`, `start -a`, `exec` and `attach` the process's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from engine.model.errors import EngineError
from tui.cli import (  # noqa: F401 - each adds its commands
    containers,
    engines,
    images,
    lists,
    logs,
    networks,
    prune,
    run,
    sessions,
    stats,
    transfer,
    why,
)
from tui.cli.group import complain, longshore

USAGE = 125
INTERRUPTED = 130
"""128 and SIGINT, as shells count."""


def main(typed: Sequence[str] | None = None) -> None:
    """Run what was typed. What goes wrong is one sentence."""
    try:
        longshore(typed, prog_name="longshore", standalone_mode=False)
    except EngineError as error:
        complain(error)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read us has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
