"""``tcp-router pair``: two clusters that reach each other by the TransportServerClaims of the first one."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import click
import structlog

from router import __version__, logs
from router.cli.exits import clear_errors
from router.cli.options import with_options
from router.cli.pair_options import OPTIONS, PairOptions
from router.cli.signals import StopSignals
from router.election.leader import LeaderElection, unique_identity
from router.errors import SettingsError
from router.kube.connection import Connection, Deadlines
from router.observe.health import Health
from router.observe.http import METRICS, HttpServer, Page, health_page
from router.observe.metrics.pair import PairMetrics, PairReadings
from router.pair.forgetting import Forgetting
from router.pair.hands import Hands
from router.pair.model import PairSettings, Side
from router.pair.naming import Naming
from router.pair.prober import Prober
from router.pair.seen import Seen
from router.pair.watched import Watched
from router.pair.way import Way
from router.pair.worker import SIDES, Worker
from router.settings import KubeSettings
from router.status.events import EventSender
from router.status.outage import Outage
from router.status.route import Identity
from router.supervisor import SUPERVISOR

log = structlog.get_logger()

_LEASE_DEADLINES = Deadlines(connect_s=2.0, read_s=3.0, total_s=4.0)
_WRITE_DEADLINES = Deadlines(connect_s=2.0, read_s=4.0, total_s=5.0)
"""As the router's: no write outlives the lead."""
_ELECTED_WITHIN_S = 20.0
_LOOK_S = 1.0
_HANGS_S = 60.0

_HELP = """\
Keep two clusters paired: copy the TransportServerClaims of the first one to the other, where its own router serves them, with the same ports,
and lead Services in each to the other's.

One process, as a rule in the first cluster (manifests/overlays/pair); a second one waits until the first is gone. docs/pair.md says what is written.

\b
Exit status:
  0  stopped by a signal, or all is forgotten
  2  an option, a kubeconfig or an API server cannot be used
"""


@click.command(help=_HELP)
@with_options(OPTIONS)
@clear_errors
def pair(**values: object) -> None:
    """Keep two clusters paired, or forget about one."""
    options = PairOptions(**values)  # type: ignore[arg-type]
    logs.configure(json=logs.is_json(options.log_format))
    if options.forget:
        _forget(options)
        return
    settings = options.settings()
    local = Connection.open(KubeSettings(kubeconfig=options.kubeconfig, context=options.context))
    if options.remote_kubeconfig is None:
        raise SettingsError("--remote-kubeconfig is missing: it says where the API server of the other cluster is")
    try:
        remote = Connection.open(KubeSettings(kubeconfig=options.remote_kubeconfig, context=options.remote_context))
    except SettingsError as error:
        raise SettingsError(f"--remote-kubeconfig: {error}") from error
    if local.server == remote.server:
        raise SettingsError(
            f"both clusters have the API server {local.server}: --remote-kubeconfig is that of the other one"
        )
    logs.take_in_libraries()
    stop_signals = StopSignals()
    with ExitStack() as stack:
        _run(options, settings, {"local": local, "remote": remote}, stack)
        while stop_signals.within(_LOOK_S) is None:
            pass
        log.info("stopping")
    log.info("stopped")


def _run(options: PairOptions, settings: PairSettings, connections: dict[Side, Connection], stack: ExitStack) -> None:
    """Put the parts together, and start them; what is to be undone at the end goes on the stack."""
    pod = options.pod_name or socket.gethostname()
    metrics = PairMetrics(SUPERVISOR)
    election = LeaderElection(
        connections["local"].sibling(_LEASE_DEADLINES), options.lease_namespace, options.lease_name, unique_identity(pod)
    )  # fmt: skip
    to_write = {side: connections[side].sibling(_WRITE_DEADLINES) for side in SIDES}
    # The worker is made last.
    seen = {side: Seen(settings.ledger(side), lambda namespace: worker.changed(namespace)) for side in SIDES}  # noqa: PLW0108 - it is made below
    watched = {side: Watched(side, connections[side], settings, seen[side], metrics) for side in SIDES}
    hands = {side: Hands(to_write[side], seen[side]) for side in SIDES}
    ways = {
        side: Way(
            seen[side],
            hands[side],
            lambda side=side: watched[side].is_synced,  # type: ignore[misc]
            lambda side=side: watched[side].is_connected,  # type: ignore[misc]
            Outage(f"cluster {settings.name(side)}"),
        )
        for side in SIDES
    }
    prober = Prober(lambda namespace: worker.changed(namespace))  # noqa: PLW0108 - likewise
    naming = Naming(lambda: worker.changed(None))
    events = EventSender(to_write["local"], Identity("pair"), pod, clock=time.monotonic, wall_clock=time.time)
    worker = Worker(
        ways, settings, options.namespace_selector,
        prober=prober, naming=naming, events=events, is_leader=election.is_leader,
    )  # fmt: skip
    metrics.read(
        PairReadings(
            is_leader=lambda: worker.leads,
            connected=lambda: {settings.name(side): watched[side].is_connected for side in SIDES},
            claims=lambda: _claims(worker),
            reach=prober.counts,
            writes=lambda: {settings.name(side): hands[side].counts() for side in SIDES},
        )
    )
    pages = {
        "/metrics": lambda: Page(metrics.exposition(), METRICS),
        "/healthz": lambda: health_page(_alive(worker)),
        "/readyz": lambda: health_page(_ready(settings, watched)),
    }
    http = HttpServer(*options.listen, pages)
    # In the order in which it ends: nothing is written any more when the Lease is released.
    for part in (election, http, watched["local"], watched["remote"], prober, naming, worker):
        stack.callback(part.stop)
    for connection in to_write.values():
        stack.callback(connection.close)
    for part in (http, watched["local"], watched["remote"], prober, naming, worker, election):
        part.start()
    log.info(
        "pair started", version=__version__, http=f"{options.listen[0]}:{http.port}",
        **{settings.name(side): connections[side].server for side in SIDES},
    )  # fmt: skip


def _claims(worker: Worker) -> dict[str, int]:
    standing = worker.standing()
    return {
        "all": standing.claims,
        "paired": standing.paired,
        "waiting": standing.waiting,
        "refused": standing.refused,
        "orphaned": standing.orphans,
    }


def _alive(worker: Worker) -> Health:
    hangs_s = time.monotonic() - worker.last_turn_s
    hangs = (f"the pair has not turned for {hangs_s:.0f} seconds",) if hangs_s > _HANGS_S else ()
    return Health((*SUPERVISOR.problems, *hangs))


def _ready(settings: PairSettings, watched: dict[Side, Watched]) -> Health:
    """Judge readiness by the first cluster: without the other one there is something to be done all the same."""
    says = {
        side: each.problem or f"{settings.name(side)}: not read yet"
        for side, each in watched.items()
        if each.problem or not each.is_synced
    }
    problems = (says["local"],) if "local" in says and not watched["local"].is_synced else ()
    return Health(problems, tuple(text for text in says.values() if text not in problems))


def _forget(options: PairOptions) -> None:
    """Forget, while no pair runs that would write it all again."""
    api = Connection.open(KubeSettings(kubeconfig=options.kubeconfig, context=options.context))
    identity = unique_identity(options.pod_name or socket.gethostname())
    election = LeaderElection(api.sibling(_LEASE_DEADLINES), options.lease_namespace, options.lease_name, identity)
    election.start()
    try:
        ends_s = time.monotonic() + _ELECTED_WITHIN_S
        while not election.is_leader():
            if time.monotonic() > ends_s:
                held = (
                    f"{election.holder} holds it. End the pair first: what is taken back it would write again"
                    if election.holder
                    else "it cannot be had; the log says why"
                )
                raise SettingsError(f"the Lease {options.lease_namespace}/{options.lease_name}: {held}")
            time.sleep(0.05)
        count = Forgetting(api, options.remote_name, options.local_router_namespace, click.echo).run()
    finally:
        election.stop()
        api.close()
    click.echo(f"{count} objects changed" if count else f"nothing was written for a pair with {options.remote_name}")
