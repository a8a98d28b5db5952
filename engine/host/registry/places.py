"""Where a registry is: its name, the addresses to try, and which of them need no certificate."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from msgspec import Struct
from yarl import URL

from engine.model.errors import Invalid
from engine.model.registry import DOCKER_IO, OFFICIAL

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
"""Insecure as they are: as in Docker, a registry on this host needs no certificate."""


class Place(Struct, frozen=True, kw_only=True):
    """An address at which a registry may be found."""

    url: URL
    verify: bool = True
    """Does its certificate have to be right?"""
    mirror: bool = False


class Places(Struct, frozen=True, kw_only=True):
    """What the configuration says of registries."""

    mirrors: tuple[str, ...] = ()
    """URLs of mirrors of docker.io, tried in turn before it."""
    insecure: tuple[str, ...] = ()
    """`host[:port]`, or address ranges."""

    def of(self, domain: str) -> list[Place]:
        """The addresses of a registry, in the order to try them."""
        if domain == DOCKER_IO:
            mirrors = [URL(each.rstrip("/")) for each in self.mirrors]
            return [
                *(Place(url=url, verify=not self.is_insecure(url.authority), mirror=True) for url in mirrors),
                Place(url=URL(f"https://{OFFICIAL}")),
            ]
        if not self.is_insecure(domain):
            return [Place(url=URL(f"https://{domain}"))]
        return [Place(url=URL(f"{scheme}://{domain}"), verify=False) for scheme in ("https", "http")]

    def is_insecure(self, authority: str) -> bool:
        """May this host be talked to without a certificate?"""
        host = urlsplit(f"//{authority}").hostname or ""
        if host == "localhost" or authority in self.insecure or host in self.insecure:
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in ip_network(each, strict=False) for each in (*LOOPBACK, *filter(_is_range, self.insecure)))


def check(places: Places) -> None:
    """Raises `Invalid` for what can be no registry."""
    for mirror in places.mirrors:
        parts = urlsplit(mirror)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise Invalid(f"--registry-mirror {mirror!r} is no address of a mirror", "write it as https://HOST[:PORT]")
    for insecure in places.insecure:
        if not _is_range(insecure) and ("/" in insecure or not urlsplit(f"//{insecure}").hostname):
            raise Invalid(f"--insecure-registry {insecure!r} is no registry", "write HOST[:PORT], or a range as 10.1.0.0/16")


def proxy_for(url: URL) -> URL | None:
    """The proxy that the environment names for an address (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). Never for this host."""
    host = url.host or ""
    if Places().is_insecure(url.authority) or proxy_bypass(f"{host}:{url.port}"):
        return None
    proxy = getproxies_environment().get(url.scheme)
    return URL(proxy if "://" in proxy else f"http://{proxy}") if proxy else None


def _is_range(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text
