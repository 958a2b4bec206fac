"""What ``tcp-router check`` says of objects of the Gateway API, beside the verdicts of listeners."""

from __future__ import annotations

from router.admission import Outcome
from router.admission.gateway.complaints import complaints
from router.admission.gateway.tables import GATEWAY_KIND
from router.objects.meta import ObjectKey
from router.objects.store import Objects


def told(outcome: Outcome) -> list[str]:
    """Give what objects of ours are told that is not as they want it."""
    return [f"told: {key}: {each}" for key, state in outcome.gateway_api.items() for each in complaints(state)]


def left_alone(objects: Objects, outcome: Outcome) -> list[str]:
    """Name the Gateways whose class is none of this router's, or not among the objects."""
    ours = {ObjectKey(key.namespace, key.name) for key in outcome.gateway_api if key.kind == GATEWAY_KIND}
    return [
        f"left alone: {GATEWAY_KIND} {key}: there is no GatewayClass {gateway.spec.gateway_class_name} of this router (--gateway-controller)"
        for key, gateway in sorted(objects.gateway_api.gateways.items())
        if key not in ours
    ]
