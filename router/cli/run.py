"""``tcp-router run``: the router."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from router import logs
from router.cli import memory
from router.cli.dumps import leave_no_core
from router.cli.exits import clear_errors
from router.cli.kept import begin
from router.cli.metrics import METRICS_OPTIONS
from router.cli.named_addresses import NamedHostnameType, NamedRangesType
from router.cli.options import (
    ADMISSION,
    CLUSTER,
    HAPROXY,
    HTTP,
    LOG_FORMAT,
    RENDER,
    option,
    with_options,
)
from router.cli.own_addresses import OWN_ADDRESSES
from router.cli.pool_type import PortPoolType
from router.cli.signals import StopSignals
from router.cli.types import HostnameType, ObjectKeyType, PortRangesType, ResolverType, TimeType
from router.settings import MAX_PORT
from router.supervisor import SUPERVISOR

if TYPE_CHECKING:
    from router.cli.asked import Server
    from router.cli.assemble import Router

log = structlog.get_logger()

_LOOK_S, _LOOK_AT_FIRST_S = 1.0, 0.2
"""How often the main thread looks whether the loop lives, and before that whether everything is served."""
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
    option("--port-pool", type=PortPoolType(), default="", show_default="none",
           help="Ports that HAProxy has in advance and keeps closed, so that a Route is served on one without a reload; auto: as many of --auto-ports as the busiest hour took."),
    option("--address-port-pool", type=NamedRangesType(), multiple=True, show_default="none",
           help="The same for ports of an address of --address: NAME=RANGES; repeatable."),
    option("--pair-wait", type=TimeType(zero=True), default="60s",
           help="How long a claim waits for --claims-wait-for-pair, until it is given a port in this cluster alone."),
    option("--sni-pool", type=click.IntRange(0, 10_000), default=0,
           help="Backends that HAProxy has in advance, so that so many more Routes on shared ports are served without a reload."),
    option("--tls-pool", type=click.IntRange(0, 1_000), default=0,
           help="Places that HAProxy has in advance, so that TLS ends for so many more Routes on ports of --port-pool without a reload."),
    option("--mtls-pool", type=click.IntRange(0, 1_000), default=0,
           help="Sockets that each shared port has in advance, so that so many more Routes there that ask clients for certificates are served without a reload."),
    option("--resolver", "resolvers", type=ResolverType(), multiple=True, show_default="those of /etc/resolv.conf",
           help="With --external-names, a DNS server to ask, as address or address:port; repeatable, asked in turn."),
    option("--check-network-policies", is_flag=True,
           help="Where none of the endpoints passes its health check, look whether NetworkPolicies keep the router out, and say so."),
    option("--shutdown-delay", type=TimeType(zero=True), default="0",
           help="How long to go on routing, not ready, after the signal to stop: for load balancers to notice."),
    option("--drain-timeout", type=TimeType(zero=True), default="30s",
           help="How long connections may go on after that; a second signal ends them at once."),
    option("--canonical-hostname", env="ROUTER_CANONICAL_HOSTNAME", type=HostnameType(), default=None, show_default="none",
           help="The name by which clients reach this router; /ports gives it with each port."),
    option("--address-hostname", "address_hostnames", env="TCP_ROUTER_ADDRESS_HOSTNAMES", type=NamedHostnameType(), multiple=True, show_default="none",
           help="NAME=HOST: the DNS name by which clients reach an address of --address, for the status of Services of type LoadBalancer; repeatable."),
    option("--load-balancer-ips/--no-load-balancer-ips", default=False,
           help="Tell such Services the IPs of their address, with ipMode Proxy: not with OVN-Kubernetes, which leads past the router then."),
    option("--publish-service", type=ObjectKeyType(), default=None, show_default="none",
           help="The Service in front of the router, NAMESPACE/NAME: the leading replica keeps its ports level with what is served (docs/services.md)."),
    option("--publish-service-max-ports", type=click.IntRange(1, MAX_PORT), default=None, show_default="any number",
           help="How many ports that Service may have, those of others too; clouds' load balancers have a limit, 50 as a rule."),
    option("--node-port-range", type=PortRangesType(), default="30000-32767",
           help="The node ports of the cluster: a port within them is asked for as its own node port."),
    LOG_FORMAT,
    option("--trace-changes", is_flag=True, default=False,
           help="Log for each change where its time went, from the API server to HAProxy's reply; /metrics shows it too."),
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
@with_options(RUN, CLUSTER, OWN_ADDRESSES, HTTP, METRICS_OPTIONS, (HAPROXY,), ADMISSION, RENDER)
@click.pass_context
@clear_errors
def run(context: click.Context, /, **values: Any) -> None:
    """Run the router until a signal stops it."""
    as_json = logs.is_json(values["log_format"])
    logs.configure(json=as_json)
    logs.take_in_libraries()
    leave_no_core()
    sys.setswitchinterval(_SWITCH_S)
    stop_signals = StopSignals()
    with ExitStack() as stack:
        start = begin(context, values, stack)
        # After that: HAProxy serves what it did, and the API server makes its lists, while all that is imported.
        server = _asked(values, stack)
        from router.cli.assemble import assemble  # noqa: PLC0415 - the line above
        from router.cli.run_settings import RunSettings  # noqa: PLC0415 - likewise

        memory.expect_many_objects()
        options = RunSettings(**values)
        router = assemble(options, stack, start, server, log_json=as_json)
        raise SystemExit(_supervise(router, options.shutdown_delay / 1000, stop_signals))


def _asked(values: Mapping[str, Any], stack: ExitStack) -> Server | None:
    """Ask the API server for what there is; None where a folder of manifests is followed."""
    if values["manifests"] is not None:
        return None
    # Not at the top: with manifests there is no API server.
    from router.cli.asked import ask  # noqa: PLC0415 - the line above

    return ask(values, stack)


def _supervise(router: Router, shutdown_delay_s: float, stop_signals: StopSignals) -> int:
    """Run until a signal, then stop in order; a further signal hurries.

    Returns:
        The exit code.
    """
    # HAProxy is tied to this thread: what goes wrong is dealt with on it, and there is no other to begin again.
    reconcile = SUPERVISOR.own("reconcile", router.controller.run, ask_to_end=router.controller.end, restart=None)
    reconcile.start()
    try:
        router.source.start()
        is_settled = False
        while not router.controller.is_over:
            if stop_signals.within(_LOOK_S if is_settled else _LOOK_AT_FIRST_S) is not None:
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
        stop_signals.discard(_SAME_SIGNAL_S)
        if stop_signals.within(shutdown_delay_s) is not None:
            log.info("hurrying")
            router.haproxy.hurry()
    finally:
        # Workers that are held would not end by themselves.
        router.haproxy_metrics.stop()
        reconcile.stop(0.0)
        # Nothing is decided any more: another replica shall lead, and not wait until the last connection has ended.
        router.source.stop()
        while not reconcile.has_ended:
            if stop_signals.within(0.1) is not None:
                log.info("hurrying")
                router.haproxy.hurry()
    log.info("stopped")
    return 0
