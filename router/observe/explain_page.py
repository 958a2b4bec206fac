"""The pages below ``/explain/``: the way of one asker, of a router that runs; and with ``/probe/`` what comes of connecting to its servers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

import msgspec

from router.errors import HaproxyError, SettingsError
from router.haproxy.talk.stats import ServerNow, servers_of
from router.model import Asker, Backend
from router.objects.store import Objects
from router.observe.explanation import Explanation, Facts, Wanted, explain
from router.observe.http import JSON, Page
from router.reconcile.snapshot import Snapshot

_encode = msgspec.json.Encoder().encode
_COMMAND_S = 2.0
_CONNECT_S = 1.0
_PROBED_WITHIN_S = 5.0


class ExplainPage:
    """Makes the pages; from any thread.

    Args:
        snapshot: gives the controller's last.
        objects: what is read, of which values alone are looked up here: they never change.
        stats_socket: where the worker in charge is asked.
        router_name: which askers are ours.
        ledger: which PortClaims are gone by.
        canonical_hostname: gives the name by which clients reach the router, or its address; None where neither is known.
        published_by: the Service in front of the router, whose ports it writes.
        listens_on: an address at which the router's ports are open.
        connects: whether servers, and the asker's port, are connected to as well.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what there is to know
        self,
        snapshot: Callable[[], Snapshot],
        objects: Objects,
        stats_socket: Path,
        router_name: str,
        ledger: str,
        canonical_hostname: Callable[[], str | None],
        *,
        published_by: str = "",
        listens_on: str = "127.0.0.1",
        connects: bool = False,
    ) -> None:
        self._snapshot = snapshot
        self._objects = objects
        self._stats_socket = stats_socket
        self._router_name = router_name
        self._ledger = ledger
        self._canonical_hostname = canonical_hostname
        self._published_by = published_by
        self._listens_on = listens_on
        self._connects = connects

    def __call__(self, path: str) -> Page:
        """Give the page about ``[KIND/]NAMESPACE/NAME[:SECTION]``: an array of JSON, one for each section."""
        try:
            wanted = Wanted.read(unquote(path)).of(self._objects)
        except SettingsError as error:
            return Page(f"{error}\n".encode(), status=HTTPStatus.BAD_REQUEST)
        snapshot = self._snapshot()
        if not snapshot.synced:
            return Page(b"the inputs have not synced yet\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return Page(_encode(self._explained(snapshot, wanted)) + b"\n", JSON)

    def _explained(self, snapshot: Snapshot, wanted: Wanted) -> tuple[Explanation, ...]:
        backends = [
            (each.asker, each.backend)
            for each in (snapshot.applied.routes if snapshot.applied is not None else ())
            if (each.asker.kind, each.asker.namespace, each.asker.name) == wanted[:3]
            and wanted.section in {"", each.asker.section}
        ]
        return explain(
            Facts(
                objects=self._objects,
                verdicts=snapshot.verdicts,
                model=snapshot.applied,
                router_name=self._router_name,
                ledger=self._ledger,
                policy=snapshot.policy,
                gateway_api=snapshot.gateway_api,
                servers=self._servers(snapshot, backends),
                canonical_hostname=self._canonical_hostname(),
                published_by=self._published_by,
                probes=self._probed(snapshot, backends) if self._connects else {},
            ),
            wanted,
        )

    def _probed(self, snapshot: Snapshot, backends: list[tuple[Asker, Backend]]) -> Mapping[str, str]:
        """Connect to the port of each, and to each server; as many as there is time for."""
        ports = [
            verdict.port for asker, _ in backends if (verdict := snapshot.verdicts.get(asker)) and not verdict.address
        ]
        places = {str(port): (self._listens_on, port) for port in ports if port is not None}
        places |= {each.name: (each.address, each.port) for _, backend in backends for each in backend.servers}
        return _connected(places)

    def _servers(self, snapshot: Snapshot, backends: list[tuple[Asker, Backend]]) -> dict[str, ServerNow] | None:
        of_pool = {own: backend for backend, own in snapshot.owners.items()}
        found: dict[str, ServerNow] = {}
        try:
            for _, backend in backends:
                name = of_pool.get(backend.name, backend.name)
                found.update(servers_of(self._stats_socket, name, _COMMAND_S))
        except HaproxyError:
            # Between two turns it may be none of HAProxy's any more, or that one is being started.
            return None
        return found


def _connected(places: Mapping[str, tuple[str, int]]) -> Mapping[str, str]:
    ends_s = time.monotonic() + _PROBED_WITHIN_S
    probes: dict[str, str] = {}
    for name, place in places.items():
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            break
        try:
            socket.create_connection(place, min(_CONNECT_S, left_s)).close()
            probes[name] = "ok"
        except TimeoutError:
            probes[name] = "no answer"
        except OSError as error:
            probes[name] = error.strerror or str(error)
    return probes
