"""What a container sees, as one tar: its layers merged without a mount (`tree.py`), so running and stopped ones alike.

What is mounted into a container is not among its layers, and so is not in the tar; nor are whiteouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from engine.host.packing import END, Packer
from engine.host.tree import Tree, deletes, parted, scan


def merged_tar(layers: Sequence[str]) -> Iterator[bytes]:
    """The tar, piece by piece, parents before children. `layers`: `diff` directories, top first. Blocks.

    Raises `OSError`, `HostFailed`. What is deleted meanwhile is left out.
    """
    packer = Packer()
    with Tree(layers) as tree:
        waiting = [("", tuple(range(len(tree.layers))))]
        while waiting:
            path, where = waiting.pop()
            below: list[tuple[str, tuple[int, ...]]] = []
            with tree.open(path, where) as merge:
                for name, chain in sorted(scan(merge).items()):
                    inside = f"{path}/{name}".lstrip("/")
                    with suppress(FileNotFoundError):
                        if deletes(chain[0]):
                            continue
                        seen, _ = parted(chain)
                        yield from packer.pack(seen[0].place.fd, name, inside)
                        if seen[0].is_directory:
                            below.append((inside, tuple(found.place.layer for found in seen)))
            waiting += reversed(below)
        yield END
