"""Layers looked at without a mount, beside what the kernel's own overlay shows of them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.host.tree import PREVIEW, content, listing
from engine.host.treediff import changes, compare, waste
from engine.model.errors import Invalid, NotFound
from engine.model.tree import Entry, Hidden
from tests.engine.host.layering import Layering, Operation, docker_changes, perform, walked

NAMES = ("a", "b", "c", "d")
PATHS = [*NAMES, *(f"{x}/{y}" for x in NAMES[:3] for y in NAMES[:3]), "a/b/c", "a/b/d", "b/a/c"]
ONE_PATH = ("directory", "fifo", "remove", "remove", "mode", "owner", "touch", "open", "capability")
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PATHS), st.text("xyz", max_size=3)),
    st.tuples(st.sampled_from(("link", "rename")), st.sampled_from(PATHS), st.sampled_from(PATHS)),
    st.tuples(st.just("symlink"), st.sampled_from(PATHS), st.sampled_from(("/", "..", "a"))),
    st.tuples(st.sampled_from(ONE_PATH), st.sampled_from(PATHS), st.just("")),
)
LAYERS = st.lists(st.lists(OPERATIONS, max_size=12), min_size=2, max_size=4)


@pytest.fixture
def made(tmp_path: Path) -> Layering:
    return Layering(tmp_path)


def shown(layers: list[str]) -> Iterator[tuple[str, Entry]]:
    """Every path that a listing shows, whiteouts left out."""
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        for entry in listing(layers, path).entries:
            where = f"{path.rstrip('/')}/{entry.name}"
            if entry.kind != "whiteout":
                yield where, entry
            if entry.kind == "directory":
                waiting.append(where)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYERS)
def test_it_sees_what_the_kernel_merges(written: list[list[Operation]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        made = Layering(Path(directory))
        for operations in written:
            made.add(lambda root, operations=operations: perform(operations, root))  # type: ignore[misc]
        with made.union() as union:
            seen = walked(union)
            entries = dict(shown(made.layers))
            assert entries.keys() == seen.keys()
            for path, entry in entries.items():
                there = seen[path]
                assert (entry.mode, entry.uid, entry.gid) == (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid)
                assert (entry.kind == "directory") == stat.S_ISDIR(there.st_mode)
                assert entry.kind != "file" or entry.size == there.st_size
                if entry.kind == "file":
                    assert content(made.layers, path).data == Path(f"{union}{path}").read_bytes()
            with made.union(skip=1) as before:
                assert {(change.path, int(change.kind)) for change in changes(made.layers)} == docker_changes(before, union)


def test_changes_come_in_the_order_of_the_tree(made: Layering) -> None:
    made.add(lambda root: perform([("directory", "etc/a", ""), ("write", "etc/a/old", "x"), ("directory", "etc-b", "")], root))
    made.add(lambda root: perform([("remove", "etc/a/old", ""), ("write", "etc/a/new", "x"), ("write", "etc-b/n", "")], root))
    found = [(change.path, change.kind.name) for change in changes(made.layers)]
    assert found == [
        ("/etc", "MODIFIED"),
        ("/etc/a", "MODIFIED"),
        ("/etc/a/new", "ADDED"),
        ("/etc/a/old", "DELETED"),
        ("/etc-b", "MODIFIED"),
        ("/etc-b/n", "ADDED"),
    ]


CASES: dict[str, tuple[list[Operation], set[tuple[str, int]]]] = {
    "opened for writing and not written": ([("open", "etc/file", "")], set()),
    "written": ([("write", "etc/file", "longer")], {("/etc", 0), ("/etc/file", 0)}),
    "mode": ([("mode", "etc/file", "")], {("/etc", 0), ("/etc/file", 0)}),
    "mode of a directory": ([("mode", "etc", "")], {("/etc", 0)}),
    "times": ([("touch", "etc/file", "")], {("/etc", 0), ("/etc/file", 0)}),
    "times of a directory": ([("touch", "etc", "")], set()),
    "owner": ([("owner", "etc/file", "")], {("/etc", 0), ("/etc/file", 0)}),
    "capability": ([("capability", "etc/file", "")], {("/etc", 0), ("/etc/file", 0)}),
    "deleted": ([("remove", "etc/file", "")], {("/etc", 0), ("/etc/file", 2)}),
    "deleted with all in it": ([("remove", "etc", "")], {("/etc", 2)}),
    "a file where a directory was": ([("remove", "etc", ""), ("write", "etc", "x")], {("/etc", 0)}),
    "a directory where a file was": (
        [("remove", "etc/file", ""), ("directory", "etc/file/x", "")],
        {("/etc", 0), ("/etc/file", 0), ("/etc/file/x", 1)},
    ),
    "a directory made anew": (
        [("remove", "etc", ""), ("directory", "etc", ""), ("write", "etc/new", "x")],
        {("/etc", 0), ("/etc/new", 1), ("/etc/file", 2), ("/etc/sub", 2)},
    ),
    "a new file, deleted again": ([("write", "new", "x"), ("remove", "new", "")], set()),
    "all of a new directory": ([("directory", "new/sub", "")], {("/new", 1), ("/new/sub", 1)}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_change(made: Layering, case: str) -> None:
    operations, wanted = CASES[case]
    made.add(lambda root: perform([("directory", "etc/sub", ""), ("write", "etc/file", "text")], root))
    made.add(lambda root: perform(operations, root))
    assert {(change.path, int(change.kind)) for change in changes(made.layers)} == wanted


def test_what_hides_what_is_told(made: Layering) -> None:
    made.add(lambda root: perform([("directory", "d", ""), ("write", "d/f", "12345"), ("write", "g", "123")], root))
    made.add(lambda root: perform([("remove", "d", ""), ("directory", "d", ""), ("write", "d/n", "1")], root))
    made.add(lambda root: perform([("remove", "g", ""), ("write", "d/n", "12")], root))
    root = {entry.name: entry for entry in listing(made.layers, "/").entries}
    assert root["d"].layers == (0, 1) and root["d"].hides == (Hidden(layer=2, kind="directory"),)
    assert root["g"].kind == "whiteout" and root["g"].hides == (Hidden(layer=2, kind="file", size=3),)
    (entry,) = listing(made.layers, "/d").entries
    assert entry.layers == (0,) and entry.hides == (Hidden(layer=1, kind="file", size=1),)
    assert listing(made.layers[1:], "/").entries[0].opaque
    assert waste(made.layers) == (0, 1, 8)


def test_waste_counts_a_file_with_two_names_once(made: Layering) -> None:
    made.add(lambda root: perform([("directory", "d", ""), ("write", "d/f", "12345"), ("link", "d/g", "d/f")], root))
    made.add(lambda root: perform([("remove", "d", "")], root))
    assert waste(made.layers) == (0, 5)


def test_nothing_is_followed_and_nothing_but_files_is_opened(made: Layering, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("x")

    def write(root: Path) -> None:
        perform([("symlink", "out", str(secret)), ("fifo", "fifo", ""), ("symlink", "key", str(secret / "key"))], root)
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    made.add(write)
    for path in ("/out/key", "/key", "/fifo", "/null", "/", "/out/..//fifo"):
        with pytest.raises(Invalid):
            content(made.layers, path)
    for path in ("/out", "/key", "/fifo", "relative", "/nul\0"):
        with pytest.raises(Invalid):
            listing(made.layers, path)
    for path in ("/nothing", "/../secret", f"/..{secret}"):
        with pytest.raises(NotFound):
            listing(made.layers, path)
    assert [entry.target for entry in listing(made.layers, "/").entries if entry.name == "out"] == [str(secret)]


def test_a_deleted_file_has_no_content(made: Layering) -> None:
    made.add(lambda root: perform([("directory", "d", ""), ("write", "d/f", "old"), ("write", "g", "old")], root))
    made.add(lambda root: perform([("remove", "g", ""), ("remove", "d", "")], root))
    for path in ("/g", "/d/f", "/none"):
        with pytest.raises(NotFound):
            content(made.layers, path)


def test_of_a_long_file_only_the_beginning_is_read(made: Layering) -> None:
    made.add(lambda root: perform([("write", "long", "x" * (PREVIEW + 1))], root))
    found = content(made.layers, "/long")
    assert found.size == PREVIEW + 1 and found.data == b"x" * PREVIEW


def test_a_name_that_is_no_text_is_found_again(made: Layering) -> None:
    def write(root: Path) -> None:
        os.mkdir(os.fsencode(root) + b"/\xff\xfe")
        Path(root, os.fsdecode(b"\xff\xfe"), "f").write_text("here")

    made.add(write)
    (entry,) = listing(made.layers, "/").entries
    entry.name.encode()
    assert content(made.layers, f"/{entry.name}/f").data == b"here"


def test_a_tree_deeper_than_python_recurses(made: Layering) -> None:
    depth = sys.getrecursionlimit() + 100

    def write(root: Path) -> None:
        for number in range(1, depth + 1):
            os.mkdir(f"{root}{'/d' * number}")

    made.add(lambda root: perform([("write", "f", "")], root))
    made.add(write)
    try:
        assert len(changes(made.layers)) == depth
        assert waste(made.layers) == (0, 0)
    finally:
        subprocess.run(["rm", "-r", made.layers[0]], check=True)  # pytest's own would recurse


def test_two_trees_compared(tmp_path: Path) -> None:
    one, other = (Layering(tmp_path / name) for name in ("one", "other"))
    base = [("directory", "etc", ""), ("write", "etc/same", "x"), ("touch", "etc/same", ""), ("symlink", "link", "a")]
    for each in (one, other):
        each.directory.mkdir()
        each.add(lambda root: perform(base, root))
    one.add(lambda root: perform([("directory", "only/deep", ""), ("write", "etc/f", "12"), ("write", "etc/g", "1")], root))
    other.add(lambda root: perform([("write", "etc/f", "34"), ("write", "etc/g", "12"), ("mode", "etc/same", "")], root))
    other.add(lambda root: perform([("remove", "link", ""), ("symlink", "link", "b"), ("write", "new", "")], root))
    differences, more = compare(one.layers, other.layers)
    assert [(each.path, each.only, each.kind, each.what) for each in differences] == [
        ("/etc/f", "", "file", ("content",)),
        ("/etc/g", "", "file", ("size",)),
        ("/etc/same", "", "file", ("mode",)),
        ("/link", "", "symlink", ("target",)),
        ("/new", "second", "file", ()),
        ("/only", "first", "directory", ()),
    ]
    assert not more
    assert compare(one.layers, one.layers) == ((), False)
    shared, _ = compare(one.layers, one.layers[1:])
    assert [each.path for each in shared] == ["/etc/f", "/etc/g", "/only"]
