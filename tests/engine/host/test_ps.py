"""The host's `ps`, asked about some processes, and what it prints."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host.ps import HostProcesses, check, parse
from engine.model.errors import Invalid, Unavailable


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "1000"]) as child:
        yield child.pid
        child.kill()


async def test_only_the_rows_of_these_processes(sleeper: int) -> None:
    top = await HostProcesses().top("-ef", [sleeper])
    assert top.titles[:3] == ("UID", "PID", "PPID") and top.titles[-1] == "CMD"
    assert [(row[1], row[-1]) for row in top.processes] == [(str(sleeper), "sleep 1000")]


async def test_arguments_that_do_not_go_with_quick_mode(sleeper: int) -> None:
    """`-C` selects by name: ps refuses it together with `-q`."""
    top = await HostProcesses().top("-C sleep -o comm,pid", [sleeper])
    assert top.processes == (("sleep", str(sleeper)),)


async def test_more_processes_than_one_argument_holds(sleeper: int) -> None:
    top = await HostProcesses().top("-eo pid,comm", [sleeper, *range(1 << 22, (1 << 22) + 20_000)])
    assert top.processes == ((str(sleeper), "sleep"),)


async def test_none() -> None:
    assert (await HostProcesses().top("-ef", [])).processes == ()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("--bogus", "unknown gnu long option"),
        ("-eo comm", "no column PID"),
        ("--version", "no column PID"),
        ("-eo pid\0", "NUL"),
        ("-eo ppid=PID,comm", "ppid=PID,comm is not allowed"),
    ],
)
async def test_arguments_refused(arguments: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        await HostProcesses().top(arguments, [1])


async def test_no_ps_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.host.tools.SEARCH_PATH", "")
    with pytest.raises(Unavailable, match="ps is not installed; install it: apt install procps"):
        await HostProcesses().top("-ef", [1])


@pytest.mark.parametrize("arguments", ["-o ppid=PID", "-oppid=PID", "-o comm,sid=PIDS", "o ppid= PID", "-eo pid,tid=PID"])
def test_no_other_column_may_pass_for_the_pid(arguments: str) -> None:
    with pytest.raises(Invalid):
        check(arguments)


@pytest.mark.parametrize("arguments", ["-ef", "aux", "-o pid=PID", "-opid=PIDS", "-eo comm,pid=PID", "-o ppid=PARENT -o pid"])
def test_what_may_be_asked(arguments: str) -> None:
    assert check(arguments) == arguments.split()


def test_threads_follow_their_process() -> None:
    output = "  PID S COMMAND\n    7 - web\n    - S -\n    - R -\n    8 - not ours\n    - S -\n"
    top = parse(output, frozenset([7]))
    assert top.processes == (("7", "-", "web"), ("-", "S", "-"), ("-", "R", "-"))


def test_a_pid_that_is_none() -> None:
    with pytest.raises(Invalid, match="'Content 7' where a pid should be"):
        parse("COMMAND PID\nWeb Content 7\n", frozenset([7]))


WORD = st.text(st.characters(min_codepoint=33, max_codepoint=0x10FFFF, exclude_categories=["Cs"]), min_size=1)


@given(st.dictionaries(st.integers(1, 1 << 22), st.lists(WORD, min_size=1)), st.data())
def test_every_word_of_every_process_asked_for(table: dict[int, list[str]], data: st.DataObject) -> None:
    ours = frozenset(data.draw(st.sets(st.sampled_from(sorted(table))))) if table else frozenset()
    output = "".join(f"{pid:7} {' '.join(words)}\n" for pid, words in table.items())
    rows = parse(f"    PID COMMAND\n{output}", ours).processes
    assert rows == tuple((str(pid), " ".join(words)) for pid, words in table.items() if pid in ours)


@given(st.text())
def test_any_output_is_rows_or_a_sentence(output: str) -> None:
    try:
        top = parse(output, frozenset([1]))
    except Invalid:
        return
    assert "PID" in top.titles
