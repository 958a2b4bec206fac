"""What the status of a Service shall say of this router, and the patch that makes it say so; pure.

One condition in ``status.conditions`` (KEP-1623, a map by type) is ours, and ``status.loadBalancer`` where we are its load balancer, written by server-side apply with a field manager of each router's own: what
others say is never sent, and what we say is taken back by applying nothing. Its message begins with the router's name, and says which
ports the Service has; that is the memory of its claims (``router.admission.service``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from router.admission import Verdict
from router.admission.service import ADMITTED as CONDITION
from router.admission.service import held, holding, said_by
from router.errors import ApiInvalid
from router.kube.api import Api
from router.model import SERVICE_KIND, Asker
from router.objects.core import LoadBalancerIngress, Service
from router.objects.decoding import Misfit, decode
from router.objects.meta import ObjectKey
from router.objects.route import RouteCondition, RouteIngress
from router.shapes import read_any, reader, write
from router.status.balanced import ingress_of, warnings_of
from router.status.route import ADMITTED, MAX_MESSAGE, PORT_CLAIMED, Identity, Patch, StatusChange, timestamp

APPLY_PATCH = "application/apply-patch+yaml"
_ON_NODE = re.compile(r"on node (\S+): ")
_MODE = b'"ipMode"'
_MAX_MANAGER = 128
"""Of a field manager's name: apimachinery, pkg/apis/meta/v1/validation."""

_decode_service = reader(Service)


def summed(service: Service, verdicts: Iterable[Verdict], identity: Identity) -> Verdict | None:
    """Sum up what became of the ports that a Service asks for; None where it asks for none.

    A port that is set aside is kept where it was had before, as with Routes: only what was served is a claim.
    """
    sections = sorted(verdicts, key=lambda verdict: verdict.asker)
    if not sections:
        return None
    had = held(service, identity.router_name)
    has = {
        each.asker.section: each.port
        for each in sections
        if each.port is not None and (each.admitted or (each.is_kept and had.get(each.asker.section) == each.port))
    }
    lost = [each for each in sections if not each.admitted]
    address = sections[0].address
    said = [f"{holding(has)} on address {address}" if address else holding(has)] if has else []
    said += _losses(lost)
    whole = sections[0].asker._replace(section="")
    return Verdict(
        asker=whole,
        port=sections[0].port if len(sections) == 1 else None,
        reason=lost[0].reason if lost else None,
        message="; ".join(said),
        warnings=tuple(dict.fromkeys(warning for each in sections for warning in each.warnings)),
        set_aside=bool(lost) and all(each.set_aside for each in lost),
        sections=tuple(sections),
        address=address,
    )


def _losses(lost: Iterable[Verdict]) -> Iterator[str]:
    """Say why ports are not served; what is so of several is said once."""
    by_message: dict[str, list[str]] = {}
    for each in lost:
        by_message.setdefault(each.message, []).append(each.asker.section)
    for message, names in by_message.items():
        named = ", ".join(filter(None, names))
        yield f"{named}: {message}" if named else message


def decide_status(
    service: Service, verdict: Verdict | None, identity: Identity, now_s: float, nodes: frozenset[str] | None = None
) -> StatusChange | None:
    """Decide whether a Service's status must be written, and how.

    Args:
        service: the Service as it was last read.
        verdict: what became of all that it asks for; None for one that asks for nothing.
        identity: whose condition it is.
        now_s: seconds since the epoch.
        nodes: where routers of ours run, whose statements are theirs to take back; None where that is not known.

    Returns:
        The write; None if the status already says what it shall.
    """
    former = said_by(service, identity.router_name)
    if verdict is None:
        if former is None:
            return None
        return StatusChange(_patch(service, None, (), identity), None, own_entry(service, identity))
    ingress = ingress_of(service, verdict, identity.router_name, identity.canonical_hostname, identity.balancing)
    is_told = service.router_of_class != identity.router_name or ingress == service.status.ingress
    status, reason = ("True", "Admitted") if verdict.admitted else ("False", str(verdict.reason))
    message = f"{identity.router_name}: {verdict.message[:MAX_MESSAGE]}"
    if former is not None:
        if (former.status, former.reason, former.message) == (status, reason, message) and is_told:
            return None
        node = named_node(service, identity)
        is_anothers = node is not None and node != identity.node and nodes is not None and node in nodes
        if is_anothers and (verdict.admitted or verdict.set_aside):
            if is_told:
                return None
            entry = own_entry(service, identity)
            return StatusChange(_patch(service, msgspec.to_builtins(former), ingress, identity), entry, entry)
    since = former.last_transition_time if former is not None and former.status == status else None
    condition = {
        "type": CONDITION,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or timestamp(now_s),
    }
    entry = _entry(identity, status, reason, verdict.message[:MAX_MESSAGE])
    return StatusChange(_patch(service, condition, ingress, identity), entry, own_entry(service, identity))


def warnings(service: Service, verdict: Verdict, identity: Identity) -> tuple[str, ...]:
    """Give what there is to warn of by who we are."""
    return warnings_of(service, verdict, identity.router_name, identity.canonical_hostname, identity.balancing)


def own_entry(service: Service, identity: Identity) -> RouteIngress | None:
    """Give what our condition says as a Route's entry would say it, so that Events are told alike; None if there is none."""
    former = said_by(service, identity.router_name)
    if former is None:
        return None
    return _entry(identity, former.status, former.reason, former.message.partition(": ")[2])


def named_node(service: Service, identity: Identity) -> str | None:
    """Give the node that our condition says has something against a Service; None where it says no such thing."""
    former = said_by(service, identity.router_name)
    if former is None or former.status != "False":
        return None
    named = _ON_NODE.search(former.message)
    return named[1] if named is not None else None


def same_request(one: Service, other: Service) -> bool:
    """Say whether a verdict about one is about the other: the same object, asking for the same."""

    def asked(service: Service) -> tuple[object, ...]:
        spec = service.spec
        of_balancer = spec.load_balancer_class, spec.load_balancer_source_ranges, spec.allocate_load_balancer_node_ports
        return service.metadata.uid, service.metadata.annotations, spec.type, spec.ports, of_balancer

    return asked(one) == asked(other)


def read_service(api: Api, key: ObjectKey) -> Service:
    """Read a Service.

    Raises:
        ApiError: as the API server answered; ApiInvalid also where the answer is no Service.
    """
    return _decoded(api.get(_path(key)))


def patch_status(api: Api, key: ObjectKey, patch: Patch, identity: Identity) -> None:
    """Write a Service's status, and look what the API server made of IPs in it; by the answer, for anybody may have written it since.

    Raises:
        ApiError: as the API server answered; ApiConflict where the Service is another one of that name by now.
    """
    answer = api.patch(f"{_path(key)}/status?{patch.query}", patch.body, patch.content_type)
    if _MODE in patch.body:
        identity.balancing.look(_decoded(answer))


def whole(service: Service) -> Asker:
    """Give the Service as an asker, whatever its sections."""
    return Asker("", SERVICE_KIND, *service.key, "", service.metadata.uid)


def _entry(identity: Identity, status: str, reason: str, message: str) -> RouteIngress:
    has, is_also, _ = message.partition(";")
    has = has if status == "True" or is_also else ""
    return RouteIngress(
        router_name=identity.router_name,
        router_canonical_hostname=identity.canonical_hostname,
        conditions=(
            RouteCondition(ADMITTED, status, reason, message),
            RouteCondition(PORT_CLAIMED, "True", message=has),
        ),
    )


def _patch(
    service: Service,
    condition: Mapping[str, Any] | None,
    ingress: tuple[LoadBalancerIngress, ...],
    identity: Identity,
) -> Patch:
    metadata = service.metadata
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": SERVICE_KIND,
        # A uid is a precondition: what was decided about one Service is not written to another one of its name.
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
    }
    if condition is not None:
        body["status"] = {"conditions": [dict(condition)]}
    if ingress:
        body["status"]["loadBalancer"] = {"ingress": [_as_json(each) for each in ingress]}
    manager = f"tcp-router/{identity.router_name}"[:_MAX_MANAGER]
    return Patch(APPLY_PATCH, write(body), urlencode({"fieldManager": manager, "force": "true"}))


def _as_json(ingress: LoadBalancerIngress) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(ingress)
    said["ports"] = [
        {key: value for key, value in port.items() if value is not None} for port in said.get("ports") or ()
    ]
    return said


def _decoded(body: bytes) -> Service:
    try:
        return _decode_service(body)
    except msgspec.DecodeError:
        service = _decoded_with_nulls(body)
    if isinstance(service, Misfit):
        raise ApiInvalid(f"the API server gave something that is no Service: {service}")
    return service


def _decoded_with_nulls(body: bytes) -> Service | Misfit:
    try:
        value = read_any(body)
    except msgspec.DecodeError as error:
        return Misfit(f"is no JSON: {error}")
    return decode(Service, value) if isinstance(value, dict) else Misfit("is no object")


def _path(key: ObjectKey) -> str:
    return f"/api/v1/namespaces/{key.namespace}/services/{key.name}"
