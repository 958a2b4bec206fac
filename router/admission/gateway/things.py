"""Objects of the Gateway API, as the book looks them up."""

from __future__ import annotations

from router.admission.certificates import judge_pair
from router.admission.gateway.states import StateKey
from router.objects.credential import Credential, Lack
from router.objects.gateway import HttpRoute, TcpRoute, TlsRoute
from router.objects.gateway_objects import GatewayObjects
from router.objects.meta import ObjectKey
from router.objects.store import Objects

ServedRoute = TcpRoute | TlsRoute
AnyRoute = ServedRoute | HttpRoute


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


def secret_problem(key: ObjectKey, objects: Objects) -> str:
    """Say what keeps a Secret from being served; empty where nothing does. On a cluster it was judged when it came, else it is a manifest."""
    judged = objects.gateway_api.secrets.get(key)
    if judged is not None:
        return judged.problem
    found = objects.credentials.get(key)
    return "it does not exist" if found is None else credential_problem(found)


def credential_problem(credential: Credential) -> str:
    """Say what keeps a certificate with its key from being served; empty where nothing does."""
    if credential.lack is not Lack.NOTHING:
        return credential.problem or f"it is {credential.lack}"
    pair = judge_pair("the Secret", credential.certificate, credential.key_pem, "")
    return pair if isinstance(pair, str) else ""
