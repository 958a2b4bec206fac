"""Objects of the Gateway API, as the book looks them up."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.admission.certificates import Pair, judge_pair
from router.admission.gateway.listeners import LabelsOf
from router.admission.gateway.states import (
    ACCEPTED,
    ALL_ACCEPTED,
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    ClassState,
    StateKey,
    not_so,
)
from router.objects.credential import Credential, Lack
from router.objects.gateway import Gateway, GatewayClass, HttpRoute, ListenerSet, TcpRoute, TlsRoute
from router.objects.gateway_objects import GatewayObjects
from router.objects.meta import ObjectKey
from router.objects.secret import TLS_TYPE
from router.objects.store import Objects

ServedRoute = TcpRoute | TlsRoute
AnyRoute = ServedRoute | HttpRoute
CLASS_KIND = "GatewayClass"
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def object_of(key: StateKey, api: GatewayObjects) -> AnyRoute | Gateway | ListenerSet | None:
    """Give a route, a Gateway or a ListenerSet; None if it is not there."""
    if key.kind == GATEWAY_KIND:
        return api.gateways.get(ObjectKey(key.namespace, key.name))
    if key.kind == LISTENER_SET_KIND:
        return api.listener_sets.get(ObjectKey(key.namespace, key.name))
    return route_of(key, api)


def route_of(key: StateKey, api: GatewayObjects) -> AnyRoute | None:
    """Give a route; None if it is not there."""
    place = ObjectKey(key.namespace, key.name)
    match key.kind:
        case "TCPRoute":
            return api.tcp_routes.get(place)
        case "TLSRoute":
            return api.tls_routes.get(place)
        case _:
            return api.http_routes.get(place)


def class_state(obj: GatewayClass | None, controller: str) -> ClassState | None:
    """Give what a GatewayClass is told; nothing where it is none of this controller's."""
    if obj is None or obj.spec.controller_name != controller:
        return None
    said = ALL_ACCEPTED
    if obj.spec.parameters_ref is not None:
        said = not_so(ACCEPTED, "InvalidParameters", "parametersRef is none that this router knows; it knows none")
    return ClassState(
        key=StateKey(CLASS_KIND, "", obj.key.name),
        uid=obj.metadata.uid,
        generation=obj.metadata.generation,
        accepted=said,
    )


def labels_in(objects: Objects) -> LabelsOf:
    """Give what gives the labels of namespaces, None of those that are not known."""

    def labels_of(namespace: str) -> Mapping[str, str] | None:
        found = objects.namespaces.get(ObjectKey("", namespace))
        return (found.metadata.labels or _NO_LABELS) if found is not None else None

    return labels_of


def pair_in(key: ObjectKey, objects: Objects) -> Pair | str | None:
    """Give what is in a Secret, or what keeps it from being served; None of one that is whole, and of which nothing more is kept.

    On a cluster it was judged when it came, else it is a manifest.
    """
    judged = objects.gateway_api.secrets.get(key)
    if judged is not None:
        return judged.problem or (judge_credential(judged.credential) if judged.credential is not None else None)
    found = objects.credentials.get(key)
    return f"there is none of type {TLS_TYPE}" if found is None else judge_credential(found)


def judge_credential(credential: Credential) -> Pair | str:
    """Give a certificate with its key, or what keeps them from being served."""
    if credential.lack is not Lack.NOTHING:
        return credential.problem or f"it is {credential.lack}"
    return judge_pair("the Secret", credential.certificate, credential.key_pem, "")
