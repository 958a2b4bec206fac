"""One Gateway with its ListenerSets, without any route: which of these it takes, and whose listeners come before whose.

The order is that of the API: the Gateway's own listeners, then ListenerSets by age, then by namespace and name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from router.admission.gateway.addresses import Chosen, choose
from router.admission.gateway.listeners import LabelsOf, ListenerView
from router.admission.gateway.standings import Standings
from router.admission.gateway.states import (
    ACCEPTED,
    ALL_ACCEPTED,
    GATEWAY_KIND,
    LISTENER_SET_KIND,
    PROGRAMMED,
    Said,
    StateKey,
    not_so,
    so,
)
from router.admission.text import shown
from router.objects.gateway import Gateway, Listener, ListenerSet
from router.objects.labels import selected_by
from router.objects.meta import ObjectMeta
from router.settings import AdmissionSettings

Age = tuple[bool, str, str, str]
Look = Callable[[StateKey, tuple[Listener, ...], Standings], tuple[ListenerView, ...]]
"""Looks at the listeners of one object (its key), after those that come first."""
NOT_ALLOWED = "NotAllowed"
MOST_LISTENERS = 500
"""Of a namespace by its ListenerSets at one Gateway: all are looked at when one changes, and everybody waits meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A Gateway or a ListenerSet, as routes meet it."""

    key: StateKey
    uid: str
    generation: int
    created: str | None
    gateway: StateKey
    """Itself, where it is one."""
    views: tuple[ListenerView, ...]
    accepted: Said
    programmed: Said
    address: str = ""
    """The name of the address that it is of; empty is ``--bind-address``."""
    sets: tuple[StateKey, ...] | None = None
    """Of a Gateway the ListenerSets that it takes; None where none names it."""
    refused: tuple[Listener, ...] = ()
    """Of a ListenerSet that its Gateway does not take: its listeners."""

    @property
    def is_served(self) -> bool:
        """Whether anything of it may be."""
        return self.accepted.holds and self.programmed.holds

    @property
    def is_taken(self) -> bool:
        """Whether it is part of its Gateway."""
        return self.accepted.reason != NOT_ALLOWED

    def untaken(self) -> Iterator[tuple[Listener, str]]:
        """Give the listeners that are part of no Gateway, each with why."""
        yield from ((listener, self.accepted.message) for listener in self.refused)
        yield from ((view.listener, view.conflicted.message) for view in self.views if view.yields)


def age_of(metadata: ObjectMeta) -> Age:
    """Give what orders routes, and ListenerSets: the oldest first, then by namespace and name (the API's rule for conflicts)."""
    created = metadata.creation_timestamp
    return created is None, created or "", metadata.namespace, metadata.name


def see_gateway(
    gateway: Gateway,
    views: tuple[ListenerView, ...],
    settings: AdmissionSettings,
    sets: tuple[StateKey, ...] | None = None,
) -> Seen:
    """Sum up a Gateway of ours.

    Args:
        gateway: the Gateway.
        views: its own listeners.
        settings: what may be served.
        sets: the ListenerSets that it takes; None where none names it.
    """
    chosen = choose(gateway, settings)
    accepted, programmed = _accepted(gateway, chosen, views), chosen.programmed
    if not accepted.holds:
        programmed = not_so(PROGRAMMED, "Invalid", accepted.message)
    key = StateKey(GATEWAY_KIND, *gateway.key)
    return Seen(
        key=key,
        uid=gateway.metadata.uid,
        generation=gateway.metadata.generation,
        created=gateway.metadata.creation_timestamp or None,
        gateway=key,
        views=views,
        accepted=accepted,
        programmed=programmed,
        address=chosen.name,
        sets=sets,
    )


def see_all(
    gateway: Gateway, sets: Iterable[ListenerSet], look: Look, labels_of: LabelsOf, settings: AdmissionSettings
) -> Iterator[Seen]:
    """Give a Gateway of ours, and all ListenerSets that name it.

    Args:
        gateway: the Gateway.
        sets: those that name it, in any order.
        look: looks at listeners.
        labels_of: gives the labels of namespaces.
        settings: what may be served.
    """
    there = sorted(sets, key=lambda each: age_of(each.metadata))
    allowed = {
        StateKey(LISTENER_SET_KIND, *each.key): each
        for each in there
        if takes(gateway, each.metadata.namespace, labels_of)
    }
    taken = dict(_that_fit(allowed))
    before, key = Standings(), StateKey(GATEWAY_KIND, *gateway.key)
    views = look(key, gateway.spec.listeners or (), before)
    whole = see_gateway(gateway, views, settings, tuple(taken) if there else None)
    yield whole
    if not there:
        return
    # All of the Gateway's: whoever mends a conflict among them has the port, and has not given it to a ListenerSet meanwhile.
    for view in views:
        before.add(str(key), view.listener)
    for own, each in taken.items():
        views = look(own, each.spec.listeners or (), before)
        for view in views:
            if view.accepted.holds:
                before.add(str(own), view.listener)
        yield _see_set(each, own, whole, views)
    for each in there:
        own = StateKey(LISTENER_SET_KIND, *each.key)
        if own not in taken:
            yield _not_taken(each, own, whole, is_allowed=own in allowed)


def _that_fit(sets: Mapping[StateKey, ListenerSet]) -> Iterator[tuple[StateKey, ListenerSet]]:
    """Give the ListenerSets, of some in their order, by which no namespace has more listeners at a Gateway than it may."""
    there: Counter[str] = Counter()
    for key, each in sets.items():
        more = len(each.spec.listeners or ())
        if there[key.namespace] + more <= MOST_LISTENERS:
            there[key.namespace] += more
            yield key, each


def takes(gateway: Gateway, namespace: str, labels_of: LabelsOf) -> bool:
    """Say whether a Gateway takes ListenerSets of a namespace; of one that is not known it takes none by labels."""
    namespaces = gateway.spec.allowed_listeners.namespaces
    match namespaces.from_:
        case "All":
            return True
        case "Same":
            return namespace == gateway.metadata.namespace
        case "Selector" if namespaces.selector is not None:
            labels = labels_of(namespace)
            return labels is not None and selected_by(namespaces.selector, labels)
        case _:
            return False


def see_set_alone(listener_set: ListenerSet, views: tuple[ListenerView, ...], address: str) -> Seen:
    """Sum up a ListenerSet as if there were a Gateway that takes it, at an address."""
    key = StateKey(LISTENER_SET_KIND, *listener_set.key)
    gateway = StateKey(GATEWAY_KIND, key.namespace, listener_set.spec.parent_ref.name)
    accepted, programmed = (so(kind, kind) for kind in (ACCEPTED, PROGRAMMED))
    return _of_set(listener_set, key, gateway, address, views, accepted, programmed)


def _see_set(listener_set: ListenerSet, key: StateKey, gateway: Seen, views: tuple[ListenerView, ...]) -> Seen:
    if gateway.is_served:
        accepted = _by_views(views)
        programmed = so(PROGRAMMED, "Programmed") if accepted.holds else accepted._replace(type=PROGRAMMED)
    else:
        message = f"{gateway.key} is not served; its status says why"
        accepted = not_so(ACCEPTED, "ParentNotAccepted", message)
        programmed = not_so(PROGRAMMED, "ParentNotProgrammed", message)
    return _of_set(listener_set, key, gateway.key, gateway.address, views, accepted, programmed)


def _not_taken(listener_set: ListenerSet, key: StateKey, gateway: Seen, *, is_allowed: bool) -> Seen:
    message = f"allowedListeners of {gateway.key} lets no ListenerSet of namespace {shown(key.namespace)}"
    if is_allowed:
        message = f"namespace {shown(key.namespace)} would have more than {MOST_LISTENERS} listeners at {gateway.key}, with those of older ListenerSets"
    accepted, programmed = (not_so(kind, NOT_ALLOWED, message) for kind in (ACCEPTED, PROGRAMMED))
    return _of_set(
        listener_set, key, gateway.key, gateway.address, (), accepted, programmed, listener_set.spec.listeners or ()
    )


def _of_set(  # noqa: PLR0913, PLR0917 - what it is of, and what is said of it
    listener_set: ListenerSet,
    key: StateKey,
    gateway: StateKey,
    address: str,
    views: tuple[ListenerView, ...],
    accepted: Said,
    programmed: Said,
    refused: tuple[Listener, ...] = (),
) -> Seen:
    return Seen(
        key=key,
        uid=listener_set.metadata.uid,
        generation=listener_set.metadata.generation,
        created=listener_set.metadata.creation_timestamp or None,
        gateway=gateway,
        views=views,
        accepted=accepted,
        programmed=programmed,
        address=address,
        refused=refused,
    )


def _accepted(gateway: Gateway, chosen: Chosen, views: tuple[ListenerView, ...]) -> Said:
    infrastructure = gateway.spec.infrastructure
    if infrastructure is not None and infrastructure.parameters_ref is not None:
        ref = infrastructure.parameters_ref
        message = f"infrastructure.parametersRef {shown(f'{ref.group}/{ref.kind}')} is none that this router knows; it knows none"
        return not_so(ACCEPTED, "InvalidParameters", message)
    return _by_views(views) if chosen.accepted.holds else chosen.accepted


def _by_views(views: tuple[ListenerView, ...]) -> Said:
    bad = [each.listener.name for each in views if not each.accepted.holds]
    if not bad:
        return ALL_ACCEPTED
    return Said(ACCEPTED, len(bad) < len(views), "ListenersNotValid", f"not valid: {', '.join(map(shown, bad))}")
