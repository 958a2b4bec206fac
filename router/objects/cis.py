"""cis.f5.com/v1: TransportServers, by which F5's Container Ingress Services are told to serve a TCP port.

Its CRD belongs to F5's controller, whichever version of it a cluster has: spec and status are kept as they were written, and what they mean, and
whether it can be had, is admission's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.objects.meta import WholeObject

GROUP, VERSION, KIND = "cis.f5.com", "v1", "TransportServer"
_NOTHING: Mapping[str, Any] = {}


class TransportServer(WholeObject, frozen=True):
    """cis.f5.com/v1 TransportServer."""

    spec: Any = None
    status: Any = None

    @property
    def asked(self) -> Mapping[str, Any]:
        """The fields of ``spec``; none where it has no such form."""
        return self.spec if isinstance(self.spec, Mapping) else _NOTHING

    def told(self, field: str) -> str:
        """Give a field of ``status`` that is text; empty where there is none."""
        value = self.status.get(field) if isinstance(self.status, Mapping) else None
        return value if isinstance(value, str) else ""

    @property
    def told_ok(self) -> bool:
        """Whether its status says that it is served, by whomever; releases of F5 spell it differently."""
        return self.told("status").lower() == "ok"
