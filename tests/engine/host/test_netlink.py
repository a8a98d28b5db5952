"""netlink's attributes and messages, written and read back; the kernel's refusals."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host import rtnetlink
from engine.host.netlink import HEADER, attribute, attributes, messages, nested

KINDS = st.integers(0, 0x3FFF)


@given(st.dictionaries(KINDS, st.binary(max_size=70)), st.binary(max_size=20))
def test_attributes_are_read_as_they_were_written(wanted: dict[int, bytes], before: bytes) -> None:
    written = before + b"".join(attribute(kind, data) for kind, data in wanted.items())
    assert attributes(written, len(before)) == wanted


@given(KINDS, st.dictionaries(KINDS, st.binary(max_size=20)))
def test_attributes_inside_an_attribute_too(kind: int, wanted: dict[int, bytes]) -> None:
    (inner,) = attributes(nested(kind, *(attribute(one, data) for one, data in wanted.items()))).values()
    assert attributes(inner) == wanted


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=20))))
def test_every_message_of_a_datagram_is_found(wanted: list[tuple[int, bytes]]) -> None:
    padded = [(kind, data.ljust(-(-len(data) // 4) * 4, b"\0")) for kind, data in wanted]
    datagram = b"".join(HEADER.pack(HEADER.size + len(data), kind, 0, 1, 0) + data for kind, data in padded)
    assert [(kind, data) for kind, _, data in messages(datagram)] == padded


def test_what_is_not_there_is_told_by_name_and_refused_by_number() -> None:
    assert rtnetlink.link("nosuchlink") is None
    rtnetlink.delete_link(0x7FFFFFF0)
    with pytest.raises(OSError) as refused:
        rtnetlink.switch(0x7FFFFFF0, on=True)
    assert refused.value.errno == errno.ENODEV
