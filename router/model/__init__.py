"""What HAProxy shall serve, as frozen values; no Kubernetes in it.

A ``Model`` is sorted throughout, so that equal inputs give equal models and, rendered, equal bytes. Parts that did not
change are the same objects from one model to the next; comparing two models is therefore cheap (tuples compare identical
members without looking into them).

Units: every ``*_ms`` is milliseconds. Strings come from admission, which lets a closed vocabulary through: none needs quoting in haproxy.cfg.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from router.model.asker import NOBODY as NOBODY
from router.model.asker import ROUTE_GROUP as ROUTE_GROUP
from router.model.asker import ROUTE_KIND as ROUTE_KIND
from router.model.asker import SERVICE_KIND as SERVICE_KIND
from router.model.asker import Asker as Asker
from router.model.tls import PortTls, ServerTls
from router.ordered import Advance

FRONTEND = r"fe_tcp:([0-9]+)(?::([a-z0-9-]+))?"
"""Names of ``frontend_name``, as a pattern."""
_FRONTEND = re.compile(FRONTEND)

Balance = Literal["roundrobin", "leastconn", "source", "random", "first"]
ProxyProtocol = Literal["v1", "v2", "v2-ssl", "v2-ssl-shown"]
"""The last is ``v2-ssl`` of clients who showed a certificate, and ``v2`` of others."""


class _Numbered(msgspec.Struct, frozen=True, order=True, gc=False, kw_only=True):
    """What a server has that is always named where one is made."""

    verify_host: str = ""
    """With TLS, the name that its certificate has to be for; empty is any."""
    id: int
    """What HAProxy hashes (``source``, ``random``) and orders (``first``) it by: 1 to 1,048,575, unlike all others of its backend."""


class Server(_Numbered, frozen=True, order=True, gc=False):
    """One endpoint. ``weight`` 0 keeps established connections and takes no new ones (draining, or a Service of weight 0)."""

    name: str
    address: str
    port: int
    weight: int
    check: bool = True
    """False where a health check would do harm: it would wake an idled Service."""


@dataclass(frozen=True, slots=True)
class ConnectionLimit:
    """Limits per source address (``rate-limit-connections``); None is no limit of that kind."""

    concurrent: int | None
    per_3s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Where the connections of one asker go, and on what terms."""

    name: str
    balance: Balance
    hash_balance_factor: int | None
    """With ``source``: the most that a server may have, in percent of the average, before clients go to another one."""
    timeout_connect_ms: int
    timeout_server_ms: int
    timeout_tunnel_ms: int
    check_interval_ms: int
    """Milliseconds between health checks; 0 is no checks."""
    check_fall: int | None = None
    """How many checks in a row fail until an endpoint counts as down, at that interval; None is the templates' own choice."""
    shutdown_sessions_on_marked_down: bool
    shutdown_sessions_on_removed: bool = False
    """Nothing of a configuration: what is done when an endpoint leaves."""
    tcp_keepalive: bool
    send_proxy: ProxyProtocol | None
    server_maxconn: int | None
    allowlist: tuple[str, ...] | None
    """Addresses and networks that may connect; None is everybody."""
    connection_limit: ConnectionLimit | None
    tls: ServerTls | None = None
    servers: tuple[Server, ...]
    """Sorted by name."""
    advance: Advance[Server] | None = field(default=None, compare=False, repr=False)
    """How the servers came from those before, where that is known; nothing of what is served."""

    @property
    def tells_apart(self) -> bool:
        """Whether clients who show no certificate are led to the same servers by a backend of their own (``stages.without_certificate``)."""
        return self.send_proxy == "v2-ssl-shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOptions:
    """What is a property of a listening port, not of a backend; Routes that share a port share these."""

    timeout_client_ms: int
    maxconn: int | None
    """Most connections at a time; None is as many as the process may have."""
    tcp_keepalive: bool
    accept_proxy: bool


class Spot(NamedTuple):
    """Where a frontend is: a port, of an address of ``--address`` or, without, of ``--bind-address``."""

    port: int
    address: str = ""
    """Its name."""

    def __str__(self) -> str:
        return f"{self.port} on address {self.address}" if self.address else str(self.port)


@dataclass(frozen=True, slots=True)
class Frontend:
    """A port that belongs to one asker alone."""

    port: int
    options: PortOptions
    address: str = ""
    """The name of that which it is of; empty is ``--bind-address``."""
    ips: tuple[str, ...] = ()
    """With an address those of it that are bound here, once that is known (see ``router.reconcile.presence``)."""
    tls: PortTls | None = None
    """None leads on what comes as it comes."""

    @property
    def spot(self) -> Spot:
        """Where it is."""
        return Spot(self.port, self.address)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the pool in which TLS ends for one of its ports, or will."""

    number: int
    tls: PortTls
    """What it shows; in one that serves nobody, what nobody is shown."""
    front: Backend | None = None
    """The backend of the port that leads to it; None as long as none does."""


@dataclass(frozen=True, slots=True)
class RouteSection:
    """Everything of one asker: its backend and, unless it is reached through shared ports only, its frontend."""

    asker: Asker
    """``NOBODY`` for a section of the pool."""
    backend: Backend
    frontend: Frontend | None
    stages: tuple[Spot, ...] | None = None
    """Ports behind which its clients' TLS ends before they are led to it, sorted. Empty is of a place of the pool that can come to have some, or be led on to a slot."""
    slot: Slot | None = None
    """The place of the pool in which TLS ends; ``frontend`` is then the port that leads there, as it comes."""
    is_gated: bool = False
    """Whether its TLS ends behind ``stages`` by sockets that are no other Route's, as its clients are asked for certificates."""
    kept_slot: int = field(default=0, compare=False)
    """The number of the slot that it was in before a reload, whose socket it has beside its port: the worker that is replaced leads there. 0 is none."""

    @property
    def namespace(self) -> str:
        """Of who asks for it; empty for a section of the pool."""
        return self.asker.namespace

    @property
    def route(self) -> str:
        """The name of who asks for it, as the log of connections has it; empty for a section of the pool."""
        return self.asker.log_name


@dataclass(frozen=True, slots=True, order=True)
class SniHost:
    """A TLS server name and the backend it leads to.

    ``host`` is in lower case. With a leading dot (``.example.com``) it stands for any one label under that domain.
    """

    host: str
    backend: str
    asker: Asker
    tls: PortTls | None = None
    """How TLS ends before it is led there; None leads on what comes as it comes."""
    gate: int = field(default=0, compare=False)
    """Of one that is gated, the number of its socket, if that was there in advance when it came; 0 is one that is named after the host."""

    @property
    def ends_tls(self) -> bool:
        """Whether TLS ends for it by the socket that all such hosts of the port have in common."""
        return self.tls is not None and self.tls.clients is None

    @property
    def is_gated(self) -> bool:
        """Whether its clients are asked for certificates: its TLS ends by a socket of its own."""
        return self.tls is not None and self.tls.clients is not None

    @property
    def namespace(self) -> str:
        """Of whom it leads to; for templates."""
        return self.asker.namespace

    @property
    def route(self) -> str:
        """The name of whom it leads to, as the log of connections has it; for templates."""
        return self.asker.log_name


@dataclass(frozen=True, slots=True)
class SharedFrontend:
    """A port on which Routes are told apart by SNI: the SNI port, or an ``external-tcp-port-sni`` port."""

    port: int
    options: PortOptions
    hosts: tuple[SniHost, ...]
    """Sorted by host."""
    address: str = ""
    """As of a ``Frontend``, and so are ``ips``."""
    ips: tuple[str, ...] = ()
    spare_gates: int = 0
    """How many sockets it has in advance for hosts whose clients are asked for certificates."""
    first_gate: int = 1
    """The number of the first of them; none of ``hosts`` has one of theirs."""
    advance: Advance[SniHost] | None = field(default=None, compare=False, repr=False)
    """How ``hosts`` came from those before, if it is known."""

    @property
    def spot(self) -> Spot:
        """Where it is."""
        return Spot(self.port, self.address)

    @property
    def ends_tls(self) -> bool:
        """Whether it does for any of its hosts, by a second frontend behind a socket of its own."""
        return any(host.ends_tls for host in self.hosts)

    @property
    def gates(self) -> int:
        """How many further frontends it has, each for a host whose clients are asked for certificates, or for one that may come."""
        return self.spare_gates + sum(host.is_gated for host in self.hosts)


class Step(StrEnum):
    """What HAProxy does without where it may not have enough open files (see ``router.haproxy.process.descriptors``)."""

    CHECKS = "checks"
    """No server is checked."""
    CONNECTIONS = "connections"
    """HAProxy chooses the most connections at a time, whatever the settings say: as many as fit."""
    POOL = "pool"
    """No port is declared in advance."""
    CLAIMS = "claims"
    """Routes whose port does not fit are not served."""


NamespaceLimits = tuple[tuple[str, int], ...]
"""How many connections at a time may be those of some namespaces, sorted by namespace."""


@dataclass(frozen=True, slots=True)
class Model:
    """All that HAProxy shall serve."""

    routes: tuple[RouteSection, ...] = ()
    """Sorted by asker."""
    shared: tuple[SharedFrontend, ...] = ()
    """Sorted by port, then by address."""
    pool: tuple[RouteSection, ...] = ()
    """Sections that are nobody's, declared in advance: their ports are kept closed (see ``router.admission.pool``)."""
    saved: frozenset[Step] = frozenset()
    namespace_limits: NamespaceLimits = ()
    advance: Advance[RouteSection] | None = field(default=None, compare=False, repr=False)
    """How its Routes came from those of the model before, where that is known; nothing of what is served."""


def frontend_name(port: int, address: str = "") -> str:
    """Give the name of the frontend that listens on ``port``, dedicated or shared; the log of connections reads the port off it."""
    return f"fe_tcp:{port}:{address}" if address else f"fe_tcp:{port}"


class Bind(NamedTuple):
    """A port to be bound on one IP address; without it, on those of ``--bind-address``."""

    port: int
    ip: str = ""


def binds(model: Model) -> Mapping[Bind, Spot]:
    """Give all that is bound for this model, its pool included, and whose frontends they are of."""
    dedicated = (section.frontend for section in (*model.routes, *model.pool) if section.frontend is not None)
    frontends: tuple[Frontend | SharedFrontend, ...] = (*dedicated, *model.shared)
    found: dict[Bind, Spot] = {}
    for frontend in frontends:
        spot = frontend.spot
        found.update((Bind(spot.port, ip), spot) for ip in (frontend.ips if spot.address else ("",)))
    return found


def spot_of(frontend: str) -> Spot | None:
    """Give where a frontend listens that is named as ours are; None for others."""
    named = _FRONTEND.fullmatch(frontend)
    return Spot(int(named[1]), named[2] or "") if named is not None else None


def backend_name(asker: Asker) -> str:
    """Give the backend name of an asker: a Route's as OpenShift's router names those of plain TCP, so that dashboards keep working.

    The limits of namespaces and the log of connections, also those of templates of the admin's, read the namespace and the name as
    the two parts after ``be_tcp``. So the name of every kind has just these parts.
    """
    return f"be_tcp:{asker.namespace}:{asker.log_name}"


def pool_backend_name(place: int | str, address: str = "") -> str:
    """Give the name of a backend of the pool: that of a port, or of one of the places ``sni:1``, ``sni:2``, ..."""
    return f"pool:{place}:{address}" if address else f"pool:{place}"


def spots(model: Model) -> frozenset[Spot]:
    """Give where something is open for this model; what is of the pool is closed."""
    dedicated = (section.frontend.spot for section in model.routes if section.frontend is not None)
    return frozenset((*dedicated, *(shared.spot for shared in model.shared)))
