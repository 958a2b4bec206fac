"""Gateways with TCPRoutes in the place of Routes, as an API server has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmark.objects import head_of
from scripts.benchmark.workload import PER_GATEWAY, Workload

CONTROLLER = "tcp-router.openshift.io/gateway"
GATEWAYS, TCP_ROUTES, _CLASSES = "gateways", "tcproutes", "gatewayclasses"
RESOURCES = (_CLASSES, GATEWAYS, TCP_ROUTES, "tlsroutes", "listenersets", "referencegrants", "tcproutepolicies")
"""What the router watches beside all else with ``--gateway-api on``."""
_API = "gateway.networking.k8s.io/v1"
_CLASS = "tcp-router"
_Object = dict[str, Any]


def write_gateways(workload: Workload, folder: Path) -> tuple[Path, ...]:
    """Write what is there from the beginning, likewise a file for each resource; nothing where there are no Gateways."""
    if not workload.by_gateway:
        return ()
    objects: dict[str, list[_Object]] = {
        _CLASSES: [_class(workload)],
        GATEWAYS: [gateway(workload, number) for number in range(count(workload))],
        TCP_ROUTES: [tcp_route(workload, number) for number in workload.by_gateway],
    }
    paths = tuple(folder / f"{resource}.jsonl" for resource in RESOURCES)
    for path in paths:
        path.write_text("".join(f"{json.dumps(obj)}\n" for obj in objects.get(path.stem, ())))
    return paths


def count(workload: Workload) -> int:
    """Give how many Gateways there are."""
    return -(-len(workload.by_gateway) // PER_GATEWAY)


def gateway(workload: Workload, number: int, *more: int) -> _Object:
    """Give a Gateway, with listeners for these further ones, which are not there from the beginning."""
    own = workload.by_gateway[number * PER_GATEWAY : (number + 1) * PER_GATEWAY]
    made = head_of(workload, own[0], 5, _API, "Gateway", _gateway_name(number), {})
    made["metadata"]["generation"] = 1 + len(more)
    listeners = [
        {
            "name": workload.name(each),
            "port": workload.external_ports[each],
            "protocol": "TCP",
            "allowedRoutes": {"namespaces": {"from": "All"}},
        }
        for each in (*own, *more)
    ]
    return {**made, "spec": {"gatewayClassName": _CLASS, "listeners": listeners}}


def of(workload: Workload, number: int) -> int:
    """Give the Gateway that leads to a number, or gets a listener for one that comes later."""
    if number in workload.by_gateway:
        return workload.by_gateway.index(number) // PER_GATEWAY
    return number % count(workload)


def tcp_route(workload: Workload, number: int) -> _Object:
    """Give the TCPRoute of a number, at the listener of its Gateway that is named after it."""
    at = of(workload, number)
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": workload.namespace(workload.by_gateway[at * PER_GATEWAY]),
        "name": _gateway_name(at),
        "sectionName": workload.name(number),
    }
    backend = {"group": "", "kind": "Service", "name": workload.name(number), "port": 5432, "weight": 1}
    made = head_of(workload, number, 6, _API, "TCPRoute", workload.name(number), {})
    return {**made, "spec": {"parentRefs": [parent], "rules": [{"backendRefs": [backend]}]}}


def _gateway_name(number: int) -> str:
    return f"gateway-{number:05}"


def _class(workload: Workload) -> _Object:
    made = head_of(workload, 0, 7, _API, "GatewayClass", _CLASS, {})
    del made["metadata"]["namespace"]
    return {**made, "spec": {"controllerName": CONTROLLER}}


def with_listener(workload: Workload, number: int) -> Sequence[tuple[str, str, _Object]]:
    """Give the changes that bring a TCPRoute that comes later, with a listener for it."""
    changed = gateway(workload, of(workload, number), number)
    return ("MODIFIED", GATEWAYS, changed), ("ADDED", TCP_ROUTES, tcp_route(workload, number))


def without_listener(workload: Workload, number: int) -> Sequence[tuple[str, str, _Object]]:
    """Give the changes that take both away again."""
    changed = gateway(workload, of(workload, number))
    return ("DELETED", TCP_ROUTES, tcp_route(workload, number)), ("MODIFIED", GATEWAYS, changed)
