"""The kinds of objects that the router reads."""

from __future__ import annotations

from router.objects.core import RouterPod, Service
from router.objects.discovery import EndpointSlice
from router.objects.portclaim import PortClaim
from router.objects.route import Route

KubernetesObject = Route | Service | EndpointSlice | RouterPod | PortClaim
