"""Network namespaces, on the real kernel."""

import os
import threading
from pathlib import Path

import pytest

from engine.host.netns import KernelNetns, inode, inside
from engine.host.syscalls import MNT_DETACH, umount2
from engine.model.errors import HostFailed


async def test_made_seen_made_again_and_dropped_twice(netns: KernelNetns) -> None:
    assert await netns.look("web") is None
    await netns.drop("web")
    await netns.make("web")
    seen = await netns.look("web")
    assert seen == f"net:[{os.stat(netns.path('web')).st_ino}]"
    await netns.make("web")
    assert await netns.look("web") == seen
    await netns.drop("web")
    assert await netns.look("web") is None
    assert not exists(netns.path("web"))
    await netns.drop("web")


async def test_it_is_another_namespace_with_loopback_up_and_no_ipv6(netns: KernelNetns) -> None:
    await netns.make("web")

    def addresses() -> tuple[int, str, str]:
        with open("/proc/thread-self/net/if_inet6") as ipv6, open("/proc/thread-self/net/fib_trie") as ipv4:
            return os.stat("/proc/thread-self/ns/net").st_ino, ipv4.read(), ipv6.read()

    number, ipv4, ipv6 = inside(netns.path("web"), addresses)
    assert number == inode(netns.path("web")) != os.stat("/proc/self/ns/net").st_ino
    assert "127.0.0.1" in ipv4  # the kernel routes it only while lo is up
    assert ipv6 == ""


async def test_no_thread_of_the_engine_stays_in_it(netns: KernelNetns) -> None:
    def homes() -> set[int]:
        return {os.stat(f"/proc/self/task/{thread.native_id}/ns/net").st_ino for thread in threading.enumerate()}

    before = homes()
    await netns.make("web")
    inside(netns.path("web"), lambda: None)
    assert homes() == before


async def test_an_unmounted_file_is_no_namespace_and_is_made_one(netns: KernelNetns) -> None:
    await netns.make("web")
    unmount(netns.path("web"))
    assert exists(netns.path("web"))
    assert await netns.look("web") is None
    await netns.make("web")
    assert await netns.look("web") is not None


async def test_a_refusal_names_what_could_not_be_done(tmp_path: Path) -> None:
    (tmp_path / "netns").write_text("a file where the directory should be")
    with pytest.raises(HostFailed, match="cannot make the network namespace web"):
        await KernelNetns(str(tmp_path)).make("web")


def unmount(path: str) -> None:
    umount2(path, MNT_DETACH)


def exists(path: str) -> bool:
    return os.path.exists(path)
