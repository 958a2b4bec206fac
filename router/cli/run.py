"""``tcp-router run``: the router."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import structlog

from router import __version__, logs
from router.admission import Admission
from router.apply import Applier
from router.cli import memory
from router.cli.exits import clear_errors
from router.cli.metrics import METRICS_OPTIONS, haproxy_metrics, protection
from router.cli.options import (
    ADMISSION,
    CLUSTER,
    HAPROXY,
    HTTP,
    LOG_FORMAT,
    RENDER,
    admission_settings,
    http_address,
    option,
    render_settings,
    with_options,
)
from router.cli.types import HostnameType, PortRangesType, TimeType
from router.controller import Controller, Timing
from router.haproxy.attached import AttachedHaproxy
from router.haproxy.binary import find_binary
from router.haproxy.newest_worker import Deadlines
from router.haproxy.sessions import SessionCounts
from router.haproxy.standalone import StandaloneHaproxy
from router.haproxy.worker import WorkerSocket
from router.inputs.files import FilesInput
from router.inputs.watching import DirectoryWatcher
from router.level import Leveler
from router.pool import PortPool
from router.render import Renderer, TemplateSet
from router.report.api_metrics import ApiMetrics
from router.report.haproxy_metrics import HaproxyMetrics
from router.report.health import alive
from router.report.http import JSON, METRICS, HttpServer, Page, health_page
from router.report.metrics import Metrics
from router.report.ports import port_rows
from router.report.readiness import Readiness
from router.report.tcp_health import TcpHealth
from router.state_dir import StateDir
from router.store import Store

if TYPE_CHECKING:
    from router.cli.cluster import Cluster

log = structlog.get_logger()

_LOOK_S, _LOOK_AT_FIRST_S = 1.0, 0.2
"""How often the main thread looks whether the loop lives, and before that whether everything is served."""
# SIGUSR1 is what the image tells engines to stop its containers by, for HAProxy's sake.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_SWITCH_S = 0.0005
"""How long a thread that wants to run waits for another one; Python's own 5 ms is more than a whole change takes."""
_CRASHED = 1
_SAME_SIGNAL_S = 0.05

RUN = (
    option("--haproxy-mode", type=click.Choice(["standalone", "attached"]), default="standalone",
           help="standalone: HAProxy is a child of the router; attached: it runs already (tcp-router haproxy), on the same --state-dir."),
    option("--manifests", type=click.Path(path_type=Path, exists=True, file_okay=False), default=None,
           show_default="none: an API server is followed",
           help="Folder with Routes, Services and EndpointSlices as YAML or JSON; followed live, in the place of an API server."),
    option("--reload-interval", env="RELOAD_INTERVAL", type=TimeType(zero=True), default="1s",
           help="Least time between two reloads; the first runs at once."),
    option("--port-pool", type=PortRangesType(), default="", show_default="none",
           help="Ports that HAProxy has in advance and keeps closed, so that a Route is served on one without a reload."),
    option("--sni-pool", type=click.IntRange(0, 10_000), default=0,
           help="Backends that HAProxy has in advance, so that so many more Routes on shared ports are served without a reload."),
    option("--shutdown-delay", type=TimeType(zero=True), default="0",
           help="How long to go on routing, not ready, after the signal to stop: for load balancers to notice."),
    option("--drain-timeout", type=TimeType(zero=True), default="30s",
           help="How long connections may go on after that; a second signal ends them at once."),
    option("--canonical-hostname", env="ROUTER_CANONICAL_HOSTNAME", type=HostnameType(), default=None, show_default="none",
           help="The name by which clients reach this router; /ports gives it with each port."),
    LOG_FORMAT,
)  # fmt: skip

_HELP = """\
Run the router: HAProxy serves the Routes of a cluster, or of a folder of manifests, and follows their changes.

Log lines go to standard error, HAProxy's lines about connections to --log-address. SIGTERM and SIGINT stop the router:
after --shutdown-delay new connections are refused, and those that are open have --drain-timeout to end.

\b
Exit status:
  0  stopped by a signal
  1  crashed
  2  an option or the kubeconfig cannot be used, or HAProxy is missing
"""


@click.command(help=_HELP)
@with_options(RUN, CLUSTER, HTTP, METRICS_OPTIONS, (HAPROXY,), ADMISSION, RENDER)
@clear_errors
def run(**values: Any) -> None:
    """Run the router until a signal stops it."""
    as_json = logs.is_json(values["log_format"])
    logs.configure(json=as_json)
    memory.expect_many_objects()
    sys.setswitchinterval(_SWITCH_S)
    # Blocked in every thread, and waited for in the main one: no handler runs in the middle of something else.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    with ExitStack() as stack:
        router = _assemble(values, stack, log_json=as_json)
        raise SystemExit(_supervise(router, values["shutdown_delay"] / 1000))


Haproxy = StandaloneHaproxy | AttachedHaproxy


class Source(Protocol):
    """What keeps the store level, on threads of its own."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, within about a second."""


@dataclass(frozen=True, slots=True)
class _Router:
    """The parts that the main thread starts and stops."""

    controller: Controller
    haproxy: Haproxy
    source: Source
    readiness: Readiness
    tcp_health: TcpHealth | None
    haproxy_metrics: HaproxyMetrics

    def withdraw(self) -> None:
        """Be not ready from now on, also to those who can only try to connect."""
        self.readiness.withdraw()
        if self.tcp_health is not None:
            self.tcp_health.look()


def _assemble(values: dict[str, Any], stack: ExitStack, *, log_json: bool) -> _Router:
    """Make the parts and put them together; what must be undone at the end goes on the stack."""
    listen = http_address(values)
    admission = Admission(admission_settings(values))
    settings = render_settings(values, log_json=log_json)
    template_dir: Path | None = values["template_dir"]
    renderer = Renderer(TemplateSet.load(template_dir), settings)
    binary = find_binary(values["haproxy"])
    cluster = _connect(values) if values["manifests"] is None else None
    protected = protection(values, cluster, stack)
    state = StateDir(settings.state_dir)
    state.open()
    stack.callback(state.close)

    store = cluster.store() if cluster is not None else Store(frozenset({FilesInput.SOURCE}))
    deadlines = Deadlines(drain_s=values["drain_timeout"] / 1000)
    haproxy: Haproxy
    if values["haproxy_mode"] == "attached":
        haproxy = AttachedHaproxy(binary, settings, deadlines, wake=store.wake)
    else:
        haproxy = StandaloneHaproxy(binary, state.config, settings, deadlines, wake=store.wake)
    level = Leveler(haproxy.check, state)
    stack.callback(level.stop)
    metrics = Metrics(binary.build, lambda: haproxy.is_up)
    metrics.compare_versions(lambda: bool(haproxy.other_version))
    of_haproxy = haproxy_metrics(values, settings, metrics)
    controller = Controller(
        store=store,
        admission=admission,
        applier=Applier(
            haproxy,
            state,
            WorkerSocket(settings.stats_socket),
            PortPool(values["port_pool"], values["sni_pool"], admission_settings(values).defaults),
            level,
        ),
        haproxy=haproxy,
        renderer=renderer,
        load_templates=lambda: Renderer(TemplateSet.load(template_dir), settings),
        observer=metrics,
        timing=Timing(reload_interval_s=values["reload_interval"] / 1000),
        reporter=cluster.writer if cluster is not None else None,
    )
    source: Source
    input_problems: Callable[[], Iterable[str]] = tuple
    if cluster is not None:
        source = of_cluster = cluster.source(store, values["router_name"], ApiMetrics(metrics.registry))
        input_problems = of_cluster.problems
        log.info("following an api server", server=cluster.connection.server)
    else:
        files = FilesInput(values["manifests"], store)
        metrics.count_problems(lambda: len(files.problems))
        source = files
    pages = _pages(controller, haproxy, metrics, SessionCounts(settings.stats_socket), values["canonical_hostname"])
    readiness = Readiness(lambda: controller.snapshot, lambda: haproxy.takes_traffic, input_problems)
    pages["/readyz"] = lambda: health_page(readiness.now())
    http = HttpServer(*listen, pages, protected.guards, protected.tls_context)
    stack.callback(http.stop)
    http.start()
    tcp_health = None
    if values["tcp_health_port"]:
        tcp_health = TcpHealth(
            values["tcp_health_port"], settings.ip_mode, settings.bind_addresses, lambda: readiness.now().ok
        )
        stack.callback(tcp_health.stop)
        tcp_health.start()
    if template_dir is not None:
        watcher = DirectoryWatcher(template_dir, controller.templates_changed)
        stack.callback(watcher.stop)
        watcher.start()
    log.info(
        "router started",
        version=__version__,
        haproxy=binary.build,
        haproxy_path=str(binary.path),
        router_name=values["router_name"],
        http=f"{listen[0]}:{http.port}",
        state_dir=str(settings.state_dir),
    )
    stack.callback(of_haproxy.stop)
    of_haproxy.start()
    return _Router(controller, haproxy, source, readiness, tcp_health, of_haproxy)


def _connect(values: dict[str, Any]) -> Cluster:
    # Not at the top: the kubernetes client takes as long to import, and as much memory, as all the rest.
    from router.cli.cluster import Cluster  # noqa: PLC0415

    return Cluster.connect(values)


def _pages(
    controller: Controller,
    haproxy: Haproxy,
    metrics: Metrics,
    sessions: SessionCounts,
    canonical_hostname: str | None,
) -> dict[str, Any]:
    def healthz() -> Page:
        now_s = time.monotonic()
        # One that runs in a container of its own has a probe of its own: ending the router would not help it.
        answered_s = haproxy.last_answer_s if haproxy.is_child else now_s
        return health_page(
            alive(
                controller.snapshot,
                turned_ago_s=now_s - controller.last_turn_s,
                answered_ago_s=now_s - answered_s if answered_s is not None else None,
            )
        )

    def ports() -> Page:
        snapshot = controller.snapshot
        rows = port_rows(snapshot.verdicts, snapshot.applied, canonical_hostname, sessions.current())
        return Page(json.dumps(rows, indent=1).encode() + b"\n", JSON)

    return {
        "/healthz": healthz,
        "/metrics": lambda: Page(metrics.exposition(), METRICS),
        "/ports": ports,
    }


def _supervise(router: _Router, shutdown_delay_s: float) -> int:
    """Run until a signal, then stop in order; a further signal hurries.

    Returns:
        The exit code.
    """
    reconcile = threading.Thread(target=router.controller.run, name="reconcile")
    reconcile.start()
    try:
        router.source.start()
        is_settled = False
        while reconcile.is_alive():
            if _signal_within(_LOOK_S if is_settled else _LOOK_AT_FIRST_S) is not None:
                break
            if not is_settled and router.controller.snapshot.configured:
                memory.settle()
                is_settled = True
        else:
            log.critical("the reconcile loop ended unasked; the router stops")
            return _CRASHED
        router.withdraw()
        router.controller.begin_stop()
        log.info("stopping", shutdown_delay_seconds=shutdown_delay_s)
        _discard_signals(_SAME_SIGNAL_S)
        if _signal_within(shutdown_delay_s) is not None:
            log.info("hurrying")
            router.haproxy.hurry()
    finally:
        # Workers that are held would not end by themselves.
        router.haproxy_metrics.stop()
        router.controller.end()
        # Nothing is decided any more: another replica shall lead, and not wait until the last connection has ended.
        router.source.stop()
        while reconcile.is_alive():
            if _signal_within(0.1) is not None:
                log.info("hurrying")
                router.haproxy.hurry()
    log.info("stopped")
    return 0


def _discard_signals(seconds: float) -> None:
    """Pass over what arrives so soon after a signal that it is the same: sent to the process and to its group, say."""
    ends_s = time.monotonic() + seconds
    while (left_s := ends_s - time.monotonic()) > 0:
        _signal_within(left_s)


def _signal_within(seconds: float) -> signal.Signals | None:
    """Wait for a signal to stop, at most so long."""
    received = signal.sigtimedwait(_STOP_SIGNALS, seconds)
    # A pause (SIGSTOP, a frozen cgroup) that outlasts the time interrupts the call, and CPython then gives a struct that nobody
    # filled (signal_sigtimedwait_impl in Modules/signalmodule.c).
    if received is None or received.si_signo not in _STOP_SIGNALS:
        return None
    return signal.Signals(received.si_signo)
