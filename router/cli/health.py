"""What says to others whether the router is well, put together."""

from __future__ import annotations

import time
from contextlib import ExitStack

from router.cli.run_settings import RunSettings
from router.haproxy.attached import AttachedHaproxy
from router.haproxy.standalone import StandaloneHaproxy
from router.observe.health import Health, alive
from router.observe.readiness import Readiness
from router.observe.tcp_health import TcpHealth
from router.reconcile.controller import Controller
from router.settings import RenderSettings
from router.supervisor import SUPERVISOR


def tcp_health_port(
    options: RunSettings, settings: RenderSettings, readiness: Readiness, stack: ExitStack
) -> TcpHealth | None:
    """Open the port of --tcp-health-port while the router is ready, where one is wanted."""
    if not options.tcp_health_port:
        return None
    port = TcpHealth(options.tcp_health_port, settings.ip_mode, settings.bind_addresses, lambda: readiness.now().ok)
    stack.callback(port.stop)
    port.start()
    return port


def liveness_of(controller: Controller, haproxy: StandaloneHaproxy | AttachedHaproxy) -> Health:
    """Give what /healthz says."""
    now_s = time.monotonic()
    # One that runs in a container of its own has a probe of its own: ending the router would not help it.
    answered_s = haproxy.last_answer_s if haproxy.is_child else now_s
    return alive(
        controller.snapshot,
        turned_ago_s=now_s - controller.last_turn_s,
        answered_ago_s=now_s - answered_s if answered_s is not None else None,
        dead_threads=SUPERVISOR.problems,
        failed_turns=controller.failed_turns,
    )
