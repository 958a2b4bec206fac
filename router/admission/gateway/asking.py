"""What listeners, and routes that have a backend of their own, ask for; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from router.admission.gateway.at_listener import MetRoute
from router.admission.gateway.backends import Backends
from router.admission.gateway.hosts import claimed
from router.admission.gateway.imposed import Imposed, options_for, together
from router.admission.gateway.listeners import KINDS_OF, ListenerView
from router.admission.gateway.merging import Seen
from router.admission.gateway.states import StateKey
from router.admission.gateway.wishes import NO_WISHES, Wishes
from router.admission.request import Request, check_names, check_port
from router.admission.text import is_dns_subdomain, shown
from router.admission.verdicts import NotAcceptable, Reason, Verdict
from router.model import Asker, Spot
from router.model.tls import NOTHING_PRIVATE, Certificate, PortTls
from router.objects.gateway import GROUP, Listener
from router.objects.meta import ObjectKey
from router.settings import AdmissionSettings

_NO_CERTIFICATE = Certificate(NOTHING_PRIVATE, 0, 0)
_NO_BACKENDS = Backends()


def listener_request(
    seen: Seen, view: ListenerView, served: MetRoute | None, settings: AdmissionSettings
) -> Request | Verdict:
    """Give what a listener asks for.

    Args:
        seen: its Gateway or ListenerSet.
        view: the listener.
        served: the route that has all of its connections, where one has.
        settings: what may be served.
    """
    listener, key, address = view.listener, seen.key, seen.address
    asker = _asker(key, seen.uid, listener)
    try:
        _check_names(key, listener)
        check_port(listener.port, settings, address)
    except NotAcceptable as refused:
        return Verdict(asker=asker, port=listener.port, reason=refused.reason, message=refused.message, address=address)
    if listener.protocol == "TLS":
        request = _to(
            asker, listener.port, address, seen.created, _NO_BACKENDS, settings, NO_WISHES, view.imposed.wishes
        )
        owner = seen.gateway.namespace if seen.gateway.namespace != key.namespace else ""
        return msgspec.structs.replace(request, shares_port=True, host=claimed(listener.hostname), host_owner=owner)
    backends, wishes = _NO_BACKENDS, NO_WISHES
    if served is not None:
        backends, wishes = served.backends, together(served.wishes, (view.imposed,))
    return _to(asker, listener.port, address, seen.created, backends, settings, wishes, view.imposed.wishes)


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


def untaken(seen: Seen) -> Iterator[Verdict]:
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
    backends = _NO_BACKENDS if wishes.problem else backends
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
