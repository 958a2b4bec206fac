"""The parts of a running router, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from router import __version__, logs
from router.admission.places import Place
from router.cli import port_policy
from router.cli.external_names import look_up
from router.cli.generations import generations
from router.cli.health import liveness_of, tcp_health_port
from router.cli.http import Seen, serve_http
from router.cli.ip_versions import settings_on_this_host
from router.cli.kept import Start
from router.cli.metrics import haproxy_metrics, protection
from router.cli.own_addresses import machine_of
from router.cli.policies import session_counts
from router.cli.pool import filling_of, in_advance, pool_of
from router.cli.presence import follow_addresses
from router.cli.run_settings import RunSettings
from router.cli.templates import watch_templates
from router.cli.tls import follow_tls_files, tell_times
from router.cluster.machine import MachineInput
from router.haproxy.attached import AttachedHaproxy
from router.haproxy.generations import Others
from router.haproxy.newest_worker import Deadlines
from router.haproxy.process import descriptors
from router.haproxy.process.binary import HaproxyBinary
from router.haproxy.standalone import StandaloneHaproxy
from router.haproxy.talk.limits import ConnectionLimiter
from router.model import Asker
from router.objects.store import Store
from router.observe.health import Health
from router.observe.http_turn import HttpTurn
from router.observe.metrics.api import ApiMetrics
from router.observe.metrics.certificates import show_certificates
from router.observe.metrics.files import show_files
from router.observe.metrics.haproxy import HaproxyMetrics
from router.observe.metrics.logs import show_lost_lines
from router.observe.metrics.router import Metrics
from router.observe.metrics.threads import show_threads
from router.observe.probe_sockets import probe_sockets
from router.observe.readiness import Readiness
from router.observe.tcp_health import TcpHealth
from router.observe.tracing import Makes, Tracing, Untraced
from router.reconcile.apply import Applier
from router.reconcile.controller import Controller
from router.reconcile.hooks import Reporter, unheard
from router.reconcile.judge import Judge
from router.reconcile.level import Leveler
from router.reconcile.presence import FittedPool
from router.reconcile.room import Room
from router.reconcile.state_dir import StateDir
from router.reconcile.timing import Timing
from router.reconcile.won_file import WonFile, read_won
from router.render import Renderer, TemplateSet
from router.render.listen import listen_addresses
from router.settings import RenderSettings
from router.supervisor import SUPERVISOR

if TYPE_CHECKING:
    from router.cli.asked import Server
    from router.cli.cluster import Cluster
    from router.manifests.follow import FilesInput

log = structlog.get_logger()

Haproxy = StandaloneHaproxy | AttachedHaproxy


class Source(Protocol):
    """What keeps the store level, on threads of its own."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, within about a second."""


@dataclass(frozen=True, slots=True)
class Router:
    """The parts that the main thread starts and stops."""

    controller: Controller
    haproxy: Haproxy
    source: Source
    readiness: Readiness
    tcp_health: TcpHealth | None
    haproxy_metrics: HaproxyMetrics
    http: HttpTurn | None
    """Where the HTTP port is not ours until the end: on the host's network, another generation takes it."""

    def withdraw(self) -> None:
        """Be not ready from now on, also to those who can only try to connect."""
        self.readiness.withdraw()
        if self.tcp_health is not None:
            self.tcp_health.look()
        if self.http is not None:
            self.http.give_away()


def assemble(options: RunSettings, stack: ExitStack, start: Start, server: Server | None, *, log_json: bool) -> Router:
    """Make the parts of option options and put them together; what must be undone at the end goes on the stack.

    Args:
        options: the options.
        stack: undoes.
        start: what was there before all other parts.
        server: the API server that is followed; None for a folder of manifests.
        log_json: the form of the log.
    """
    admission = options.admission()
    binary = start.binary
    settings = in_advance(settings_on_this_host(options.render(log_json=log_json)), options, admission.defaults, binary)
    template_dir = options.template_dir

    def renderer() -> Renderer:
        return Renderer(TemplateSet.load(template_dir), settings)

    at_start = renderer()
    state = start.state
    cluster = _connect(options, server) if server is not None else None
    protected = protection(options, cluster, stack)

    makes: Makes = Tracing() if options.trace_changes else Untraced()
    store = makes.store(_sources(options, cluster))
    ours = generations(options, cluster, state.generations)
    haproxy = _haproxy(options, start, settings, store.wake, ours.others)
    ours.announce(haproxy.listening, stack)
    judge = Judge(haproxy.check, state)
    level = Leveler(judge, state)
    stack.callback(level.stop)
    limiter = ConnectionLimiter(settings)
    metrics = makes.metrics(binary.build, lambda: haproxy.is_up)
    addresses = follow_addresses(settings, dict(options.address_hostnames), store.wake, metrics, stack, cluster)
    filling = filling_of(options, admission, state, stack)
    pool = FittedPool(pool_of(options, admission, filling), addresses.presence)
    room = Room(lambda: _for_files(haproxy, binary, settings), pool.sections, addresses.sizes)
    won, reporters = _won(cluster, state, stack)
    names = look_up(options, store, state.names, metrics, stack)
    controller = Controller(
        store=store,
        admission=makes.admission(admission, won, cluster.ledger if cluster is not None else None),
        applier=Applier(
            haproxy, state, judge, makes.worker(settings.stats_socket), pool, level, limiter.loaded, filling=filling
        ),
        haproxy=haproxy,
        renderer=at_start,
        load_templates=renderer,
        observer=metrics,
        room=room,
        presence=addresses.presence,
        absence=addresses.absence,
        timing=Timing(
            reload_interval_s=options.reload_interval / 1000,
            namespace_reloads=(30, options.reload_interval / 100),
        ),
        reporters=(*reporters, *_pair_wait(options, store, stack)),
        look_up=names.want,
        propose=cluster.propose if cluster is not None else unheard,
    )
    if filling is not None:
        controller.fill_from(filling.spare)
    source, input_problems, input_notes = _source(options, cluster, store, metrics, stack, makes)
    readiness = Readiness(
        lambda: controller.snapshot,
        lambda: haproxy.takes_traffic,
        lambda: haproxy.kept_ports,
        input_problems,
        lambda: (*addresses.notes(), *input_notes()),
        names.awaited,
    )
    metrics.show_readiness(readiness.now)
    _show(metrics, room, controller, haproxy, limiter)
    metrics.show_port_pool(filling.busiest if filling is not None else None)
    tell_times(store, lambda: controller.snapshot.applied, stack)
    sessions = session_counts(options, settings, cluster, store, lambda: controller.snapshot, stack)

    def liveness() -> Health:
        return liveness_of(controller, haproxy)

    probes = probe_sockets((settings.alive_socket, liveness), (settings.ready_socket, readiness.now))
    stack.callback(probes.stop)
    probes.start()
    seen = Seen(
        snapshot=lambda: controller.snapshot,
        sessions=sessions.current,
        addresses=addresses.now,
        readiness=readiness.now,
        liveness=liveness,
        haproxy_build=binary.build,
    )
    http, http_turn = serve_http(options, admission, settings, cluster, store, metrics, seen, protected, stack)
    tcp_health = tcp_health_port(options, settings, readiness, stack)
    if template_dir is not None:
        watch_templates(template_dir, controller.templates_changed, stack)
    log.info(
        "router started",
        version=__version__,
        haproxy=binary.build,
        haproxy_path=str(binary.path),
        router_name=options.router_name,
        http=http,
        state_dir=str(settings.state_dir),
    )
    of_haproxy = haproxy_metrics(options, settings, metrics)
    stack.callback(of_haproxy.stop)
    of_haproxy.start()
    return Router(controller, haproxy, source, readiness, tcp_health, of_haproxy, http_turn)


def _show(metrics: Metrics, room: Room, controller: Controller, haproxy: Haproxy, limiter: ConnectionLimiter) -> None:
    """Show what is of the process as a whole."""
    metrics.compare_versions(lambda: bool(haproxy.other_version))
    metrics.show_limits(lambda: limiter.in_force)
    metrics.show_ports_to_give(controller.ports_to_give)
    show_files(metrics.registry, room.now)
    show_certificates(metrics.registry, lambda: controller.snapshot.applied)
    show_threads(metrics.registry, SUPERVISOR)
    show_lost_lines(metrics.registry, logs.lost_lines)


def _won(
    cluster: Cluster | None, state: StateDir, stack: ExitStack
) -> tuple[Mapping[Place, Asker], tuple[Reporter, ...]]:
    """Give what was won before, where that is to be kept here, and who is told of each turn."""
    if cluster is not None:
        return {}, cluster.reporters
    won = read_won(state.won)
    file = WonFile(state.won, won)
    stack.callback(file.stop)
    file.start()
    return won, (file,)


def _pair_wait(options: RunSettings, store: Store, stack: ExitStack) -> tuple[Reporter, ...]:
    """Say when claims have waited long enough, where they do."""
    if not options.claims_wait_for_pair:
        return ()
    # On first use: most routers have no pair.
    from router.reconcile.pair_wait import PairWait  # noqa: PLC0415 - the line above

    waits = PairWait(store, options.pair_wait / 1000)
    stack.callback(waits.stop)
    waits.start()
    return (waits,)


def _haproxy(
    options: RunSettings, start: Start, settings: RenderSettings, wake: Callable[[], None], others: Others
) -> Haproxy:
    deadlines = Deadlines(drain_s=options.drain_timeout / 1000)
    if options.haproxy_mode == "attached":
        return AttachedHaproxy(start.binary, settings, deadlines, wake=wake, others=others)
    return StandaloneHaproxy(
        start.binary, start.state.config, settings, deadlines, wake=wake, others=others, kept=start.kept
    )


def _for_files(haproxy: Haproxy, binary: HaproxyBinary, settings: RenderSettings) -> descriptors.Haproxy:
    """Give what the need for files depends on; the limit may be another when HAProxy was started anew."""
    return descriptors.Haproxy(
        version=binary.version,
        threads=settings.nbthread or len(os.sched_getaffinity(0)),
        binds_per_port=len(listen_addresses(settings)),
        max_connections=settings.maxconn,
        limit=haproxy.files_limit,
    )


def _sources(options: RunSettings, cluster: Cluster | None) -> frozenset[str]:
    """Give what a store must have had for it to be synced."""
    followed = cluster.sources if cluster is not None else frozenset({_files_input().SOURCE})
    return followed | port_policy.sources(options)


def _source(  # noqa: PLR0913, PLR0917 - what both kinds need
    options: RunSettings,
    cluster: Cluster | None,
    store: Store,
    metrics: Metrics,
    stack: ExitStack,
    makes: Makes,
) -> tuple[Source, Callable[[], Iterable[str]], Callable[[], Iterable[str]]]:
    """Give what keeps the store level, what says why it cannot, and what there is to know of that all the same."""
    port_policy.follow(options, store, metrics, stack)
    machine = machine_of(options)
    follow_tls_files(options, store, stack)
    if cluster is None or not options.router_pod_selector:
        own = MachineInput(machine, store)
        stack.callback(own.stop)
        own.start()
    if cluster is None:
        if options.manifests is None:
            raise RuntimeError("there is nothing to follow")
        files = _files_input()(options.manifests, store)
        metrics.count_problems(lambda: len(files.problems))
        return files, tuple, tuple
    log.info("following an api server", server=cluster.connection.server)
    source = cluster.source(store, options.admission(), ApiMetrics(metrics.registry), machine, makes)
    return source, source.problems, source.notes


def _files_input() -> type[FilesInput]:
    # Not at the top: with an API server there are no manifests, nor YAML.
    from router.manifests.follow import FilesInput  # noqa: PLC0415 - the line above

    return FilesInput


def _connect(options: RunSettings, server: Server) -> Cluster:
    # Not at the top: with manifests there is no API server.
    from router.cli.cluster import Cluster  # noqa: PLC0415

    return Cluster.connect(options, server)
