"""What Events about Gateways and their routes say: what became of each listener and of each parent, where a written status says it anew; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from router.admission.gateway.states import ACCEPTED, GATEWAY_KIND, LISTENER_SET_KIND, PROGRAMMED, RESOLVED_REFS, SERVES
from router.objects.gateway import Gateway, ListenerSet, TcpRoute, TlsRoute
from router.objects.tcp_route_policy import TcpRoutePolicy
from router.shapes import read_any
from router.status.notices import MAX_NOTE, Notice

_OF_LISTENERS, _OF_PARENTS = (ACCEPTED, RESOLVED_REFS, PROGRAMMED), (ACCEPTED, RESOLVED_REFS, SERVES)
"""In this order the first that does not hold is told; where all hold, the last one is."""
_BY_LISTENERS = frozenset({"ListenersNotValid", "Programmed", "Accepted"})
"""Reasons of a Gateway as a whole that say no more than its listeners do."""
_PASSING = frozenset({"Pending"})

Conditions = Mapping[str, Mapping[str, Any]]
"""By type."""


def notices(
    obj: Gateway | ListenerSet | TcpRoute | TlsRoute | TcpRoutePolicy, kind: str, patch: bytes, controller: str
) -> Iterator[Notice]:
    """Give the notices that go with a written status.

    What a status said before is what its owner has been told, by whichever replica: nothing is said of what it says again.

    Args:
        obj: the object as it was read, whose status says what was before.
        kind: of the object.
        patch: what was written (``status.gateway.decide``).
        controller: whose entries of a route's parents are ours.
    """
    before = dict(_places(msgspec.to_builtins(obj.status), controller))
    for place, conditions in _places(read_any(patch)["status"], controller):
        order = _OF_LISTENERS if kind in {GATEWAY_KIND, LISTENER_SET_KIND} else _OF_PARENTS
        told = _told(conditions, order)
        if told is None or told == _told(before.get(place, {}), order):
            continue
        status, reason, message = told
        if reason in _PASSING or (not place and reason in _BY_LISTENERS):
            continue
        note = f"{place}{message or 'served'}".encode()[:MAX_NOTE].decode(errors="ignore")
        metadata = obj.metadata
        is_good = status == "True"
        yield Notice(
            metadata.namespace,
            metadata.name,
            metadata.uid,
            "Normal" if is_good else "Warning",
            "Serve" if is_good else "Reject",
            reason,
            note,
            kind,
        )


def _places(status: Mapping[str, Any], controller: str) -> Iterator[tuple[str, Conditions]]:
    """Give what is told, by what it is about; empty is the object as a whole."""
    yield "", _by_type(status)
    for listener in status.get("listeners") or ():
        yield f"listener {listener['name']}: ", _by_type(listener)
    for ancestor in status.get("ancestors") or ():
        if ancestor["controllerName"] == controller:
            ref = ancestor["ancestorRef"]
            section = f" listener {ref['sectionName']}" if ref.get("sectionName") else ""
            yield f"{ref['kind']} {ref['name']}{section}: ", _by_type(ancestor)
    for parent in status.get("parents") or ():
        if parent["controllerName"] == controller:
            ref = parent["parentRef"]
            section = f" listener {ref['sectionName']}" if ref.get("sectionName") else ""
            port = f" port {ref['port']}" if ref.get("port") else ""
            namespace = f"{ref['namespace']}/" if ref.get("namespace") else ""
            yield f"{ref.get('kind', GATEWAY_KIND)} {namespace}{ref['name']}{section}{port}: ", _by_type(parent)


def _by_type(said: Mapping[str, Any]) -> Conditions:
    return {each["type"]: each for each in said.get("conditions") or ()}


def _told(conditions: Conditions, order: tuple[str, ...]) -> tuple[str, str, str] | None:
    """Give status, reason and message of what is told of these; None where there is nothing."""
    there = [conditions[kind] for kind in order if kind in conditions]
    if not there:
        return None
    chosen = next((each for each in there if each["status"] != "True"), there[-1])
    return chosen["status"], chosen.get("reason", ""), chosen.get("message", "")
