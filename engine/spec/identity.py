"""Who a container is: its id, its name, its host name."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from engine.model.container import NAME, Container
from engine.model.errors import Conflict, Invalid
from engine.model.settings import Config

ADJECTIVES = (
    "amber ancient autumn azure bold brave breezy bright brisk calm cheerful clear coastal cobalt copper coral cosy crimson "
    "curious daring distant dusky eager early easy emerald fair faithful fearless foggy frosty gentle gleaming golden "
    "graceful grand hardy hidden humble indigo ivory jolly keen kind lively lofty lone lucky lunar mellow merry mighty misty "
    "modest noble northern patient peaceful polished proud quick quiet restless rosy royal rugged salty scarlet serene "
    "shining silent silver sleepy snowy southern spry stately steady stormy sturdy sunny swift tidal tranquil trusty velvet "
    "vivid wandering western wild windy wise"
)

NOUNS = (
    "albatross anchor anchorage atoll barge barnacle bay beacon berth bollard boom bosun bow breakwater breeze bridge brig "
    "buoy cable cape capstan captain cargo channel chart clipper cockle compass coral cove crane current cutter deck delta "
    "dinghy dock dolphin dory estuary fathom ferry fjord fleet foghorn forecastle frigate galley gangway gannet gull gunwale "
    "halyard harbour hawser headland heron hold horizon hull inlet island jetty keel ketch knot lagoon landing lantern "
    "lighthouse limpet lock longboat lugger mainsail mariner marina mast mooring navigator oar oyster pelican pennant petrel "
    "pier pilot porpoise port quay raft reef rigging rope rudder sail sailor sandbank schooner seal sextant shell shoal "
    "shore skiff sloop sound spar spinnaker squall starboard stern stevedore strait surf swell tern tide tiller trawler tug "
    "voyage wake watch wave wharf winch windlass yacht yawl"
)

ATTEMPTS = 6
"""So many random names are tried before the short id becomes the name."""


def new_id() -> str:
    """64 hex digits. The short form must not be mistaken for a number, so one of its digits is a letter."""
    while (id := secrets.token_hex(32))[:12].isdecimal():
        pass
    return id


def check_name(name: str) -> str:
    """The name without its slash. Raises `Invalid` when it is none."""
    bare = name.removeprefix("/")
    if not NAME.fullmatch(bare):
        raise Invalid(
            f"{name!r} is no container name",
            "take at least two of a-z A-Z 0-9 _ . - and begin with a letter or a digit",
        )
    return bare


def taken(records: Iterable[Container]) -> dict[str, str]:
    """Every name that is somebody's, or is being taken by a rename on its way, with the container's id."""
    found: dict[str, str] = {}
    for c in records:
        found[c.name] = c.id
        if c.run and c.run.open:
            found |= dict.fromkeys((row.args["new"] for row in c.run.rows if row.step == "TakeName"), c.id)
    return found


def free(name: str, records: Iterable[Container]) -> str:
    """The name. Raises `Conflict` when it is taken."""
    if id := taken(records).get(name):
        raise Conflict(
            f'the container name "/{name}" is already in use by container "{id}"',
            "remove or rename that container, or take another name",
        )
    return name


def random_name(attempt: int = 0) -> str:
    """`quiet_harbour`; from the second attempt with a digit behind it."""
    name = f"{secrets.choice(ADJECTIVES.split())}_{secrets.choice(NOUNS.split())}"
    return name + (str(secrets.randbelow(10)) if attempt else "")


def hostname(config: Config, id: str) -> str:
    """What the container calls itself: what was asked for, else its short id."""
    return config.hostname or id[:12]
