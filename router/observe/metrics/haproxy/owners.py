"""Whose a frontend, backend or server of HAProxy is: the labels of its series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from router.haproxy.talk.tables import BACKEND, FRONTEND
from router.model import Model, frontend_name
from router.objects.meta import ObjectKey

_OURS = re.compile(r"(?:fe_tcp|be_tcp|pool):")
_BACKEND_OF_ROUTE = re.compile(r"be_tcp:([^:]+):([^:]+)")
# pod:<pod>:<service>:<port name>:<address>:<port>, see admission.endpoints
_SERVER_OF_POD = re.compile(r"pod:([^:]*):([^:]*):[^:]*:(.*:\d+)")


class Labels(NamedTuple):
    """Names and values of one series' labels; two series are the same if these are, the port apart.

    A Route that moves to another port, or whose backend gets its own name, keeps its counters.
    """

    identity: tuple[tuple[str, str], ...]
    port: str | None
    """The port by which clients come; empty for a Route that is reached through shared ports only, None for no label."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose ports and backends are at a moment.

    ``frontends`` has who owns a port of ours: a Route, or None for a port that Routes share. ``backends`` has the backends
    that are not named after their Route. ``ports`` has the port of each Route that has one.
    """

    frontends: Mapping[str, ObjectKey | None] = field(default_factory=lambda: MappingProxyType({}))
    backends: Mapping[str, ObjectKey] = field(default_factory=lambda: MappingProxyType({}))
    ports: Mapping[ObjectKey, int] = field(default_factory=lambda: MappingProxyType({}))
    servers: int = 0
    """How many servers all Routes have together."""

    @classmethod
    def of(cls, applied: Model, claimed_backends: Mapping[str, ObjectKey]) -> Owners:
        """Read them off what HAProxy is known to serve.

        Args:
            applied: the model.
            claimed_backends: ``Snapshot.owners``: backends of the pool that a Route has, by name.
        """
        frontends: dict[str, ObjectKey | None] = {frontend_name(shared.port): None for shared in applied.shared}
        ports = {}
        for section in applied.routes:
            if section.frontend is not None:
                key = ObjectKey(section.namespace, section.route)
                frontends[frontend_name(section.frontend.port)] = key
                ports[key] = section.frontend.port
        servers = sum(len(section.backend.servers) for section in applied.routes)
        return cls(frontends, claimed_backends, ports, servers)

    def labels(self, kind: str, proxy: str, server: str) -> Labels | None:
        """Give the labels of a row of ``show stat``; None for what is nobody's now: idle objects of the pool.

        Args:
            kind: the row's type.
            proxy: name of its frontend or backend.
            server: name of its server, for a row of a server.
        """
        if kind == FRONTEND:
            return self._of_frontend(proxy)
        known = _BACKEND_OF_ROUTE.fullmatch(proxy)
        owner = ObjectKey(known[1], known[2]) if known else self.backends.get(proxy)
        if owner is None and _OURS.match(proxy):
            return None
        namespace, route = owner or ("", "")
        port = "" if owner is None else str(self.ports.get(owner, ""))
        if kind == BACKEND:
            # What a user's template adds is named as OpenShift's router names what it does not know.
            name = f"other/{proxy}" if owner is None else "tcp"
            return Labels((("backend", name), ("namespace", namespace), ("route", route)), port)
        of_pod = _SERVER_OF_POD.fullmatch(server)
        pod, service, place = of_pod.groups() if of_pod else ("", "", server)
        place = place if owner is not None else f"{proxy}/{server}"
        identity = (("server", place), ("namespace", namespace), ("route", route), ("pod", pod), ("service", service))
        return Labels(identity, port)

    def _of_frontend(self, name: str) -> Labels | None:
        if name in self.frontends:
            owner = self.frontends[name]
        elif _OURS.match(name):
            return None
        else:
            owner = None
        namespace, route = owner or ("", "")
        port = name.removeprefix("fe_tcp:") if _OURS.match(name) else ""
        return Labels((("frontend", name), ("namespace", namespace), ("route", route)), port)
