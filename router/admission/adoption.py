"""What the statuses of Routes and Services say of who holds what, for an admin who makes PortClaims of it once; pure.

Whoever may write such a status can write this. So it counts for nothing while a router runs, and is believed here only where nobody
else says the same of himself and, where that is known, a running router serves it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from router.admission import route as routes
from router.admission import service as services
from router.admission.ledger import Ledger
from router.admission.places import SNI, Place
from router.admission.request import Request, displayed_host
from router.model import Asker, Spot
from router.objects.core import Service
from router.objects.route import Route, RouteIngress
from router.settings import AdmissionSettings

Served = frozenset[tuple[Asker, int]]
"""Who is served by a running router, without uids, each with the external port; 0 for a host alone."""


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
    found: Iterable[Route | Service], settings: AdmissionSettings, ledger: Ledger, served: Served | None = None
) -> tuple[Mapping[Place, Asker], tuple[Doubt, ...]]:
    """Give whom to write PortClaims for, and what is doubtful.

    Args:
        found: all Routes and Services.
        settings: of the router.
        ledger: the claims that there are: what they say of a place is not asked of statuses.
        served: what a running router serves; None is not known.
    """
    told: dict[Place, list[Asker]] = {}
    for obj in found:
        held = _held_by_route(obj, settings) if isinstance(obj, Route) else _held_by_service(obj, settings)
        for place, asker in held:
            told.setdefault(place, []).append(asker)
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
    whose = asker._replace(uid="")
    if place.port != SNI:
        return (whose, place.port) in served
    return any(each == whose for each, _ in served)


def _held_by_route(route: Route, settings: AdmissionSettings) -> Iterable[tuple[Place, Asker]]:
    if not routes.is_ours(route, settings.router_name):
        return
    request = routes.read_route(route, settings)
    if not isinstance(request, Request):
        return
    entries = [entry for entry in route.status.ingress or () if entry.router_name == settings.router_name]
    if request.port is not None and any(_has_port(entry, Spot(request.port, request.address)) for entry in entries):
        shared_host = (request.host or "") if request.shares_port else ""
        yield Place(request.port, shared_host, request.address), request.asker
    # Of one with a shared port the status does not tell on which of its two ports it has its host.
    if request.host is not None and not request.shares_port and any(_has_host(entry, route) for entry in entries):
        yield Place(SNI, request.host), request.asker


def _held_by_service(service: Service, settings: AdmissionSettings) -> Iterable[tuple[Place, Asker]]:
    if not services.is_ours(service, settings.router_name):
        return
    held = services.held(service, settings.router_name)
    for request in services.read_service(service, settings):
        if (
            isinstance(request, Request)
            and request.port is not None
            and held.get(request.asker.section) == request.port
        ):
            yield Place(request.port, "", request.address), request.asker


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
