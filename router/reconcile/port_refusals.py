"""Ports that HAProxy or the kernel refused, as what is set aside; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.admission.verdicts import Reason
from router.haproxy.talk.alerts import BindFailure
from router.model import Bind, Spot, spot_of
from router.reconcile.set_aside import Aside, Asides


def at_spots(frontends: Iterable[str]) -> frozenset[Spot]:
    """Give where those frontends listen that are named as ours are."""
    return frozenset(spot for name in frontends if (spot := spot_of(name)) is not None)


def bind_refusals(failures: Iterable[BindFailure], wanted: frozenset[Spot]) -> Asides:
    """Give the ports of the model that HAProxy could not bind."""
    found = {}
    for failure in failures:
        # A template may bind more than the model has; leaving a port out does not help against that.
        if (spot := spot_of(failure.frontend)) in wanted and spot is not None:
            found[spot] = _unavailable(spot, f"{failure.problem} for {failure.address}")
    return Asides({}, found)


def refusals_at(taken: Mapping[Bind, str], spots_of: Mapping[Bind, Spot]) -> Mapping[Spot, Aside]:
    """Give where something cannot be bound, and why."""
    return {spots_of[bind]: _unavailable(spots_of[bind], problem) for bind, problem in taken.items()}


def _unavailable(spot: Spot, problem: str) -> Aside:
    """Give the reason why a port is set aside."""
    return Aside(Reason.PORT_UNAVAILABLE, f"port {spot} cannot be opened on the router's host: {problem}")
