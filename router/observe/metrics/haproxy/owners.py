"""Whose a frontend, backend or server of HAProxy is: the labels of its series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from types import MappingProxyType
from typing import NamedTuple

from router.haproxy.talk.tables import BACKEND, FRONTEND
from router.model import ROUTE_KIND, Model, Spot, frontend_name, spot_of
from router.model.stages import TO_SLOT, own_backend
from router.objects.kinds import ASKING

_OURS = re.compile(r"(?:fe_tcp|be_tcp|nocert|fe_tls|be_tls|tls|pool):|fe_tls_[0-9]")
_BACKEND_OF_ASKER = re.compile(r"be_tcp:([^:]+):([^:]+)")
_KINDS = {kind.lower(): kind for kind in ASKING}
"""As ``Asker.log_name`` has them, and as they are written."""
# pod:<pod>:<service>:<port name>:<address>:<port>, see admission.endpoints
_SERVER_OF_POD = re.compile(r"pod:([^:]*):([^:]*):[^:]*:(.*:\d+)")


class Labels(NamedTuple):
    """Names and values of one series' labels; two series are the same if these are, the port apart.

    A Route that moves to another port, or whose backend gets its own name, keeps its counters.
    """

    names: tuple[str, ...]
    """The same object for all of a kind: there are thousands of series."""
    values: tuple[str, ...]
    port: str | None
    """The port by which clients come; empty for a Route that is reached through shared ports only, None for no label."""
    address: str = ""
    """The name of the address that the port is of; empty is no label."""

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        """Names with their values."""
        return tuple(zip(self.names, self.values, strict=True))


class _Owner(NamedTuple):
    """Whose something is, as labels have it."""

    namespace: str
    route: str
    """The name; with a colon and the section, where it is one of several of an object."""
    kind: str

    @classmethod
    def of_backend(cls, name: str) -> _Owner | None:
        """Read it off the name of a backend, which is all that HAProxy knows; None for a backend that is nobody's."""
        known = _BACKEND_OF_ASKER.fullmatch(name)
        if known is None:
            return None
        # What objects say of themselves is interned, too, and each has several series.
        namespace, log_name = map(intern, known.groups())
        kind, is_other, rest = log_name.partition("_")
        if not is_other:
            return cls(namespace, log_name, ROUTE_KIND)
        return cls(namespace, intern(rest.replace("_", ":")), _KINDS.get(kind, kind))


_NOBODY = _Owner("", "", "")
_OF_FRONTEND = ("frontend", *_Owner._fields)
_OF_BACKEND = ("backend", *_Owner._fields)
_OF_SERVER = ("server", *_Owner._fields, "pod", "service")


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose ports and backends are at a moment, by the names that their backends have or would have.

    ``frontends`` has who owns a port of ours, None for a port that is shared. ``backends`` has the backends that are not named
    after whom they serve. ``ports`` has the port of each that has one.
    """

    frontends: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    backends: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ports: Mapping[str, Spot] = field(default_factory=lambda: MappingProxyType({}))
    servers: int = 0
    """How many servers there are of all together."""

    @classmethod
    def of(cls, applied: Model, claimed_backends: Mapping[str, str], former: Owners | None = None) -> Owners:
        """Read them off what HAProxy is known to serve.

        Args:
            applied: the model.
            claimed_backends: ``Snapshot.owners``: backends of the pool that serve somebody, by name.
            former: what they were; what did not change since, as when endpoints move, stays the same objects (``are_those_of``).
        """
        frontends: dict[str, str | None] = {frontend_name(*shared.spot): None for shared in applied.shared}
        ports = {}
        for section in applied.routes:
            if section.frontend is not None:
                frontends[frontend_name(*section.frontend.spot)] = section.backend.name
                ports[section.backend.name] = section.frontend.spot
        servers = sum(len(section.backend.servers) for section in applied.routes)
        if former is not None and (frontends, claimed_backends, ports) == (
            former.frontends,
            former.backends,
            former.ports,
        ):
            return cls(former.frontends, former.backends, former.ports, servers)
        return cls(frontends, claimed_backends, ports, servers)

    def are_those_of(self, other: Owners) -> bool:
        """Say whether everything is known to belong to whom it belonged then."""
        return self.frontends is other.frontends and self.backends is other.backends and self.ports is other.ports

    def labels(self, kind: str, proxy: str, server: str) -> Labels | None:
        """Give the labels of a row of ``show stat``; None for what is nobody's now: idle objects of the pool.

        Args:
            kind: the row's type.
            proxy: name of its frontend or backend.
            server: name of its server, for a row of a server.
        """
        if kind == FRONTEND:
            return self._of_frontend(proxy)
        # Who showed no certificate counts as any other.
        name = self.backends.get(proxy, own_backend(proxy))
        owner = _Owner.of_backend(name)
        if _OURS.match(proxy) and (owner is None or server == TO_SLOT):
            # Between frontends of HAProxy's, or idle.
            return None
        spot = self.ports.get(name) if owner is not None else None
        port, address = (str(spot.port), spot.address) if spot is not None else ("", "")
        if kind == BACKEND:
            # What a user's template adds is named as OpenShift's router names what it does not know.
            shown = f"other/{proxy}" if owner is None else "tcp"
            return Labels(_OF_BACKEND, (shown, *(owner or _NOBODY)), port, address)
        of_pod = _SERVER_OF_POD.fullmatch(server)
        pod, service, place = of_pod.groups() if of_pod else ("", "", server)
        place = place if owner is not None else f"{proxy}/{server}"
        return Labels(_OF_SERVER, (place, *(owner or _NOBODY), pod, service), port, address)

    def _of_frontend(self, name: str) -> Labels | None:
        if name not in self.frontends and _OURS.match(name):
            return None
        backend = self.frontends.get(name)
        spot = spot_of(name)
        port, address = (str(spot.port), spot.address) if spot is not None else ("", "")
        owner = _Owner.of_backend(backend) if backend else None
        return Labels(_OF_FRONTEND, (name, *(owner or _NOBODY)), port, address)
