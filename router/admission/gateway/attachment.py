"""Which listeners of a Gateway a route's parentRef meets, and what is said of that (GEP-1897 has the order of reasons)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from router.admission.gateway.hosts import intersections
from router.admission.gateway.listeners import LabelsOf, ListenerView
from router.admission.gateway.states import ACCEPTED, ALL_ACCEPTED, Said, not_so
from router.admission.text import shown
from router.objects.gateway import GROUP, ParentRef
from router.objects.meta import ObjectKey


@dataclass(frozen=True, slots=True)
class Attachment:
    """One parentRef of one route."""

    ref: ParentRef
    accepted: Said
    listeners: tuple[str, ...] = ()
    """By name, those that took it."""


def gateway_of(ref: ParentRef, namespace: str) -> ObjectKey | None:
    """Give the Gateway that a parentRef means; None where it means another kind."""
    return ObjectKey(ref.namespace or namespace, ref.name) if (ref.group, ref.kind) == (GROUP, "Gateway") else None


def gateways_of(refs: Iterable[ParentRef] | None, namespace: str) -> frozenset[ObjectKey]:
    """Give the Gateways that a route wants to be reached by."""
    return frozenset(key for ref in refs or () if (key := gateway_of(ref, namespace)) is not None)


def attach(  # noqa: PLR0913, PLR0917 - who meets whom
    ref: ParentRef,
    kind: str,
    namespace: str,
    gateway: ObjectKey,
    views: Sequence[ListenerView],
    labels_of: LabelsOf,
    hostnames: Sequence[str] | None = None,
) -> Attachment:
    """Decide which listeners take a route by one of its parentRefs.

    Args:
        ref: the parentRef, of this Gateway.
        kind: of the route.
        namespace: of the route.
        gateway: the key of the Gateway.
        views: its listeners.
        labels_of: gives the labels of namespaces.
        hostnames: of a route that has some.
    """
    meant = [
        view
        for view in views
        if ref.section_name in {None, view.listener.name} and ref.port in {None, view.listener.port}
    ]
    if not meant:
        return _refused(ref, "NoMatchingParent", f"Gateway {gateway} has no listener {_wanted(ref)}")
    of_kind = [view for view in meant if kind in view.takes]
    if not of_kind:
        return _refused(ref, "NotAllowedByListeners", f"{_names(meant, gateway)} does not take {kind}s")
    taking = [view for view in of_kind if view.takes_from(namespace, gateway.namespace, labels_of)]
    if not taking:
        message = f"{_names(of_kind, gateway)} does not take routes of namespace {shown(namespace)}"
        return _refused(ref, "NotAllowedByListeners", message)
    meeting = [view for view in taking if kind == "TCPRoute" or intersections(view.listener.hostname, hostnames)]
    if not meeting:
        message = f"no hostname of the route is one of {_names(taking, gateway)}"
        return _refused(ref, "NoMatchingListenerHostname", message)
    return Attachment(ref, ALL_ACCEPTED, tuple(view.listener.name for view in meeting))


def _wanted(ref: ParentRef) -> str:
    named = f"named {shown(ref.section_name)}" if ref.section_name is not None else ""
    port = f"of port {ref.port}" if ref.port is not None else ""
    return " ".join(filter(None, (named, port)))


def _names(views: Sequence[ListenerView], gateway: ObjectKey) -> str:
    more = f" (and {len(views) - 1} more)" if len(views) > 1 else ""
    return f"listener {shown(views[0].listener.name)}{more} of Gateway {gateway}"


def _refused(ref: ParentRef, reason: str, message: str) -> Attachment:
    return Attachment(ref, not_so(ACCEPTED, reason, message))
