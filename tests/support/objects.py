"""Kubernetes objects as manifests have them."""

from __future__ import annotations

import base64
from typing import Any

ANNOTATIONS = "haproxy.router.openshift.io/"


def route(
    name: str,
    port: int | str | None = None,
    *,
    namespace: str = "team",
    router_name: str = "tcp-router",
    service: str | None = None,
    target_port: int | str | None = None,
    host: str | None = None,
    passthrough: bool = False,
    annotations: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make a Route of the router ``router_name``; its Service has the Route's name unless told otherwise."""
    own = {f"{ANNOTATIONS}router-name": router_name}
    if port is not None:
        own[f"{ANNOTATIONS}external-tcp-port"] = str(port)
    wanted: dict[str, Any] = {"to": {"kind": "Service", "name": service or name}}
    if target_port is not None:
        wanted["port"] = {"targetPort": target_port}
    if host is not None:
        wanted["host"] = host
    if passthrough:
        wanted["tls"] = {"termination": "passthrough"}
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": {"name": name, "namespace": namespace, "annotations": {**own, **(annotations or {})}},
        "spec": {**wanted, **(spec or {})},
    }


def service(name: str, port: int = 5432, *, namespace: str = "team", port_name: str = "tcp") -> dict[str, Any]:
    """Make a Service with one TCP port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"name": port_name, "port": port, "targetPort": port, "protocol": "TCP"}]},
    }


def endpoint_slice(
    service_name: str, *endpoints: tuple[str, int], namespace: str = "team", port_name: str = "tcp"
) -> list[dict[str, Any]]:
    """Make the slices of a Service: one for each different endpoint port."""
    by_port: dict[int, list[str]] = {}
    for address, port in endpoints:
        by_port.setdefault(port, []).append(address)
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service_name}-{number}",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service_name},
            },
            "addressType": "IPv4",
            "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        }
        for number, (port, addresses) in enumerate(sorted(by_port.items()))
    ]


def app(name: str, external_port: int | None, *endpoints: tuple[str, int], **of_route: Any) -> list[dict[str, Any]]:
    """Make Route, Service and slices of one application."""
    return [route(name, external_port, **of_route), service(name), *endpoint_slice(name, *endpoints)]


def port_claim(
    name: str,
    port: int,
    *,
    holder: tuple[str, ...] | None = None,
    host: str = "",
    uid: str = "",
    ledger: str = "tcp-router",
    namespace: str = "openshift-ingress",
    **spec: Any,
) -> dict[str, Any]:
    """Make a PortClaim: won by the holder (kind, namespace, name), or reserved, where it is None, for nobody."""
    told = dict(zip(("kind", "namespace", "name"), holder or (), strict=False))
    group = {"group": "route.openshift.io"} if told.get("kind") == "Route" else {}
    held = {"holder": {**group, **told, **({"uid": uid} if uid else {})}} if holder is not None else {}
    origin = "Won" if holder is not None else "Reserved"
    return {
        "apiVersion": "tcp-router.openshift.io/v1alpha1",
        "kind": "PortClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ledger": ledger, "port": port, "host": host, "origin": origin, **held, **spec},
    }


ROUTER_ACCOUNT = "system:serviceaccount:openshift-ingress:router"


def tls_secret(
    name: str, certificate: str, key: str, *, namespace: str = "team", kind: str = "kubernetes.io/tls"
) -> dict[str, Any]:
    """Make a Secret of TLS, as an API server has it."""
    data = {"tls.crt": certificate, "tls.key": key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": namespace},
        "data": {field: base64.b64encode(text.encode("latin-1")).decode() for field, text in data.items()},
    }


def may_read_secret(
    name: str, *accounts: str, namespace: str = "team", verbs: tuple[str, ...] = ("get", "list", "watch")
) -> list[dict[str, Any]]:
    """Make the Role and RoleBinding by which service accounts (``namespace:name``) may read one Secret."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": f"read-{name}", "namespace": namespace}
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": list(verbs)}
    subjects = [
        {"kind": "ServiceAccount", "namespace": where, "name": who}
        for where, who in (account.split(":") for account in accounts or ("openshift-ingress:router",))
    ]
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
            "subjects": subjects,
        },
    ]
