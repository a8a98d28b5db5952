"""Steps on the container's file system: two directories at create, one union mount at start."""

from __future__ import annotations

import msgspec

from engine.flow.step import Step
from engine.host import Host
from engine.model.container import Container, Layers


def layers(c: Container) -> Layers:
    assert c.layers, "create decides on the layers before its first step"
    return c.layers


class MakeInitLayer(Step[Host, Container]):
    """Make the init layer

    An image is a pile of read-only directories. Before a container can stand on it, a few names must exist in every
    container: `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`, over which the engine later mounts its own files, and
    empty directories for `/proc`, `/sys`, `/dev/pts` and `/dev/shm`, over which the kernel's file systems are mounted.

    They go into a thin layer of their own, directly above the image. So they are neither part of the image nor counted
    as something the container has changed: `docker diff` compares with this layer.

    It is only a directory. Nothing is mounted yet.
    """

    thing = "init layer"
    undo_is_final = True

    def title(self, c: Container, *, back: bool = False) -> str:
        name = f"{layers(c).init_id[:12]}…-init"
        return f"Remove the init layer {name}" if back else f"Make the init layer {name}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        path = f"{host.facts.root}/overlay2/{layers(c).init_id}"
        if back:
            return (f"rm -r {path}",)
        return (
            f"mkdir -p {path}/diff/etc {path}/diff/dev/pts {path}/diff/dev/shm {path}/diff/proc {path}/diff/sys {path}/work",
            f"touch {path}/diff/.dockerenv {path}/diff/etc/hosts {path}/diff/etc/hostname {path}/diff/etc/resolv.conf",
            f"ln -s /proc/mounts {path}/diff/etc/mtab",
        )

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"find {host.facts.root}/overlay2/{layers(c).init_id}",)

    async def do(self, host: Host, c: Container) -> Container:
        await host.rootfs.make_init(layers(c).init_id, layers(c).lower)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.rootfs.drop_layer(layers(c).init_id)
        return c

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("layer", layers(c).init_id)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.rootfs.look_layer(layers(c).init_id)


class MakeWritableLayer(Step[Host, Container]):
    """Make the writable layer

    Everything the container will ever write lands in one directory, `diff`. It is empty now. Beside it lies `work`, where
    overlayfs prepares changes before they appear, `lower`, the list of the layers below, and `link`, a short name of 26
    letters for this layer: mount options must fit into one page of memory, and short names leave room for many layers.

    The layer stays when the container stops; that is why a stopped container remembers its files. It goes with
    `docker rm`, and nothing can bring it back then.
    """

    thing = "writable layer"
    undo_is_final = True

    def title(self, c: Container, *, back: bool = False) -> str:
        name = f"{layers(c).mount_id[:12]}…"
        return f"Delete the writable layer {name} and all that was written" if back else f"Make the writable layer {name}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        path = f"{host.facts.root}/overlay2/{layers(c).mount_id}"
        if back:
            return (f"rm {host.facts.root}/overlay2/l/$(cat {path}/link)", f"rm -r {path}")
        link = f"{host.facts.root}/overlay2/l/<26 letters>"
        return (f"mkdir -p {path}/diff {path}/work", f"ln -s ../{layers(c).mount_id}/diff {link}")

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        path = f"{host.facts.root}/overlay2/{layers(c).mount_id}"
        return (f"ls -l {path}", f"cat {path}/lower")

    async def do(self, host: Host, c: Container) -> Container:
        own = layers(c)
        await host.rootfs.make_writable(own.mount_id, own.init_id, own.lower, own.chain_id, c.id)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.rootfs.drop_layer(layers(c).mount_id, c.id)
        return c

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("layer", layers(c).mount_id)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.rootfs.look_layer(layers(c).mount_id)


class WriteSettings(Step[Host, Container]):
    """Write the settings down

    The container gets a directory of its own. `config.v2.json` is its record: identity, command, state. It alone is read
    when the engine starts again. `hostconfig.json` says how the host should treat the container: limits, capabilities,
    network. `checkpoints` is there for snapshots of a running process and stays empty.

    From here on the container exists: it has a name, it can be listed, and it survives a reboot. But no process runs, and
    the kernel knows nothing of it.
    """

    thing = "settings"
    undo_is_final = True

    def title(self, c: Container, *, back: bool = False) -> str:
        where = f"containers/{c.short_id}…"
        return f"Remove the settings in {where}" if back else f"Write the settings into {where}"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        path = f"{host.facts.root}/containers/{c.id}"
        if back:
            return (f"rm -r {path}",)
        return (f"mkdir -p {path}/checkpoints", f"$EDITOR {path}/config.v2.json {path}/hostconfig.json")

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        return (f"ls -l {host.facts.root}/containers/{c.id}",)

    async def do(self, host: Host, c: Container) -> Container:
        await host.files.make(c.id, msgspec.json.encode(c.host_config))
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.files.drop(c.id)
        return c

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.files.look(c.id)


KEPT = frozenset({MakeInitLayer.__name__, MakeWritableLayer.__name__, WriteSettings.__name__})
"""What create makes and only remove takes away."""


class MountLayers(Step[Host, Container]):
    """Mount the layers as one file system

    Until now the layers were only directories. overlayfs lays them over one another: in `merged` a file comes from the
    top-most layer that has it. Reading goes down through the pile; writing copies a file up into the writable layer first
    and changes the copy. Deleting leaves a mark there, a "whiteout", that hides the file below. The layers below never
    change, so a thousand containers can share them.

    This directory will be the container's `/`.
    """

    thing = "union mount"

    def title(self, c: Container, *, back: bool = False) -> str:
        return "Unmount the layers; they are plain directories again" if back else "Mount the layers as one file system"

    def shell(self, host: Host, c: Container, *, back: bool = False) -> tuple[str, ...]:
        store, merged = f"{host.facts.root}/overlay2", host.rootfs.merged(layers(c).mount_id)
        if back:
            return (f"umount {merged}", f"rmdir {merged}")
        upper = f"{store}/{layers(c).mount_id}"
        lower = ":".join(f"{store}/{layer}/diff" for layer in (layers(c).init_id, *layers(c).lower))
        options = f"lowerdir={lower},upperdir={upper}/diff,workdir={upper}/work"
        return (f"mkdir {merged}", f"mount -t overlay overlay -o {options} {merged}")

    def look(self, host: Host, c: Container) -> tuple[str, ...]:
        merged = host.rootfs.merged(layers(c).mount_id)
        return (f"findmnt {merged}", f"ls {merged}")

    async def do(self, host: Host, c: Container) -> Container:
        await host.rootfs.mount(layers(c).mount_id)
        if c.config.working_dir not in ("", "/"):
            await host.rootfs.make_directory(layers(c).mount_id, c.config.working_dir)
        return c

    async def undo(self, host: Host, c: Container) -> Container:
        await host.rootfs.unmount(layers(c).mount_id)
        return c

    def sighting(self, c: Container) -> tuple[str, ...]:
        return ("mount", layers(c).mount_id)

    async def evidence(self, host: Host, c: Container) -> str | None:
        return await host.rootfs.look_mount(layers(c).mount_id)
