"""The Routes of ``scripts.benchmark.workload`` as an API server has them in a cluster where a router has served them before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from router.admission.places import Place
from router.status.claim_work import claim_name
from scripts.benchmark.workload import Workload

ROUTES, SERVICES, SLICES, CLAIMS = "routes", "services", "endpointslices", "portclaims"
NAMESPACES = "namespaces"
RESOURCES = (ROUTES, SERVICES, SLICES, CLAIMS, NAMESPACES)
"""What the router watches."""

_NAMESPACE = "openshift-ingress"
"""The router's own."""
_PORT = "haproxy.router.openshift.io/external-tcp-port"
_CREATED = "2025-03-01T08:00:00Z"
_Object = dict[str, Any]


def objects_of(
    workload: Workload, number: int, *, moved: bool = False, with_route: bool = True
) -> dict[str, list[_Object]]:
    """Give Route, Service and EndpointSlices of a number, by resource; ``moved``, the endpoints are on the other port.

    A second slice has the pod that is left of an update and not ready: it is read and kept, and gets no connections.
    """
    port = workload.other_endpoint_port if moved else workload.endpoint_port
    name = workload.name(number)
    service = {
        **head_of(workload, number, 1, "v1", "Service", name, {}),
        "spec": {
            "clusterIP": f"172.30.{number // 250}.{number % 250 + 1}",
            "clusterIPs": [f"172.30.{number // 250}.{number % 250 + 1}"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "tcp", "port": 5432, "protocol": "TCP", "targetPort": port}],
            "selector": {"app": name},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }
    return {
        SERVICES: [service],
        SLICES: [
            _slice(workload, number, 2, port, workload.endpoints, is_ready=True),
            _slice(workload, number, 3, port, workload.endpoints[:1], is_ready=False),
        ][: workload.slices],
        ROUTES: [_route(workload, number)] if with_route else [],
        CLAIMS: [_claim(workload, number)] if with_route and _was_served(workload, number) else [],
    }


def auto_route(workload: Workload, number: int) -> _Object:
    """Give a Route that asks for any port."""
    route = _route(workload, number)
    route["metadata"]["annotations"][_PORT] = "auto"
    return route


def write_all(workload: Workload, folder: Path) -> tuple[Path, ...]:
    """Write what is there from the beginning: a file for each resource, with an object on each line."""
    folder.mkdir()
    paths = tuple(folder / f"{resource}.jsonl" for resource in RESOURCES)
    everything = [
        objects_of(workload, number, with_route=number not in workload.by_gateway) for number in range(workload.routes)
    ]
    everything.append({NAMESPACES: [_namespace(name) for name in workload.namespaces]})
    for path in paths:
        path.write_text("".join(f"{json.dumps(obj)}\n" for each in everything for obj in each.get(path.stem, ())))
    return paths


def _namespace(name: str) -> _Object:
    labels = {"kubernetes.io/metadata.name": name}
    metadata = {"name": name, "uid": str(uuid5(NAMESPACE_DNS, name)), "creationTimestamp": _CREATED, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata,
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _route(workload: Workload, number: int) -> _Object:
    annotations = {
        "haproxy.router.openshift.io/router-name": "tcp-router",
        "haproxy.router.openshift.io/external-tcp-port": str(workload.external_ports[number]),
    }
    name, host = workload.name(number), workload.host(number)
    head = head_of(workload, number, 0, "route.openshift.io/v1", "Route", name, {})
    head["metadata"]["annotations"] = annotations
    route = {
        **head,
        "spec": {
            "host": host,
            "port": {"targetPort": "tcp"},
            "to": {"kind": "Service", "name": name, "weight": 100},
            "wildcardPolicy": "None",
        },
    }
    if number in workload.by_host:
        annotations[f"{_PORT}-sni"] = "true"
        route["spec"]["tls"] = _tls(workload, number)
    if _was_served(workload, number):
        conditions = [
            {"type": "Admitted", "status": "True", "lastTransitionTime": _CREATED},
            {
                "type": "PortClaimed",
                "status": "True",
                "lastTransitionTime": _CREATED,
                "message": annotations["haproxy.router.openshift.io/external-tcp-port"],
            },
        ]
        route["status"] = {
            "ingress": [
                {
                    "host": host,
                    "routerName": "tcp-router",
                    "wildcardPolicy": "None",
                    "conditions": conditions,
                }
            ]
        }
    return route


def _tls(workload: Workload, number: int) -> _Object:
    if not workload.certificates:
        return {"termination": "passthrough"}
    certificate, key = workload.certificates[workload.by_host.index(number)]
    return {"termination": "edge", "certificate": certificate, "key": key}


def _was_served(workload: Workload, number: int) -> bool:
    """Say whether a router served it before, and left a status and a PortClaim."""
    return number < workload.routes and workload.has_statuses


def _claim(workload: Workload, number: int) -> _Object:
    port, namespace, name = workload.external_ports[number], workload.namespace(number), workload.name(number)
    host = workload.host(number) if number in workload.by_host else ""
    claim = claim_name("tcp-router", Place(port, host))
    head = head_of(workload, number, 4, "tcp-router.openshift.io/v1alpha1", "PortClaim", claim, {})
    head["metadata"]["namespace"] = _NAMESPACE
    holder = {"group": "route.openshift.io", "kind": "Route", "namespace": namespace, "name": name, "section": ""}
    condition = {"type": "InForce", "status": "True", "reason": "InForce", "message": "", "observedGeneration": 1}
    return {
        **head,
        "spec": {
            "ledger": "tcp-router",
            "routerName": "tcp-router",
            "port": port,
            "host": host,
            "origin": "Won",
            "holder": {**holder, "uid": uid_of(number, 0)},
        },
        "status": {
            "holder": f"Route {namespace}/{name}",
            "conditions": [{**condition, "lastTransitionTime": _CREATED}],
        },
    }


def _slice(  # noqa: PLR0913 - what a slice has
    workload: Workload, number: int, index: int, port: int, addresses: tuple[str, ...], *, is_ready: bool
) -> _Object:
    name, namespace = workload.name(number), workload.namespace(number)
    labels = {
        "app": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": name,
    }
    head = head_of(workload, number, index, "discovery.k8s.io/v1", "EndpointSlice", f"{name}-x7k{index}p", labels)
    endpoints = [
        {
            "addresses": [address],
            "conditions": {"ready": is_ready, "serving": is_ready, "terminating": False},
            "nodeName": f"worker-{each}.example.com",
            "targetRef": {
                "kind": "Pod",
                "name": f"{name}-6d5f8c7b9-{index}{each}",
                "namespace": namespace,
                "uid": uid_of(number, 16 * index + each),
            },
        }
        for each, address in enumerate(addresses)
    ]
    ports = [{"name": "tcp", "port": port, "protocol": "TCP"}]
    return {**head, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def head_of(  # noqa: PLR0913, PLR0917 - what every object has
    workload: Workload, number: int, index: int, api_version: str, kind: str, name: str, labels: dict[str, str]
) -> _Object:
    """Give what every object has: the ``index``-th of a number, of this kind and name."""
    owned: dict[str, _Object] = {
        f"f:{each}": {} for each in ("annotations", "labels", "ports", "host", "to", "weight", "conditions")
    }
    metadata = {
        "name": name,
        "namespace": workload.namespace(number),
        "uid": uid_of(number, index),
        "creationTimestamp": _CREATED,
        **({} if kind == "Service" else {"generation": 1}),
        "labels": labels or {"app": name},
        "managedFields": [
            {
                "apiVersion": api_version,
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": owned, "f:spec": owned},
                "manager": "helm",
                "operation": "Update",
                "time": _CREATED,
            }
        ],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def uid_of(number: int, index: int) -> str:
    """Give the uid of an object of a number."""
    return str(UUID(int=number << 64 | index))
