"""What the listeners of one Gateway are by themselves: which kinds and namespaces of routes they take, and whether they go together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from router.admission.certificates import Pair
from router.admission.gateway.hosts import is_carried, is_host
from router.admission.gateway.imposed import NOTHING_IMPOSED, Imposed
from router.admission.gateway.standings import Beside, Clash, Standings
from router.admission.gateway.states import (
    ACCEPTED,
    ALL_ACCEPTED,
    CONFLICTED,
    RESOLVED,
    RESOLVED_REFS,
    Said,
    not_so,
    so,
)
from router.admission.text import LONGEST_ENDING, shown
from router.objects.gateway import GROUP, Listener
from router.objects.labels import selected_by

KINDS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType({"TCP": ("TCPRoute",), "TLS": ("TLSRoute",)})
"""By the protocols that are served, the kinds of routes that can be reached by them."""
HTTP_KINDS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType({"HTTP": ("HTTPRoute",), "HTTPS": ("HTTPRoute",)})
"""By the protocols that are judged and not served, where that is asked for."""
_FREE = not_so(CONFLICTED, "NoConflicts")

PASSTHROUGH, TERMINATE = "Passthrough", "Terminate"
"""Values of ``tls.mode``."""
Certificates = Callable[[Listener], tuple[Pair, ...] | Said]
"""Gives those of a listener that ends TLS, or what is wrong with them."""
LabelsOf = Callable[[str], Mapping[str, str] | None]
"""Gives the labels of a namespace; None where it is not known."""


@dataclass(frozen=True, slots=True)
class ListenerView:
    """One listener, as routes meet it."""

    listener: Listener
    takes: frozenset[str]
    """Kinds of routes."""
    kinds: tuple[str, ...]
    """Those that it says that it supports."""
    accepted: Said
    resolved: Said
    conflicted: Said
    pairs: tuple[Pair, ...] | None = None
    """The certificates with which it ends TLS, none where it has not got them; None where TLS goes on as it came."""
    imposed: Imposed = NOTHING_IMPOSED
    """What policies say of it."""
    yields: bool = False
    """Whether a listener that comes before it has what it asks for."""

    @property
    def is_served(self) -> bool:
        """Whether a port is opened for its protocol; others are only judged."""
        return self.listener.protocol in KINDS_OF

    def takes_from(self, route_namespace: str, own_namespace: str, labels_of: LabelsOf) -> bool:
        """Say whether it takes routes of a namespace; of one that is not known it takes none by labels."""
        namespaces = self.listener.allowed_routes.namespaces
        match namespaces.from_:
            case "All":
                return True
            case "Same":
                return route_namespace == own_namespace
            case "Selector" if namespaces.selector is not None:
                labels = labels_of(route_namespace)
                return labels is not None and selected_by(namespaces.selector, labels)
            case _:
                return False


def views(  # noqa: PLR0913 - what they are looked at by, and what is known
    listeners: tuple[Listener, ...],
    kinds_of: Mapping[str, tuple[str, ...]],
    certificates: Certificates = lambda _: (),
    before: Standings | None = None,
    *,
    may_end_tls: bool = False,
    known: dict[str, ListenerView] | None = None,
) -> tuple[ListenerView, ...]:
    """Look at each listener of a Gateway, or of one of its ListenerSets, in their order.

    Args:
        listeners: all of that object.
        kinds_of: the kinds of routes of each protocol that is known here.
        certificates: gives those of a listener that ends TLS, or what is wrong with them.
        before: those of the same Gateway that have what they ask for before these.
        may_end_tls: whether TLS listeners are served that do.
        known: what came of each before its certificates were read, by name, when that object was last looked at with the same ``kinds_of`` and
            ``may_end_tls``; brought up to date. A listener that is what it was is not looked into.
    """
    modes = (PASSTHROUGH, TERMINATE) if may_end_tls else (PASSTHROUGH,)
    former = known or {}
    if not before and len({each.port for each in listeners}) == len(listeners):
        # As most are: none can be in another's way.
        looked_at = [
            view
            if (view := former.get(each.name)) is not None and view.conflicted is _FREE and view.listener == each
            else _view(each, None, kinds_of, modes, yields=False)
            for each in listeners
        ]
    else:
        beside = Beside(listeners)
        looked_at = [_view_after(former.get(each.name), each, beside, before, kinds_of, modes) for each in listeners]
    if known is not None:
        known.clear()
        known.update((each.listener.name, each) for each in looked_at)
    return tuple(
        [each if each.listener.protocol == "TCP" else _with_certificates(each, certificates) for each in looked_at]
    )


def _view_after(  # noqa: PLR0913, PLR0917 - as _view
    former: ListenerView | None,
    listener: Listener,
    beside: Beside,
    before: Standings | None,
    kinds_of: Mapping[str, tuple[str, ...]],
    modes: tuple[str, ...],
) -> ListenerView:
    """Give what came of a listener that may be what it was."""
    first = before.clash(listener) if before is not None else None
    conflict = first or beside.clash(listener)
    if former is not None and former.listener == listener and conflict is None and former.conflicted is _FREE:
        return former
    return _view(listener, conflict, kinds_of, modes, yields=first is not None)


def ends_tls(listener: Listener) -> bool:
    """Say whether a TLS listener is to end it."""
    return listener.protocol == "TLS" and _mode(listener) == TERMINATE


def _mode(listener: Listener) -> str:
    return listener.tls.mode if listener.tls is not None else TERMINATE


def _with_certificates(view: ListenerView, certificates: Certificates) -> ListenerView:
    protocol = view.listener.protocol
    if not view.kinds:
        return view
    ends = ends_tls(view.listener)
    if not (ends or protocol == "HTTPS"):
        return view
    found = certificates(view.listener)
    if isinstance(found, Said):
        view, found = (replace(view, resolved=found) if view.resolved.holds else view), ()
    return replace(view, pairs=found) if ends else view


def _view(
    listener: Listener,
    conflict: Clash | None,
    kinds_of: Mapping[str, tuple[str, ...]],
    modes: tuple[str, ...],
    *,
    yields: bool,
) -> ListenerView:
    possible = kinds_of.get(listener.protocol)
    if possible is None:
        told = not_so(ACCEPTED, "UnsupportedProtocol", _unsupported(listener.protocol, kinds_of))
        return ListenerView(listener, frozenset(), (), told, RESOLVED, _FREE)
    problem = _unsupported_value(listener, modes) if listener.protocol == "TLS" else ""
    if problem:
        told = not_so(ACCEPTED, "UnsupportedValue", problem)
        return ListenerView(listener, frozenset(), (), told, RESOLVED, _FREE)
    kinds, refs = _kinds(listener, possible)
    if conflict is None:
        return ListenerView(listener, frozenset(kinds), kinds, ALL_ACCEPTED, refs, _FREE)
    reason, message = conflict
    return ListenerView(
        listener,
        frozenset(kinds),
        kinds,
        not_so(ACCEPTED, reason, message),
        refs,
        so(CONFLICTED, reason, message),
        yields=yields,
    )


def _unsupported_value(listener: Listener, modes: tuple[str, ...]) -> str:
    """Say what of a TLS listener is not served; empty where all is."""
    mode = _mode(listener)
    if mode not in modes:
        without = ", and Terminate with --gateway-certificates" if TERMINATE not in modes else ""
        return f"tls.mode {shown(mode)} is not served; this router serves {' and '.join(modes)}{without}"
    name = listener.hostname or ""
    if not is_host(listener.hostname):
        return f"hostname {shown(name)} is none that is served"
    if mode == TERMINATE and not is_carried(name):
        return f"hostname {shown(name)} has {len(name)} characters; accepted are up to {LONGEST_ENDING} with tls.mode Terminate"
    return ""


def _unsupported(protocol: str, kinds_of: Mapping[str, tuple[str, ...]]) -> str:
    return f"protocol {shown(protocol)} is not served; this router serves {', '.join(sorted(kinds_of))}"


def _kinds(listener: Listener, possible: tuple[str, ...]) -> tuple[tuple[str, ...], Said]:
    """Give the kinds of routes that a listener supports, and whether all that it wants are among them."""
    wanted = listener.allowed_routes.kinds
    if not wanted:
        return possible, RESOLVED
    good = tuple(kind for kind in possible if any((each.group, each.kind) == (GROUP, kind) for each in wanted))
    bad = [each for each in wanted if each.group != GROUP or each.kind not in possible]
    if not bad:
        return good, RESOLVED
    named = ", ".join(shown(f"{each.kind}.{each.group}" if each.group else each.kind) for each in bad)
    message = f"a listener of protocol {listener.protocol} takes {', '.join(possible)}, and not {named}"
    return good, not_so(RESOLVED_REFS, "InvalidRouteKinds", message)
