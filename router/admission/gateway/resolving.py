"""One Gateway, or one ListenerSet, with all routes that want it: what it is told, what each of its listeners asks for, and who gets its connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from router.admission.gateway.attachment import Attachment
from router.admission.gateway.backends import Backends
from router.admission.gateway.certificates import certificate_for
from router.admission.gateway.hosts import ANY, claimed, intersections, is_led
from router.admission.gateway.imposed import ENDING, NOTHING_IMPOSED, Imposed, options_for, together
from router.admission.gateway.listeners import KINDS_OF, ListenerView, views
from router.admission.gateway.merging import Age, Seen, see_gateway, see_set_alone
from router.admission.gateway.states import (
    SERVES,
    GatewayState,
    ListenerSetState,
    ListenerState,
    ParentsState,
    ParentState,
    Said,
    StateKey,
    not_so,
    so,
)
from router.admission.gateway.tables import Table
from router.admission.gateway.wishes import NO_WISHES, Wishes
from router.admission.request import Request, check_names, check_port
from router.admission.text import is_dns_subdomain, shown
from router.admission.verdicts import NotAcceptable, Reason, Verdict
from router.model import Asker, Spot
from router.model.tls import NOTHING_PRIVATE, Certificate, PortTls
from router.objects.gateway import GROUP, Gateway, Listener, ListenerSet
from router.objects.meta import ObjectKey
from router.settings import AdmissionSettings

_MAX_NAMED = 3
_NOBODY: frozenset[int] = frozenset()
_NO_CERTIFICATE = Certificate(NOTHING_PRIVATE, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetRoute:
    """A route, and what came of those of its parentRefs that mean one Gateway or ListenerSet."""

    kind: str
    namespace: str
    name: str
    age: Age
    attachments: tuple[Attachment, ...]
    backends: Backends
    asker: Asker | None = None
    """As who it asks for its own backend, where it has one."""
    hostnames: tuple[str, ...] | None = None
    wishes: Wishes = NO_WISHES
    """What the policy says that targets it."""

    @property
    def listeners(self) -> frozenset[str]:
        """Those that took it."""
        return frozenset(name for each in self.attachments for name in each.listeners)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What came of one Gateway, or of one ListenerSet."""

    state: ParentsState
    requests: tuple[Request | Verdict, ...]
    """One for each listener that may be served, and for those of a ListenerSet that its Gateway does not take."""
    served: Mapping[str, tuple[MetRoute, ...]]
    """By listener, who has connections of it: one alone, or by name."""
    tables: Mapping[str, Table]
    """Of TLS listeners that may be served, by name."""
    routes: Mapping[StateKey, MetRoute]
    """All that have a parentRef to it."""
    imposed: Mapping[str, Imposed]
    """What policies say of listeners that may be served, and that they end TLS, by name; of others there is nothing to say."""
    having: Mapping[str, frozenset[int]]
    """``served`` by the ``id`` of each: that is asked for each of thousands, and to compare routes takes long."""

    def has(self, route: MetRoute, listener: str) -> bool:
        """Say whether a route has connections of a listener."""
        return id(route) in self.having.get(listener, _NOBODY)

    def imposed_on(self, route: MetRoute) -> Iterator[Imposed]:
        """Give what policies say of the listeners at which a route has connections."""
        return (each for name, each in self.imposed.items() if self.has(route, name))


def resolve(seen: Seen, routes: Iterable[MetRoute], settings: AdmissionSettings) -> Resolved:
    """Decide about a Gateway of ours, or a ListenerSet of one: of what it is without any route, and of all routes that have a parentRef to it."""
    met = {StateKey(route.kind, route.namespace, route.name): route for route in routes}
    by_listener: dict[str, list[MetRoute]] = {view.listener.name: [] for view in seen.views}
    for route in met.values():
        for name in route.listeners:
            by_listener[name].append(route)
    state = _state(seen, {name: len(those) for name, those in by_listener.items()})
    if not seen.is_served:
        return Resolved(state, tuple(_untaken(seen)), {}, {}, met, {}, {})
    tables = {
        view.listener.name: _table(view, by_listener[view.listener.name])
        for view in seen.views
        if view.listener.protocol == "TLS"
    }
    served = {
        view.listener.name: _served(view, those, tables.get(view.listener.name))
        for view in seen.views
        if (those := by_listener[view.listener.name])
    }
    requests = [
        _request(seen, view, served.get(view.listener.name, ()), settings)
        for view in seen.views
        if view.accepted.holds and view.is_served
    ]
    said = (
        (view.listener.name, ENDING if view.imposed == NOTHING_IMPOSED and view.pairs is not None else view.imposed)
        for view in seen.views
    )
    imposed = {name: each for name, each in said if each != NOTHING_IMPOSED}
    having = {name: frozenset(map(id, those)) for name, those in served.items()}
    return Resolved(state, (*requests, *_untaken(seen)), served, tables, met, imposed, having)


def _state(seen: Seen, attached: Mapping[str, int]) -> ParentsState:
    listeners = tuple(
        ListenerState(
            name=view.listener.name,
            kinds=view.kinds,
            attached=attached[view.listener.name],
            is_served=view.is_served,
            has_certificates=view.pairs != (),
            problem=view.imposed.wishes.problem,
            accepted=view.accepted,
            resolved=view.resolved,
            conflicted=view.conflicted,
        )
        for view in seen.views
    )
    key, uid, generation, accepted, programmed = seen.key, seen.uid, seen.generation, seen.accepted, seen.programmed
    if key != seen.gateway:
        return ListenerSetState(
            key=key,
            uid=uid,
            generation=generation,
            gateway=seen.gateway,
            accepted=accepted,
            programmed=programmed,
            listeners=listeners,
        )
    return GatewayState(
        key=key,
        uid=uid,
        generation=generation,
        accepted=accepted,
        programmed=programmed,
        address=seen.address,
        listeners=listeners,
        sets=seen.sets,
    )


def _untaken(seen: Seen) -> Iterator[Verdict]:
    """Reject listeners of a ListenerSet that are part of no Gateway: what they held is free for who comes before them there, or for all."""
    for listener, message in seen.untaken():
        if listener.protocol in KINDS_OF:
            yield Verdict(
                asker=_asker(seen.key, seen.uid, listener),
                port=listener.port,
                reason=Reason.LISTENER_NOT_TAKEN,
                message=message,
                address=seen.address,
                forfeits=True,
            )


def _asker(key: StateKey, uid: str, listener: Listener) -> Asker:
    return Asker(GROUP, key.kind, key.namespace, key.name, listener.name, uid)


def _served(view: ListenerView, routes: list[MetRoute], table: Table | None) -> tuple[MetRoute, ...]:
    """Give who has connections of a listener: by TLS server names, or the oldest all of them."""
    if table is None:
        return () if view.imposed.wishes.problem else (min(routes, key=lambda each: each.age),)
    having = {route for _, route in table.leads}
    return tuple(each for each in routes if each.asker in having)


def _table(view: ListenerView, routes: list[MetRoute]) -> Table:
    """Give who has which name at a TLS listener: of several the oldest. Without certificates one that ends TLS leads nobody anywhere."""
    hostname = (view.listener.hostname or ANY).lower()
    if view.pairs == () or view.imposed.wishes.problem:
        return Table(hostname)
    leads: dict[str, Asker] = {}
    for route in sorted(routes, key=lambda each: each.age):
        for name in intersections(view.listener.hostname, route.hostnames):
            if route.asker is not None and is_led(name, ends_tls=view.pairs is not None):
                leads.setdefault(name, route.asker)
    names = tuple(sorted(leads.items()))
    if view.pairs is None:
        return Table(hostname, names)
    ends = tuple(view.imposed.ending(certificate_for(name, view.pairs).certificate) for name, _ in names)
    return Table(hostname, names, ends, ends_tls=True)


def route_request(
    route: MetRoute,
    created: str | None,
    settings: AdmissionSettings,
    stages: Iterable[Spot] = (),
    imposed: Iterable[Imposed] = (),
) -> Request | None:
    """Give what a route asks for that has a backend of its own: no port or host, which its listeners have.

    ``stages`` are the ports behind which TLS ends for its clients, ``imposed`` is what policies say of its listeners.
    """
    if route.asker is None:
        return None
    imposed = tuple(imposed)
    request = _to(route.asker, None, "", created, route.backends, settings, together(route.wishes, imposed))
    clients = next((each.clients for each in imposed if each.clients is not None), None)
    return msgspec.structs.replace(
        request,
        stages=tuple(sorted(set(stages))),
        port_tls=PortTls(_NO_CERTIFICATE, clients=clients) if clients is not None else None,
    )


def stages_of(route: MetRoute, resolved: Resolved) -> Iterator[Spot]:
    """Give the ports of a Gateway, or ListenerSet, behind which TLS ends for clients that are led to a route."""
    for request in resolved.requests:
        table = resolved.tables.get(request.asker.section)
        if table is not None and table.ends and request.port and resolved.has(route, request.asker.section):
            yield Spot(request.port, request.address)


def read_alone(gateway: Gateway, settings: AdmissionSettings) -> tuple[Request | Verdict, ...]:
    """Give what the listeners of a Gateway ask for, without any route: their ports, which no route changes."""
    seen = views(gateway.spec.listeners or (), KINDS_OF, may_end_tls=settings.gateway_certificates)
    return resolve(see_gateway(gateway, seen, settings), (), settings).requests


def read_set_alone(listener_set: ListenerSet, settings: AdmissionSettings) -> tuple[Request | Verdict, ...]:
    """Give what the listeners of a ListenerSet ask for, without its Gateway, which says at which address: at each that there is."""
    seen = views(listener_set.spec.listeners or (), KINDS_OF, may_end_tls=settings.gateway_certificates)
    return tuple(
        request
        for address in ("", *settings.addresses)
        for request in resolve(see_set_alone(listener_set, seen, address), (), settings).requests
    )


def parents_of(route: MetRoute, resolved: Resolved) -> tuple[ParentState, ...]:
    """Give what a route is told of a Gateway or a ListenerSet, for each parentRef."""
    return tuple(_parent(each, route, resolved) for each in route.attachments)


def _parent(attachment: Attachment, route: MetRoute, resolved: Resolved) -> ParentState:
    conditions = [attachment.accepted, route.backends.refs]
    if attachment.accepted.holds:
        conditions.append(_serves(attachment, route, resolved))
    return ParentState(ref=attachment.ref, conditions=tuple(conditions))


def _serves(attachment: Attachment, route: MetRoute, resolved: Resolved) -> Said:
    """Say whether connections are led to a route that is accepted: a port has those of one route."""
    if not resolved.served:
        return not_so(SERVES, "GatewayNotServed", f"{resolved.state.key} is not served; its status says why")
    problem = together(route.wishes, resolved.imposed_on(route)).problem
    if problem:
        return not_so(SERVES, "PolicyInvalid", problem)
    has = [name for name in attachment.listeners if resolved.has(route, name)]
    if len(has) == len(attachment.listeners):
        return so(SERVES, "Served")
    lost = next(name for name in attachment.listeners if name not in has)
    table = resolved.tables.get(lost)
    unled = table.unled(route.hostnames) if table is not None else ""
    if unled:
        return Said(SERVES, len(has) > 0, "ServedInPart" if has else "HostnameNotServed", unled)
    if not resolved.served[lost]:
        message = f"listener {shown(lost)} leads nobody anywhere; its status says why"
        return Said(SERVES, len(has) > 0, "ServedInPart" if has else "ListenerNotServed", message)
    others = ", ".join(map(str, resolved.served[lost][:_MAX_NAMED]))
    message = f"connections of listener {shown(lost)} go to {others}, which {'is' if len(resolved.served[lost]) == 1 else 'are'} older"
    return Said(SERVES, len(has) > 0, "ServedInPart" if has else "OlderRouteIsServed", message)


def _request(
    seen: Seen, view: ListenerView, served: tuple[MetRoute, ...], settings: AdmissionSettings
) -> Request | Verdict:
    listener, key, address = view.listener, seen.key, seen.address
    asker = _asker(key, seen.uid, listener)
    try:
        _check_names(key, listener)
        check_port(listener.port, settings, address)
    except NotAcceptable as refused:
        return Verdict(asker=asker, port=listener.port, reason=refused.reason, message=refused.message, address=address)
    if listener.protocol == "TLS":
        request = _to(asker, listener.port, address, seen.created, Backends(), settings, NO_WISHES, view.imposed.wishes)
        owner = seen.gateway.namespace if seen.gateway.namespace != key.namespace else ""
        return msgspec.structs.replace(request, shares_port=True, host=claimed(listener.hostname), host_owner=owner)
    backends, own = (served[0].backends, served[0].wishes) if served else (Backends(), NO_WISHES)
    wishes = together(own, (view.imposed,)) if served else NO_WISHES
    return _to(asker, listener.port, address, seen.created, backends, settings, wishes, view.imposed.wishes)


def _to(  # noqa: PLR0913, PLR0917 - who asks for what
    asker: Asker,
    port: int | None,
    address: str,
    created: str | None,
    backends: Backends,
    settings: AdmissionSettings,
    wishes: Wishes,
    of_port: Wishes = NO_WISHES,
) -> Request:
    backends = Backends() if wishes.problem else backends
    return Request(
        asker=asker,
        port=port,
        address=address,
        shares_port=False,
        host=None,
        created=created,
        options=options_for(
            wishes, of_port, settings.defaults, has_shares=len(backends.targets) + bool(backends.refused) > 1
        ),
        targets=backends.targets,
        target_port=None,
        warnings=(),
        refused_weight=backends.refused,
    )


def _check_names(key: StateKey, listener: Listener) -> None:
    check_names(key.kind, ObjectKey(key.namespace, key.name))
    if not is_dns_subdomain(listener.name):
        raise NotAcceptable(Reason.CONFIG_REJECTED, f"listener name {shown(listener.name)} is no DNS name")
