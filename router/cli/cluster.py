"""The parts of ``tcp-router run`` that speak to an API server, put together."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from router.admission.kinds import KINDS as ASKER_KINDS
from router.admission.ledger import Ledger
from router.cli.asked import Server
from router.cli.claiming import WRITE_DEADLINES, Claims, claims_of
from router.cli.run_settings import RunSettings
from router.cluster import KubeInput, sources_of
from router.cluster.asking import asks_of
from router.cluster.machine import Machine
from router.election.leader import LeaderElection, unique_identity
from router.kube.connection import Connection, Deadlines
from router.kube.siblings import Siblings
from router.objects.core import PodNow
from router.objects.meta import ObjectKey
from router.objects.store import Store
from router.observe.metrics.api import ApiMetrics, ApiReadings
from router.observe.tracing import Makes
from router.reconcile.hooks import Propose, Reporter, unheard
from router.settings import AdmissionSettings, ClaimSettings, KubeSettings, RouterPodSettings
from router.status.claim_usage import Busy
from router.status.kinds import KINDS, StatusKind
from router.status.leading import LeadingWriter
from router.status.precedence import Precedence
from router.status.selection import Selection
from router.status.writer import StatusWriter

if TYPE_CHECKING:
    from router.cli.publishing import Publishing
    from router.status.gateway_writer import GatewayWriter

log = structlog.get_logger()

_LEASE_DEADLINES = Deadlines(connect_s=2.0, read_s=3.0, total_s=4.0)
"""Short: one slow answer must not cost the lead."""

_REVIEW_DEADLINES = Deadlines(connect_s=2.0, read_s=4.0, total_s=4.0)
"""Two reviews fit into a scrape, which Prometheus gives ten seconds."""

_SIBLING_DEADLINES = Deadlines(connect_s=1.0, read_s=2.0, total_s=2.0)
"""Nothing is brought level meanwhile."""


class _Wakes:
    """Tells the writers at once that they may write, or may not any more."""

    def __init__(self, *writers: LeadingWriter | None) -> None:
        self._writers = writers

    def leading(self, leads: bool) -> None:  # noqa: ARG002, FBT001 - the writer asks for itself
        """Wake the writers."""
        for writer in filter(None, self._writers):
            writer.wake()


class _Whereabouts:
    """Tells the writer where routers run, which the input knows that is made after it."""

    followed: KubeInput | None = None

    def nodes(self) -> frozenset[str] | None:
        """Give the nodes, None while they are not known."""
        pods = self.followed.router_pods if self.followed is not None else None
        return pods.nodes if pods is not None else None

    def addresses(self) -> frozenset[str] | None:
        """Give the addresses of their pods and nodes, None while they are not known."""
        pods = self.followed.router_pods if self.followed is not None else None
        return pods.addresses if pods is not None and pods.nodes is not None else None


@dataclass(frozen=True, slots=True)
class Cluster:
    """What follows one API server and reports to it."""

    settings: KubeSettings
    server: Server
    to_write: Connection
    writer: StatusWriter
    gateways: GatewayWriter | None
    claims: Claims | None
    publishing: Publishing | None
    election: LeaderElection
    whereabouts: _Whereabouts
    precedence: Precedence

    @classmethod
    def connect(cls, options: RunSettings, server: Server) -> Cluster:
        """Make what follows an API server, and reports to it."""
        settings = KubeSettings(
            kubeconfig=options.kubeconfig,
            context=options.context,
            namespaces=tuple(dict.fromkeys(options.namespaces)),
            namespace_selector=options.namespace_selector,
            route_selector=options.route_selector,
            endpoints=options.endpoints,
            router_pods=_router_pods(options),
            claims=None
            if options.claims == "off"
            else ClaimSettings(namespace=options.lease_namespace, required=options.claims == "required"),
            reads_namespaces=options.reads_namespaces,
            external_certificate_account=options.external_certificate_account,
            reads_server_claims=options.server_claims != "off",
            reads_transport_servers=options.transport_servers,
            reads_grants=options.transport_servers and not options.transport_server_cross_namespace,
            gateway_api=options.gateway_api,
            gateway_http=options.gateway_http == "accept",
            gateway_certificates=options.gateway_certificates,
        )
        connection = server.connection
        if not connection.is_verified:
            log.warning(
                "the api server's certificate is not verified",
                server=connection.server,
                reason="insecure-skip-tls-verify in the kubeconfig",
                consequence="who is on the way can read the token, and say what is routed",
            )
        name, pod = options.router_name, socket.gethostname()
        whereabouts = _Whereabouts()
        to_write = connection.sibling(WRITE_DEADLINES)
        claims = claims_of(options, connection, lambda: election.is_leader()) if settings.claims is not None else None  # noqa: PLW0108 - it is made below
        precedence = Precedence(claims.writer.waits) if claims is not None else Precedence()
        publishing = _publishing(options, connection, lambda: election.is_leader())  # noqa: PLW0108 - it is made below
        hostname = options.canonical_hostname or ""
        writer = StatusWriter(
            to_write,
            name,
            hostname,
            lambda: election.is_leader(),  # noqa: PLW0108 - it is made next
            instance=pod,
            node=options.node_name or pod,
            nodes=whereabouts.nodes,
            balancing=options.balancing(whereabouts.addresses),
            kinds=_status_kinds(options.admission()),
            selection=Selection(settings.namespaces, settings.namespace_selector, settings.route_selector),
            precedence=precedence,
        )
        gateways = _gateways(options, to_write, lambda: election.is_leader(), precedence)  # noqa: PLW0108 - it is made next
        if claims is not None:
            claims.writer.written = _released(writer, gateways)
        election = LeaderElection(
            connection.sibling(_LEASE_DEADLINES),
            options.lease_namespace,
            options.lease,
            unique_identity(pod),
            observer=_Wakes(
                writer,
                claims.writer if claims is not None else None,
                publishing.publisher if publishing is not None else None,
                gateways,
            ),
        )
        return cls(settings, server, to_write, writer, gateways, claims, publishing, election, whereabouts, precedence)

    @property
    def connection(self) -> Connection:
        """That of what follows the API server."""
        return self.server.connection

    def look_at_use(self, busy: Busy) -> None:
        """Say in PortClaims when they were last used, by the backends that have connections."""
        if self.claims is not None:
            self.claims.usage.busy = busy

    @property
    def ledger(self) -> Ledger | None:
        """Where admission keeps PortClaims, for those who write them to read; None where they count for nothing."""
        return self.claims.ledger if self.claims is not None else None

    @property
    def reporters(self) -> tuple[Reporter, ...]:
        """Who is told of each turn: what is written of claims comes before what is written of statuses."""
        published = (self.publishing.keeper,) if self.publishing is not None else ()
        statuses: tuple[Reporter, ...] = (self.writer, self.gateways) if self.gateways is not None else (self.writer,)
        if self.claims is None:
            return (*published, *statuses)
        return (*published, self.precedence.first(self.claims.keeper, *statuses))

    @property
    def propose(self) -> Propose:
        """Who is told what is to be claimed for those who ask for any port."""
        return self.claims.keeper.propose if self.claims is not None else unheard

    @property
    def sources(self) -> frozenset[str]:
        """What a store must have had listed to be synced."""
        return sources_of(self.settings)

    def _reached_by(self, hostname: str) -> None:
        """Tell those who write statuses where clients reach the router."""
        self.writer.reached_by(hostname)
        if self.gateways is not None:
            self.gateways.reached_by(hostname)

    def to_say(self) -> Connection:
        """Make a connection for saying something on the router's own pod; to be closed."""
        return self.connection.sibling(WRITE_DEADLINES)

    def pods_now(self) -> Mapping[ObjectKey, PodNow]:
        """Give how the pods of routers are, as far as the API server has told."""
        pods = self.whereabouts.followed.router_pods if self.whereabouts.followed is not None else None
        return pods.now if pods is not None else {}

    def to_review(self) -> Connection:
        """Make a connection for asking who may read the metrics; to be closed."""
        return self.connection.sibling(_REVIEW_DEADLINES)

    def siblings(self, namespace: str, own: str, selector: str) -> Siblings:
        """Make what says whether a pod is of this router; the reconcile loop waits for it."""
        return Siblings(self.connection.sibling(_SIBLING_DEADLINES), namespace, own, selector)

    def source(
        self, store: Store, admission: AdmissionSettings, metrics: ApiMetrics, machine: Machine, makes: Makes
    ) -> ClusterSource:
        """Make what keeps the store level, and show how it stands."""
        followed = KubeInput(
            makes.api(self.server.ahead or self.connection),
            store,
            self.settings,
            lambda obj: ASKER_KINDS[type(obj)].is_ours(obj, admission),
            metrics,
            asks=asks_of(admission.router_name, self.settings.route_selector),
            machine=machine.look,
        )
        self.whereabouts.followed = followed
        store.remember(does=self.claims is not None)
        writers = (self.writer, self.gateways) if self.gateways is not None else (self.writer,)
        metrics.read(
            ApiReadings(
                kinds=lambda: followed.kinds,
                is_leader=self.election.is_leader,
                status_writes=self.writer.writes,
                events=lambda: sum((Counter(each.events()) for each in writers), Counter()),
                queued=lambda: self.writer.queued,
                claim_writes=lambda: self.claims.writer.writes() if self.claims is not None else {},
                claims_queued=lambda: self.claims.writer.queued if self.claims is not None else 0,
                service_writes=lambda: self.publishing.publisher.writes() if self.publishing is not None else None,
                not_published=lambda: self.publishing.publisher.lacking if self.publishing is not None else 0,
            )
        )
        if self.publishing is not None:
            self.publishing.follow(self.connection.sibling(), store, metrics, self._reached_by)
        return ClusterSource(followed, self.to_write, writers, self.claims, self.publishing, self.election)


def _status_kinds(settings: AdmissionSettings) -> tuple[StatusKind, ...]:
    """Give the kinds of which the status is written."""
    if settings.server_claims == "off" and not settings.transport_servers:
        return KINDS
    # On first use: most routers serve neither.
    from router.status.more_kinds import more_kinds  # noqa: PLC0415 - the line above

    return (*KINDS, *more_kinds(settings))


def _publishing(options: RunSettings, connection: Connection, is_leader: Callable[[], bool]) -> Publishing | None:
    """Make what keeps the Service in front level, where there is to be one."""
    if options.publish_service is None:
        return None
    # On first use: most routers have none.
    from router.cli.publishing import Publishing  # noqa: PLC0415 - the line above

    return Publishing.connect(options.publish_service, options, connection.sibling(WRITE_DEADLINES), is_leader)


def _gateways(
    options: RunSettings, api: Connection, is_leader: Callable[[], bool], precedence: Precedence
) -> GatewayWriter | None:
    """Make what reports on Gateways, where they are served."""
    if not options.serves_gateways:
        return None
    from router.cli.gateways import gateway_writer  # noqa: PLC0415 - as publishing is

    return gateway_writer(options, api, is_leader, precedence)


def _released(writer: StatusWriter, gateways: GatewayWriter | None) -> Callable[[str, ObjectKey], None]:
    def release(kind: str, key: ObjectKey) -> None:
        writer.release(kind, key)
        if gateways is not None:
            gateways.release(kind, key)

    return release


def _router_pods(options: RunSettings) -> RouterPodSettings | None:
    if not options.router_pod_selector:
        return None
    return RouterPodSettings(
        namespace=options.lease_namespace,
        selector=options.router_pod_selector,
        own_name=options.pod_name or socket.gethostname(),
    )


@dataclass(frozen=True, slots=True)
class ClusterSource:
    """The threads, in the order in which they begin and end."""

    followed: KubeInput
    to_write: Connection
    writers: tuple[LeadingWriter, ...]
    claims: Claims | None
    publishing: Publishing | None
    election: LeaderElection

    def start(self) -> None:
        """Begin to follow, to stand for election and to report."""
        self.followed.start()
        self.election.start()
        if self.claims is not None:
            self.claims.start()
        if self.publishing is not None:
            self.publishing.start()
        for writer in self.writers:
            writer.start()

    def problems(self) -> tuple[str, ...]:
        """Give what keeps the kinds from being read, for a user; any thread."""
        kinds = self.followed.kinds.items()
        return tuple(f"{name}: {state.problem}" for name, state in kinds if state.problem)

    def notes(self) -> tuple[str, ...]:
        """Give what there is to know of kinds that may not be read; any thread."""
        return tuple(f"{name}: {state.note}" for name, state in self.followed.kinds.items() if state.note)

    def stop(self) -> None:
        """End all of it; the Lease is released last, when nothing is written any more."""
        self.followed.stop()
        for writer in self.writers:
            writer.stop()
        if self.claims is not None:
            self.claims.stop()
        if self.publishing is not None:
            self.publishing.stop()
        self.to_write.close()
        self.election.stop()
