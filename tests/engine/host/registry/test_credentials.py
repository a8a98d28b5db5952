"""Logins: the header, the config file, a helper; and challenges as registries write them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.host.distribution import Credentials
from engine.host.registry.auth import Challenge, challenges
from engine.host.registry.places import Places, check
from engine.logins import from_body, from_file, from_header, to_header
from engine.model.errors import HostFailed, Invalid
from engine.model.registry import host_of, registry_of

ALICE = Credentials(username="alice", password="s:e")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_the_header() -> None:
    assert from_header("") is None
    assert from_header(encoded({})) == Credentials()
    assert from_header(encoded({"username": "alice", "password": "s:e", "serveraddress": "x"})) == ALICE
    assert from_header(encoded({"auth": base64.b64encode(b"alice:s:e").decode()}).rstrip("=")) == ALICE
    assert from_header(encoded({"identitytoken": "t"})) == Credentials(identity_token="t")
    for known in (ALICE, Credentials(), Credentials(identity_token="t"), Credentials(registry_token="r")):
        assert from_header(to_header(known)) == known
    assert from_body({"username": "alice", "password": "s:e", "serveraddress": "x:5000"}) == ("x:5000", ALICE)
    for wrong in ("%%%", encoded([1]), encoded({"username": 3}), "e30x"):
        with pytest.raises(Invalid, match="X-Registry-Auth"):
            from_header(wrong)


@given(st.text())
def test_no_header_is_taken_for_another_thing(text: str) -> None:
    try:
        from_header(text)
    except Invalid:
        pass


async def test_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert await from_file("docker.io", path) == Credentials()
    kept = {"auth": base64.b64encode(b"alice:s:e").decode()}
    path.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": kept, "x:5000": kept, "y": {"identitytoken": "t"}}}))
    assert await from_file("docker.io", path) == await from_file("x:5000", path) == ALICE
    assert await from_file("y", path) == Credentials(identity_token="t")
    assert await from_file("x", path) == Credentials()
    path.write_text("{")
    with pytest.raises(Invalid, match="cannot read"):
        await from_file("x", path)


HELPER = """#!/bin/sh
read -r server
case "$1 $server" in
"get x:5000") echo '{"ServerURL":"x:5000","Username":"alice","Secret":"s:e"}' ;;
"get y") echo '{"Username":"<token>","Secret":"t"}' ;;
"get https://index.docker.io/v1/") echo "credentials not found in native keychain"; exit 1 ;;
*) echo "the keyring is locked"; exit 1 ;;
esac
"""


async def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, path = tmp_path / "docker-credential-ours", tmp_path / "config.json"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path.write_text(json.dumps({"credsStore": "none", "credHelpers": dict.fromkeys(("x:5000", "y", "docker.io", "z"), "ours")}))
    assert await from_file("x:5000", path) == ALICE
    assert await from_file("y", path) == Credentials(identity_token="t")
    assert await from_file("docker.io", path) == Credentials()
    with pytest.raises(HostFailed, match="the keyring is locked"):
        await from_file("z", path)
    with pytest.raises(HostFailed, match="docker-credential-none for the login at other: it is not installed"):
        await from_file("other", path)


def test_challenges() -> None:
    header = 'Bearer realm="https://auth.test/token",service="a, \\"b\\"",scope="repository:x:pull,push"'
    wanted = {"realm": "https://auth.test/token", "service": 'a, "b"', "scope": "repository:x:pull,push"}
    assert challenges([header, "Basic realm=r"]) == [Challenge("bearer", wanted), Challenge("basic", {"realm": "r"})]


@given(st.lists(st.text()))
def test_any_challenge_is_read(headers: list[str]) -> None:
    assert len(challenges(headers)) == len(headers)


def test_places() -> None:
    places = Places(mirrors=("https://mirror.test/",), insecure=("plain.test:5000", "10.1.0.0/16"))
    check(places)
    assert [str(place.url) for place in places.of("docker.io")] == ["https://mirror.test", "https://registry-1.docker.io"]
    for insecure in ("plain.test:5000", "10.1.2.3:80", "localhost:5000", "127.9.9.9", "[::1]:5000"):
        assert [place.url.scheme for place in places.of(insecure)] == ["https", "http"], insecure
    for secure in ("plain.test", "10.2.0.1", "registry.test"):
        (place,) = places.of(secure)
        assert place.verify and place.url.scheme == "https", secure
    assert [host_of(each) for each in ("https://index.docker.io/v1/", "http://x:5000/v2", "x")] == ["docker.io", "x:5000", "x"]
    images = ("busybox:1", "library/busybox", "x:5000/busybox", "x.test/a/b", "localhost/b", "index.docker.io/b")
    assert [registry_of(image) for image in images] == ["docker.io", "docker.io", "x:5000", "x.test", "localhost", "docker.io"]
    for wrong in (Places(mirrors=("mirror.test",)), Places(insecure=("http://x",))):
        with pytest.raises(Invalid):
            check(wrong)
