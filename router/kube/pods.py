"""Find a pod of a router's Deployment that is ready, and the port of its HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from router.errors import ApiError, ApiNotFound, RouterUnreachable
from router.kube.api import Api
from router.shapes import reader

_PORT = re.compile("[1-9][0-9]{0,4}")
_OPERATORS = {"In": "in", "NotIn": "notin"}


class _Expression(msgspec.Struct, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = None


class _Selector(msgspec.Struct, frozen=True, rename="camel"):
    match_labels: dict[str, str] | None = None
    match_expressions: tuple[_Expression, ...] | None = None


class _Variable(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class _ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int
    name: str = ""


class _Container(msgspec.Struct, frozen=True):
    env: tuple[_Variable, ...] | None = None
    ports: tuple[_ContainerPort, ...] | None = None


class _PodSpec(msgspec.Struct, frozen=True):
    containers: tuple[_Container, ...] = ()


class _PodTemplate(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _DeploymentSpec(msgspec.Struct, frozen=True):
    selector: _Selector
    template: _PodTemplate = _PodTemplate()


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


@dataclass(frozen=True, slots=True)
class RouterPod:
    """A pod, and where the router in it has its HTTP: None where the Deployment does not tell."""

    name: str
    http_port: int | None


_read_deployment = reader(_Deployment)
_read_pods = reader(_PodList)


def ready_pod(api: Api, namespace: str, deployment: str) -> RouterPod:
    """Give the Deployment's first ready pod, by name.

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
        spec = _read_deployment(body).spec
        selector = selector_text(spec.selector)
        found = api.get(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": selector})
        pods = _read_pods(found).items
    except msgspec.DecodeError as error:
        raise ApiError(f"the API server's answer about Deployment {deployment} cannot be read: {error}") from error
    ready = sorted(pod.metadata.name for pod in pods if _is_ready(pod))
    if not ready:
        raise RouterUnreachable(
            f"Deployment {deployment} in namespace {namespace} has {len(pods)} pods, and none of them is ready"
        )
    return RouterPod(ready[0], _http_port(spec.template.spec.containers))


def _http_port(containers: Sequence[_Container]) -> int | None:
    """Give the port of TCP_ROUTER_LISTEN, else the one that is named http, else that of STATS_PORT."""
    variables = {each.name: each.value for container in containers for each in container.env or ()}
    named = [each.container_port for container in containers for each in container.ports or () if each.name == "http"]
    _, _, listens = variables.get("TCP_ROUTER_LISTEN", "").rpartition(":")
    told = next(filter(None, (listens, *map(str, named), variables.get("STATS_PORT"))), "")
    return int(told) if _PORT.fullmatch(told) else None


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
