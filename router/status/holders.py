"""Asks the API server whether the holder of a PortClaim still asks for what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from router.admission import route as routes
from router.admission import service as services
from router.admission.places import SNI, Place
from router.errors import ApiNotFound
from router.kube.api import Api
from router.model import ROUTE_GROUP, ROUTE_KIND, SERVICE_KIND, Asker
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.settings import AdmissionSettings
from router.status.claim_work import displayed
from router.status.route_api import read_route, routes_path
from router.status.service import read_service

Read = Callable[[Api, Asker, Place, AdmissionSettings], bool]


class Holders:
    """Asks about holders of all kinds.

    Args:
        api: the API server.
        settings: what asks for this router, and how.
    """

    def __init__(self, api: Api, settings: AdmissionSettings) -> None:
        self._api = api
        self._settings = settings

    def asks(self, holder: Asker, place: Place) -> bool:
        """Say whether a holder asks for a place, by its name: one that was made again is another.

        A kind that this version does not know asks: the claim is a newer version's to judge. So does an object that asks in vain, for a mistake in it
        or because its admin forbids it now: what is mended is served again.

        Raises:
            ApiError: it is not known, as the API server answered; ApiNotFound where it has no such kind (any more).
        """
        read = _KINDS.get((holder.group, holder.kind))
        return read is None or read(self._api, holder, place, self._settings)


def _route_asks(api: Api, holder: Asker, place: Place, settings: AdmissionSettings) -> bool:
    try:
        route = read_route(api, ObjectKey(holder.namespace, holder.name))
    except ApiNotFound:
        # The same answer means that there is no such kind, of which nothing may be concluded: then this raises it again.
        api.get(routes_path(holder.namespace), {"limit": "1"})
        return False
    return route.metadata.uid == holder.uid and _asks_for(route, place, settings)


def _asks_for(route: Route, place: Place, settings: AdmissionSettings) -> bool:
    if not routes.is_ours(route, settings.router_name):
        return False
    request = routes.read_route(route, settings)
    if place.port == SNI:
        # Also where there is no SNI port for now, or its requirements are not met.
        return _host_of(route) == displayed(place.host)
    return request.port == place.port and place.host in {"", request.host or "", _bare(request.host)}


def _host_of(route: Route) -> str:
    host = route.spec.host.lower()
    return f"*.{host.partition('.')[2]}" if route.spec.wildcard_policy == "Subdomain" else host


def _bare(host: str | None) -> str:
    return (host or "").removeprefix("*")


def _service_asks(api: Api, holder: Asker, place: Place, settings: AdmissionSettings) -> bool:
    try:
        service = read_service(api, ObjectKey(holder.namespace, holder.name))
    except ApiNotFound:
        # Every API server has Services.
        return False
    if service.metadata.uid != holder.uid or not services.is_ours(service, settings.router_name):
        return False
    asked = services.read_service(service, settings)
    return any(each.port == place.port and each.asker.section == holder.section for each in asked) or any(
        # What cannot be read asks in vain, for all of its ports.
        each.port is None
        for each in asked
    )


_KINDS: Mapping[tuple[str, str], Read] = {(ROUTE_GROUP, ROUTE_KIND): _route_asks, ("", SERVICE_KIND): _service_asks}
