"""What a Route's status shall say of this router, and the patch that makes it say so; pure.

``status.ingress`` is one atomic list with an entry per router. Ours is addressed by its index, under the precondition that the
Route is still the one that was read; the entries of other routers are never sent, and so keep every field that they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from router.admission import Verdict
from router.model import Spot
from router.objects.route import Route, RouteCondition, RouteIngress
from router.shapes import write
from router.status.balanced import Balancing

ADMITTED = "Admitted"
PORT_CLAIMED = "PortClaimed"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

_ON_NODE = re.compile(r"on node (\S+): ")
"""What the message of a fact of one node begins with, and no other message of ours does."""

MAX_MESSAGE = 1024
"""Characters. Route's CRD sets no limit; 1024 is what ``note`` of an Event may have, and far more than our messages need."""


_MAX_REMOVED = 1000
"""Entries that one patch removes; API servers take no patch of more than 10,000 operations (apiserver, handlers/patch.go)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who writes: what is the same in every entry of this router."""

    router_name: str
    canonical_hostname: str = ""
    """The name by which clients reach the router; empty is not known."""
    node: str = ""
    """Where this replica runs: all else is the same for every replica."""
    balancing: Balancing = field(default_factory=Balancing, compare=False)
    """What is told of addresses, to Services that it balances."""


@dataclass(frozen=True, slots=True)
class Patch:
    """The body of one PATCH request."""

    content_type: str
    body: bytes
    query: str = ""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A write that is due."""

    patch: Patch
    entry: RouteIngress | None
    """Our entry after the write; None where it is removed."""
    former: RouteIngress | None
    """Our (first) entry before it."""


def on_node(verdict: Verdict, node: str) -> Verdict:
    """Give the verdict with the node named, where it is a fact of one node."""
    return replace(verdict, message=f"on node {node}: {verdict.message}") if verdict.set_aside and node else verdict


def named_node(route: Route, identity: Identity) -> str | None:
    """Give the node that our entry says has something against a Route; None where it says no such thing."""
    told = next((each for each in _our_conditions(route, identity.router_name) if each.type == ADMITTED), None)
    if told is None or told.status != "False":
        return None
    named = _ON_NODE.match(told.message)
    return named[1] if named is not None else None


def decide_status(
    route: Route, verdict: Verdict | None, identity: Identity, now_s: float, nodes: frozenset[str] | None = None
) -> StatusChange | None:
    """Decide whether a Route's status must be written, and how.

    Args:
        route: the Route as it was last read.
        verdict: what became of it; None for a Route that is not ours.
        identity: whose entry it is.
        now_s: seconds since the epoch.
        nodes: where routers of ours run, whose statements are theirs to take back; None where that is not known.

    Returns:
        The write; None if the status already says what it shall.
    """
    places = [index for index, entry in enumerate(_ingress(route)) if entry.router_name == identity.router_name]
    former = _ingress(route)[places[0]] if places else None
    entry = desired_entry(route, verdict, identity, now_s, nodes) if verdict is not None else None
    if entry == former and len(places) <= 1:
        return None
    return StatusChange(_patch(route, entry, places), entry, former)


def desired_entry(
    route: Route, verdict: Verdict, identity: Identity, now_s: float, nodes: frozenset[str] | None = None
) -> RouteIngress:
    """Give the entry that a Route of ours shall have.

    What another node has said of itself stays while a router runs there: that one takes it back. A rejection, which holds on
    every node, takes its place.

    The time of a condition moves when its status does; that of ``PortClaimed`` also when the port is another one, since it
    says when the port was won.
    """
    now = timestamp(now_s)
    conditions = [_kept_statement(route, verdict, identity, nodes) or _admitted(verdict)]
    if claim := _port_claimed(route, verdict, identity.router_name):
        conditions.append(claim)
    has_host = verdict.host is not None
    return RouteIngress(
        router_name=identity.router_name,
        host=(route.spec.host or verdict.host or "") if has_host else "",
        router_canonical_hostname=identity.canonical_hostname,
        wildcard_policy=(route.spec.wildcard_policy or "None") if has_host else "",
        conditions=tuple(
            msgspec.structs.replace(
                condition, last_transition_time=_since(route, condition, identity.router_name) or now
            )
            for condition in conditions
        ),
    )


def has_entry(route: Route, router_name: str) -> bool:
    """Say whether the Route's status has an entry of this router."""
    return any(entry.router_name == router_name for entry in _ingress(route))


def own_entry(route: Route, identity: Identity) -> RouteIngress | None:
    """Give our (first) entry in the Route's status, None if there is none."""
    return next((entry for entry in _ingress(route) if entry.router_name == identity.router_name), None)


def may_be_anothers(route: Route, identity: Identity, *, was_ours: bool) -> bool:
    """Say whether an entry with our name on a Route that is out of our sight may be of another router that has our name.

    Two routers may share a name and divide the Routes by labels. Then the name by which clients reach them is another: an
    entry with another one is not ours. Without any, only a Route that this process has seen for itself (``was_ours``) is
    known to have been ours.
    """
    hostname = identity.canonical_hostname
    ours = [entry for entry in _ingress(route) if entry.router_name == identity.router_name]
    return any(entry.router_canonical_hostname != hostname for entry in ours) or not (hostname or was_ours)


def condition_of(entry: RouteIngress | None, kind: str) -> RouteCondition | None:
    """Give the condition of this type, None if there is none."""
    conditions = (entry.conditions or ()) if entry is not None else ()
    return next((condition for condition in conditions if condition.type == kind), None)


def timestamp(seconds: float) -> str:
    """Write seconds since the epoch as ``metav1.Time`` does: RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ingress(route: Route) -> tuple[RouteIngress, ...]:
    return route.status.ingress or ()


def _admitted(verdict: Verdict) -> RouteCondition:
    if verdict.reason is None:
        # OpenShift's router gives neither reason nor message here.
        return RouteCondition(type=ADMITTED, status="True")
    return RouteCondition(
        type=ADMITTED, status="False", reason=str(verdict.reason), message=verdict.message[:MAX_MESSAGE]
    )


def _kept_statement(
    route: Route, verdict: Verdict, identity: Identity, nodes: frozenset[str] | None
) -> RouteCondition | None:
    node = named_node(route, identity)
    if node is None or node == identity.node or nodes is None or node not in nodes:
        return None
    if not (verdict.admitted or verdict.set_aside):
        return None
    return next(each for each in _our_conditions(route, identity.router_name) if each.type == ADMITTED)


def _port_claimed(route: Route, verdict: Verdict, router_name: str) -> RouteCondition | None:
    """Give the memory of the claim, for who has the port.

    A Route that is set aside keeps the port that it held, and wins none: only what was served is a claim. Who lost, or was
    rejected for anything else, claims nothing (docs/admission.md); kept there, the memory would take the port back from its
    next holder.
    """
    if verdict.port is None:
        return None
    claim = RouteCondition(type=PORT_CLAIMED, status="True", message=str(Spot(verdict.port, verdict.address)))
    if verdict.admitted or (verdict.is_kept and _since(route, claim, router_name) is not None):
        return claim
    return None


def _since(route: Route, wanted: RouteCondition, router_name: str) -> str | None:
    """Give since when one of our entries has said the same, None if none has."""
    for condition in _our_conditions(route, router_name):
        same = condition.type == wanted.type and condition.status == wanted.status
        if same and (wanted.type != PORT_CLAIMED or condition.message == wanted.message):
            return condition.last_transition_time or ""
    return None


def _our_conditions(route: Route, router_name: str) -> Iterator[RouteCondition]:
    for entry in _ingress(route):
        if entry.router_name == router_name:
            yield from entry.conditions or ()


def _patch(route: Route, entry: RouteIngress | None, places: list[int]) -> Patch:
    """Make the patch that replaces, adds or removes our entry.

    A resourceVersion in a patch is a precondition: API servers answer 409 where it is not the stored one. (``test`` of JSON
    Patch would be one too, but its failure is answered by 422, as an invalid object is.)
    """
    version = route.metadata.resource_version
    if not _ingress(route) and entry is not None:
        # JSON Patch would have to know whether status is absent, or empty, or its list is null; a merge need not.
        merge = {"metadata": {"resourceVersion": version}, "status": {"ingress": [_plain(entry)]}}
        return Patch(MERGE_PATCH, write(merge))
    operations: list[dict[str, Any]] = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
    kept = places[:1] if entry is not None else []
    if entry is not None:
        operation = (
            {"op": "replace", "path": f"/status/ingress/{kept[0]}"}
            if kept
            else {"op": "add", "path": "/status/ingress/-"}
        )
        operations.append({**operation, "value": _plain(entry)})
    # From the end, so that no removal moves the next. Of very many the rest goes with the write that follows this one.
    surplus = list(reversed(places[len(kept) :]))[:_MAX_REMOVED]
    operations += [{"op": "remove", "path": f"/status/ingress/{place}"} for place in surplus]
    return Patch(JSON_PATCH, write(operations))


def _plain(entry: RouteIngress) -> dict[str, Any]:
    """Give an entry as JSON has it, without what is empty."""
    value: dict[str, Any] = _without_empty(msgspec.to_builtins(entry))
    value["conditions"] = [_without_empty(condition) for condition in value["conditions"]]
    return value


def _without_empty(value: dict[str, Any]) -> dict[str, Any]:
    return {key: member for key, member in value.items() if member not in (None, "")}
