"""Who is who on the networks that people made: what the name service inside the containers answers (reference 9.8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from engine.model.container import Container
from engine.model.network import BUILT_IN, Attachment, Endpoint


class Directory:
    """Answers from the records. What it has worked out is kept until some record changes."""

    def __init__(self, records: Mapping[str, Container]) -> None:
        self._records = records
        self._names: dict[str, dict[str, list[str]]] | None = None
        """By network id: the addresses of a name in lower case, and the names of an address."""

    def changed(self) -> None:
        self._names = None

    def __call__(self, sandbox: str, name: str) -> tuple[str, ...] | None:
        """Addresses of a name, or names of an address, as the container of that sandbox sees them. None: nobody of ours."""
        c = self._asker(sandbox)
        if c is None:
            return None
        if self._names is None:
            self._names = _work_out(self._records.values())
        wanted = name.rstrip(".").lower()
        found: list[str] = []
        for e in c.plugged:
            known = self._names.get(e.network_id, {})
            for each in (wanted, *self._linked(c, e, wanted)):
                found += known.get(each, ())
        return tuple(dict.fromkeys(found)) or None

    def called(self, id: str) -> str:
        """The name of a container; of one that is gone, its short id."""
        c = self._records.get(id)
        return c.name if c else id[:12]

    def _asker(self, sandbox: str) -> Container | None:
        return next((c for c in self._records.values() if c.id.startswith(sandbox)), None)

    @staticmethod
    def _linked(c: Container, e: Endpoint, wanted: str) -> Iterator[str]:
        """A link is an alias that only the linking container knows."""
        for link in _attachment(c, e).links:
            other, _, alias = link.partition(":")
            if wanted in (alias.lower(), f"{alias}.{e.network}".lower()):
                yield other.lower()


def _work_out(containers: Iterable[Container]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for c in containers:
        for e in c.plugged:
            if e.network in BUILT_IN:
                continue
            known = found.setdefault(e.network_id, {})
            addresses = [address for address in (e.address, e.address6) if address]
            for name in names(c, e):
                for full in (name, f"{name}.{e.network}"):
                    known.setdefault(full.lower(), []).extend(addresses)
            for address in addresses:
                known.setdefault(str(ip_address(address)), []).append(f"{c.name}.{e.network}")
    return found


def names(c: Container, e: Endpoint) -> tuple[str, ...]:
    """By which the others on this network find it."""
    return tuple(dict.fromkeys((c.name, c.short_id, c.config.hostname, *_attachment(c, e).aliases)))


def _attachment(c: Container, e: Endpoint) -> Attachment:
    return c.networks.get(e.network) or c.networks.get(e.network_id) or Attachment()
