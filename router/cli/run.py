"""``tcp-router run``: the router."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
import structlog

from router import logs
from router.cli import memory
from router.cli.dumps import leave_no_core
from router.cli.exits import clear_errors
from router.cli.kept import begin
from router.cli.options import (
    ADMISSION,
    CLUSTER,
    HAPROXY,
    HTTP,
    RENDER,
    with_options,
)
from router.cli.run_options import METRICS_OPTIONS, OWN_ADDRESSES, RUN
from router.cli.signals import StopSignals
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
    memory.begin()
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
