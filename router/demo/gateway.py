"""The demo's Gateway with what belongs to it, as text for people to read and edit; pure."""

from __future__ import annotations

GATEWAY = "gateway.yaml"
GATEWAY_HOST = "keys.example.com"
LISTENER, TLS_LISTENER = "Gateway default/demo queue", "Gateway default/demo keys"
TLS_ROUTE = "TLSRoute default/keys"


def gateway_text(port: int, tls_port: int) -> str:
    """Give the manifests.

    Args:
        port: of the listener that leads the TCPRoute's connections.
        tls_port: of the one that leads the TLSRoute's, by the name that they ask for.
    """
    return _TEXT.format(port=port, tls_port=tls_port, host=GATEWAY_HOST)


_TEXT = """\
# The same by the Gateway API: a Gateway has ports, and routes say which of its connections go where.
kind: GatewayClass
apiVersion: gateway.networking.k8s.io/v1
metadata:
  name: tcp
spec:
  controllerName: tcp-router.openshift.io/gateway
---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata:
  name: demo
  namespace: default
spec:
  gatewayClassName: tcp
  listeners:
    - name: queue
      port: {port}
      protocol: TCP
    - name: keys
      port: {tls_port}
      protocol: TLS
      tls:
        mode: Passthrough
---
kind: TCPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata:
  name: queue
  namespace: default
spec:
  parentRefs:
    - name: demo
      sectionName: queue
  rules:
    - backendRefs:
        - name: queue
          port: 5672
---
kind: TLSRoute
apiVersion: gateway.networking.k8s.io/v1
metadata:
  name: keys
  namespace: default
spec:
  parentRefs:
    - name: demo
      sectionName: keys
  hostnames:
    - {host}
  rules:
    - backendRefs:
        - name: vault-service
          port: 8200
---
# What annotations say on Routes. Take 127.0.0.0/8 out, save, and nobody here is let in.
kind: TCPRoutePolicy
apiVersion: tcp-router.openshift.io/v1alpha1
metadata:
  name: queue
  namespace: default
spec:
  targetRefs:
    - group: gateway.networking.k8s.io
      kind: TCPRoute
      name: queue
  allowlist:
    - 192.0.2.0/24
    - 127.0.0.0/8
"""
