"""What ``tcp-router check`` says of objects of the Gateway API, beside the verdicts of listeners."""

from __future__ import annotations

from router.admission import Outcome
from router.admission.gateway.complaints import complaints
from router.admission.gateway.states import GATEWAY_KIND, LISTENER_SET_KIND
from router.objects.meta import ObjectKey
from router.objects.store import Objects


def told(outcome: Outcome) -> list[str]:
    """Give what objects of ours are told that is not as they want it."""
    return [f"told: {key}: {each}" for key, state in outcome.gateway_api.items() for each in complaints(state)]


def left_alone(objects: Objects, outcome: Outcome) -> list[str]:
    """Name the Gateways whose class is none of this router's, or not among the objects, and the ListenerSets of no Gateway of this router."""
    ours = {ObjectKey(key.namespace, key.name) for key in outcome.gateway_api if key.kind == GATEWAY_KIND}
    gateways = [
        f"left alone: {GATEWAY_KIND} {key}: there is no GatewayClass {gateway.spec.gateway_class_name} of this router (--gateway-controller)"
        for key, gateway in sorted(objects.gateway_api.gateways.items())
        if key not in ours
    ]
    sets = {ObjectKey(key.namespace, key.name) for key in outcome.gateway_api if key.kind == LISTENER_SET_KIND}
    return gateways + [
        f"left alone: {LISTENER_SET_KIND} {key}: its parentRef is no Gateway of this router"
        for key in sorted(objects.gateway_api.listener_sets.keys() - sets)
    ]
