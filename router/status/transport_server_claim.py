"""What the status of a TransportServerClaim shall say of this router, and the patch that makes it say so; pure, but for reading and writing.

``address`` and ``port`` (text) are where clients connect, as Porter writes them; the conditions are ours. The CRD of that operator has no schema, by
which a list would be a map: so the whole list is written, with whatever others say in it, under the precondition that the claim is still
the one that was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from router.admission import Verdict
from router.admission.transport_server_claim import ADMITTED, was_told
from router.admission.verdicts import Reason
from router.errors import ApiInvalid
from router.kube.api import Api
from router.objects.core import Condition
from router.objects.decoding import Misfit, decode
from router.objects.meta import ObjectKey
from router.objects.porter import GROUP, VERSION, TransportServerClaim
from router.objects.route import RouteCondition, RouteIngress
from router.shapes import read_any, write
from router.status.reached import reached_at, unknown_address
from router.status.route import ADMITTED as ENTRY_ADMITTED
from router.status.route import MAX_MESSAGE, MERGE_PATCH, PORT_CLAIMED, Identity, Patch, StatusChange, timestamp

READY, REQUESTED_PORT, PAIRING = "Ready", "RequestedPort", "Pairing"
"""Types of conditions of ours, beside ``Admitted``."""
_OURS = (ADMITTED, READY, REQUESTED_PORT, PAIRING)
OTHER_PORT = "OtherPortGiven"
"""What a warning begins with of a claim that would have had another port."""
_SERVED = "Served"
_ON_NODE = re.compile(r"on node (\S+): ")
_HAS = "has"
_KEEPS_NOTHING = frozenset({
    Reason.NO_PORT_FREE, Reason.PORT_QUOTA_EXCEEDED, Reason.PORT_NOT_ALLOWED, Reason.ADDRESS_NOT_ALLOWED, Reason.ALLOCATING,
    Reason.CLAIMS_UNAVAILABLE, Reason.PORT_ALREADY_CLAIMED, Reason.PAIRING,
})  # fmt: skip
"""Why a claim has no port, so that its status must not go on saying that it has."""


def summed(_claim: TransportServerClaim, verdicts: Iterable[Verdict], _identity: Identity) -> Verdict | None:
    """Give the one verdict of a claim."""
    return next(iter(verdicts), None)


def decide_status(
    claim: TransportServerClaim,
    verdict: Verdict | None,
    identity: Identity,
    now_s: float,
    nodes: frozenset[str] | None = None,
) -> StatusChange | None:
    """Decide whether a claim's status must be written, and how.

    Args:
        claim: the claim as it was last read.
        verdict: what became of it; None for one that is not ours.
        identity: whose conditions they are.
        now_s: seconds since the epoch.
        nodes: where routers of ours run, whose statements are theirs to take back; None where that is not known.

    Returns:
        The write; None if the status already says what it shall, or is somebody else's to write.
    """
    former = own_entry(claim, identity)
    if verdict is None:
        return StatusChange(_patch(claim, {}, "", ""), None, former) if former is not None else None
    if verdict.reason is Reason.LEFT_TO_OTHERS:
        return None
    if _is_anothers(claim, verdict, identity, nodes):
        return None
    conditions = {each.type: each for each in _conditions(claim, verdict, identity)}
    address, port = _reached(claim, verdict, identity)
    told = {each.type: each for each in claim.conditions}
    is_told = (address, port) == (claim.told_address, claim.told_port) and all(
        _same(told.get(kind), conditions.get(kind)) for kind in _OURS
    )
    if is_told:
        return None
    now = timestamp(now_s)
    written = {kind: _as_json(each, told.get(kind), now) for kind, each in conditions.items()}
    said = conditions[ADMITTED]
    entry = _entry(identity, said.status, said.reason, said.message)
    return StatusChange(_patch(claim, written, address, port), entry, former)


def warnings(_claim: TransportServerClaim, verdict: Verdict, identity: Identity) -> tuple[str, ...]:
    """Say so where a claim is left to somebody else, whose status is not written; or is served and its status has no address, and by which option it would."""
    if verdict.reason is Reason.LEFT_TO_OTHERS:
        return (f"{verdict.reason}: {verdict.message}",)
    return unknown_address("status.address", verdict, identity)


def own_entry(claim: TransportServerClaim, identity: Identity) -> RouteIngress | None:
    """Give what our condition says as a Route's entry would say it, so that Events are told alike; None if there is none."""
    said = _said(claim, identity.router_name)
    return _entry(identity, said.status, said.reason, said.message) if said is not None else None


def named_node(claim: TransportServerClaim, identity: Identity) -> str | None:
    """Give the node that our condition says has something against a claim; None where it says no such thing."""
    said = _said(claim, identity.router_name)
    if said is None or said.status != "False":
        return None
    named = _ON_NODE.search(said.message)
    return named[1] if named is not None else None


def same_request(one: TransportServerClaim, other: TransportServerClaim) -> bool:
    """Say whether a verdict about one is about the other: the same object, asking for the same."""

    def asked(claim: TransportServerClaim) -> tuple[object, ...]:
        return claim.metadata.uid, claim.metadata.annotations, claim.spec, claim.metadata.finalizers

    return asked(one) == asked(other)


def read_claim(api: Api, key: ObjectKey) -> TransportServerClaim:
    """Read a claim.

    Raises:
        ApiError: as the API server answered; ApiInvalid also where the answer is no claim.
    """
    try:
        value = read_any(api.get(_path(key)))
    except msgspec.DecodeError as error:
        raise ApiInvalid(f"the API server gave something that is no JSON: {error}") from error
    claim = decode(TransportServerClaim, value) if isinstance(value, dict) else Misfit("is no object")
    if isinstance(claim, Misfit):
        raise ApiInvalid(f"the API server gave something that is no TransportServerClaim: {claim}")
    return claim


def patch_status(api: Api, key: ObjectKey, patch: Patch, _identity: Identity) -> None:
    """Write a claim's status.

    Raises:
        ApiError: as the API server answered; ApiConflict where the claim is another one, or says something else, by now.
    """
    api.patch(f"{_path(key)}/status", patch.body, patch.content_type)


def _reached(claim: TransportServerClaim, verdict: Verdict, identity: Identity) -> tuple[str, str]:
    """Give what the status shall say of address and port; what it said stays while it is only not known which these are."""
    address, port = reached_at(verdict, identity)
    if port:
        return address, port
    if verdict.reason in _KEEPS_NOTHING or not was_told(claim, identity.router_name):
        return "", ""
    return claim.told_address, claim.told_port


def _is_anothers(
    claim: TransportServerClaim, verdict: Verdict, identity: Identity, nodes: frozenset[str] | None
) -> bool:
    """Say whether the condition is of another node, which takes it back itself, as long as a router runs there."""
    node = named_node(claim, identity)
    is_elsewhere = node is not None and node != identity.node and nodes is not None and node in nodes
    return is_elsewhere and (verdict.admitted or verdict.set_aside)


def _conditions(claim: TransportServerClaim, verdict: Verdict, identity: Identity) -> Iterator[Condition]:
    message = verdict.message[:MAX_MESSAGE]
    if verdict.port is not None:
        where = f"port {verdict.port}" + (f" on address {verdict.address}" if verdict.address else "")
        message = f"{_HAS} {where}; {message}" if message else f"{_HAS} {where}"
    status, reason = ("True", "Admitted") if verdict.admitted else ("False", str(verdict.reason))
    yield Condition(ADMITTED, status, reason, f"{identity.router_name}: {message}")
    if not verdict.admitted:
        yield Condition(READY, "False", str(verdict.reason), verdict.message[:MAX_MESSAGE])
    elif verdict.lack is not None:
        yield Condition(READY, "False", str(verdict.lack), _lacking(verdict)[:MAX_MESSAGE])
    else:
        yield Condition(READY, "True", _SERVED)
    yield from _requested(claim, verdict)
    if verdict.reason is Reason.PAIRING:
        yield Condition(PAIRING, "True", "WaitsForPair", verdict.message[:MAX_MESSAGE])


def _lacking(verdict: Verdict) -> str:
    """Give the warning that says what its Service lacks."""
    about = [each for each in verdict.warnings if "Service " in each]
    return next(iter(about[-1:] or verdict.warnings[-1:]), "")


def _requested(claim: TransportServerClaim, verdict: Verdict) -> Iterator[Condition]:
    spec = claim.spec if isinstance(claim.spec, Mapping) else {}
    asked = spec.get("requestedPort")
    if asked is None or verdict.port is None:
        return
    other = next((each for each in verdict.warnings if each.startswith(f"{OTHER_PORT}: ")), None)
    if other is not None:
        yield Condition(REQUESTED_PORT, "False", OTHER_PORT, other.partition(": ")[2][:MAX_MESSAGE])
    elif verdict.port == asked:
        yield Condition(REQUESTED_PORT, "True", "Given")


def _said(claim: TransportServerClaim, router_name: str) -> Condition | None:
    return (
        next((each for each in claim.conditions if each.type == ADMITTED), None)
        if was_told(claim, router_name)
        else None
    )


def _same(told: Condition | None, wanted: Condition | None) -> bool:
    if told is None or wanted is None:
        return told is wanted
    return (told.status, told.reason, told.message) == (wanted.status, wanted.reason, wanted.message)


def _as_json(wanted: Condition, told: Condition | None, now: str) -> dict[str, Any]:
    since = told.last_transition_time if told is not None and told.status == wanted.status else None
    return {
        "type": wanted.type,
        "status": wanted.status,
        "reason": wanted.reason,
        "message": wanted.message,
        "lastTransitionTime": since or now,
    }


def _entry(identity: Identity, status: str, reason: str, message: str) -> RouteIngress:
    said = message.removeprefix(f"{identity.router_name}: ")
    has, _, _ = said.partition(";")
    return RouteIngress(
        router_name=identity.router_name,
        router_canonical_hostname=identity.canonical_hostname,
        conditions=(
            RouteCondition(ENTRY_ADMITTED, status, reason, said),
            RouteCondition(PORT_CLAIMED, "True", message=has if has.startswith(f"{_HAS} ") else ""),
        ),
    )


def _patch(claim: TransportServerClaim, conditions: Mapping[str, Any], address: str, port: str) -> Patch:
    """Make the patch; what others say in the list stays as it is, in its order."""
    listed = claim.said.get("conditions")
    others = [
        each
        for each in (listed if isinstance(listed, list) else ())
        if not (isinstance(each, Mapping) and each.get("type") in _OURS)
    ]
    body = {
        "metadata": {"resourceVersion": claim.metadata.resource_version, "uid": claim.metadata.uid},
        "status": {
            "address": address or None,
            "port": port or None,
            "conditions": [*others, *conditions.values()] or None,
        },
    }
    return Patch(MERGE_PATCH, write(body))


def _path(key: ObjectKey) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/transportserverclaims/{key.name}"
