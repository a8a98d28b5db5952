"""Image references as distribution/reference normalises them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.spec.references import Reference, as_id, parse

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "domain", "path", "tag", "familiar"),
    [
        ("busybox", "docker.io", "library/busybox", "latest", "busybox:latest"),
        ("busybox:1.36", "docker.io", "library/busybox", "1.36", "busybox:1.36"),
        ("docker.io/library/busybox", "docker.io", "library/busybox", "latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io", "library/busybox", "latest", "busybox:latest"),
        ("me/web", "docker.io", "me/web", "latest", "me/web:latest"),
        ("docker.io/library/a/b", "docker.io", "library/a/b", "latest", "library/a/b:latest"),
        ("localhost/web", "localhost", "web", "latest", "localhost/web:latest"),
        ("example.com/web", "example.com", "web", "latest", "example.com/web:latest"),
        ("example.com:5000/a/b:x", "example.com:5000", "a/b", "x", "example.com:5000/a/b:x"),
        ("Host/web", "Host", "web", "latest", "Host/web:latest"),
        ("sha256:abc", "docker.io", "library/sha256", "abc", "sha256:abc"),
    ],
)
def test_names_are_normalised(text: str, domain: str, path: str, tag: str, familiar: str) -> None:
    reference = parse(text)
    assert reference == Reference(domain=domain, path=path, tag=tag)
    assert reference.familiar == familiar
    assert parse(familiar) == reference


def test_a_digest_wins_over_a_tag() -> None:
    reference = parse(f"busybox:1@sha256:{HEX}")
    assert (reference.tag, reference.digest, reference.name) == ("", f"sha256:{HEX}", "busybox")
    assert reference.familiar == f"busybox@sha256:{HEX}"


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "Busy", "busybox\n", " busybox", "busybox:", "busybox:é", "http://busybox", "/", "a//b", "a/-b"),
        *("busybox@sha256:aa", f"busybox@md5:{HEX}", f"@sha256:{HEX}", HEX),
        *("x:" + "t" * 129, "a" * 256, "example.com/" + "a/" * 130 + "a"),
    ],
)
def test_what_cannot_be_a_reference_is_said(text: str) -> None:
    with pytest.raises(Invalid, match="invalid reference format"):
        parse(text)


@given(st.text(max_size=40) | st.text(alphabet="aA0./:@_-", max_size=40))
def test_any_text_is_a_reference_that_stays_one_or_is_refused(text: str) -> None:
    try:
        reference = parse(text)
    except Invalid:
        return
    assert parse(reference.familiar) == reference


def test_ids_are_told_from_names() -> None:
    assert as_id(HEX) == as_id(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert as_id(HEX[:63]) is as_id(HEX.upper()) is as_id(HEX + "\n") is as_id("busybox") is None
