"""Which listeners of a Gateway a route's parentRef meets, and what is said of that (GEP-1897 has the order of reasons)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from router.admission.gateway.hosts import intersections
from router.admission.gateway.listeners import LabelsOf, ListenerView
from router.admission.gateway.states import (
    ACCEPTED,
    ALL_ACCEPTED,
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    Said,
    StateKey,
    not_so,
)
from router.admission.text import shown
from router.objects.gateway import GROUP, ParentRef

_PARENTS = frozenset({GATEWAY_KIND, LISTENER_SET_KIND})


@dataclass(frozen=True, slots=True)
class Attachment:
    """One parentRef of one route."""

    ref: ParentRef
    accepted: Said
    listeners: tuple[str, ...] = ()
    """By name, those that took it."""


def parent_of(ref: ParentRef, namespace: str) -> StateKey | None:
    """Give the Gateway or the ListenerSet that a parentRef means; None where it means another kind."""
    is_known = ref.group == GROUP and ref.kind in _PARENTS
    return StateKey(ref.kind, ref.namespace or namespace, ref.name) if is_known else None


def parents_of(refs: Iterable[ParentRef] | None, namespace: str) -> frozenset[StateKey]:
    """Give the Gateways and ListenerSets that a route wants to be reached by."""
    return frozenset(key for ref in refs or () if (key := parent_of(ref, namespace)) is not None)


def attach(  # noqa: PLR0913, PLR0917 - who meets whom
    ref: ParentRef,
    kind: str,
    namespace: str,
    parent: StateKey,
    views: Sequence[ListenerView],
    labels_of: LabelsOf,
    hostnames: Sequence[str] | None = None,
    *,
    is_taken: bool = True,
) -> Attachment:
    """Decide which listeners take a route by one of its parentRefs.

    Args:
        ref: the parentRef, of this Gateway or ListenerSet.
        kind: of the route.
        namespace: of the route.
        parent: the key of that.
        views: its listeners.
        labels_of: gives the labels of namespaces.
        hostnames: of a route that has some.
        is_taken: False of a ListenerSet that its Gateway does not take.
    """
    if not is_taken:
        return _refused(ref, "NoMatchingParent", f"{parent} is part of no Gateway; its status says why")
    meant = [
        view
        for view in views
        if ref.section_name in {None, view.listener.name} and ref.port in {None, view.listener.port}
    ]
    if not meant:
        return _refused(ref, "NoMatchingParent", f"{parent} has no listener {_wanted(ref)}")
    of_kind = [view for view in meant if kind in view.takes]
    if not of_kind:
        return _refused(ref, "NotAllowedByListeners", f"{_names(meant, parent)} does not take {kind}s")
    taking = [view for view in of_kind if view.takes_from(namespace, parent.namespace, labels_of)]
    if not taking:
        message = f"{_names(of_kind, parent)} does not take routes of namespace {shown(namespace)}"
        return _refused(ref, "NotAllowedByListeners", message)
    meeting = [view for view in taking if kind == "TCPRoute" or intersections(view.listener.hostname, hostnames)]
    if not meeting:
        message = f"no hostname of the route is one of {_names(taking, parent)}"
        return _refused(ref, "NoMatchingListenerHostname", message)
    return Attachment(ref, ALL_ACCEPTED, tuple(view.listener.name for view in meeting))


def _wanted(ref: ParentRef) -> str:
    named = f"named {shown(ref.section_name)}" if ref.section_name is not None else ""
    port = f"of port {ref.port}" if ref.port is not None else ""
    return " ".join(filter(None, (named, port)))


def _names(views: Sequence[ListenerView], parent: StateKey) -> str:
    more = f" (and {len(views) - 1} more)" if len(views) > 1 else ""
    return f"listener {shown(views[0].listener.name)}{more} of {parent}"


def _refused(ref: ParentRef, reason: str, message: str) -> Attachment:
    return Attachment(ref, not_so(ACCEPTED, reason, message))
