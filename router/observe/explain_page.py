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
        connects: whether servers are connected to as well.
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
        connects: bool = False,
    ) -> None:
        self._snapshot = snapshot
        self._objects = objects
        self._stats_socket = stats_socket
        self._router_name = router_name
        self._ledger = ledger
        self._canonical_hostname = canonical_hostname
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
                servers=self._servers(snapshot, backends),
                canonical_hostname=self._canonical_hostname(),
                probes=_probed([backend for _, backend in backends]) if self._connects else {},
            ),
            wanted,
        )

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


def _probed(backends: list[Backend]) -> Mapping[str, str]:
    """Connect to each server, and give what came of it by name; as many as there is time for."""
    ends_s = time.monotonic() + _PROBED_WITHIN_S
    probes: dict[str, str] = {}
    for server in (server for backend in backends for server in backend.servers):
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            break
        try:
            socket.create_connection((server.address, server.port), min(_CONNECT_S, left_s)).close()
            probes[server.name] = "ok"
        except TimeoutError:
            probes[server.name] = "no answer"
        except OSError as error:
            probes[server.name] = error.strerror or str(error)
    return probes
