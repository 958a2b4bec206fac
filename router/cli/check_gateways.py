"""What ``tcp-router check`` says of objects of the Gateway API, beside the verdicts of listeners."""

from __future__ import annotations

from router.admission import Outcome
from router.admission.gateway.complaints import complaints
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND, PolicyState
from router.objects.meta import ObjectKey
from router.objects.store import Objects
from router.objects.tcp_route_policy import POLICY_KIND


def told(outcome: Outcome) -> list[str]:
    """Give what objects of ours are told that is not as they want it."""
    return [f"told: {key}: {each}" for key, state in outcome.gateway_api.items() for each in complaints(state)]


def warned(outcome: Outcome) -> list[str]:
    """Give what policies that are in force say without effect."""
    return [
        f"warning: {key}: target {each.ref.kind} {each.ref.name}: {each.accepted.message}"
        for key, state in outcome.gateway_api.items()
        if isinstance(state, PolicyState)
        for each in state.ancestors
        if each.accepted.holds and each.accepted.message
    ]


def left_alone(objects: Objects, outcome: Outcome) -> list[str]:
    """Name what is of nobody here: Gateways of another class, ListenerSets of no Gateway of this router, and policies of which no target is its."""
    api = objects.gateway_api
    ours = {(key.kind, ObjectKey(key.namespace, key.name)) for key in outcome.gateway_api}
    gateways = [
        f"left alone: {GATEWAY_KIND} {key}: there is no GatewayClass {gateway.spec.gateway_class_name} of this router (--gateway-controller)"
        for key, gateway in sorted(api.gateways.items())
        if (GATEWAY_KIND, key) not in ours
    ]
    others = (
        (LISTENER_SET_KIND, api.listener_sets, "its parentRef is no Gateway of this router"),
        (POLICY_KIND, api.policies, "none of its targets is of a Gateway of this router"),
    )
    return gateways + [
        f"left alone: {kind} {key}: {why}"
        for kind, known, why in others
        for key in sorted(known)
        if (kind, key) not in ours
    ]


def not_judged(objects: Objects) -> list[str]:
    """Say what is not looked at where Gateways are not served; nothing where there is nothing."""
    api = objects.gateway_api
    counts = {GATEWAY_KIND: len(api.gateways), LISTENER_SET_KIND: len(api.listener_sets), "TCPRoute": len(api.tcp_routes),
              "TLSRoute": len(api.tls_routes), POLICY_KIND: len(api.policies)}  # fmt: skip
    there = ", ".join(f"{count} of kind {kind}" for kind, count in counts.items() if count)
    return [f"not judged: {there}: --gateway-api is off"] if there else []


def lines(objects: Objects, outcome: Outcome, *, serves: bool) -> list[str]:
    """Give all lines about the Gateway API: what is told, warnings, and who is left alone."""
    if not serves:
        return not_judged(objects)
    return [*told(outcome), *warned(outcome), *left_alone(objects, outcome)]
