"""What the statuses of the Gateway API's objects shall say of us, and the patch that makes them say so; pure.

A status is written as a whole, by one merge patch that holds for the resourceVersion it was made for: lists are taken as they are, so that what
others say is written back as it was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from router.admission.gateway.addresses import BY_NAME, IP_ADDRESS
from router.admission.gateway.states import (
    ACCEPTED,
    CONFLICTED,
    PROGRAMMED,
    ClassState,
    GatewayState,
    ListenerSetState,
    ListenerState,
    ParentsState,
    PolicyState,
    RouteState,
    Said,
    State,
    not_so,
    so,
)
from router.admission.text import shown
from router.admission.verdicts import Reason, Verdict
from router.objects.gateway import (
    GROUP,
    Condition,
    Gateway,
    GatewayClass,
    ListenerSet,
    ParentRef,
    TcpRoute,
    TlsRoute,
)
from router.objects.tcp_route_policy import AncestorRef, TcpRoutePolicy
from router.shapes import write
from router.status.route import timestamp

FEATURES = (
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayStaticAddresses",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
)
"""What GatewayClasses say that is supported, by the names of the conformance suite; sorted."""
ENDING_FEATURES = ("TLSRouteModeMixed", "TLSRouteModeTerminate")
"""Further ones where TLS may end; behind those, by the alphabet."""
MAX_MESSAGE = 4096
NOT_SERVED = "judged only: this router opens no port for the protocol (--gateway-http accept)"
_MAX_PARENTS = 32
"""Of a route's status, by its CRD."""
_MAX_ANCESTORS = 16
_MAX_CONDITIONS = 8
_OTHERS_HAVE_IT = frozenset({Reason.PORT_ALREADY_CLAIMED, Reason.HOST_ALREADY_CLAIMED})
Told = GatewayClass | Gateway | ListenerSet | TcpRoute | TlsRoute | TcpRoutePolicy
"""Whose status we write."""
Verdicts = Mapping[str, Verdict]
"""Of the listeners of a Gateway or a ListenerSet, by name."""
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known beside objects and verdicts."""

    controller: str
    hostname: str = ""
    """The name or address by which clients reach the router where no address has a name."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The IPs of ``--address``, by name."""
    ips: tuple[str, ...] = ()
    """Those that the router listens on anyway, as far as it knows them; said where there is no ``hostname``."""
    ends_tls: bool = False
    """Whether listeners may."""


def decide(  # noqa: PLR0913, PLR0917 - what is so, and when
    obj: Told, state: State, verdicts: Verdicts, facts: Facts, now_s: float, attached_sets: int = 0
) -> bytes | None:
    """Decide whether a status must be written.

    Args:
        obj: the object as it was last read.
        state: what it is told.
        verdicts: of its listeners, where it has some.
        facts: who we are, and where.
        now_s: seconds since the epoch.
        attached_sets: of a Gateway, how many ListenerSets of it are accepted.

    Returns:
        The merge patch; None if the status already says what it shall, or what is to be said is about another object than this.
    """
    metadata = obj.metadata
    if (metadata.uid, metadata.generation) != (state.uid, state.generation):
        return None
    now = timestamp(now_s)
    status: dict[str, Any]
    if isinstance(obj, Gateway) and isinstance(state, GatewayState):
        status = _of_gateway(obj, state, verdicts, facts, now)
        if state.sets is not None or obj.status.attached_listener_sets is not None:
            # Only then: a CRD from before ListenerSets does not keep it, and it would be written again and again.
            status["attachedListenerSets"] = attached_sets
    elif isinstance(obj, ListenerSet) and isinstance(state, ListenerSetState):
        status = _of_set(obj, state, verdicts, now)
    elif isinstance(obj, GatewayClass) and isinstance(state, ClassState):
        status = {
            "conditions": _conditions(obj.status.conditions, (state.accepted,), state.generation, now),
            "supportedFeatures": [{"name": name} for name in (*FEATURES, *(ENDING_FEATURES if facts.ends_tls else ()))],
        }
    elif isinstance(obj, TcpRoute | TlsRoute) and isinstance(state, RouteState):
        status = {"parents": _parents(obj, state, facts, now)}
    elif isinstance(obj, TcpRoutePolicy) and isinstance(state, PolicyState):
        status = {"ancestors": _ancestors(obj, state, facts, now)}
    else:
        return None
    if all(_said(getattr(obj.status, _FIELDS.get(key, key))) == value for key, value in status.items()):
        return None
    return write({"metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid}, "status": status})


_FIELDS = {"supportedFeatures": "supported_features", "attachedListenerSets": "attached_listener_sets"}
"""By their names in JSON, those that have others here."""


def _of_gateway(gateway: Gateway, state: GatewayState, verdicts: Verdicts, facts: Facts, now: str) -> dict[str, Any]:
    is_served = state.accepted.reason not in _NOTHING_SERVED and state.programmed.holds
    told = _told(state, verdicts, is_served=is_served)
    valid = sum(said[0].holds for said in told)
    conditions = gateway_conditions(state, valid, [each for each in verdicts.values() if not each.admitted])
    return {
        "addresses": _addresses(gateway, state, facts) if is_served else [],
        "conditions": _conditions(gateway.status.conditions, conditions, state.generation, now),
        "listeners": _listeners(gateway, state, told, now),
    }


def _of_set(listener_set: ListenerSet, state: ListenerSetState, verdicts: Verdicts, now: str) -> dict[str, Any]:
    conditions = set_conditions(state, verdicts)
    told = _told(state, verdicts, is_served=state.accepted.reason != "ParentNotAccepted")
    return {
        "conditions": _conditions(listener_set.status.conditions, conditions, state.generation, now),
        "listeners": _listeners(listener_set, state, told, now),
    }


def _told(state: ParentsState, verdicts: Verdicts, *, is_served: bool) -> list[tuple[Said, ...]]:
    return [listener_conditions(each, verdicts.get(each.name), is_served=is_served) for each in state.listeners]


def _listeners(
    obj: Gateway | ListenerSet, state: ParentsState, told: Iterable[tuple[Said, ...]], now: str
) -> list[dict[str, Any]]:
    former = {each.name: each for each in obj.status.listeners or ()}
    return [
        {
            "name": listener.name,
            "attachedRoutes": listener.attached,
            "supportedKinds": [{"kind": kind, "group": GROUP} for kind in listener.kinds],
            "conditions": _conditions(
                former[listener.name].conditions if listener.name in former else None, said, state.generation, now
            ),
        }
        for listener, said in zip(state.listeners, told, strict=True)
    ]


_NOTHING_SERVED = frozenset({"InvalidParameters", "UnsupportedAddress"})


def gateway_conditions(state: GatewayState, valid: int, rejected: Iterable[Verdict]) -> tuple[Said, Said]:
    """Give what a Gateway is told as a whole.

    Args:
        state: what it is told by the objects alone.
        valid: how many of its listeners are accepted.
        rejected: the verdicts of those that have not got what they ask for.
    """
    if state.accepted.reason in _NOTHING_SERVED or not state.programmed.holds:
        return state.accepted, state.programmed
    bad = sorted(
        {each.name for each in state.listeners if not each.is_valid} | {each.asker.section for each in rejected}
    )
    if not bad:
        return state.accepted, state.programmed
    message = f"not valid: {', '.join(map(shown, bad))}"
    programmed = state.programmed if valid else not_so(PROGRAMMED, "Invalid", message)
    return Said(ACCEPTED, valid > 0, "ListenersNotValid", message), programmed


def set_conditions(state: ListenerSetState, verdicts: Verdicts) -> tuple[Said, Said]:
    """Give what a ListenerSet is told as a whole: it is accepted with one listener that is served, as the conformance suite wants it.

    Args:
        state: what it is told by the objects alone.
        verdicts: of its listeners.
    """
    if not (state.accepted.holds and state.programmed.holds):
        return state.accepted, state.programmed
    told = _told(state, verdicts, is_served=True)
    good = [said[0].holds and (said[1].holds or said[1].reason == "Pending") for said in told]
    if all(good):
        return state.accepted, state.programmed
    bad = [each.name for each, is_good in zip(state.listeners, good, strict=True) if not is_good]
    said = Said(ACCEPTED, any(good), "ListenersNotValid", f"not valid: {', '.join(map(shown, bad))}")
    return said, state.programmed if said.holds else said._replace(type=PROGRAMMED)


def listener_conditions(listener: ListenerState, verdict: Verdict | None, *, is_served: bool) -> tuple[Said, ...]:
    """Give what a listener is told: whether it is accepted, programmed, resolved and in conflict.

    Args:
        listener: what it is told by the objects alone.
        verdict: what became of its claim; None where it has none.
        is_served: whether its Gateway is.
    """
    said, conflicted = listener.accepted, listener.conflicted
    if not said.holds:
        programmed = not_so(PROGRAMMED, conflicted.reason if conflicted.holds else "Invalid", said.message)
    elif listener.problem:
        programmed = not_so(PROGRAMMED, "Invalid", listener.problem)
    elif not is_served:
        programmed = not_so(PROGRAMMED, "Invalid", "the Gateway is not served; its conditions say why")
    elif not listener.has_certificates or (not listener.is_served and not listener.resolved.holds and listener.kinds):
        programmed = not_so(PROGRAMMED, "Invalid", listener.resolved.message)
    elif not listener.is_served:
        programmed = so(PROGRAMMED, "Programmed", NOT_SERVED)
    elif verdict is None:
        programmed = not_so(PROGRAMMED, "Pending", "it is not decided yet who has the port")
    elif verdict.admitted:
        programmed = so(PROGRAMMED, "Programmed")
    else:
        message = f"{verdict.reason}: {verdict.message}"
        said = not_so(ACCEPTED, "PortUnavailable", message)
        programmed = not_so(PROGRAMMED, "Invalid", message)
        if verdict.reason in _OTHERS_HAVE_IT:
            conflicted = so(CONFLICTED, str(verdict.reason), verdict.message)
    return said, programmed, listener.resolved, conflicted


def _addresses(gateway: Gateway, state: GatewayState, facts: Facts) -> list[dict[str, str]]:
    """Say where a Gateway is reached: by what it asked for, else by all that there is of its address."""
    wanted = [each for each in gateway.spec.addresses or () if each.value and each.type != BY_NAME]
    if wanted:
        return [{"type": IP_ADDRESS, "value": each.value} for each in wanted]
    if state.address:
        return [{"type": IP_ADDRESS, "value": ip} for ip in facts.addresses.get(state.address, ())]
    if not facts.hostname:
        return [{"type": IP_ADDRESS, "value": ip} for ip in facts.ips]
    is_ip = facts.hostname.replace(".", "").isdecimal() or ":" in facts.hostname
    return [{"type": IP_ADDRESS if is_ip else "Hostname", "value": facts.hostname}]


def _ancestors(policy: TcpRoutePolicy, state: PolicyState, facts: Facts, now: str) -> list[dict[str, Any]]:
    known = policy.status.ancestors or ()
    others = [_said(each) for each in known if each.controller_name != facts.controller]
    formers = {each.ancestor_ref: each.conditions for each in known if each.controller_name == facts.controller}
    ours = []
    for each in state.ancestors:
        target = each.ref
        ref = AncestorRef(target.kind, target.name, target.group, state.key.namespace, target.section_name)
        conditions = _conditions(formers.get(ref), (each.accepted,), state.generation, now)
        ours.append({"ancestorRef": _said(ref), "controllerName": facts.controller, "conditions": conditions})
    return [*others, *ours][:_MAX_ANCESTORS]


def _parents(route: TcpRoute | TlsRoute, state: RouteState, facts: Facts, now: str) -> list[dict[str, Any]]:
    parents = route.status.parents or ()
    others = [_said(each) for each in parents if each.controller_name != facts.controller]
    formers = {each.parent_ref: each for each in parents if each.controller_name == facts.controller}
    ours = [
        {
            "parentRef": _ref(each.ref),
            "controllerName": facts.controller,
            "conditions": _conditions(
                formers[each.ref].conditions if each.ref in formers else None, each.conditions, state.generation, now
            ),
        }
        for each in state.parents
    ]
    return [*others, *ours][:_MAX_PARENTS]


def _ref(ref: ParentRef) -> dict[str, Any]:
    said: dict[str, Any] = _said(ref)
    return said


def _conditions(
    former: tuple[Condition, ...] | None, said: Iterable[Said], generation: int, now: str
) -> list[dict[str, Any]]:
    """Give all conditions: ours, that keep the time of what holds as it did, and then those of others, of other types."""
    known = {each.type: each for each in former or ()}
    ours = []
    for each in said:
        status = "True" if each.holds else "False"
        before = known.pop(each.type, None)
        since = before.last_transition_time if before is not None and before.status == status else None
        ours.append(
            {
                "type": each.type,
                "status": status,
                "reason": each.reason,
                "message": each.message[:MAX_MESSAGE],
                "lastTransitionTime": since or now,
                "observedGeneration": generation,
            }
        )
    others = [_said(each) for each in known.values()]
    return [_full(each) for each in [*ours, *others][:_MAX_CONDITIONS]]


def _full(condition: dict[str, Any]) -> dict[str, Any]:
    """Give a condition with all that its CRD requires, in one order."""
    full = {
        "type": condition["type"],
        "status": condition["status"],
        "reason": condition.get("reason", ""),
        "message": condition.get("message", ""),
        "lastTransitionTime": condition.get("lastTransitionTime") or _EPOCH,
    }
    generation = condition.get("observedGeneration", 0)
    return {**full, "observedGeneration": generation} if generation else full


def _said(value: Any) -> Any:  # noqa: ANN401 - whatever a status has
    """Give a part of a status as it would be written, without what is not said."""
    if value is None:
        return []
    return _without_nulls(msgspec.to_builtins(value))


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, dict):
        if "lastTransitionTime" in value or {"type", "status"} <= value.keys():
            return _full(value)
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list | tuple) else value
