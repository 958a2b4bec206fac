"""What the statuses of Routes say of who holds what, for an admin who makes PortClaims of it once; pure.

Whoever may write a Route's status can write this. So it counts for nothing while a router runs, and is believed here only where nobody
else says the same of himself and, where that is known, a running router serves it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from router.admission import route as routes
from router.admission.ledger import Ledger
from router.admission.places import SNI, Place
from router.admission.request import Request, displayed_host
from router.model import Asker, Spot
from router.objects.route import Route, RouteIngress
from router.settings import AdmissionSettings

Served = frozenset[tuple[str, str, int]]
"""Namespace and name of Routes that a running router serves, each with its external port; 0 for its host alone."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A place that is not adopted, and why."""

    place: Place
    askers: tuple[Asker, ...]
    problem: str

    def __str__(self) -> str:
        host = f" host {displayed_host(self.place.host)}" if self.place.host else ""
        port = "SNI port" if self.place.port == SNI else f"port {Spot(self.place.port, self.place.address)}"
        return f"{port}{host}: {', '.join(map(str, self.askers))}: {self.problem}"


def adoptions(
    found: Iterable[Route], settings: AdmissionSettings, ledger: Ledger, served: Served | None = None
) -> tuple[Mapping[Place, Asker], tuple[Doubt, ...]]:
    """Give whom to write PortClaims for, and what is doubtful.

    Args:
        found: all Routes.
        settings: of the router.
        ledger: the claims that there are: what they say of a place is not asked of statuses.
        served: what a running router serves; None is not known.
    """
    told: dict[Place, list[Asker]] = {}
    for route in found:
        for place in _held(route, settings):
            told.setdefault(place, []).append(Asker.route(*route.key, route.metadata.uid))
    adopted: dict[Place, Asker] = {}
    doubts: list[Doubt] = []
    for place, askers in sorted(told.items()):
        if ledger.hold(place) is not None:
            continue
        real = [asker for asker in askers if served is None or _is_served(asker, place, served)]
        forged = tuple(asker for asker in askers if asker not in real)
        if len(real) > 1:
            doubts.append(Doubt(place, tuple(real), "each says that it holds this; one of them is forged"))
        elif real:
            adopted[place] = real[0]
        if forged:
            doubts.append(Doubt(place, forged, "says that it holds this, and no running router serves it so"))
    return adopted, tuple(doubts)


def _is_served(asker: Asker, place: Place, served: Served) -> bool:
    if place.port != SNI:
        return (*asker.key, place.port) in served
    return any(each[:2] == asker.key for each in served)


def _held(route: Route, settings: AdmissionSettings) -> Iterable[Place]:
    if not routes.is_ours(route, settings.router_name):
        return
    request = routes.read_route(route, settings)
    if not isinstance(request, Request):
        return
    entries = [entry for entry in route.status.ingress or () if entry.router_name == settings.router_name]
    if request.port is not None and any(_has_port(entry, Spot(request.port, request.address)) for entry in entries):
        yield Place(request.port, (request.host or "") if request.shares_port else "", request.address)
    # Of one with a shared port the status does not tell on which of its two ports it has its host.
    if request.host is not None and not request.shares_port and any(_has_host(entry, route) for entry in entries):
        yield Place(SNI, request.host)


def _has_port(entry: RouteIngress, port: Spot) -> bool:
    return any(
        condition.type == "PortClaimed" and condition.status == "True" and condition.message == str(port)
        for condition in entry.conditions or ()
    )


def _has_host(entry: RouteIngress, route: Route) -> bool:
    return (
        entry.host.lower() == route.spec.host.lower()
        and (entry.wildcard_policy or "None") == (route.spec.wildcard_policy or "None")
        and any(condition.type == "Admitted" and condition.status == "True" for condition in entry.conditions or ())
    )
