"""What was done last, and how it is taken back where it can be."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from engine.model.interface import NO_PARAMS, Params
from engine.model.status import Verb
from engine.model.world import ContainerRow

INVERSE = {Verb.START: Verb.STOP, Verb.STOP: Verb.START, Verb.PAUSE: Verb.UNPAUSE, Verb.UNPAUSE: Verb.PAUSE}


class Deed(NamedTuple):
    """A verb that was, or is to be, carried out on a container as it is before."""

    verb: Verb
    row: ContainerRow
    params: Params = NO_PARAMS
    back: Params = NO_PARAMS
    """What its inverse is told, where `params` does not say it."""


def inverse(deed: Deed) -> Deed | None:
    """What takes a deed back; None: nothing does."""
    if deed.verb is Verb.RENAME:
        return Deed(Verb.RENAME, replace(deed.row, name=deed.params["name"]), {"name": deed.row.name})
    if deed.verb is Verb.CONNECT:
        network = {"network": deed.params["network"]}
        return Deed(Verb.DISCONNECT, deed.row, network, deed.params)
    if deed.verb is Verb.DISCONNECT and deed.back:
        return Deed(Verb.CONNECT, deed.row, deed.back)
    verb = INVERSE.get(deed.verb)
    return Deed(verb, deed.row) if verb else None
