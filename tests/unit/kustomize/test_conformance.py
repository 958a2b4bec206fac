"""The tree for the conformance suite of the Gateway API: what the suite's Gateways ask for can be had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.support.commands import invoke
from tests.support.kustomize import CONFORMANCE, environment, one, render, router_workload

CLASS = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "suite"},
    "spec": {"controllerName": "tcp-router.openshift.io/gateway"},
}
LISTENERS = {
    "dns": {"port": 53, "protocol": "TCP"},
    "https": {"port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
    "sni": {"port": 8443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
    "ends": {"port": 8883, "protocol": "TLS", "tls": {"mode": "Terminate", "certificateRefs": [{"name": "tls"}]}},
    "echo": {"port": 9300, "protocol": "TCP"},
}


def judged(listeners: Mapping[str, Mapping[str, Any]], env: Mapping[str, str]) -> tuple[dict[str, str | None], str]:
    """Give the reason of each listener of one Gateway as a router with these variables judges it, and what else is said."""
    gateway = {
        "apiVersion": CLASS["apiVersion"],
        "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": "team"},
        "spec": {
            "gatewayClassName": "suite",
            "listeners": [{"name": name, **each} for name, each in listeners.items()],
        },
    }
    ended = invoke("check", "--output", "json", "-", env=dict(env), text=yaml.safe_dump_all([CLASS, gateway]))
    rows = json.loads(ended.stdout)
    return {row["section"]: row["reason"] for row in rows}, ended.stderr


def test_the_suites_ports_can_be_had() -> None:
    """Those under 1024, and 8443; a router of the base that serves Gateways refuses all three."""
    assert judged(LISTENERS, environment(CONFORMANCE))[0] == dict.fromkeys(LISTENERS)
    reasons, _ = judged(LISTENERS, {**environment("base"), "TCP_ROUTER_GATEWAY_API": "on"})
    assert {name for name, reason in reasons.items() if reason is not None} == {"dns", "https", "sni"}


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS"])
def test_http_is_judged(protocol: str) -> None:
    """Without it the suite's setup fails; in the base nothing of HTTP is accepted."""
    http = {"http": {"port": 80, "protocol": protocol}}
    assert "UnsupportedProtocol" not in judged(http, environment(CONFORMANCE))[1]
    base = {**environment("base"), "TCP_ROUTER_GATEWAY_API": "on"}
    assert "UnsupportedProtocol" in judged(http, base)[1]


def test_it_has_the_rights_and_one_address() -> None:
    """Those of its components, bound to the router's account; one replica, whose address is what the suite dials."""
    objects = render(CONFORMANCE)
    for name in ("tcp-router-gateway-api", "tcp-router-gateway-http", "tcp-router-gateway-certificates"):
        one(objects, "ClusterRole", name)
        assert one(objects, "ClusterRoleBinding", name)["subjects"][0]["name"] == "tcp-router"
    assert router_workload(CONFORMANCE)["spec"]["replicas"] == 1
