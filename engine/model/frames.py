"""Frames: what the engine tells whoever watches. A full snapshot first, then what changed, in order.

`fold` is the whole state flow of a screen: world + frame -> world.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from engine.model.run import Mark
from engine.model.world import ContainerRow, EngineRow, HostSample, ImageRow, NetworkRow, Sample, World


class _Frame(Struct, frozen=True, kw_only=True, tag_field="frame", tag=str.lower):
    seq: int = 0
    """Rises by one with every frame the engine publishes; a reader whose backlog was coalesced sees gaps."""


class Snapshot(_Frame, frozen=True, kw_only=True):
    world: World


class Changed(_Frame, frozen=True, kw_only=True):
    row: ContainerRow


class Gone(_Frame, frozen=True, kw_only=True):
    id: str


class StepMoved(_Frame, frozen=True, kw_only=True):
    id: str
    """The container's."""
    verb: str
    at: int
    of: int
    title: str
    mark: Mark
    ms: float = 0.0


class Sampled(_Frame, frozen=True, kw_only=True):
    samples: tuple[Sample, ...] = ()
    host: HostSample = HostSample()


class ImagesChanged(_Frame, frozen=True, kw_only=True):
    images: dict[str, ImageRow]


class NetworksChanged(_Frame, frozen=True, kw_only=True):
    networks: dict[str, NetworkRow]


class EngineChanged(_Frame, frozen=True, kw_only=True):
    engine: EngineRow


Frame = Snapshot | Changed | Gone | StepMoved | Sampled | ImagesChanged | NetworksChanged | EngineChanged


def fold(world: World, frame: Frame) -> World:
    """The world after a frame."""
    match frame:
        case Snapshot():
            return frame.world
        case Changed():
            return world.with_container(frame.row)
        case Gone():
            return world.without_container(frame.id)
        case Sampled():
            return replace(world, samples=world.samples | {s.id: s for s in frame.samples}, host=frame.host)
        case ImagesChanged():
            return replace(world, images=frame.images)
        case NetworksChanged():
            return replace(world, networks=frame.networks)
        case EngineChanged():
            return replace(world, engine=frame.engine)
        case StepMoved():
            return world


def key(frame: Frame) -> tuple[str, str]:
    """Two frames with one key: the later makes the earlier worthless, so a slow reader's backlog keeps only that."""
    match frame:
        case Changed():
            return "container", frame.row.id
        case Gone():
            return "container", frame.id
        case StepMoved():
            return "step", frame.id
        case _:
            return type(frame).__name__, ""
