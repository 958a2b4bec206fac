"""What the status of a TransportServer shall say, as F5's controller writes it, and the patch that makes it say so; pure, but for reading and writing.

``vsAddress``, ``status`` and ``lastUpdated``, and ``error`` where it is not served. There are no conditions, and no word of who wrote it, so that it is written by
server-side apply with a field manager of each router's own: what is taken back is ours, whatever others wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import msgspec

from router.admission import Verdict
from router.errors import ApiInvalid
from router.kube.api import Api
from router.objects.cis import GROUP, KIND, VERSION, TransportServer
from router.objects.decoding import Misfit, decode
from router.objects.meta import ObjectKey
from router.objects.route import RouteCondition, RouteIngress
from router.shapes import read_any, write
from router.status.reached import reached_at, unknown_address
from router.status.route import ADMITTED, MAX_MESSAGE, PORT_CLAIMED, Identity, Patch, StatusChange, timestamp
from router.status.service import APPLY_PATCH

OK = "Ok"
"""As the users of that controller are shown it."""
NOWHERE = "None"
"""The default of ``vsAddress``."""
_ON_NODE = re.compile(r"on node (\S+): ")
_MAX_MANAGER = 128
_FIELDS = ("vsAddress", "status", "error")


def has_entry(server: TransportServer, router_name: str) -> bool:
    """Say whether its status may have something of the router of this name; who is served, and by whom, it does not say."""
    return server.told("error").startswith(f"{router_name}: ") or server.told("status") == OK


def summed(_server: TransportServer, verdicts: Iterable[Verdict], _identity: Identity) -> Verdict | None:
    """Give the one verdict of a TransportServer."""
    return next(iter(verdicts), None)


def decide_status(
    server: TransportServer,
    verdict: Verdict | None,
    identity: Identity,
    now_s: float,
    nodes: frozenset[str] | None = None,
) -> StatusChange | None:
    """Decide whether a status must be written, and how.

    Args:
        server: the TransportServer as it was last read.
        verdict: what became of it; None for one that is not ours.
        identity: who writes.
        now_s: seconds since the epoch.
        nodes: where routers of ours run, whose statements are theirs to take back; None where that is not known.

    Returns:
        The write; None if the status already says what it shall.
    """
    former = own_entry(server, identity)
    if verdict is None:
        return StatusChange(_patch(server, {}, identity), None, former) if former is not None else None
    node = named_node(server, identity)
    is_anothers = node is not None and node != identity.node and nodes is not None and node in nodes
    if is_anothers and (verdict.admitted or verdict.set_aside):
        return None
    address, _ = reached_at(verdict, identity)
    said = {"vsAddress": address or NOWHERE, "status": OK if verdict.admitted else str(verdict.reason)}
    if not verdict.admitted:
        said["error"] = f"{identity.router_name}: {verdict.message[:MAX_MESSAGE]}"
    elif server.told("error"):
        # Somebody else's, too: what is served has none.
        said["error"] = ""
    if all(server.told(field) == said.get(field, "") for field in _FIELDS):
        return None
    entry = _entry(identity, str(verdict.reason or ""), said.get("error", ""), verdict.port)
    return StatusChange(_patch(server, {**said, "lastUpdated": timestamp(now_s)}, identity), entry, former)


def warnings(_server: TransportServer, verdict: Verdict, identity: Identity) -> tuple[str, ...]:
    """Say so where it is served and its status has no address, and by which option it would."""
    return unknown_address("status.vsAddress", verdict, identity)


def own_entry(server: TransportServer, identity: Identity) -> RouteIngress | None:
    """Give what its status says of us as a Route's entry would say it, so that Events are told alike; None if it says nothing."""
    error = server.told("error")
    if error.startswith(f"{identity.router_name}: "):
        return _entry(identity, server.told("status"), error, None)
    if server.told("status") == OK and server.told("vsAddress") in _addresses(identity):
        port = server.asked.get("virtualServerPort")
        return _entry(identity, "", "", port if isinstance(port, int) else None)
    return None


def named_node(server: TransportServer, identity: Identity) -> str | None:
    """Give the node that its status says has something against it; None where it says no such thing."""
    error = server.told("error")
    if not error.startswith(f"{identity.router_name}: "):
        return None
    named = _ON_NODE.search(error)
    return named[1] if named is not None else None


def same_request(one: TransportServer, other: TransportServer) -> bool:
    """Say whether a verdict about one is about the other: the same object, asking for the same."""

    def asked(server: TransportServer) -> tuple[object, ...]:
        metadata = server.metadata
        return metadata.uid, metadata.annotations, metadata.labels, server.spec

    return asked(one) == asked(other)


def read_server(api: Api, key: ObjectKey) -> TransportServer:
    """Read a TransportServer.

    Raises:
        ApiError: as the API server answered; ApiInvalid also where the answer is none.
    """
    try:
        value = read_any(api.get(_path(key)))
    except msgspec.DecodeError as error:
        raise ApiInvalid(f"the API server gave something that is no JSON: {error}") from error
    server = decode(TransportServer, value) if isinstance(value, dict) else Misfit("is no object")
    if isinstance(server, Misfit):
        raise ApiInvalid(f"the API server gave something that is no TransportServer: {server}")
    return server


def patch_status(api: Api, key: ObjectKey, patch: Patch, _identity: Identity) -> None:
    """Write a status.

    Raises:
        ApiError: as the API server answered; ApiConflict where it is another object of that name by now.
    """
    api.patch(f"{_path(key)}/status?{patch.query}", patch.body, patch.content_type)


def _addresses(identity: Identity) -> set[str]:
    balancing = identity.balancing
    ips = (ip for each in balancing.addresses.values() for ip in each)
    return {*balancing.hostnames.values(), *ips, identity.canonical_hostname or NOWHERE}


def _entry(identity: Identity, reason: str, error: str, port: int | None) -> RouteIngress:
    """Give it as a Route's entry would say it; no reason is served."""
    message = error.removeprefix(f"{identity.router_name}: ")
    conditions = [RouteCondition(ADMITTED, "False" if reason else "True", reason, message)]
    if port is not None and not reason:
        conditions.append(RouteCondition(PORT_CLAIMED, "True", message=str(port)))
    return RouteIngress(
        router_name=identity.router_name,
        router_canonical_hostname=identity.canonical_hostname,
        conditions=tuple(conditions),
    )


def _patch(server: TransportServer, status: dict[str, str], identity: Identity) -> Patch:
    metadata = server.metadata
    body: dict[str, Any] = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        # A uid is a precondition: what was decided about one is not written to another one of its name.
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
    }
    if status:
        body["status"] = status
    manager = f"tcp-router/{identity.router_name}"[:_MAX_MANAGER]
    return Patch(APPLY_PATCH, write(body), urlencode({"fieldManager": manager, "force": "true"}))


def _path(key: ObjectKey) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/transportservers/{key.name}"
