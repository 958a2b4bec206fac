"""Asks the API server whether the holder of a PortClaim still asks for what it holds."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from router.admission.kinds import KINDS, AskerKind
from router.admission.known import NOTHING_KNOWN
from router.admission.odd_specs import asked_host
from router.admission.options import EXTERNAL_TCP_PORT
from router.admission.places import SNI, Place
from router.admission.request import Request
from router.admission.verdicts import Verdict
from router.errors import ApiNotFound, ApiUnreadable
from router.kube.api import Api
from router.model import Asker
from router.objects.decoding import Misfit, decode
from router.objects.kinds import KubernetesObject
from router.objects.route import Route
from router.settings import AdmissionSettings
from router.shapes import read_any
from router.status.claim_work import displayed

_KINDS: Mapping[tuple[str, str], AskerKind] = {(each.group, each.kind): each for each in KINDS.values()}


class Holders:
    """Asks about holders of all kinds.

    Args:
        api: the API server.
        settings: what asks for this router, and how.
    """

    def __init__(self, api: Api, settings: AdmissionSettings) -> None:
        self._api = api
        self._settings = settings

    def asks(self, holder: Asker, place: Place, *, is_spare: bool = False) -> bool:
        """Say whether a holder asks for a place, by its name: one that was made again is another.

        A kind that this version does not know, or this router is not to serve now, asks: the claim is another's to judge. So does an object that asks in vain, for a mistake in it
        or because its admin forbids it now: what is mended is served again.

        Raises:
            ApiError: it is not known, as the API server answered; ApiNotFound where it has no such kind (any more).
        """
        return self.successor(holder, place, is_spare=is_spare) == holder

    def successor(self, holder: Asker, place: Place, *, is_spare: bool = False) -> Asker | None:
        """Give who has a holder's name now and asks for the place: the holder itself, or one that was made again; None is nobody.

        Raises:
            ApiError: it is not known, as above.
        """
        kind = _KINDS.get((holder.group, holder.kind))
        if kind is None or not kind.is_on(self._settings):
            return holder
        obj = self._read(kind, holder)
        if obj is None or not kind.is_ours(obj, self._settings):
            return None
        for request in kind.read(obj, self._settings, NOTHING_KNOWN):
            if _is_unreadable(obj, request, place):
                # Nobody can tell which port it means, so that it may be this one.
                return request.asker._replace(section=holder.section)
            if request.asker.section != holder.section:
                continue
            if isinstance(request, Request) and request.auto and place.port != SNI:
                # Whatever port it was given is its own, while it asks; of one that is mistaken nobody can tell the address.
                is_elsewhere = place.address != request.address and request.refused is None
                return request.asker if not (place.host or is_spare or is_elsewhere) else None
            if _asks_for(obj, request, place, self._settings.domain):
                return request.asker
        return None

    def _read(self, kind: AskerKind, holder: Asker) -> KubernetesObject | None:
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        path = f"{root}/namespaces/{holder.namespace}/{kind.plural}"
        try:
            body = self._api.get(f"{path}/{holder.name}")
        except ApiNotFound:
            # The same answer means that there is no such kind, of which nothing may be concluded: then this raises it again.
            self._api.get(path, {"limit": "1"})
            return None
        try:
            value = read_any(body)
        except msgspec.DecodeError as error:
            raise ApiUnreadable(f"GET {path}/{holder.name}: {error}") from error
        decoded = decode(kind.struct, value) if isinstance(value, dict) else Misfit("is no object")
        if isinstance(decoded, Misfit):
            raise ApiUnreadable(f"GET {path}/{holder.name}: {decoded}")
        return decoded


def _is_unreadable(obj: KubernetesObject, request: Request | Verdict, place: Place) -> bool:
    is_mistaken = isinstance(request, Verdict) and request.port is None and place.port != SNI
    return is_mistaken and EXTERNAL_TCP_PORT in (obj.metadata.annotations or {})


def _asks_for(obj: KubernetesObject, request: Request | Verdict, place: Place, domain: str) -> bool:
    if place.port == SNI:
        if isinstance(obj, Route):
            # Also where there is no SNI port for now, or its requirements are not met.
            return _host_of(obj, domain) == displayed(place.host)
        return isinstance(request, Request) and request.host == place.host
    if request.port != place.port:
        return False
    if isinstance(request, Request):
        return place.address == request.address and place.host == ((request.host or "") if request.shares_port else "")
    # It is mistaken in something, and how it wants the port cannot be told: when that is mended, it shall have it.
    return True


def _host_of(route: Route, domain: str) -> str:
    host = asked_host(route, domain).lower()
    return f"*.{host.partition('.')[2]}" if route.spec.wildcard_policy == "Subdomain" else host
