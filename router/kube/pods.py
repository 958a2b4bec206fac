"""Find a pod of a Deployment that is ready."""

from __future__ import annotations

import msgspec

from router.errors import ApiError, ApiNotFound, RouterUnreachable
from router.kube.api import Api
from router.shapes import reader

_OPERATORS = {"In": "in", "NotIn": "notin"}


class _Expression(msgspec.Struct, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = None


class _Selector(msgspec.Struct, frozen=True, rename="camel"):
    match_labels: dict[str, str] | None = None
    match_expressions: tuple[_Expression, ...] | None = None


class _DeploymentSpec(msgspec.Struct, frozen=True):
    selector: _Selector


class _Deployment(msgspec.Struct, frozen=True):
    spec: _DeploymentSpec


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _PodMetadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    deletion_timestamp: str | None = None


class _PodStatus(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None


class _Pod(msgspec.Struct, frozen=True):
    metadata: _PodMetadata
    status: _PodStatus = _PodStatus()


class _PodList(msgspec.Struct, frozen=True):
    items: tuple[_Pod, ...] = ()


_read_deployment = reader(_Deployment)
_read_pods = reader(_PodList)


def ready_pod(api: Api, namespace: str, deployment: str) -> str:
    """Give the name of the Deployment's first ready pod, by name.

    Raises:
        RouterUnreachable: there is no such Deployment, or none of its pods is ready.
        ApiError: the API server cannot be asked.
    """
    try:
        body = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}")
    except ApiNotFound as error:
        raise RouterUnreachable(
            f"there is no Deployment {deployment} in namespace {namespace}; name the router's by --deployment and --namespace"
        ) from error
    try:
        selector = selector_text(_read_deployment(body).spec.selector)
        found = api.get(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": selector})
        pods = _read_pods(found).items
    except msgspec.DecodeError as error:
        raise ApiError(f"the API server's answer about Deployment {deployment} cannot be read: {error}") from error
    ready = sorted(pod.metadata.name for pod in pods if _is_ready(pod))
    if not ready:
        raise RouterUnreachable(
            f"Deployment {deployment} in namespace {namespace} has {len(pods)} pods, and none of them is ready"
        )
    return ready[0]


def selector_text(selector: _Selector) -> str:
    """Write a LabelSelector as the query of a list takes it (Kubernetes, "Labels and Selectors", API)."""
    terms = [f"{key}={value}" for key, value in sorted((selector.match_labels or {}).items())]
    for expression in selector.match_expressions or ():
        if expression.operator in _OPERATORS:
            terms.append(f"{expression.key} {_OPERATORS[expression.operator]} ({','.join(expression.values or ())})")
        else:
            terms.append(expression.key if expression.operator == "Exists" else f"!{expression.key}")
    return ",".join(terms)


def _is_ready(pod: _Pod) -> bool:
    if pod.metadata.deletion_timestamp is not None:
        return False
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
