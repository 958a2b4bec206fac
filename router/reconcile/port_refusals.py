"""Ports that HAProxy or the kernel refused, as what is set aside; pure."""

from __future__ import annotations

from collections.abc import Iterable

from router.admission.verdicts import Reason
from router.haproxy.talk.alerts import BindFailure
from router.reconcile.judge import FRONTEND_PORT
from router.reconcile.set_aside import Aside, Asides


def at_ports(frontends: Iterable[str]) -> frozenset[int]:
    """Give the ports of those frontends that are named as ours are."""
    return frozenset(int(port[1]) for name in frontends if (port := FRONTEND_PORT.fullmatch(name)))


def bind_refusals(failures: Iterable[BindFailure], wanted: frozenset[int]) -> Asides:
    """Give the ports of the model that HAProxy could not bind."""
    found = {}
    for failure in failures:
        # A template may bind more than the model has; leaving a port out does not help against that.
        if (frontend := FRONTEND_PORT.fullmatch(failure.frontend)) and (port := int(frontend[1])) in wanted:
            found[port] = unavailable(port, f"{failure.problem} for {failure.address}")
    return Asides({}, found)


def unavailable(port: int, problem: str) -> Aside:
    """Give the reason why a port is set aside."""
    return Aside(Reason.PORT_UNAVAILABLE, f"port {port} cannot be opened on the router's host: {problem}")
