import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.settings import HostConfig, Ulimit
from engine.spec import limits

from .made import BARE, FACTS

MB = 1024 * 1024


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (HostConfig(memory=6 * MB - 1), "Memory"),
        (HostConfig(memory=-1), "Memory"),
        (HostConfig(memory_swap=8 * MB), "MemorySwap"),
        (HostConfig(memory=8 * MB, memory_swap=7 * MB), "MemorySwap"),
        (HostConfig(memory=8 * MB, memory_swap=-2), "MemorySwap"),
        (HostConfig(memory_reservation=1), "MemoryReservation"),
        (HostConfig(memory=8 * MB, memory_reservation=9 * MB), "MemoryReservation"),
        (HostConfig(memory_swappiness=101), "MemorySwappiness"),
        (HostConfig(nano_cpus=1, cpu_period=1000), "NanoCpus"),
        (HostConfig(nano_cpus=1, cpu_quota=1000), "NanoCpus"),
        (HostConfig(nano_cpus=-1), "NanoCpus"),
        (HostConfig(nano_cpus=4 * 10**9 + 1), "NanoCpus"),
        (HostConfig(cpu_period=999), "CpuPeriod"),
        (HostConfig(cpu_period=1_000_001), "CpuPeriod"),
        (HostConfig(cpu_quota=999), "CpuQuota"),
        (HostConfig(cpu_shares=-1), "CpuShares"),
        (HostConfig(cpuset_cpus="4"), "CpusetCpus"),
        (HostConfig(cpuset_cpus="1-0"), "CpusetCpus"),
        (HostConfig(cpuset_mems="x"), "CpusetMems"),
        (HostConfig(blkio_weight=9), "BlkioWeight"),
        (HostConfig(blkio_weight=1001), "BlkioWeight"),
        (HostConfig(ulimits=(Ulimit(name="files", soft=1, hard=1),)), "Ulimits"),
        (HostConfig(ulimits=(Ulimit(name="nofile", soft=2, hard=1),)), "Ulimits"),
        (HostConfig(ulimits=(Ulimit(name="nofile", soft=-1, hard=1),)), "Ulimits"),
        (HostConfig(ulimits=(Ulimit(name="nofile", soft=-2, hard=-1),)), "Ulimits"),
    ],
)
def test_what_cannot_be_right_names_field_and_remedy(asked: HostConfig, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        limits.verify(asked, FACTS, [])
    assert refused.value.message.startswith(f"HostConfig.{field} ")
    assert refused.value.hint


KEPT = HostConfig(
    memory=8 * MB,
    memory_swap=9 * MB,
    memory_reservation=7 * MB,
    memory_swappiness=0,
    oom_kill_disable=True,
    nano_cpus=5 * 10**8,
    cpu_shares=2,
    cpuset_cpus="0,2-3",
    cpuset_mems="0",
    pids_limit=5,
    ulimits=(Ulimit(name="nofile", soft=1, hard=-1), Ulimit(name="CORE", soft=-1, hard=-1)),
)


def test_a_host_that_has_everything_keeps_everything() -> None:
    warnings: list[str] = []
    assert limits.verify(KEPT, FACTS, warnings) == KEPT
    assert warnings == []


def test_a_bare_host_keeps_nothing_and_says_so() -> None:
    warnings: list[str] = []
    left = limits.verify(replace(KEPT, blkio_weight=10, kernel_memory=8 * MB, cpu_percent=5), BARE, warnings)
    assert left == HostConfig(memory_swap=-1, ulimits=KEPT.ulimits)
    for word in (
        "memory and memory reservation",
        "swappiness",
        "oom kill",
        "kernel memory",
        "pids",
        "cpu percent",
        "cpu shares",
        "cpuset",
        "blkio",
    ):
        assert any(warning.startswith(word) or word in warning for warning in warnings), word
    assert all("discarded: " in warning for warning in warnings)


def test_nothing_asked_nothing_said() -> None:
    warnings: list[str] = []
    assert limits.verify(HostConfig(), BARE, warnings) == HostConfig()
    assert warnings == []


def test_memory_without_swap_accounting() -> None:
    warnings: list[str] = []
    facts = replace(FACTS, controllers=FACTS.controllers - {"swap"})
    assert limits.verify(HostConfig(memory=8 * MB), facts, warnings).memory_swap == -1
    assert len(warnings) == 1
    assert limits.verify(HostConfig(memory=8 * MB, memory_swap=-1), facts, warnings).memory_swap == -1
    assert len(warnings) == 1


def test_no_oom_killer_and_no_limit_is_a_warning() -> None:
    warnings: list[str] = []
    assert limits.verify(HostConfig(oom_kill_disable=True), FACTS, warnings).oom_kill_disable
    assert "OOM killer" in warnings[0]


@given(st.frozensets(st.integers(0, 40), max_size=12))
def test_lists_read_back(numbers: frozenset[int]) -> None:
    assert limits.parse_list("CpusetCpus", ",".join(map(str, sorted(numbers)))) == numbers


@given(st.integers(0, 8191), st.integers(0, 8191))
def test_ranges(first: int, last: int) -> None:
    text = f"{first}-{last}"
    if first <= last:
        assert limits.parse_list("CpusetCpus", text) == frozenset(range(first, last + 1))
    else:
        with pytest.raises(Invalid):
            limits.parse_list("CpusetCpus", text)


@given(st.text("0123456789,- x٣", min_size=1, max_size=12))
def test_any_text_is_a_list_or_invalid(text: str) -> None:
    try:
        assert limits.parse_list("CpusetCpus", text)
    except Invalid as error:
        assert "CpusetCpus" in error.message


@pytest.mark.parametrize("text", [",", "0,", "-1", "0-", "0-9999", "99999", "1 ", "0--1", "0-1-2"])
def test_no_lists(text: str) -> None:
    with pytest.raises(Invalid):
        limits.parse_list("CpusetCpus", text)
