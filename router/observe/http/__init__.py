"""The router's one HTTP port: /healthz, /readyz, /metrics, /ports.

With a certificate it speaks TLS on the same port too, to clients that begin with it, as OpenShift's router does
(pkg/router/metrics/metrics.go): the kubelet's probes stay plain HTTP, and scrapes are encrypted.
"""

from router.observe.http.connection import Deadlines
from router.observe.http.hub import Hub
from router.observe.http.pages import JSON, METRICS, TEXT, Guard, Page, Request, health_page
from router.observe.http.server import HttpServer, Limits

__all__ = [
    "JSON",
    "METRICS",
    "TEXT",
    "Deadlines",
    "Guard",
    "HttpServer",
    "Hub",
    "Limits",
    "Page",
    "Request",
    "health_page",
]
