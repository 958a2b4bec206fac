"""What a route is told of one Gateway or ListenerSet; pure."""

from __future__ import annotations

from router.admission.gateway.at_listener import MetRoute
from router.admission.gateway.attachment import Attachment
from router.admission.gateway.imposed import together
from router.admission.gateway.resolving import Resolved
from router.admission.gateway.states import SERVES, ParentState, Said, not_so, so
from router.admission.text import shown


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
    if not resolved.is_served:
        return not_so(SERVES, "GatewayNotServed", f"{resolved.state.key} is not served; its status says why")
    problem = together(route.wishes, resolved.imposed_on(route)).problem
    if problem:
        return not_so(SERVES, "PoliciesNotRead" if route.wishes.is_unread else "PolicyInvalid", problem)
    has = [name for name in attachment.listeners if resolved.has(route.key, name)]
    if len(has) == len(attachment.listeners):
        return so(SERVES, "Served")
    lost = next(name for name in attachment.listeners if name not in has)
    there = resolved.at(lost)
    unled = there.unled(route.hostnames)
    if unled:
        return Said(SERVES, len(has) > 0, "ServedInPart" if has else "HostnameNotServed", unled)
    others = there.ahead(route.key)
    if others:
        message = (
            f"connections of listener {shown(lost)} go to {', '.join(map(str, others))}, "
            f"which {'is' if len(others) == 1 else 'are'} older"
        )
        return Said(SERVES, len(has) > 0, "ServedInPart" if has else "OlderRouteIsServed", message)
    message = (
        f"listener {shown(lost)} leads by none of the route's names"
        if there.leads_anybody
        else f"listener {shown(lost)} leads nobody anywhere; its status says why"
    )
    return Said(SERVES, len(has) > 0, "ServedInPart" if has else "ListenerNotServed", message)
