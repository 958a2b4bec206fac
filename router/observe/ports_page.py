"""The page ``/ports``: made anew when something in it is another, however often it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import msgspec

from router.haproxy.talk.stats import BackendNow
from router.observe.http import JSON, Page
from router.observe.ports import AddressNow, port_rows
from router.reconcile.snapshot import Snapshot

_encode = msgspec.json.Encoder().encode


class PortsPage:
    """Makes the page; from any thread.

    Args:
        snapshot: gives the controller's last.
        backends: gives what each backend has now, the same mapping while nothing newer is known.
        canonical_hostname: gives the name by which clients reach the router, or its address; None where neither is known.
        named: gives how it stands with named addresses.
        sni_port: the port of those who are reached by their host; 0 is none.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        backends: Callable[[], Mapping[str, BackendNow] | None],
        canonical_hostname: Callable[[], str | None],
        named: Callable[[], Mapping[str, AddressNow]] = dict,
        sni_port: int = 0,
    ) -> None:
        self._snapshot = snapshot
        self._backends = backends
        self._canonical_hostname = canonical_hostname
        self._named = named
        self._sni_port = sni_port
        self._lock = threading.Lock()
        self._made_of: tuple[object, ...] | None = None
        self._page = Page(b"")

    def __call__(self) -> Page:
        """Give the page; those who ask at the same time wait for one."""
        with self._lock:
            snapshot, counts, hostname = self._snapshot(), self._backends(), self._canonical_hostname()
            named = self._named()
            made_of = self._made_of
            if (
                made_of is None
                or made_of[0] is not snapshot
                or made_of[1] is not counts
                or made_of[2:] != (hostname, named)
            ):
                by_backend = by_own_backend(snapshot, counts)
                rows = port_rows(
                    snapshot.verdicts, snapshot.applied, hostname, by_backend, named, sni_port=self._sni_port
                )
                self._page = Page(_encode(rows) + b"\n", JSON)
                self._made_of = (snapshot, counts, hostname, named)
            return self._page


def by_own_backend(snapshot: Snapshot, counts: Mapping[str, BackendNow] | None) -> Mapping[str, BackendNow] | None:
    """Give it by the backends that askers have or will have: those of the pool count for those whom they serve."""
    if counts is None or not snapshot.owners:
        return counts
    moved = {own: counts[backend] for backend, own in snapshot.owners.items() if backend in counts}
    return {**counts, **moved}
