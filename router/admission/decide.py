"""From objects to what HAProxy shall serve, and a verdict for every Route of ours.

What is right is defined by a full rebuild: ``Admission(settings).update(objects, objects.everything())``. Later updates
give the same, and work on what changed alone: what a Route asks for is read again when the Route changes, its servers are
found again when one of its Services does, and a port or host is decided again when a claim to it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from router.admission.claim_book import ClaimBook, ClaimOutcome
from router.admission.claims import Claim
from router.admission.destination import NOWHERE, Destination, find_destination
from router.admission.options import sni_port_options
from router.admission.own_places import Loops, OwnAddresses
from router.admission.request import Request, displayed_host, is_ours, read_request
from router.admission.verdicts import Rejection, Verdict
from router.model import Frontend, Model, RouteSection, backend_name
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.objects.store import Changes, Objects
from router.ordered import SortedMap
from router.settings import AdmissionSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What admission decided."""

    model: Model
    verdicts: Mapping[ObjectKey, Verdict]
    """One for each Route of ours, in the order of their keys."""


@dataclass(slots=True)
class _Entry:
    """What is remembered of one Route of ours."""

    route: Route
    request: Request | Verdict
    """A Verdict is final: the Route is not acceptable by itself."""
    destination: Destination | Rejection = NOWHERE


class Admission:
    """Decides which Routes are served, and how.

    One instance follows one set of objects: every change of them must be told to ``update``, in order.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._entries: dict[ObjectKey, _Entry] = {}
        self._routes_by_service: dict[ObjectKey, tuple[ObjectKey, ...]] = {}
        self._routes_by_own_port: dict[int, set[ObjectKey]] = {}
        """Routes with endpoints at the routers' addresses, by the ports of these."""
        self._settled_addresses = OwnAddresses.of(settings.own_addresses, has_loopback=settings.listens_everywhere)
        self._own_addresses = self._settled_addresses
        self._claims = ClaimBook(
            settings.sni_port,
            sni_port_options(settings.defaults),
            owns_domains=not settings.disable_namespace_ownership_check,
        )
        self._sections: SortedMap[ObjectKey, RouteSection] = SortedMap()
        self._verdicts: SortedMap[ObjectKey, Verdict] = SortedMap()
        self._outcome = Outcome(Model((), self._claims.shared_frontends()), self._verdicts.mapping())

    def anew(self) -> Admission:
        """Give one with the same settings that knows of no object yet."""
        return Admission(self._settings)

    def update(self, objects: Objects, changes: Changes) -> Outcome:
        """Decide anew after a change.

        Args:
            objects: the objects as they are now.
            changes: the keys of all that changed since the last update; more than that does no harm.

        Returns:
            The outcome. Sections and verdicts that did not change are the same objects as before, and so is the outcome.
        """
        to_find = self._read_routes(objects, changes.routes)
        for service in changes.services:
            to_find.update(self._routes_by_service.get(service, ()))
        if changes.routers:
            to_find |= self._meet_routers(objects)
        for key in to_find:
            self._find_destination(key, objects)
        decided = self._claims.settle()
        # What is claimed does not depend on where it leads, so that this ends here.
        turned = {key for port in self._claims.take_turned_ports() for key in self._routes_by_own_port.get(port, ())}
        for key in turned:
            self._find_destination(key, objects)
        to_find |= turned
        for key in sorted(decided | to_find | changes.routes):
            self._conclude(key)
        return self._publish()

    def _read_routes(self, objects: Objects, keys: Iterable[ObjectKey]) -> set[ObjectKey]:
        """Read the Routes that changed; give those whose destination must be found."""
        to_find = set()
        for key in keys:
            route = objects.routes.get(key)
            former = self._entries.get(key)
            if route is None or not is_ours(route, self._settings.router_name):
                self._index(key, former.request if former else None, None)
                gone = self._entries.pop(key, None)
                if gone is not None:
                    self._leave_own_ports(key, gone.destination)
                self._claims.put(key, None)
                continue
            if former is not None and former.route is route:
                continue
            request = read_request(route, self._settings)
            if former is not None and former.request == request:
                # The Route changed in something that we do not read, as it does with every write of a status.
                former.route = route
                continue
            self._index(key, former.request if former else None, request)
            if former is not None:
                self._leave_own_ports(key, former.destination)
            self._entries[key] = _Entry(route, request)
            if isinstance(request, Request):
                to_find.add(key)
            else:
                self._claims.put(key, None)
        return to_find

    def _index(self, key: ObjectKey, former: Request | Verdict | None, current: Request | Verdict | None) -> None:
        """Keep the way from Services to the Routes that lead to them."""
        for service in _services(former):
            others = _without(key, self._routes_by_service.pop(service))
            if others:
                self._routes_by_service[service] = others
        for service in _services(current):
            self._routes_by_service[service] = (*self._routes_by_service.get(service, ()), key)

    def _meet_routers(self, objects: Objects) -> set[ObjectKey]:
        """Take note of the routers' addresses; give the Routes whose destination is another by that.

        Routers come and go as they are rolled out, so that a look at all servers is no cost of any tenant's change.
        """
        former = self._own_addresses
        told = (address for pod in objects.routers.values() for address in pod.addresses)
        self._own_addresses = self._settled_addresses | OwnAddresses.of(told)
        if self._own_addresses == former:
            return set()
        met = {key for keys in self._routes_by_own_port.values() for key in keys}
        return met | {
            key
            for key, entry in self._entries.items()
            if isinstance(entry.destination, Destination)
            and any(each.address in self._own_addresses for each in entry.destination.servers)
        }

    def _is_served(self, port: int) -> bool:
        return port in self._claims.served_ports or port in self._settings.own_ports or port == self._settings.sni_port

    def _find_destination(self, key: ObjectKey, objects: Objects) -> None:
        entry = self._entries[key]
        if isinstance(entry.request, Verdict):
            return
        allow_loopback = self._settings.allow_loopback_endpoints
        loops = Loops(self._own_addresses, self._is_served)
        self._leave_own_ports(key, entry.destination)
        entry.destination = find_destination(entry.request, objects, allow_loopback=allow_loopback, loops=loops)
        for port in _own_ports(entry.destination):
            self._routes_by_own_port.setdefault(port, set()).add(key)
        # A Route that is rejected for whatever reason claims nothing: what is not served must not keep others out.
        rejected = isinstance(entry.destination, Rejection)
        self._claims.put(key, None if rejected else Claim.of(entry.request))

    def _leave_own_ports(self, key: ObjectKey, former: Destination | Rejection) -> None:
        for port in _own_ports(former):
            routes = self._routes_by_own_port[port]
            routes.discard(key)
            if not routes:
                del self._routes_by_own_port[port]

    def _conclude(self, key: ObjectKey) -> None:
        """Bring a Route's verdict and section up to date; an equal one stays the object that it was."""
        entry = self._entries.get(key)
        verdict: Verdict | None
        if entry is None:
            verdict, section = None, None
        else:
            verdict, section = _concluded(entry, self._claims.outcome(key))
        if verdict is None or verdict != self._verdicts.get(key):
            self._verdicts.put(key, verdict)
        if section is None or section != self._sections.get(key):
            self._sections.put(key, section)

    def _publish(self) -> Outcome:
        before = self._outcome
        routes, shared = self._sections.values(), self._claims.shared_frontends()
        model = before.model
        if routes is not model.routes or shared is not model.shared:
            model = Model(routes, shared)
        verdicts = self._verdicts.mapping()
        if model is not before.model or verdicts is not before.verdicts:
            self._outcome = Outcome(model, verdicts)
        return self._outcome


def _without(key: ObjectKey, keys: tuple[ObjectKey, ...]) -> tuple[ObjectKey, ...]:
    place = keys.index(key)
    return keys[:place] + keys[place + 1 :]


def _own_ports(destination: Destination | Rejection) -> frozenset[int]:
    return destination.own_ports if isinstance(destination, Destination) else frozenset()


def _services(request: Request | Verdict | None) -> tuple[ObjectKey, ...]:
    return tuple(target.service for target in request.targets) if isinstance(request, Request) else ()


def _concluded(entry: _Entry, outcome: ClaimOutcome) -> tuple[Verdict, RouteSection | None]:
    request, destination = entry.request, entry.destination
    if isinstance(request, Verdict):
        return request, None
    host = displayed_host(request.host) if request.host is not None else None
    if isinstance(destination, Rejection):
        return _rejected(request, host, destination), None
    if outcome.rejection is not None:
        return _rejected(request, host, outcome.rejection), None
    warnings = (*request.warnings, *destination.warnings)
    if outcome.host_loss:
        warnings = (*warnings, f"{outcome.host_loss}; this Route is reached on port {request.port} only")
        host = host if request.shares_port else None
    verdict = Verdict(route=request.key, port=request.port, host=host, warnings=warnings)
    return verdict, _section(request, destination)


def _rejected(request: Request, host: str | None, rejection: Rejection) -> Verdict:
    return Verdict(route=request.key, port=request.port, host=host, reason=rejection.reason, message=rejection.message)


def _section(request: Request, destination: Destination) -> RouteSection:
    options = request.options
    dedicated = request.port is not None and not request.shares_port
    return RouteSection(
        namespace=request.key.namespace,
        route=request.key.name,
        backend=replace(
            options.backend,
            name=backend_name(*request.key),
            balance=destination.balance,
            servers=destination.servers,
        ),
        frontend=Frontend(request.port, options.port) if dedicated and request.port is not None else None,
    )
