"""The demo's manifests, as text for people to read and edit; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import indent

from router.demo.claim import CLAIM, CLAIM_TEXT
from router.demo.gateway import GATEWAY, gateway_text

ROUTER_NAME = "wzh-router-1"
TLS_HOST = "vault.example.com"
EDGE_HOST = "mail.example.com"
QUEUE_HOST = "queue.example.com"

CACHE = "cache.yaml"
MAIL = "mail.yaml"
VAULT = "vault.yaml"
CONFLICTING = "conflicting.yaml"
MISTYPED = "mistyped.yaml"
QUEUE = "queue.yaml"
ANY_PORT = "any-port.yaml"
EDGE = "mail-by-tls.yaml"
QUOTA = "quota.yaml"
BY_NAME = "queue-by-name.yaml"
FILES = (CACHE, MAIL, VAULT, CONFLICTING, MISTYPED, QUEUE, ANY_PORT, EDGE, QUOTA, BY_NAME, CLAIM, GATEWAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All ports of a demo, and what the Routes say of them."""

    cache_port: int
    """External port of the echo, and of the Route that wants the same."""
    mail_port: int
    """External port of the service that speaks first."""
    spare_port: int
    """External port of the mistyped Route."""
    queue_port: int
    """External port of the Service that asks without a Route."""
    edge_port: int = 6631
    """External port of the Route whose TLS the router ends."""
    gateway_ports: tuple[int, int] = (6634, 6635)
    """Of the Gateway's listeners, that of the TLSRoute behind that of the TCPRoute."""
    cache_endpoint: int | None
    """Where the echo listens; None is no Route to it."""
    mail_endpoint: int
    vault_endpoint: int
    queue_endpoint: int
    certificate: str = ""
    """PEM, for the Route whose TLS the router ends."""
    key: str = field(default="", repr=False)
    spare_balance: str = "leastconns"
    """Mistyped, until somebody corrects it."""


def manifests(layout: Layout) -> dict[str, str]:
    """Give the text of each file by its name."""
    files = {
        MAIL: _MAIL.format(port=layout.mail_port, router_name=ROUTER_NAME)
        + _service("mail-service", layout.mail_port, layout.mail_endpoint),
        VAULT: _VAULT.format(host=TLS_HOST, router_name=ROUTER_NAME)
        + _service("vault-service", 8200, layout.vault_endpoint),
        CONFLICTING: _CONFLICTING.format(port=layout.cache_port, router_name=ROUTER_NAME),
        QUEUE: _QUEUE.format(port=layout.queue_port, router_name=ROUTER_NAME, endpoint=layout.queue_endpoint)
        + _slice("queue", "amqp", layout.queue_endpoint),
        EDGE: _EDGE.format(
            host=EDGE_HOST,
            port=layout.edge_port,
            router_name=ROUTER_NAME,
            certificate=indent(layout.certificate, "      "),
            key=indent(layout.key, "      "),
        ),
        BY_NAME: _BY_NAME.format(
            host=QUEUE_HOST,
            router_name=ROUTER_NAME,
            certificate=indent(layout.certificate, "      "),
            key=indent(layout.key, "      "),
        ),
        CLAIM: CLAIM_TEXT,
        GATEWAY: gateway_text(*layout.gateway_ports),
        ANY_PORT: _ANY_PORT.format(router_name=ROUTER_NAME),
        QUOTA: _QUOTA.format(router_name=ROUTER_NAME, endpoint=layout.mail_endpoint),
        MISTYPED: _MISTYPED.format(port=layout.spare_port, router_name=ROUTER_NAME, balance=layout.spare_balance),
    }
    if layout.cache_endpoint is not None:
        files[CACHE] = _CACHE.format(port=layout.cache_port, router_name=ROUTER_NAME) + _service(
            "ottcache-002-service", layout.cache_port, layout.cache_endpoint
        )
    return files


def _service(name: str, port: int, endpoint: int) -> str:
    return _SERVICE.format(name=name, port=port, endpoint=endpoint) + _slice(name, "tcp", endpoint)


def _slice(name: str, port_name: str, endpoint: int) -> str:
    return _SLICE.format(name=name, port_name=port_name, endpoint=endpoint)


_CACHE = """\
# An echo on a port of its own. With the router's name and the port that it shows, this is the Route of the document that
# the project started from.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: ottcache-002
  annotations:
    haproxy.router.openshift.io/wzh-router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: "{port}"
spec:
  to:
    kind: Service
    name: ottcache-002-service
  port:
    targetPort: {port}
  tls:
    termination: passthrough
    insecureEdgeTerminationPolicy: None
"""

_MAIL = """\
# A service that speaks first. Change external-tcp-port, save, and see the port move.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: mail
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: "{port}"
spec:
  to:
    kind: Service
    name: mail-service
"""

_VAULT = """\
# TLS that the service itself ends: no port of its own, clients find it on the SNI port by the name that they ask for.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: vault
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
spec:
  host: {host}
  to:
    kind: Service
    name: vault-service
  tls:
    termination: passthrough
"""

_EDGE = """\
# TLS that the router ends, for a service that knows nothing of it, and speaks first.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: mail-by-tls
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: "{port}"
spec:
  host: {host}
  to:
    kind: Service
    name: mail-service
  tls:
    termination: edge
    certificate: |
{certificate}
    key: |
{key}
"""

_BY_NAME = """\
# TLS that the router ends on the SNI port, which many share: clients that know no TLS get there by a stunnel, which tells the name.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: queue-by-name
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
spec:
  host: {host}
  to:
    kind: Service
    name: queue
  port:
    targetPort: amqp
  tls:
    termination: edge
    certificate: |
{certificate}
    key: |
{key}
"""

_CONFLICTING = """\
# Wants the port that ottcache-002 has, and gets it when that Route is deleted.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: ottcache-003
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: "{port}"
spec:
  to:
    kind: Service
    name: mail-service
"""

_MISTYPED = """\
# There is no such balance algorithm. Correct it to leastconn, save, and the port opens.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: typo
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: "{port}"
    haproxy.router.openshift.io/balance: "{balance}"
spec:
  to:
    kind: Service
    name: mail-service
"""

_ANY_PORT = """\
# Does not mind which port it is: the router gives it one of --auto-ports, which it keeps.
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: any-port
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: auto
spec:
  to:
    kind: Service
    name: mail-service
"""

_QUOTA = """\
# What an admin lets a namespace have: one port. The older of its two Routes has it; raise the number, save, and the other has one, too.
kind: Namespace
apiVersion: v1
metadata:
  name: small
  annotations:
    haproxy.router.openshift.io/tcp-ports-max: "1"
---
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: first
  namespace: small
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: auto
spec:
  to:
    kind: Service
    name: mail
---
kind: Route
apiVersion: route.openshift.io/v1
metadata:
  name: second
  namespace: small
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: auto
spec:
  to:
    kind: Service
    name: mail
---
kind: Service
apiVersion: v1
metadata:
  name: mail
  namespace: small
spec:
  ports:
    - name: smtp
      port: 25
      targetPort: {endpoint}
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata:
  name: mail-1
  namespace: small
  labels:
    kubernetes.io/service-name: mail
addressType: IPv4
ports:
  - {{name: smtp, port: {endpoint}}}
endpoints:
  - addresses: ["127.0.0.1"]
"""

_SERVICE = """\
---
kind: Service
apiVersion: v1
metadata:
  name: {name}
spec:
  ports:
    - name: tcp
      port: {port}
      targetPort: {endpoint}
"""

_QUEUE = """\
# A Service that asks by itself, without a Route: each name of its ports with an external port.
kind: Service
apiVersion: v1
metadata:
  name: queue
  annotations:
    haproxy.router.openshift.io/router-name: "{router_name}"
    haproxy.router.openshift.io/external-tcp-port: "amqp={port}"
spec:
  ports:
    - name: amqp
      port: 5672
      targetPort: {endpoint}
"""

_SLICE = """\
---
# In a cluster Kubernetes writes this, with the addresses of the pods.
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata:
  name: {name}-1
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
  - name: {port_name}
    port: {endpoint}
endpoints:
  - addresses: ["127.0.0.1"]
    conditions: {{ready: true}}
"""
